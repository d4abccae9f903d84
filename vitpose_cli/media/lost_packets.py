"""What of a video cannot be trusted where packets of it are lost: pictures build on each other."""

from __future__ import annotations

from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream


class Loss:
    """Which pictures are spoiled where packets were lost: all behind, up to the next keyframe.

    Decoders do not tell: they show old pictures in place of those that are missing.

    Attributes:
        open: Whether something was lost and the next keyframe is not out yet.
        starts_whole: Whether the first packet was a keyframe.
    """

    def __init__(self) -> None:
        """Begin with nothing lost."""
        self.open = self.starts_whole = self._any_keyframe = False
        self._is_first = True
        self._was_corrupt = False
        self._waiting: set[int] = set()  # given to the decoder, not yet out
        self._safe: set[int] = set()
        self._recovery_pts: int | None = None

    def begin(self) -> None:
        """Take note that the picture that comes out next is damaged."""
        self.open = self._any_keyframe = True

    def begin_among_waiting(self) -> None:
        """Take note that the decoder could not do with one of the packets on their way.

        A keyframe among them does not help, unless the video began with others.
        """
        self.open, self._any_keyframe = True, not self.starts_whole

    def watch(self, packet: Packet[VideoStream]) -> None:
        """Take note of a packet on its way to the decoder."""
        if self._is_first:
            self._is_first, self.starts_whole = False, packet.is_keyframe
        if packet.is_corrupt:
            # Keyframes that were on their way before do not help.
            self.open, self._any_keyframe, self._recovery_pts = True, False, None
            self._safe = set(self._waiting)
        elif self.open and packet.is_keyframe and self._recovery_pts is None:
            # Where a picture's end is known by the next one's begin, FFmpeg marks the one before.
            self._recovery_pts = None if self._was_corrupt else packet.pts
        self._was_corrupt = packet.is_corrupt
        if packet.pts is not None:
            self._waiting.add(packet.pts)

    def spoils(self, frame: VideoFrame) -> bool:
        """Return whether a picture that comes out of the decoder cannot be trusted."""
        if frame.key_frame and not frame.is_corrupt:
            self.open &= not (self._any_keyframe or frame.pts == self._recovery_pts)
        if frame.pts is not None:
            self._waiting.discard(frame.pts)
        return self.open and frame.pts not in self._safe

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
        ended: Whether what comes cannot even be counted on.
    """

    def __init__(self) -> None:
        """Begin with nothing lost."""
        self.open = self.ended = False
        self._any_keyframe = False
        self._waiting: set[int] = set()  # given to the decoder, not yet out
        self._safe: set[int] = set()
        self._last: set[int] = set()
        self._recovery_pts: int | None = None

    def begin(self) -> None:
        """Take note that the decoder could not do with what it was given."""
        self.open = self._any_keyframe = True

    def end(self) -> None:
        """Take note that the packet that comes next is damaged, or that some before it are lost."""
        self.ended, self._last = True, set(self._waiting)

    def watch(self, packet: Packet[VideoStream]) -> None:
        """Take note of a packet on its way to the decoder."""
        if packet.is_corrupt:
            # Keyframes that were on their way before do not help.
            self.open, self._any_keyframe, self._recovery_pts = True, False, None
            self._safe = set(self._waiting)
        elif self.open and packet.is_keyframe and self._recovery_pts is None:
            self._recovery_pts = packet.pts
        if packet.pts is not None:
            self._waiting.add(packet.pts)

    def cuts_off(self, frame: VideoFrame) -> bool:
        """Return whether a picture lies behind the end."""
        return self.ended and frame.pts not in self._last

    def spoils(self, frame: VideoFrame) -> bool:
        """Return whether a picture that comes out of the decoder cannot be trusted."""
        if frame.key_frame and not frame.is_corrupt:
            self.open &= not (self._any_keyframe or frame.pts == self._recovery_pts)
        if frame.pts is not None:
            self._waiting.discard(frame.pts)
        return self.open and frame.pts not in self._safe

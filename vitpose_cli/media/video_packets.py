"""The packets of a video's pictures, up to where something of the file is missing.

FFmpeg hands out what it finds, and says little of what it does not: the last packet of a file that
was cut off is half a picture, and behind a hole the next one comes as if nothing were between.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import cast

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from vitpose_cli.errors import InputError
from vitpose_cli.media import gif_blocks
from vitpose_cli.media.matroska_blocks import MatroskaBlocks
from vitpose_cli.media.nal_units import NalUnits

DAMAGED_HERE = "The video is damaged here."
REPAIR = "Try to save it: ffmpeg -i IN -c:v libx264 -c:a copy OUT.mp4"

BEFORE_ALL = -(2**63)
"""A time before that of every packet."""


class PicturePackets:
    """The packets of the picture track of an open file, in the order of the file."""

    def __init__(self, path: Path, container: InputContainer, stream: VideoStream) -> None:
        """Take an open file.

        Args:
            path: Where it lies.
            container: The file.
            stream: Its picture track.
        """
        self._path = path
        self._container = container
        self._stream = stream
        codec = stream.codec_context
        self._units = NalUnits.of(codec.name, codec.extradata)
        self._blocks = MatroskaBlocks(path) if container.format.name == "matroska,webm" else None

    def __iter__(self) -> Iterator[Packet[VideoStream]]:
        """Yield the packets of the picture track and the closing empty one.

        That of a file that has a hole has the dts of the first packet behind it: pictures that are
        shown before come out whole, of others some may be missing.

        Raises:
            InputError: The file cannot be read further, is encrypted, ends within a packet, or has
                a hole behind those that were yielded.
        """
        held: Packet[VideoStream] | None = None
        torn = False
        lost: Packet[VideoStream] | None = None
        try:
            whole_bytes = self._whole_bytes
            for packet in self._container.demux(self._stream):
                if held is None and packet.has_sidedata("encryption_info"):
                    raise InputError("It is encrypted (DRM).", "Take a copy without protection.")
                if whole_bytes is not None and (packet.pos or 0) + packet.size > whole_bytes:
                    break
                if self._is_behind_hole(packet):
                    lost, held = held or packet, None  # the end of one before it may be lost, too
                    break
                torn = held is not None and held.is_corrupt and _is_end(packet)
                # With frame threads a last packet that is cut off would take others with it.
                if held is not None and not torn and (held.size or _is_end(held)):
                    yield held
                held = packet
                if self._units is not None and self._units.have_hole(bytes(packet)):
                    lost, held = packet, None
                    break
        except (av.FFmpegError, OSError) as error:
            raise InputError(f"The file cannot be read further: {error.strerror}.") from error
        if held is not None:
            yield held
        if lost is not None:
            yield self._closing_packet(lost.dts)
            raise InputError(DAMAGED_HERE, REPAIR)
        if torn:
            raise InputError("The file is cut off in the middle of a picture.")
        if whole_bytes is not None:
            raise InputError("The GIF is cut off or damaged here.", "Copy it again.")

    def all_shown(self) -> list[Packet[VideoStream]]:
        """Return the packets of all pictures to the end of the file; none where some may be lost.

        Raises:
            InputError: The file cannot be read further.
        """
        shown = [
            packet
            for packet in self._container.demux(self._stream)
            if packet.size and not packet.is_discard
        ]
        lossy = any(packet.is_corrupt or self._is_behind_hole(packet) for packet in shown)
        return [] if lossy else shown

    def seek(self, pts: int) -> None:
        """Go on at a keyframe before a time, in ticks; holes are not looked for from there on."""
        self._container.seek(pts, stream=self._stream)
        self.close()

    def close(self) -> None:
        """Let go of the file; the container stays open."""
        if self._blocks is not None:
            self._blocks.close()
            self._blocks = None

    def _is_behind_hole(self, packet: Packet[VideoStream]) -> bool:
        """Return whether pictures may be missing before a packet.

        Raises:
            InputError: The file cannot be read further.
        """
        if self._blocks is None or not packet.size or packet.pos is None:
            return False
        try:
            return not self._blocks.lead_to(packet.pos)
        except OSError as error:
            raise InputError(f"The file cannot be read further: {error.strerror}.") from error

    @cached_property
    def _whole_bytes(self) -> int | None:
        """How many bytes of a GIF that is cut off hold whole pictures; else None."""
        return gif_blocks.cut_at(self._path) if self._container.format.name == "gif" else None

    def _closing_packet(self, dts: int | None) -> Packet[VideoStream]:
        """Return what makes the decoder hand out all that it holds."""
        closing = Packet()
        closing.dts = BEFORE_ALL + 1 if dts is None else dts
        closing.stream = self._stream
        closing.time_base = self._stream.time_base or closing.time_base
        return cast("Packet[VideoStream]", closing)


def _is_end(packet: Packet[VideoStream]) -> bool:
    """Return whether this is the empty packet that makes a decoder hand out what it holds."""
    return packet.size == 0 and packet.dts is None

"""Holes in the pictures of H.264 and HEVC, which FFmpeg's decoders may show as if they were whole.

A picture is a row of NAL units (ITU-T H.264 and H.265, 7.4), each with its length before it as MP4
and Matroska files hold them. Encoders break up any three bytes that could be the start of another
unit, 0 0 0 among them, so that where these are in a picture, something was written over it, or
never written. But some writers leave a start code in a unit, most often before an end of sequence
behind the last picture; FFmpeg parts the unit there, and so it is here.
"""

from __future__ import annotations

from dataclasses import dataclass

_START_CODE = b"\0\0\1"
_NEVER_INSIDE = (b"\0\0\0", b"\0\0\2")


@dataclass(frozen=True, slots=True)
class NalUnits:
    """How the units of a video are written.

    Attributes:
        length_bytes: How many bytes tell the length of a unit.
        kind_shift: By how many bits a unit's kind lies above the end of its first byte.
        kind_mask: Which bits of that byte, shifted, are the kind.
        picture_kinds: The kinds that are parts of pictures.
    """

    length_bytes: int
    kind_shift: int
    kind_mask: int
    picture_kinds: range

    @classmethod
    def of(cls, codec: str, extradata: bytes | None) -> NalUnits | None:
        """Return them; None for other codecs, and where units have start codes instead.

        Args:
            codec: FFmpeg's name of the decoder.
            extradata: What the head of the file says of its pictures.
        """
        if not extradata or extradata[0] != 1:
            return None
        if codec == "hevc" and len(extradata) > 21:  # ISO/IEC 14496-15, 8.3.3.1
            return cls((extradata[21] & 3) + 1, 1, 0x3F, range(32))
        if codec == "h264" and len(extradata) > 4:  # ISO/IEC 14496-15, 5.3.3.1
            return cls((extradata[4] & 3) + 1, 0, 0x1F, range(1, 6))
        return None

    def have_hole(self, packet: bytes) -> bool:
        """Return whether there are bytes in a picture that no encoder puts there.

        False for a packet that is no row of units: the decoder says so itself.

        Args:
            packet: One picture.
        """
        # Zeros behind a unit's end are stuffing.
        return any(
            any(never in unit for never in _NEVER_INSIDE)
            for start, end in self._places(packet)
            for part in packet[start:end].split(_START_CODE)
            if (unit := part.rstrip(b"\0"))
            and (unit[0] >> self.kind_shift) & self.kind_mask in self.picture_kinds
        )

    def _places(self, packet: bytes) -> list[tuple[int, int]]:
        """Return where units start and end; none where their lengths do not fit the packet."""
        places: list[tuple[int, int]] = []
        end = 0
        while end < len(packet):
            start = end + self.length_bytes
            end = start + int.from_bytes(packet[end:start])
            places.append((start, end))
        return places if end == len(packet) else []

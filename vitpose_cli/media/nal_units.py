"""Holes in the pictures of HEVC, which FFmpeg's decoder shows as if they were whole.

A picture is a row of NAL units (ITU-T H.265, 7.4.2), each with its length before it as MP4 and
Matroska files hold them. Encoders break up any three bytes that could be the start of another unit,
0 0 0 among them, so that where these are in a picture, something was written over it, or never
written.
"""

from __future__ import annotations

_NEVER_INSIDE = (b"\0\0\0", b"\0\0\1", b"\0\0\2")
_NUM_PICTURE_KINDS = 32  # of the kinds of units, the first ones are parts of pictures
_HVCC_LENGTH_AT = 21  # ISO/IEC 14496-15, 8.3.3.1


def length_bytes(extradata: bytes | None) -> int | None:
    """Return how many bytes tell the length of a unit; None where units have start codes instead.

    Args:
        extradata: What the head of the file says of its HEVC pictures.
    """
    if extradata is None or len(extradata) <= _HVCC_LENGTH_AT or extradata[0] != 1:
        return None
    return (extradata[_HVCC_LENGTH_AT] & 3) + 1


def has_hole(packet: bytes, length_bytes: int) -> bool:
    """Return whether there are bytes in a picture that no encoder puts there.

    False for a packet that is no row of units: the decoder says so itself.

    Args:
        packet: One picture.
        length_bytes: See the function of that name.
    """
    # Zeros behind a unit's end are stuffing.
    return any(
        any(never in unit for never in _NEVER_INSIDE)
        for unit in (packet[start:end].rstrip(b"\0") for start, end in _units(packet, length_bytes))
        if unit and unit[0] >> 1 < _NUM_PICTURE_KINDS
    )


def _units(packet: bytes, length_bytes: int) -> list[tuple[int, int]]:
    """Return where the units of a packet start and end; none where their lengths do not fit it."""
    units: list[tuple[int, int]] = []
    end = 0
    while end < len(packet):
        start = end + length_bytes
        end = start + int.from_bytes(packet[end:start])
        units.append((start, end))
    return units if end == len(packet) else []

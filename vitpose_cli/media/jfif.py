"""The shape of pixels in JPEG files, so that frames of anamorphic videos keep theirs as photos.

JFIF's densities without a unit say it. FFmpeg writes and reads width : height there, and so do we,
as frames that it extracted are what is met; ITU-T T.871 means the inverse.
"""

from __future__ import annotations

import struct
from fractions import Fraction

from vitpose_cli.media.frames import stored_aspect

PREFIX = b"JFIF\0"
"""How the contents of the segment begin."""

_NO_UNIT = 0
_FLATTEST_PIXEL = 32 / 11  # the flattest that H.264 has a code for; 300:72 dpi are none
_DENSITIES_AT = len(PREFIX) + 2  # behind the version; the unit, then of x, then of y
_SEGMENT_AT = 6  # in a file: behind its first marker and the segment's marker and length


def pixel_aspect(segment: bytes) -> float:
    """Return the width of a stored pixel by its height, from 11/32 to 32/11.

    It is 1 where it is not said, as in a segment that is too short, and where more is said: some
    programs write dots per inch, and no unit.

    Args:
        segment: The contents of the segment, from `PREFIX` on.
    """
    try:
        unit, x, y = struct.unpack_from(">BHH", segment, _DENSITIES_AT)
    except struct.error:
        return 1.0
    return stored_aspect(Fraction(x, y) if unit == _NO_UNIT and y else None, _FLATTEST_PIXEL)


def with_pixel_aspect(jpeg: bytes, aspect: float) -> bytes:
    """Return a JPEG, as OpenCV writes them, that says the shape of its pixels.

    Args:
        jpeg: The file.
        aspect: Width of a pixel by its height, from 1/8 to 8.
    """
    shape = Fraction(aspect).limit_denominator(1000)
    said = struct.pack(">BHH", _NO_UNIT, shape.numerator, shape.denominator)
    at = _SEGMENT_AT + _DENSITIES_AT
    return jpeg[:at] + said + jpeg[at + len(said) :]

"""The chunks of a PNG: only those that make pixels are given to the decoder.

libpng writes a line on stderr for each colour profile, time or text that it does not like, which
many programs write wrong, and says of which file to nobody: of a hundred thousand screenshots that
is a log of a hundred thousand lines. None of them changes a pixel here, as pixels are taken as they
are stored. Turning stderr away meanwhile was refused: it is one for all threads.
"""

from __future__ import annotations

import struct

PNG_START = b"\x89PNG\r\n\x1a\n"

_FRAME_BYTES = 12
"""Of a chunk besides its content: length, kind and checksum."""

_WANTED = frozenset({b"tRNS", b"acTL", b"fcTL", b"fdAT"})
"""What makes pixels besides chunks that every decoder must know: transparency and animations."""


def with_pixels_alone(data: bytes) -> bytes:
    """Return a PNG without what only describes it (PNG 3rd edition, section 5.3).

    Args:
        data: The whole file; from where it is damaged or cut off it stays as it is.
    """
    kept: list[memoryview] = []
    whole, start, at = memoryview(data), 0, len(PNG_START)
    while at + _FRAME_BYTES <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        after = at + _FRAME_BYTES + length
        if after > len(data):
            break
        if kind.isalpha() and kind[:1].islower() and kind not in _WANTED:
            kept.append(whole[start:at])
            start = after
        at = after
    return b"".join((*kept, whole[start:])) if kept else data

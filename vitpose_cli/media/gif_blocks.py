"""Where the whole pictures of a GIF end.

FFmpeg and OpenCV show what there is of a picture that is cut off as if it were whole, and a GIF
does not say how long it is: only its blocks tell, which end in a trailer.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

_HEADER_BYTES = 13
_IMAGE_BYTES = 9
_TRAILER, _IMAGE, _EXTENSION, _ZERO = b";", b",", b"!", b"\0"


def cut_at(path: Path) -> int | None:
    """Return how many bytes of a GIF hold whole pictures; None where its trailer is reached.

    What stands behind the trailer does not count. Zeros before it do no harm; between pictures,
    FFmpeg gets no further.

    Raises:
        OSError: It cannot be read.
    """
    whole, zeros = 0, False
    with path.open("rb") as file:
        if not _skip_head(file, _HEADER_BYTES, flags_at=10):
            return whole
        while (kind := file.read(1)) != _TRAILER:
            if kind == _ZERO:
                zeros = True
                continue
            if zeros:
                return whole
            if kind == _IMAGE:
                there = _skip_head(file, _IMAGE_BYTES, flags_at=8)
            else:
                there = kind == _EXTENSION
            file.seek(1, os.SEEK_CUR)  # the width of codes, or the kind of extension
            if not (there and _skip_data(file)):
                return whole
            if kind == _IMAGE:
                whole = file.tell()
    return None


def _skip_head(file: BinaryIO, num_bytes: int, flags_at: int) -> bool:
    """Skip a head and its table of colours. Return whether the head is there."""
    head = file.read(num_bytes)
    if len(head) < num_bytes:
        return False
    flags = head[flags_at]
    if flags & 0x80:
        file.seek(3 << (flags & 0x07) + 1, os.SEEK_CUR)
    return True


def _skip_data(file: BinaryIO) -> bool:
    """Skip data, which come in pieces of up to 255 bytes. Return whether their end is there."""
    while length := file.read(1):
        if length == b"\0":
            return True
        file.seek(length[0], os.SEEK_CUR)
    return False

"""HEIC and HEIF, as phones of Apple and others write photos.

What a file says of itself is read here, since libheif wants the whole file for that; pixels come
from libheif, which OpenCV's wheels lack. The properties of the primary item say its size, and how
it is cut and turned (ISO/IEC 23008-12). That is part of decoding: every program does it, and the
EXIF orientation counts for nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.errors import InputError

SUFFIXES = frozenset({".heic", ".heif", ".hif"})
"""Of such photos, in lower case."""

_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AV1 = frozenset({b"avif", b"avis"})


def is_heif(start: bytes) -> bool:
    """Tell a photo encoded with HEVC by a file's first bytes, from 12 on."""
    if start[4:8] != b"ftyp":
        return False
    length = int.from_bytes(start[:4], "big")
    brands = {start[at : at + 4] for at in (8, *range(16, min(length, len(start)), 4))}
    return bool(brands & _BRANDS) and not brands & _AV1


def shown_size(data: bytes) -> tuple[int, int]:
    """Return width and height of the primary item once it is cut and turned, px.

    Raises:
        ValueError: Nothing says so.
        struct.error: The data end before.
        LookupError: A property is named that is not there.
    """
    meta = dict(_boxes(data, 0, len(data)))[b"meta"]
    inside = dict(_boxes(data, meta[0] + 4, meta[1]))
    wide = data[inside[b"pitm"][0]] > 0
    (primary,) = struct.unpack_from(">I" if wide else ">H", data, inside[b"pitm"][0] + 4)
    stored = dict(_boxes(data, *inside[b"iprp"]))
    properties = list(_boxes(data, *stored[b"ipco"]))
    size_wh = None
    for number in _properties_of(data, stored[b"ipma"][0], primary):
        kind, (start, _) = properties[number - 1]
        if kind == b"ispe":
            size_wh = struct.unpack_from(">II", data, start + 4)
        elif kind == b"clap":
            width, by_width, height, by_height = struct.unpack_from(">IIII", data, start)
            size_wh = (round(width / (by_width or 1)), round(height / (by_height or 1)))
        elif kind == b"irot" and size_wh and data[start] & 1:
            size_wh = size_wh[::-1]
    if size_wh is None:
        raise ValueError("no size")
    return size_wh


def decode(data: bytes, max_pixels: int) -> NDArray[np.uint8]:
    """Decode a photo to RGB as it is to be shown, 10 bits to 8.

    Args:
        data: The whole file.
        max_pixels: Refuse more, whatever the file has said before.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        InputError: The photo is damaged, cut off, of a rare kind or too large.
    """
    # Loaded by whoever has such photos alone.
    import pi_heif

    try:
        photo = pi_heif.open_heif(data)
        if photo.size[0] * photo.size[1] > max_pixels:
            raise ValueError(f"it is of {photo.size[0]} x {photo.size[1]} px")
        # A copy: the array that `photo` lends does not keep its memory.
        pixels: NDArray[np.uint8] = np.array(photo, copy=True)[:, : photo.size[0]]
    except (ValueError, EOFError, SyntaxError, RuntimeError) as error:
        raise InputError(
            f"The HEIC cannot be decoded: {' '.join(str(error).split())}.",
            "Copy it again from where it came; save it as JPEG if it looks right in a viewer.",
        ) from error
    if pixels.ndim == 2:
        pixels = pixels[..., np.newaxis]
    grey = pixels.shape[2] < 3  # with or without alpha
    return np.ascontiguousarray(pixels[..., [0, 0, 0]] if grey else pixels[..., :3])


def _boxes(data: bytes, at: int, stop: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Yield kind, start and stop of the contents of boxes (ISO/IEC 14496-12, 4.2)."""
    while at + 8 <= stop:
        length, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        end = stop if length == 0 else at + length
        if length and length < head:
            raise ValueError("a box that is smaller than its head")
        yield kind, (at + head, min(end, stop))
        at = end


def _properties_of(data: bytes, at: int, item: int) -> Iterator[int]:
    """Yield the numbers, from 1, of the properties of an item, in their order."""
    version, flags = data[at], data[at + 3]
    (num_items,) = struct.unpack_from(">I", data, at + 4)
    at += 8
    for _ in range(num_items):
        (number,) = struct.unpack_from(">I" if version else ">H", data, at)
        at += 4 if version else 2
        num_properties = data[at]
        at += 1
        for _ in range(num_properties):
            place = struct.unpack_from(">H", data, at)[0] & 0x7FFF if flags & 1 else data[at] & 0x7F
            at += 2 if flags & 1 else 1
            if number == item and place:
                yield place

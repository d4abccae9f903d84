"""What a photo file says of itself before it is decoded: format, size, orientation, pixel shape.

Decoding lives in `images`; here are only the few bytes that decide whether to decode at all. OpenCV
cannot be asked for them: it has no call for a file's size, applies the orientation of different
formats in different versions, and before version 5 returned a cut-off JPEG with whatever lay in
memory. Pillow could, but warns or raises at sizes of its own, set for a whole process.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from vitpose_cli.errors import InputError
from vitpose_cli.media import heif, jfif
from vitpose_cli.media.heif_boxes import is_heif, shown_size
from vitpose_cli.media.png_chunks import PNG_START

ImageFormat = Literal["jpeg", "png", "webp", "bmp", "tiff", "heif"]

IMAGE_SUFFIXES = heif.SUFFIXES | {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff")
}
"""Suffixes, in lower case, by which photos are found in a folder."""

MAX_PIXELS = 500_000_000
"""Photos larger than this are refused: 1.5 GB decoded, more than any camera makes."""

ANIMATION_BYTES = 21
"""How many bytes tell an animated WebP from a photo."""

START_BYTES = 16
"""How many bytes tell a photo from what is none."""

HEADER_BYTES = 1 << 16
"""How many bytes tell the size of nearly every photo."""

_JPEG_END = b"\xff\xd9"
_EXIF_PREFIX = b"Exif\0\0"
_ORIENTATION_TAG = 0x0112
_TIFF_WIDTH_TAG, _TIFF_HEIGHT_TAG = 0x0100, 0x0101
# Start of frame: C0 to CF without the Huffman table C4, the extension C8, the arithmetic table CC.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_SCAN = 0xDA
_JPEG_BARE = frozenset({0x00, 0x01, 0xFF, *range(0xD0, 0xDA)})  # no length follows these
_JPEG_JFIF, _JPEG_EXIF = 0xE0, 0xE1


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What a photo file says of itself.

    Attributes:
        format: How it is encoded, whatever its name says.
        size_wh: Width and height as decoded, before `orientation` is applied, px.
        orientation: EXIF orientation, 1 to 8; 1 is upright.
        stored_aspect: Width of a pixel by its height as stored; only a JPEG may say it.
    """

    format: ImageFormat
    size_wh: tuple[int, int]
    orientation: int
    stored_aspect: float = 1.0

    @property
    def upright_wh(self) -> tuple[int, int]:
        """Width and height once the photo is upright, px."""
        width, height = self.size_wh
        return (height, width) if self.orientation >= 5 else (width, height)

    @property
    def pixel_aspect(self) -> float:
        """Width of a pixel by its height once the photo is upright."""
        return 1 / self.stored_aspect if self.orientation >= 5 else self.stored_aspect


def read_image_header(data: bytes) -> ImageHeader:
    """Return what the encoded photo `data` says of itself.

    Raises:
        InputError: The data are empty, cut off, no photo of a format we read, or an animation.
    """
    if not data:
        raise InputError("The file is empty (0 bytes).", "Copy it again from where it came.")
    try:
        header = _header(data)
    except (struct.error, LookupError, ValueError) as error:
        raise InputError("The file is cut off or damaged within its header.") from error
    if header is None and data.startswith(b"GIF8"):
        raise InputError(
            "The file is a GIF, which is a video where its name ends in .gif; the frames of one "
            "are named NAME/frame_000000.jpg."
        )
    if header is None:
        raise InputError(
            "The file is not a photo, whatever its name says.",
            "JPEG, PNG, WebP, BMP, TIFF, HEIC and AVIF are read.",
        )
    return header


def first_look(start: bytes) -> ImageHeader | None:
    """Return what a photo says of itself in its first bytes; None where that is not seen yet.

    What stands behind `start` may say otherwise: only decoding is certain.

    Args:
        start: The file's first `HEADER_BYTES`.
    """
    try:
        return read_image_header(start + _JPEG_END)
    except InputError:
        return None


def upright_size(start: bytes) -> tuple[int, int] | None:
    """Return the size that a photo has once it is upright, px, as `first_look` has it."""
    header = first_look(start)
    return None if header is None else header.upright_wh


def is_animated_webp(start: bytes) -> bool:
    """Tell whether a file with these first `ANIMATION_BYTES` is a WebP of several pictures."""
    return (
        len(start) >= ANIMATION_BYTES
        and start.startswith(b"RIFF")
        and start[8:16] == b"WEBPVP8X"
        and bool(start[20] & 0x02)
    )


def is_photo_start(start: bytes) -> bool:
    """Tell whether a file with these first bytes, `START_BYTES` or more, may be a photo."""
    try:
        return _header(start[:START_BYTES]) is not None
    except (struct.error, LookupError, ValueError, InputError):
        return True


def _header(data: bytes) -> ImageHeader | None:
    """Tell the format by its first bytes, never by a file name."""
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    if data.startswith(PNG_START):
        return _png(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp(data)
    if data.startswith(b"BM"):
        return _bmp(data)
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _tiff(data)
    if is_heif(data):
        return ImageHeader("heif", shown_size(data), 1)
    return None


def _jpeg(data: bytes) -> ImageHeader:
    # Cameras and editors append bytes after the end, so it need not be the last thing; but an
    # embedded thumbnail has an end of its own, so it must stand behind the picture's scan.
    size_wh, orientation, aspect = (0, 0), 1, 1.0
    for marker, start, stop in _jpeg_segments(data):
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, start + 1)
            size_wh = (width, height)
        elif marker == _JPEG_JFIF and data.startswith(jfif.PREFIX, start):
            aspect = jfif.pixel_aspect(data[start:stop])
        elif marker == _JPEG_EXIF and data.startswith(_EXIF_PREFIX, start):
            orientation = _exif_orientation(data[start:stop])
        elif marker == _JPEG_SCAN:
            if data.rfind(_JPEG_END, stop) < 0:
                raise InputError(
                    "The JPEG is cut off: its end is missing.", "Copy it again from where it came."
                )
            return ImageHeader("jpeg", size_wh, orientation, aspect)
    raise ValueError("no picture in it")


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, payload start and payload stop, up to and with the first scan's header."""
    at, marker = 2, 0
    while marker != _JPEG_SCAN:
        at = data.index(b"\xff", at)
        marker = data[at + 1]
        if marker in _JPEG_BARE:
            at += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        yield marker, at + 4, at + 2 + length
        at += 2 + length


def _png(data: bytes) -> ImageHeader:
    size_wh = struct.unpack_from(">II", data, 16)
    orientation, at = 1, len(PNG_START)
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"eXIf":
            orientation = _exif_orientation(data[at + 8 : at + 8 + length])
        at += 12 + length
    return ImageHeader("png", size_wh, orientation)


def _webp(data: bytes) -> ImageHeader:
    kind = data[12:16]
    if is_animated_webp(data):
        raise InputError("The file is an animated WebP, not a photo.", "Give it the suffix .webp.")
    if kind == b"VP8X":
        size_wh = (
            1 + int.from_bytes(data[24:27], "little"),
            1 + int.from_bytes(data[27:30], "little"),
        )
    elif kind == b"VP8L":
        (packed,) = struct.unpack_from("<I", data, 21)
        size_wh = (1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF))
    elif kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        size_wh = (width & 0x3FFF, height & 0x3FFF)
    else:
        raise ValueError("no picture in it")
    orientation, at = 1, 12
    while at + 8 <= len(data):
        chunk, length = struct.unpack_from("<4sI", data, at)
        if chunk == b"EXIF":
            orientation = _exif_orientation(data[at + 8 : at + 8 + length])
        at += 8 + length + length % 2
    return ImageHeader("webp", size_wh, orientation)


def _bmp(data: bytes) -> ImageHeader:
    (header_size,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header_size == 12 else "<ii", data, 18)
    return ImageHeader("bmp", (width, abs(height)), 1)  # a negative height means top row first


def _tiff(data: bytes) -> ImageHeader:
    tags = _tiff_tags(data)
    orientation = _valid_orientation(tags.get(_ORIENTATION_TAG, 1))
    return ImageHeader("tiff", (tags[_TIFF_WIDTH_TAG], tags[_TIFF_HEIGHT_TAG]), orientation)


def _exif_orientation(exif: bytes) -> int:
    """Return the orientation of an EXIF block; upright where it is missing or damaged."""
    try:
        tags = _tiff_tags(exif.removeprefix(_EXIF_PREFIX))
    except (struct.error, LookupError, ValueError):
        return 1
    return _valid_orientation(tags.get(_ORIENTATION_TAG, 1))


def _valid_orientation(value: int) -> int:
    return value if 1 <= value <= 8 else 1


def _tiff_tags(data: bytes) -> dict[int, int]:
    """Return the single integers of the first directory of a TIFF, BigTIFF or EXIF block."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        raise ValueError("no byte order")
    (version,) = struct.unpack_from(order + "H", data, 2)
    big = version == 43
    (directory,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    if directory > len(data):  # the largest that are stated are no numbers to `struct`
        raise ValueError("no directory")
    (num_entries,) = struct.unpack_from(order + ("Q" if big else "H"), data, directory)
    first, size, value_at = (directory + 8, 20, 12) if big else (directory + 2, 12, 8)
    value_formats = {1: "B", 3: "H", 4: "I", 16: "Q"}  # byte, short, long, long of BigTIFF
    tags = {}
    for at in range(first, first + num_entries * size, size):
        tag, kind = struct.unpack_from(order + "HH", data, at)
        if kind in value_formats:
            (tags[tag],) = struct.unpack_from(order + value_formats[kind], data, at + value_at)
    return tags

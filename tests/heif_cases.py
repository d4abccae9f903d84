"""HEIC and AVIF photos: made by other libraries, and in tiles, which these do not make."""

from __future__ import annotations

import io
import struct
from typing import Any

import pillow_heif
from PIL import Image

pillow_heif.register_heif_opener()


def heic(photo: Image.Image, orientation: int | None = None) -> bytes:
    """Return a HEIC that is turned as an EXIF orientation says."""
    return _written(photo, "HEIF", orientation)


def avif(photo: Image.Image, orientation: int | None = None, **options: Any) -> bytes:
    """Return an AVIF that is turned as an EXIF orientation says.

    Args:
        photo: The photo.
        orientation: It is stored lying so.
        options: Further ones of Pillow.
    """
    return _written(photo, "AVIF", orientation, **options)


def _written(
    photo: Image.Image, image_format: str, orientation: int | None, **options: Any
) -> bytes:
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    buffer = io.BytesIO()
    about = {"exif": exif.tobytes()} if exif else {}
    photo.save(buffer, image_format, **{"quality": 95, **about, **options})
    return buffer.getvalue()


def grid(tiles: list[bytes], tile: int, size_wh: tuple[int, int], quarter_turns: int) -> bytes:
    """Return a HEIC or AVIF of a row of tiles, cut to a size and turned against the clock."""
    kind, configuration, brand = (
        (b"av01", b"av1C", b"avif") if b"av1C" in tiles[0] else (b"hvc1", b"hvcC", b"heic")
    )
    layout = struct.pack(">4B2H", 0, 0, 0, len(tiles) - 1, *size_wh)
    items = [*(_content(one, b"mdat") for one in tiles), layout]
    numbers = range(1, len(items) + 1)
    last = numbers[-1]
    kinds = [kind] * len(tiles) + [b"grid"]
    entries = b"".join(
        _box(b"infe", struct.pack(">IHH4sx", 2 << 24 | (number < last), number, 0, item_kind))
        for number, item_kind in zip(numbers, kinds, strict=True)
    )
    properties = (
        _box(configuration, _content(tiles[0], configuration))
        + _box(b"ispe", struct.pack(">3I", 0, tile, tile))
        + _box(b"ispe", struct.pack(">3I", 0, *size_wh))
        + _box(b"irot", bytes([quarter_turns]))
    )
    belongs = b"".join(
        struct.pack(">HB", number, 2) + (b"\x81\x02" if number < last else b"\x03\x84")
        for number in numbers
    )
    fixed = (
        _box(b"hdlr", struct.pack(">II4s13x", 0, 0, b"pict"))
        + _box(b"pitm", struct.pack(">IH", 0, last))
        + _box(b"iinf", struct.pack(">IH", 0, last) + entries)
        + _box(
            b"iref",
            struct.pack(">I", 0)
            + _box(b"dimg", struct.pack(f">{last + 1}H", last, len(tiles), *numbers[:-1])),
        )
        + _box(
            b"iprp",
            _box(b"ipco", properties) + _box(b"ipma", struct.pack(">II", 0, last) + belongs),
        )
    )
    start = _box(b"ftyp", brand + bytes(4) + b"mif1" + brand)
    at = len(start) + 12 + len(fixed) + 16 + 14 * last + 8
    places = b""
    for number, item in zip(numbers, items, strict=True):
        places += struct.pack(">HHHII", number, 0, 1, at, len(item))
        at += len(item)
    located = _box(b"iloc", struct.pack(">IBBH", 0, 0x44, 0, last) + places)
    meta = _box(b"meta", bytes(4) + fixed + located)
    return start + meta + _box(b"mdat", b"".join(items))


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def _content(data: bytes, kind: bytes) -> bytes:
    at = data.index(kind)
    (length,) = struct.unpack_from(">I", data, at - 4)
    return data[at + 4 : at - 4 + length]

"""What a HEIC says of its photo: the size, the pieces that it is made of, how it is cut and turned.

A HEIC (HEIF, ISO/IEC 23008-12) is a set of items in boxes (ISO/IEC 14496-12). One of them is the
photo: pixels, or a grid of other items, as phones write it. FFmpeg decodes these, and knows nothing
of how they lie.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AV1 = frozenset({b"avif", b"avis"})
_IN_FILE, _IN_META = 0, 1  # how the place of an item is told


class Property(NamedTuple):
    """A property of an item: its kind, and its box's content."""

    kind: bytes
    content: bytes


@dataclass(frozen=True, slots=True)
class HeifLayout:
    """How the photo of a HEIC is put together.

    Attributes:
        items: The items that hold its pixels, row by row.
        num_columns: How many of them are beside each other.
        size_wh: Width and height of all together, px; what lies beyond is cut off.
        turns: Its properties, in the order in which they apply: `clap`, `irot` and `imir`.
        ends_at: Where in the file the last of the pixels lie, bytes.
    """

    items: tuple[int, ...]
    num_columns: int
    size_wh: tuple[int, int]
    turns: tuple[Property, ...]
    ends_at: int


def is_heif(start: bytes) -> bool:
    """Tell a photo encoded with HEVC by a file's first bytes, 12 or more."""
    if start[4:8] != b"ftyp":
        return False
    length = int.from_bytes(start[:4], "big")
    brands = {start[at : at + 4] for at in (8, *range(16, min(length, len(start)), 4))}
    return bool(brands & _BRANDS) and not brands & _AV1


def shown_size(data: bytes) -> tuple[int, int]:
    """Return width and height of the photo once it is cut and turned, px.

    Args:
        data: The file's start, to the end of its `meta` box at least.

    Raises:
        ValueError, LookupError, struct.error: It does not say.
    """
    meta = _meta(data)
    size_wh: tuple[int, int] | None = None
    for kind, content in _properties(data, meta, _primary(data, meta)):
        if kind == b"ispe":
            size_wh = struct.unpack_from(">II", content, 4)
        elif kind == b"clap":
            left, top, right, bottom = cut(content, size_wh or (0, 0))
            size_wh = (right - left, bottom - top)
        elif kind == b"irot" and size_wh and content[0] & 1:
            size_wh = size_wh[::-1]
    if size_wh is None or min(size_wh) < 1:
        raise ValueError("no size")
    return size_wh


def read_layout(data: bytes) -> HeifLayout:
    """Return how the photo is put together.

    Args:
        data: The whole file.

    Raises:
        ValueError, LookupError, struct.error: It does not say, or in a way that no camera uses.
    """
    meta = _meta(data)
    primary = _primary(data, meta)
    places = _places(data, meta)
    properties = _properties(data, meta, primary)
    (size_wh,) = (struct.unpack_from(">II", one, 4) for kind, one in properties if kind == b"ispe")
    items: tuple[int, ...] = (primary,)
    num_columns = 1
    if _kind(data, meta, primary) == b"grid":
        grid = b"".join(data[start:stop] for start, stop in places[primary])
        num_rows, num_columns = grid[2] + 1, grid[3] + 1
        size_wh = struct.unpack_from(">II" if grid[1] & 1 else ">HH", grid, 4)
        items = _derived_from(data, meta, primary)
        if len(items) != num_rows * num_columns:
            raise ValueError("a grid of other pieces")
    return HeifLayout(
        items,
        num_columns,
        size_wh,
        tuple(each for each in properties if each.kind in (b"clap", b"irot", b"imir")),
        max(stop for item in items for _, stop in places[item]),
    )


def cut(clap: bytes, size_wh: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of what a `clap` leaves of a picture (12.1.4.1), px."""
    numbers = struct.unpack_from(">8i", clap)
    width, height, right_by, down_by = (
        numbers[at] / (numbers[at + 1] or 1) for at in range(0, 8, 2)
    )
    left = round(right_by + (size_wh[0] - width) / 2)
    top = round(down_by + (size_wh[1] - height) / 2)
    return left, top, left + round(width), top + round(height)


Boxes = dict[bytes, tuple[int, int]]
"""Boxes by their kind, as places of their contents; of several of a kind the last."""


def _meta(data: bytes) -> Boxes:
    start, stop = dict(_boxes(data, 0, len(data)))[b"meta"]
    return dict(_boxes(data, start + 4, stop))


def _boxes(data: bytes, at: int, stop: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Yield the kind, and start and stop of the content, of one box after the other (4.2)."""
    while at + 8 <= stop:
        length, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        end = stop if length == 0 else at + length
        if end < at + head:
            raise ValueError("a box that is smaller than its head")
        yield kind, (at + head, min(end, stop))
        at = end


def _primary(data: bytes, meta: Boxes) -> int:
    """Return the number of the item that is the photo (8.11.4)."""
    at, _ = meta[b"pitm"]
    return int(struct.unpack_from(">I" if data[at] else ">H", data, at + 4)[0])


def _kind(data: bytes, meta: Boxes, item: int) -> bytes:
    """Return what an item is: `hvc1` or `grid`, say (8.11.6)."""
    at, stop = meta[b"iinf"]
    for kind, (entry, _) in _boxes(data, at + (8 if data[at] else 6), stop):
        if kind == b"infe" and data[entry] >= 2:
            wide = data[entry] > 2
            (number,) = struct.unpack_from(">I" if wide else ">H", data, entry + 4)
            if number == item:
                place = entry + (10 if wide else 8)
                return data[place : place + 4]
    raise LookupError(item)


def _derived_from(data: bytes, meta: Boxes, item: int) -> tuple[int, ...]:
    """Return the items of which an item is made, in their order (8.11.12)."""
    at, stop = meta[b"iref"]
    size = "I" if data[at] else "H"
    for kind, (start, _) in _boxes(data, at + 4, stop):
        number, count = struct.unpack_from(f">{size}H", data, start)
        if kind == b"dimg" and number == item:
            return struct.unpack_from(f">{count}{size}", data, start + struct.calcsize(f">{size}H"))
    raise LookupError(item)


def _properties(data: bytes, meta: Boxes, item: int) -> list[Property]:
    """Return the properties of an item, in their order (ISO/IEC 23008-12, 9.3)."""
    start, stop = meta[b"iprp"]
    stored = dict(_boxes(data, start, stop))
    boxes = list(_boxes(data, *stored[b"ipco"]))
    at, _ = stored[b"ipma"]
    number_format = ">I" if data[at] else ">H"
    wide = data[at + 3] & 1
    (num_items,) = struct.unpack_from(">I", data, at + 4)
    at += 8
    for _ in range(num_items):
        (number,) = struct.unpack_from(number_format, data, at)
        at += struct.calcsize(number_format)
        places = struct.unpack_from(f">{data[at]}{'H' if wide else 'B'}", data, at + 1)
        at += 1 + data[at] * (2 if wide else 1)
        if number == item:
            chosen = (boxes[(place & (0x7FFF if wide else 0x7F)) - 1] for place in places if place)
            return [Property(kind, data[start:stop]) for kind, (start, stop) in chosen]
    raise LookupError(item)


def _places(data: bytes, meta: Boxes) -> dict[int, list[tuple[int, int]]]:
    """Return where in the file the pieces of each item lie, from and to (8.11.3)."""
    at, stop = meta[b"iloc"]
    version = data[at]
    offset_size, length_size = data[at + 4] >> 4, data[at + 4] & 15
    base_size, index_size = data[at + 5] >> 4, data[at + 5] & 15 if version else 0
    at += 6
    if offset_size + length_size == 0:
        raise ValueError("places without numbers")  # so many of them would take no room

    def number(size: int) -> int:
        nonlocal at
        at += size
        if at > stop:
            raise ValueError("the box ends")
        return int.from_bytes(data[at - size : at], "big")

    places: dict[int, list[tuple[int, int]]] = {}
    wide = 4 if version == 2 else 2
    for _ in range(number(wide)):
        item = number(wide)
        how = number(2) & 15 if version else _IN_FILE
        number(2)  # of another file
        base = number(base_size)
        if how == _IN_META:
            base += meta[b"idat"][0]
        elif how != _IN_FILE:
            base = len(data)  # as parts of another item, which nobody writes: it lies nowhere
        extents = []
        for _ in range(number(2)):
            number(index_size)
            start = base + number(offset_size)
            length = number(length_size)
            extents.append((start, start + length if length else len(data)))
        places[item] = extents
    return places

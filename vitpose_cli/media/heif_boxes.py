"""What HEIC and AVIF say of their photo: its size, its pieces, and how it is cut and turned.

Both (HEIF, ISO/IEC 23008-12) are sets of items in boxes (ISO/IEC 14496-12). One of them is the
photo: pixels, or a grid of other items, as phones write it. FFmpeg reads such files, too, but says
nothing of how items lie, and gives those of a photo and the tracks of a film beside it one number.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from vitpose_cli.errors import InputError

_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"avif", b"avis", b"mif1", b"msf1"}
)
_CONFIGURATIONS = {b"hvc1": b"hvcC", b"av01": b"av1C"}
"""Kinds of items that hold pixels, and of the property that their decoder needs first."""
_TURNS = {b"clap": 32, b"irot": 1, b"imir": 1}
"""Kinds of properties that cut or turn the photo, and how many bytes say how."""
_IN_FILE, _IN_META = 0, 1  # how the place of an item is told

Span = tuple[int, int]
"""Where in a file something lies, from and to."""

Property = tuple[bytes, Span]
"""A property of an item: its kind, and where its box's content lies."""


class Turn(NamedTuple):
    """A property that cuts or turns the photo: its kind, and its box's content."""

    kind: bytes
    content: bytes


class Colours(NamedTuple):
    """What numbers of colours stand for, as codes of ITU-T H.273."""

    transfer: int
    matrix: int
    is_full_range: bool


class Piece(NamedTuple):
    """An item that holds pixels.

    Attributes:
        kind: How they are encoded: `hvc1` or `av01`.
        configuration: Where what their decoder needs first lies.
        extents: Where they lie, one part after the other.
    """

    kind: bytes
    configuration: Span
    extents: list[Span]


@dataclass(frozen=True, slots=True)
class HeifLayout:
    """How the photo of a HEIC or AVIF is put together.

    Attributes:
        pieces: The items that hold its pixels, row by row.
        num_columns: How many of them are beside each other.
        size_wh: Width and height of all together, px; what lies beyond is cut off.
        turns: `clap`, `irot` and `imir`, in the order in which they apply.
        colours: Count for more than what the pieces say; None where only these do.
        ends_at: Where in the file the last of the pixels lie, bytes.
    """

    pieces: tuple[Piece, ...]
    num_columns: int
    size_wh: tuple[int, int]
    turns: tuple[Turn, ...]
    colours: Colours | None
    ends_at: int


def is_heif(start: bytes) -> bool:
    """Tell a HEIC or AVIF by a file's first bytes, 12 or more."""
    if start[4:8] != b"ftyp":
        return False
    length = int.from_bytes(start[:4], "big")
    brands = {start[at : at + 4] for at in (8, *range(16, min(length, len(start)), 4))}
    return bool(brands & _BRANDS)


def shown_size(data: bytes) -> tuple[int, int]:
    """Return width and height of the photo once it is cut and turned, px.

    Args:
        data: The file's start, to the end of its `meta` box at least.

    Raises:
        ValueError, LookupError, struct.error: It does not say.
        InputError: There is a film, and no photo.
    """
    meta = _meta(data)
    size_wh: tuple[int, int] | None = None
    for kind, (start, stop) in _properties(data, meta)[_primary(data, meta)]:
        if kind == b"ispe":
            size_wh = struct.unpack_from(">II", data, start + 4)
        elif kind == b"clap":
            left, top, right, bottom = cut(data[start:stop], size_wh or (0, 0))
            size_wh = (right - left, bottom - top)
        elif kind == b"irot" and size_wh and data[start] & 1:
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
        InputError: There is a film, and no photo.
    """
    meta = _meta(data)
    primary = _primary(data, meta)
    kinds, places, properties = _kinds(data, meta), _places(data, meta), _properties(data, meta)
    stated = properties[primary]
    (size_at,) = (start for kind, (start, _) in stated if kind == b"ispe")
    size_wh = struct.unpack_from(">II", data, size_at + 4)
    items: tuple[int, ...] = (primary,)
    num_columns = 1
    if kinds[primary] == b"grid":
        ((grid, _),) = places[primary]
        num_rows, num_columns = data[grid + 2] + 1, data[grid + 3] + 1
        size_wh = struct.unpack_from(">II" if data[grid + 1] & 1 else ">HH", data, grid + 4)
        items = _derived_from(data, meta, primary)
        if len(items) != num_rows * num_columns:
            raise ValueError("a grid of other pieces")
    extents = [extent for item in set(items) for extent in places[item]]
    ends_at = max(stop for _, stop in extents)
    if sum(stop - start for start, stop in extents) > ends_at:
        raise ValueError("pieces that share bytes")  # else a small file could be huge pictures
    return HeifLayout(
        tuple(_piece(kinds[item], properties[item], places[item]) for item in items),
        num_columns,
        size_wh,
        tuple(
            Turn(kind, *struct.unpack_from(f"{_TURNS[kind]}s", data, start))
            for kind, (start, _) in stated
            if kind in _TURNS
        ),
        _colours(data, stated),
        ends_at,
    )


def _piece(kind: bytes, properties: list[Property], extents: list[Span]) -> Piece:
    return Piece(kind, dict(properties)[_CONFIGURATIONS[kind]], extents)


def _colours(data: bytes, properties: list[Property]) -> Colours | None:
    """Return what an `nclx` among the properties says (ISO/IEC 14496-12, 12.1.5)."""
    for kind, (start, _) in properties:
        if kind == b"colr" and data.startswith(b"nclx", start):
            transfer, matrix, flags = struct.unpack_from(">HHB", data, start + 6)
            return Colours(transfer, matrix, bool(flags & 0x80))
    return None


def cut(clap: bytes, size_wh: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of what a `clap` leaves of a picture (12.1.4.1), px."""
    numbers = struct.unpack_from(">8i", clap)
    width, height, right_by, down_by = (
        numbers[at] / (numbers[at + 1] or 1) for at in range(0, 8, 2)
    )
    left = round(right_by + (size_wh[0] - width) / 2)
    top = round(down_by + (size_wh[1] - height) / 2)
    return left, top, left + round(width), top + round(height)


Boxes = dict[bytes, Span]
"""Boxes by their kind, as places of their contents; of several of a kind the last."""


def _meta(data: bytes) -> Boxes:
    """Return what is said of the items (8.11.1)."""
    has_film = False
    for kind, (start, stop) in _boxes(data, 0, len(data)):
        if kind == b"meta":  # the first: a film, or what is no box at all, may be appended
            return dict(_boxes(data, start + 4, stop))
        has_film |= kind == b"moov"
    if has_film:
        raise InputError(
            "The file is a film without a photo, which is a video where its name ends in .mp4."
        )
    raise LookupError("meta")


def _boxes(data: bytes, at: int, stop: int) -> Iterator[tuple[bytes, Span]]:
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


def _kinds(data: bytes, meta: Boxes) -> dict[int, bytes]:
    """Return what each item is: `hvc1` or `grid`, say (8.11.6)."""
    at, stop = meta[b"iinf"]
    kinds = {}
    for kind, (entry, _) in _boxes(data, at + (8 if data[at] else 6), stop):
        if kind == b"infe" and data[entry] >= 2:
            wide = data[entry] > 2
            (item,) = struct.unpack_from(">I" if wide else ">H", data, entry + 4)
            place = entry + (10 if wide else 8)
            kinds[item] = data[place : place + 4]
    return kinds


def _derived_from(data: bytes, meta: Boxes, item: int) -> tuple[int, ...]:
    """Return the items of which an item is made, in their order (8.11.12)."""
    at, stop = meta[b"iref"]
    size = "I" if data[at] else "H"
    for kind, (start, _) in _boxes(data, at + 4, stop):
        number, count = struct.unpack_from(f">{size}H", data, start)
        if kind == b"dimg" and number == item:
            return struct.unpack_from(f">{count}{size}", data, start + struct.calcsize(f">{size}H"))
    raise LookupError(item)


def _properties(data: bytes, meta: Boxes) -> dict[int, list[Property]]:
    """Return the properties of each item, in their order (ISO/IEC 23008-12, 9.3)."""
    start, stop = meta[b"iprp"]
    stored = dict(_boxes(data, start, stop))
    boxes = list(_boxes(data, *stored[b"ipco"]))
    at, _ = stored[b"ipma"]
    number_format = ">I" if data[at] else ">H"
    wide = data[at + 3] & 1
    (num_items,) = struct.unpack_from(">I", data, at + 4)
    at += 8
    properties = {}
    for _ in range(num_items):
        (item,) = struct.unpack_from(number_format, data, at)
        at += struct.calcsize(number_format)
        places = struct.unpack_from(f">{data[at]}{'H' if wide else 'B'}", data, at + 1)
        at += 1 + data[at] * (2 if wide else 1)
        properties[item] = [
            boxes[(place & (0x7FFF if wide else 0x7F)) - 1] for place in places if place
        ]
    return properties


def _places(data: bytes, meta: Boxes) -> dict[int, list[Span]]:
    """Return where in the file the parts of each item lie, from and to (8.11.3)."""
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

    places: dict[int, list[Span]] = {}
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

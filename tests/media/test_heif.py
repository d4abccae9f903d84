"""HEIC, as iPhones write it: written by another program, read upright."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps
from runs import EXAMPLES

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import Frame
from vitpose_cli.media.headers import HEADER_BYTES, read_image_header, upright_size
from vitpose_cli.media.images import decode_image
from vitpose_cli.media.source import open_source

pillow_heif.register_heif_opener()
SIZE_WH = (99, 63)  # odd: HEVC stores even ones, and the rest is cut off

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return Image.open(EXAMPLES / "astronaut.jpg").convert("RGB").resize(SIZE_WH)


def heic(photo: Image.Image, orientation: int | None = None) -> bytes:
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    buffer = io.BytesIO()
    photo.save(buffer, "HEIF", quality=95, **({"exif": exif.tobytes()} if exif else {}))
    return buffer.getvalue()


def upright(photo: Image.Image, orientation: int) -> Pixels:
    turned = photo.copy()
    turned.getexif()[0x0112] = orientation
    return np.asarray(ImageOps.exif_transpose(turned))


def difference(one: Pixels, other: Pixels) -> float:
    """Return by how many levels two pictures differ on average."""
    return float(np.abs(one.astype(np.int16) - other).mean())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_turned_as_its_container_says(photo: Image.Image, orientation: int) -> None:
    data = heic(photo, orientation)
    decoded = decode_image(data)
    # 3 levels of what is lossy; whatever is turned wrongly is 50 off.
    assert difference(decoded, upright(photo, orientation)) < 3
    assert decoded.flags.c_contiguous
    header = read_image_header(data)
    assert header.upright_wh == decoded.shape[1::-1]
    assert header.orientation == 1  # nothing is left for others to apply


def test_its_exif_orientation_counts_for_nothing(photo: Image.Image) -> None:
    data = heic(photo, 6)
    place = data.index(b"Exif\0\0MM") if b"Exif\0\0MM" in data else data.index(b"Exif\0\0II")
    order = ">" if data[place + 6 : place + 8] == b"MM" else "<"
    at = data.index(struct.pack(order + "HHI", 0x0112, 3, 1), place) + 8
    lying = data[:at] + struct.pack(order + "H", 3) + data[at + 2 :]
    assert np.array_equal(decode_image(lying), decode_image(data))


def test_tiles_are_put_together_as_iphones_part_their_photos() -> None:
    whole = Image.open(EXAMPLES / "astronaut.jpg").convert("RGB").resize((128, 64))
    tiles = [heic(whole.crop((left, 0, left + 64, 64))) for left in (0, 64)]
    data = _grid(tiles, tile=64, size_wh=(100, 60), quarter_turns=3)
    expected = np.rot90(np.asarray(whole)[:60, :100], 3)
    assert read_image_header(data).upright_wh == (60, 100)
    assert difference(decode_image(data), expected) < 3


def _grid(tiles: list[bytes], tile: int, size_wh: tuple[int, int], quarter_turns: int) -> bytes:
    """Return a HEIC of a row of tiles, cut to a size and turned against the clock."""
    grid = struct.pack(">4B2H", 0, 0, 0, len(tiles) - 1, *size_wh)
    items = [*(_content(one, b"mdat") for one in tiles), grid]
    numbers = range(1, len(items) + 1)
    last = numbers[-1]
    kinds = [b"hvc1"] * len(tiles) + [b"grid"]
    entries = b"".join(
        _box(b"infe", struct.pack(">IHH4sx", 2 << 24 | (number < last), number, 0, kind))
        for number, kind in zip(numbers, kinds, strict=True)
    )
    properties = (
        _box(b"hvcC", _content(tiles[0], b"hvcC"))
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
    start = _box(b"ftyp", b"heic" + bytes(4) + b"mif1heic")
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


@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_grey_and_transparent_ones_become_rgb(photo: Image.Image, mode: str) -> None:
    converted = photo.convert(mode)
    assert difference(decode_image(heic(converted)), np.asarray(converted.convert("RGB"))) < 3


def test_ten_bits_become_eight(photo: Image.Image) -> None:
    deep = np.asarray(photo).astype(np.uint16) * 257
    file = pillow_heif.from_bytes("RGB;16", photo.size, deep.tobytes())
    buffer = io.BytesIO()
    file.save(buffer, quality=95)
    assert pillow_heif.open_heif(buffer.getvalue()).info["bit_depth"] >= 10
    assert difference(decode_image(buffer.getvalue()), np.asarray(photo)) < 3


def test_the_start_of_the_file_says_the_size(photo: Image.Image) -> None:
    data = heic(photo.resize((640, 480)), 6) + bytes(HEADER_BYTES)
    assert upright_size(data[:1000]) == (480, 640)


def test_too_large_ones_are_refused(photo: Image.Image) -> None:
    with pytest.raises(InputError, match="99 x 63 pixels, more than the 6,000"):
        decode_image(heic(photo), max_pixels=6_000)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_cut_ones_are_refused(photo: Image.Image, share: float) -> None:
    data = heic(photo)
    with pytest.raises(InputError, match=r"damaged within its header|cannot be decoded"):
        decode_image(data[: int(len(data) * share)])


@pytest.mark.parametrize("brands", [b"avif    mif1miaf", b"qt      qt  mif2", b"isom    iso2mp41"])
def test_other_files_of_boxes_are_no_photos(brands: bytes) -> None:
    with pytest.raises(InputError, match="not a photo, whatever its name says"):
        read_image_header(struct.pack(">I4s", 8 + len(brands), b"ftyp") + brands)


def test_many_are_read_at_once(photo: Image.Image, tmp_path: Path) -> None:
    for number in range(24):
        (tmp_path / f"IMG_{number:04d}.HEIC").write_bytes(heic(photo, 1 + number % 8))
    frames = list(open_source([str(tmp_path)]).frames())
    assert len(frames) == 24
    for number, frame in enumerate(frames):
        assert isinstance(frame, Frame)
        assert difference(frame.image, upright(photo, 1 + number % 8)) < 3

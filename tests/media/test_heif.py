"""HEIC, as iPhones write it: written by another program, read upright."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import av
import numpy as np
import pillow_heif
import pytest
from av.video.stream import VideoStream
from heif_cases import grid, heic
from numpy.typing import NDArray
from PIL import Image, ImageOps
from runs import EXAMPLES

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import Frame
from vitpose_cli.media.headers import HEADER_BYTES, read_image_header, upright_size
from vitpose_cli.media.images import decode_image
from vitpose_cli.media.source import open_source

SIZE_WH = (99, 63)  # odd: HEVC stores even ones, and the rest is cut off

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return Image.open(EXAMPLES / "astronaut.jpg").convert("RGB").resize(SIZE_WH)


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
    data = grid(tiles, tile=64, size_wh=(100, 60), quarter_turns=3)
    expected = np.rot90(np.asarray(whole)[:60, :100], 3)
    assert read_image_header(data).upright_wh == (60, 100)
    assert difference(decode_image(data), expected) < 3


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
    decoded = decode_image(buffer.getvalue())
    assert difference(decoded, np.asarray(photo)) < 4
    assert difference(decoded, np.asarray(Image.open(buffer))) < 3  # libheif's


def test_the_start_of_the_file_says_the_size(photo: Image.Image) -> None:
    data = heic(photo.resize((640, 480)), 6) + bytes(HEADER_BYTES)
    assert upright_size(data[:1000]) == (480, 640)


def test_too_large_ones_are_refused(photo: Image.Image) -> None:
    with pytest.raises(InputError, match="99 x 63 pixels, more than the 6,000"):
        decode_image(heic(photo), max_pixels=6_000)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_cut_ones_are_refused(photo: Image.Image, share: float) -> None:
    data = heic(photo)
    with pytest.raises(InputError, match=r"damaged within its header|is cut off"):
        decode_image(data[: int(len(data) * share)])


@pytest.mark.parametrize("brands", [b"qt      qt  mif2", b"isom    iso2mp41"])
def test_other_files_of_boxes_are_no_photos(brands: bytes) -> None:
    with pytest.raises(InputError, match="not a photo, whatever its name says"):
        read_image_header(struct.pack(">I4s", 8 + len(brands), b"ftyp") + brands)


def test_a_film_of_the_same_numbers_beside_it_is_not_the_photo(photo: Image.Image) -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as film:
        stream = film.add_stream("mpeg4", rate=25)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 96, 3), np.uint8), format="rgb24")
        film.mux([*stream.encode(frame), *stream.encode()])
    data = heic(photo)
    assert np.array_equal(decode_image(data + buffer.getvalue()), decode_image(data))


def test_tiles_that_share_bytes_are_refused(photo: Image.Image) -> None:
    tiles = [heic(photo.resize((64, 64)))] * 3
    data = grid(tiles, tile=64, size_wh=(192, 64), quarter_turns=0)
    at = data.index(b"iloc") + 12
    for place in range(at, at + 3 * 14, 14):
        number = data[place : place + 6]
        data = data[:place] + number + struct.pack(">II", 0, len(data)) + data[place + 14 :]
    with pytest.raises(InputError, match="damaged, or of a rare kind"):
        decode_image(data)


def test_many_are_read_at_once(photo: Image.Image, tmp_path: Path) -> None:
    for number in range(24):
        (tmp_path / f"IMG_{number:04d}.HEIC").write_bytes(heic(photo, 1 + number % 8))
    frames = list(open_source([str(tmp_path)]).frames())
    assert len(frames) == 24
    for number, frame in enumerate(frames):
        assert isinstance(frame, Frame)
        assert difference(frame.image, upright(photo, 1 + number % 8)) < 3

"""AVIF, as web sites write it: every kind is read as libavif reads it."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from heif_cases import avif, grid
from numpy.typing import NDArray
from PIL import Image, ImageOps
from runs import EXAMPLES

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import Frame
from vitpose_cli.media.hdr import standard_range
from vitpose_cli.media.headers import read_image_header
from vitpose_cli.media.images import decode_image
from vitpose_cli.media.source import open_source

SIZE_WH = (99, 63)
OTHERS = Path(__file__).parents[1] / "data" / "avif"
"""Made by `make_avif.py`, beside it."""

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return Image.open(EXAMPLES / "astronaut.jpg").convert("RGB").resize(SIZE_WH)


def libavif(data: bytes) -> Pixels:
    """Return a photo as libavif decodes it, upright."""
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))


def difference(one: Pixels, other: Pixels) -> float:
    """Return by how many levels two pictures differ on average."""
    return float(np.abs(one.astype(np.int16) - other).mean())


@pytest.mark.parametrize("colour_range", ["full", "limited"])
@pytest.mark.parametrize(
    ("subsampling", "levels"),
    # FFmpeg repeats subsampled colours, libavif interpolates them. Grey of a wrong range is 9 off.
    [("4:0:0", 0.1), ("4:2:0", 2.0), ("4:2:2", 1.5), ("4:4:4", 0.2)],
)
def test_colours_are_those_of_libavif(
    photo: Image.Image, subsampling: str, levels: float, colour_range: str
) -> None:
    data = avif(photo, subsampling=subsampling, range=colour_range)
    assert difference(decode_image(data), libavif(data)) < levels


@pytest.mark.parametrize(
    "name", ["10-bit-400-limited", "10-bit-420", "12-bit-422-limited", "12-bit-444"]
)
def test_deep_ones_become_eight_bits(name: str) -> None:
    data = (OTHERS / f"{name}.avif").read_bytes()
    assert difference(decode_image(data), libavif(data)) < 3


def test_high_dynamic_range_is_seen_as_that_of_videos() -> None:
    data = (OTHERS / "10-bit-pq.avif").read_bytes()
    assert difference(decode_image(data), standard_range(libavif(data), 16)) < 2
    assert difference(decode_image(data), libavif(data)) > 20


def test_its_container_says_more_of_colours_than_its_pixels(photo: Image.Image) -> None:
    data = avif(photo, subsampling="4:4:4")
    stated = b"colrnclx\0\1\0\x0d\0\x06\x80"
    assert stated in data
    other = data.replace(stated, b"colrnclx\0\1\0\x0d\0\x01\x00")  # BT.709, limited
    assert difference(decode_image(other), libavif(other)) < 1
    assert difference(decode_image(other), decode_image(data)) > 5


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_turned_as_its_container_says(photo: Image.Image, orientation: int) -> None:
    data = avif(photo, orientation)
    decoded = decode_image(data)
    assert difference(decoded, libavif(data)) < 2
    assert read_image_header(data).upright_wh == decoded.shape[1::-1]


def test_it_is_cut_as_its_container_says() -> None:
    data = (OTHERS / "cut.avif").read_bytes()
    decoded = decode_image(data)
    assert read_image_header(data).upright_wh == (41, 31) == decoded.shape[1::-1]
    assert difference(decoded, libavif(data)[8:39, 12:53]) < 0.2  # libavif leaves that to others


def test_tiles_are_put_together() -> None:
    whole = Image.open(EXAMPLES / "astronaut.jpg").convert("RGB").resize((128, 64))
    tiles = [avif(whole.crop((left, 0, left + 64, 64)), subsampling="4:4:4") for left in (0, 64)]
    data = grid(tiles, tile=64, size_wh=(100, 60), quarter_turns=3)
    decoded = decode_image(data)
    assert difference(decoded, libavif(data)) < 0.2
    assert difference(decoded, np.rot90(np.asarray(whole)[:60, :100], 3)) < 4


def test_hidden_pixels_show_their_colour(photo: Image.Image) -> None:
    transparent = photo.copy()
    transparent.putalpha(Image.linear_gradient("L").resize(SIZE_WH))
    data = avif(transparent)
    assert difference(decode_image(data), libavif(data)) < 2


def test_of_an_animation_the_first_picture_is_read(photo: Image.Image) -> None:
    data = avif(photo, save_all=True, append_images=[photo.rotate(180)])
    assert difference(decode_image(data), libavif(data)) < 2
    with pytest.raises(InputError, match=r"a film without a photo, .* ends in \.mp4"):
        decode_image(data.replace(b"meta", b"free", 1))


def test_too_large_ones_are_refused(photo: Image.Image) -> None:
    data = avif(photo)
    with pytest.raises(InputError, match="99 x 63 pixels, more than the 6,000"):
        decode_image(data, max_pixels=6_000)
    small = data.replace((99).to_bytes(4, "big") + (63).to_bytes(4, "big"), b"\0\0\0\x09" * 2)
    with pytest.raises(InputError, match="cannot be decoded"):
        decode_image(small, max_pixels=6_000)


def test_a_film_in_place_of_a_photo_is_not_decoded() -> None:
    data = avif(Image.new("RGB", (640, 640)))
    place = data.index(b"mdat") + 4
    length = len(data) - place
    assert length < 1000
    times = 500
    data = data[:place] + data[place:] * times
    for before in (struct.pack(">I", length), struct.pack(">I", 8 + length)):
        assert data.count(before, 0, place) == 1
        data = data.replace(before, struct.pack(">I", int.from_bytes(before, "big") * times), 1)
    with pytest.raises(InputError, match="a piece of it has too many pictures"):
        decode_image(data)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_cut_off_ones_are_refused(photo: Image.Image, share: float) -> None:
    data = avif(photo)
    with pytest.raises(InputError, match=r"damaged within its header|is cut off"):
        decode_image(data[: int(len(data) * share)])


def test_it_is_found_in_folders_under_any_name(photo: Image.Image, tmp_path: Path) -> None:
    for name in ("1.avif", "2.AVIF", "3.jpg"):
        (tmp_path / name).write_bytes(avif(photo))
    frames = list(open_source([str(tmp_path)]).frames())
    assert [frame.key.media for frame in frames] == ["1.avif", "2.AVIF", "3.jpg"]
    for frame in frames:
        assert isinstance(frame, Frame)
        assert difference(frame.image, np.asarray(photo)) < 4

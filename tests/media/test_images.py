"""Photos of every kind and every damage, in and out."""

import contextlib
import io
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from vitpose_cli.errors import ExitCode, InputError
from vitpose_cli.media.frames import Frame, FrameFailure, FrameKey
from vitpose_cli.media.headers import read_image_header
from vitpose_cli.media.images import (
    ImageFolder,
    ImageSink,
    PictureTooLargeError,
    decode_image,
)

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def picture() -> Pixels:
    """A smooth picture without any symmetry, 64 wide and 48 high."""
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    resized: Pixels = cv2.resize(noise, (64, 48), interpolation=cv2.INTER_LINEAR)
    return resized


def encoded(image: Image.Image, image_format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    return stream.getvalue()


def difference(a: NDArray[np.generic], b: NDArray[np.generic]) -> int:
    assert a.shape == b.shape
    return int(np.abs(a.astype(int) - b.astype(int)).max())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("image_format", "options"),
    [("JPEG", {"quality": 100}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})],
)
def test_every_orientation_comes_out_upright(
    picture: Pixels, image_format: str, options: dict[str, object], orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(picture), image_format, exif=exif, **options)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    assert difference(decode_image(data), upright) == 0
    assert read_image_header(data).orientation == orientation
    assert read_image_header(data).size_wh == (64, 48)


@pytest.mark.parametrize(
    ("image_format", "mode", "options"),
    [
        ("JPEG", "RGB", {"progressive": True}),
        ("JPEG", "L", {}),
        ("JPEG", "CMYK", {"quality": 95}),
        ("PNG", "L", {}),
        ("PNG", "1", {}),
        ("PNG", "P", {}),
        ("PNG", "P", {"transparency": 3}),
        ("BMP", "RGB", {}),
        ("BMP", "P", {}),
        ("BMP", "L", {}),
        ("TIFF", "RGB", {"compression": "tiff_lzw"}),
        ("TIFF", "RGB", {"big_tiff": True}),
        ("TIFF", "CMYK", {}),
        ("TIFF", "L", {"compression": "jpeg"}),
        ("WEBP", "RGB", {"quality": 80}),
        ("WEBP", "RGB", {"lossless": True}),
    ],
)
def test_every_kind_becomes_rgb(
    picture: Pixels, image_format: str, mode: str, options: dict[str, object]
) -> None:
    data = encoded(Image.fromarray(picture).convert(mode), image_format, **options)
    opened = Image.open(io.BytesIO(data))
    decoded = decode_image(data)
    assert decoded.dtype == np.uint8
    assert decoded.flags.c_contiguous
    # 4: decoders differ in upsampling colour (WebP) and in rounding (CMYK) by a few levels.
    assert difference(decoded, np.asarray(opened.convert("RGB"))) <= 4
    assert read_image_header(data).size_wh == opened.size


@pytest.mark.parametrize("directory", [16, 2**31, 2**63, 2**64 - 1])
def test_a_tiff_whose_directory_is_nowhere_is_damaged(directory: int) -> None:
    with pytest.raises(InputError, match="damaged within its header"):
        read_image_header(b"II" + struct.pack("<HHHQ", 43, 8, 0, directory))


@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
def test_alpha_is_dropped(picture: Pixels, image_format: str) -> None:
    alpha = np.linspace(0, 255, 64).astype(np.uint8)[None].repeat(48, axis=0)
    image = Image.fromarray(np.dstack([picture, alpha]))
    options = {"lossless": True, "exact": True} if image_format == "WEBP" else {}
    assert difference(decode_image(encoded(image, image_format, **options)), picture) == 0


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_are_scaled_over_their_full_range(suffix: str) -> None:
    ramp = np.linspace(0, 65535, 64 * 48).astype(np.uint16).reshape(48, 64)
    for pixels in (ramp, np.dstack([ramp, ramp[::-1], ramp[:, ::-1]])):
        data = cv2.imencode(suffix, pixels)[1].tobytes()
        expected = (pixels[..., ::-1] if pixels.ndim == 3 else np.dstack([pixels] * 3)) / 257
        assert np.abs(decode_image(data) - expected).max() < 1  # of 255 levels


@pytest.mark.parametrize("size", [(1, 1), (20_000, 30), (30, 20_000)])
@pytest.mark.parametrize("image_format", ["JPEG", "PNG"])
def test_extreme_sizes(size: tuple[int, int], image_format: str) -> None:
    data = encoded(Image.new("RGB", size, (10, 20, 30)), image_format)
    decoded = decode_image(data)
    assert decoded.shape == (size[1], size[0], 3)
    assert difference(decoded[0, 0], np.array([10, 20, 30])) <= 2  # JPEG rounding


def test_bytes_after_the_end_do_no_harm(picture: Pixels) -> None:
    jpeg = encoded(Image.fromarray(picture), "JPEG")
    for tail in (b"\0" * 1000, b"maker's notes", jpeg[:500]):
        assert difference(decode_image(jpeg + tail), decode_image(jpeg)) == 0


CONTAINERS = [
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("PNG", {}),
    ("WEBP", {}),
    ("WEBP", {"lossless": True}),
    ("BMP", {}),
    ("TIFF", {}),
]


@pytest.mark.parametrize(("image_format", "options"), CONTAINERS)
def test_a_cut_is_noticed_wherever_it_is(
    picture: Pixels, image_format: str, options: dict[str, object]
) -> None:
    if image_format == "JPEG":  # bytes as of a thumbnail, with an end of its own
        options = {**options, "comment": b"\xff\xd8\xff\xdb\xff\xd9"}
    data = encoded(Image.fromarray(picture), image_format, **options)
    decode_image(data)
    for kept in [*range(0, 64), *range(64, len(data) - 1, 97), len(data) - 2, len(data) - 1]:
        if image_format == "PNG" and kept > len(data) - 8:
            continue  # every pixel is there; only the checksum of the end is cut
        with pytest.raises(InputError, match=r"empty|cut off|not a photo") as caught:
            decode_image(data[:kept])
        assert caught.value.exit_code == ExitCode.INPUT


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"hello, this is a text", "not a photo"),
        (b"\x00" * 5000, "not a photo"),
        (b"GIF89a" + b"\x00" * 100, "is a GIF"),
        (b"\xff\xd8\xff\xd9", "cut off or damaged"),
        (b"\xff\xd8" + b"\xff" * 200, "cut off or damaged"),
        (b"II*\0" + b"\xff" * 50, "cut off or damaged"),
        (b"BM" + b"\x00" * 100, "cut off, damaged"),
        (b"RIFF\x20\0\0\0WEBPJUNK" + b"\x00" * 30, "cut off or damaged"),
    ],
)
def test_what_is_no_photo_is_said(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        decode_image(data)


def test_noise_behind_a_good_start_never_escapes_as_another_error(picture: Pixels) -> None:
    rng = np.random.default_rng(1)
    for image_format, options in CONTAINERS:
        good = encoded(Image.fromarray(picture), image_format, **options)
        for _ in range(60):
            damaged = np.frombuffer(good, np.uint8).copy()
            places = rng.integers(0, len(damaged), 12)
            damaged[places] = rng.integers(0, 256, 12)
            with contextlib.suppress(InputError):
                decode_image(damaged.tobytes(), max_pixels=1_000_000)


def test_an_animated_webp_is_refused(picture: Pixels) -> None:
    image = Image.fromarray(picture)
    data = encoded(image, "WEBP", save_all=True, append_images=[image.rotate(180)])
    with pytest.raises(InputError, match="animated"):
        decode_image(data)


def test_a_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header + b"\0\0\0\0"
    with pytest.raises(InputError, match=r"60000 x 60000 .* 500,000,000"):
        decode_image(bomb)
    small = encoded(Image.new("RGB", (101, 100)), "PNG")
    with pytest.raises(InputError, match="10,000 allowed"):
        decode_image(small, max_pixels=10_000)


@pytest.fixture
def folder(tmp_path: Path, picture: Pixels) -> dict[str, Path]:
    """Good photos, one of them turned, and three bad ones, under hard names."""
    exif = Image.Exif()
    exif[0x0112] = 6
    jpeg = encoded(Image.fromarray(picture), "JPEG")
    contents = {
        "a b/größe 图.jpg": jpeg,
        "empty.png": b"",
        "turned.jpg": encoded(Image.fromarray(picture), "JPEG", exif=exif),
        "cut.jpg": jpeg[:-100],
        "[x]*.jpg": jpeg,
    }
    files = {}
    for media, data in contents.items():
        files[media] = tmp_path / media
        files[media].parent.mkdir(exist_ok=True)
        files[media].write_bytes(data)
    files["gone.jpg"] = tmp_path / "gone.jpg"
    return files


def test_a_folder_gives_every_photo_or_the_reason(folder: dict[str, Path]) -> None:
    source = ImageFolder(folder, num_threads=2)
    assert source.expected == 6
    frames = list(source.frames())
    assert [frame.key for frame in frames] == source.keys()
    sizes = [frame.size_wh if isinstance(frame, Frame) else None for frame in frames]
    assert sizes == [(64, 48), None, (48, 64), None, (64, 48), None]
    errors = [frame.error for frame in frames if isinstance(frame, FrameFailure)]
    for error, word in zip(errors, ("empty", "cut off", "No such file"), strict=True):
        assert word in error
    assert source.num_rotated == 1
    list(source.frames(skip=source.keys()))
    assert source.num_rotated == 1, "a second pass forgets nothing"


def test_photos_that_are_done_are_not_read_again(folder: dict[str, Path]) -> None:
    source = ImageFolder(folder, num_threads=2)
    folder["cut.jpg"].unlink()
    done = {FrameKey(media) for media in folder if media != "turned.jpg"}
    assert [frame.key.media for frame in source.frames(done)] == ["turned.jpg"]


def test_one_photo_can_be_read_by_its_key(folder: dict[str, Path]) -> None:
    source = ImageFolder(folder)
    assert source.read(FrameKey("turned.jpg")).size_wh == (48, 64)
    for key in (FrameKey("cut.jpg"), FrameKey("gone.jpg"), FrameKey("x.jpg"), FrameKey("cut", 0)):
        with pytest.raises(InputError, match=key.media):
            source.read(key)


def test_the_sink_writes_each_frame_at_its_media_path(tmp_path: Path, picture: Pixels) -> None:
    sink = ImageSink(tmp_path / "out")
    keys = [FrameKey(name) for name in ("a b/größe 图.jpg", "x.png", "x.webp", "y.JPG")]
    keys.append(FrameKey("clip.mp4", 12))
    for key in keys:
        sink.write(Frame(key, picture))
    sink.close()
    written = {str(p.relative_to(tmp_path / "out")) for p in tmp_path.rglob("*") if p.is_file()}
    names = {"a b/größe 图.jpg", "x.png", "x.webp.jpg", "y.JPG", "clip.mp4/frame_000012.jpg"}
    assert {Path(name).as_posix() for name in written} == names
    assert difference(decode_image((tmp_path / "out/x.png").read_bytes()), picture) == 0
    jpeg = decode_image((tmp_path / "out/y.JPG").read_bytes())
    assert np.abs(jpeg.astype(int) - picture).mean() < 4  # levels, at quality 92


def test_the_sink_refuses_names_that_lead_out_and_places_it_cannot_write(
    tmp_path: Path, picture: Pixels
) -> None:
    sink = ImageSink(tmp_path / "out")
    for media in ("../x.jpg", "/etc/x.jpg", "a/../../x.jpg"):
        with pytest.raises(InputError, match="leads out"):
            sink.write(Frame(FrameKey(media), picture))
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="Cannot write"):
        ImageSink(tmp_path / "file").write(Frame(FrameKey("x.jpg"), picture))
    wide = np.zeros((1, 70_000, 3), np.uint8)
    with pytest.raises(PictureTooLargeError, match="do not fit"):
        sink.write(Frame(FrameKey("x.jpg"), wide))
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["file"]

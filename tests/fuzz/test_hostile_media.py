"""Photos, videos, archives and lists made to hurt: only our own errors come out, and soon."""

from __future__ import annotations

import io
import struct
import tarfile
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from av.video.stream import VideoStream
from heif_cases import avif, grid, heic
from PIL import Image, ImageCms
from runs import EXAMPLES
from spoiling import meet_spoiled

from vitpose_cli.errors import InputError
from vitpose_cli.media.archives import read_index
from vitpose_cli.media.images import decode_image
from vitpose_cli.media.listed import read_list
from vitpose_cli.media.source import open_source
from vitpose_cli.media.video import VideoFile

MAX_PIXELS = 1_000_000
NOISE = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)


def _photos() -> list[bytes]:
    """Return photos of all kinds, some of them with what cameras and programs put beside pixels."""
    picture = Image.fromarray(NOISE)
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "about the photo"
    exif.get_ifd(0x8769)[0x9003] = "2026:11:30 12:00:00"
    beside: dict[str, Any] = {"exif": exif, "icc_profile": _colour_profile()}
    written: list[tuple[Image.Image, str, dict[str, Any]]] = [
        (picture, "JPEG", beside),
        (picture, "JPEG", {"progressive": True, "restart_marker_blocks": 1}),
        (picture.convert("CMYK"), "JPEG", {}),
        (picture, "PNG", beside),
        (picture.convert("P"), "PNG", {"transparency": 3}),
        (picture, "WEBP", beside),
        (picture.convert("RGBA"), "WEBP", {"lossless": True}),
        (picture, "TIFF", {"compression": "tiff_lzw"}),
        (picture.convert("CMYK"), "TIFF", {"compression": "jpeg"}),
        (picture, "TIFF", {"big_tiff": True}),
        (picture, "BMP", {}),
        (picture.convert("RGBA"), "AVIF", beside),
        (picture, "AVIF", {"save_all": True, "append_images": [picture.rotate(180)]}),
    ]
    encoded = []
    for image, image_format, options in written:
        buffer = io.BytesIO()
        image.save(buffer, image_format, **options)
        encoded.append(_without_time(buffer.getvalue()))
    deep = NOISE.astype(np.uint16) * 257
    encoded += [cv2.imencode(suffix, deep)[1].tobytes() for suffix in (".png", ".tiff")]
    encoded.append(heic(picture, 6))
    for write in (heic, avif):
        tiles = [write(picture.resize((64, 64))), write(picture.rotate(180).resize((64, 64)))]
        encoded.append(grid(tiles, tile=64, size_wh=(100, 60), quarter_turns=1))
    return [*encoded, (EXAMPLES / "camera.jpg").read_bytes()[:4000]]


def _without_time(data: bytes) -> bytes:
    """Return a film that says nothing of when it was made (ISO/IEC 14496-12, 8.2.2)."""
    for kind in (b"mvhd", b"tkhd", b"mdhd"):
        if (at := data.find(kind)) >= 0:
            size = 16 if data[at + 4] else 8  # made and changed
            data = data[: at + 8] + bytes(size) + data[at + 8 + size :]
    return data


def _colour_profile() -> bytes:
    """Return a profile that says always the same of when it was made."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:24] + struct.pack(">6H", 2026, 11, 30, 12, 0, 0) + profile[36:]


def test_photos() -> None:
    def read(data: bytes) -> None:
        image = decode_image(data, max_pixels=MAX_PIXELS)
        assert image.size <= 3 * MAX_PIXELS

    meet_spoiled(_photos(), read, 500)


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("mp4", "mpeg4"), ("mp4", "h264"), ("mov", "mjpeg"), ("avi", "mjpeg"),
        ("matroska", "mpeg4"), ("webm", "vp9"), ("mpegts", "mpeg2video"), ("gif", "gif"),
    ],
)  # fmt: skip
def test_videos(tmp_path: Path, container: str, codec: str) -> None:
    _meet_videos(tmp_path / "clip", _clip(container, codec))


def test_animations(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    frames = [Image.fromarray(NOISE), Image.fromarray(255 - NOISE)] * 2
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:], duration=40)
    _meet_videos(tmp_path / "clip.webp", buffer.getvalue())


def _meet_videos(path: Path, whole: bytes) -> None:
    def read(data: bytes) -> None:
        path.write_bytes(data)
        video = VideoFile(path, path.name)
        assert video.expected is None or video.expected >= 0
        with closing(video.frames()) as frames:  # type: ignore[type-var]
            list(islice(frames, 20))

    meet_spoiled([whole], read, 40)


def _clip(container: str, codec: str) -> bytes:
    pixels = {"mjpeg": "yuvj420p", "gif": "rgb8"}
    buffer = io.BytesIO()
    generator = np.random.default_rng(0)
    options = {"fflags": "+bitexact"}  # else Matroska has an identity by chance
    with av.open(buffer, "w", format=container, options=options) as file:
        stream = file.add_stream(codec, rate=25)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = 32, 24
        stream.pix_fmt = pixels.get(codec, "yuv420p")
        for _ in range(6):
            image = generator.integers(0, 255, (24, 32, 3), np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        file.mux(stream.encode())
    return buffer.getvalue()


def test_archives(tmp_path: Path) -> None:
    path = tmp_path / "photos.tar"
    photo = cv2.imencode(".jpg", NOISE)[1].tobytes()
    seeds = []
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
            for name in ("a/1.jpg", "é.jpg", f"{'deep/' * 30}2.jpg", "notes.txt"):
                member = tarfile.TarInfo(name)
                member.size = len(photo)
                try:
                    tar.addfile(member, io.BytesIO(photo))
                except ValueError:  # USTAR has no room for the long name
                    assert form == tarfile.USTAR_FORMAT
        seeds.append(buffer.getvalue())

    def read(data: bytes) -> None:
        path.write_bytes(data)
        for member in read_index(path).members.values():
            with suppress(InputError):
                assert len(member.read_bytes()) == member.size
        list(open_source([str(path)], max_pixels=MAX_PIXELS).frames())

    meet_spoiled(seeds, read, 200)


def test_lists(tmp_path: Path) -> None:
    photos, path = tmp_path / "photos", tmp_path / "list.txt"
    photos.mkdir()
    for name in ("1.jpg", "é 2.jpg"):
        cv2.imwrite(str(photos / name), NOISE)
    names = [
        "photos/1.jpg",
        "# of yesterday",
        "photos/é 2.jpg ",
        "",
        "photos",
        "./photos/../no.jpg",
    ]
    seeds = ["\n".join(names), "\r\n".join(names), "\0".join(names), "\n".join(names[:3])]

    def read(data: bytes) -> None:
        path.write_bytes(data)
        read_list(path)
        list(open_source([f"@{path}"], max_pixels=MAX_PIXELS).frames())

    meet_spoiled([seed.encode() for seed in seeds], read, 200)

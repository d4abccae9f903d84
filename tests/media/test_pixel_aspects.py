"""The shape of a video's pixels, known before its frames are decoded, is that of its frames."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from video_cases import frames_and_failures, write_video

from vitpose_cli.media.finding import FoundFiles, FoundMedia
from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.media.images import ImageSink
from vitpose_cli.media.source import MediaSource, open_source
from vitpose_cli.media.video import VideoFile

WIDE = {"aspect": "4/3"}


def aspects_of_frames(path: Path) -> set[float]:
    return {frame.pixel_aspect for frame in frames_and_failures(path)[0]}


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.flv", "a.ts", "a.webm"])
@pytest.mark.parametrize("shape", ["1", "4/3", "1/60"])
def test_in_every_container(tmp_path: Path, name: str, shape: str) -> None:
    codec = "libvpx-vp9" if name == "a.webm" else "libx264"
    path = write_video(tmp_path / name, num=12, codec=codec, options={"aspect": shape})
    assert {VideoFile(path, "clip").pixel_aspect} == aspects_of_frames(path)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.4])
def test_of_a_recording_that_begins_between_keyframes(tmp_path: Path, share: float) -> None:
    path = write_video(tmp_path / "a.ts", num=40, gop=12, noise=True, options=WIDE)
    data = path.read_bytes()
    path.write_bytes(data[int(len(data) * share) // 188 * 188 :])
    assert [VideoFile(path, "clip").pixel_aspect] == list(aspects_of_frames(path))
    assert VideoFile(path, "clip").pixel_aspect == pytest.approx(4 / 3)


@pytest.mark.parametrize("rotation_deg", [0, 90])
def test_of_a_video_whose_first_pictures_are_damaged(tmp_path: Path, rotation_deg: int) -> None:
    path = write_video(
        tmp_path / "a.mov",
        num=4,
        codec="prores_ks",
        pix_fmt="yuv422p10le",
        size_wh=(320, 240),
        options=WIDE,
        noise=True,
        rotation_deg=rotation_deg,
    )
    with av.open(str(path)) as container:
        places = [each.pos or 0 for each in container.demux(video=0) if each.size]
    data = bytearray(path.read_bytes())
    for start in places[:2]:
        data[start + 700 : start + 1212] = bytes(range(256)) * 2
    path.write_bytes(data)
    frames, failures = frames_and_failures(path)
    assert (len(frames), len(failures)) == (2, 2)
    aspect = VideoFile(path, "clip").pixel_aspect
    assert {aspect} == {frame.pixel_aspect for frame in frames}
    assert aspect == pytest.approx(3 / 4 if rotation_deg else 4 / 3)


def test_many_at_once_some_of_them_no_videos(tmp_path: Path) -> None:
    names = [f"{number}.mp4" for number in range(6)]
    for name in names[:3]:
        write_video(tmp_path / name, num=2, options=WIDE if name == "1.mp4" else {})
    (tmp_path / names[3]).write_bytes(b"")
    (tmp_path / names[4]).write_bytes(b"x" * 5000)
    files = {name: tmp_path / name for name in (*names, "photo.jpg")}  # the sixth is missing
    source = MediaSource(FoundMedia(tmp_path, FoundFiles(files), {}), num_threads=3)
    assert source.pixel_aspects() == {"1.mp4": pytest.approx(4 / 3)}


def test_of_photos_whose_folder_begins_with_pixels_that_are_not_square(tmp_path: Path) -> None:
    picture = np.zeros((60, 80, 3), np.uint8)
    shapes = {"a/0.jpg": 1.5, "a/1.jpg": 1.0, "a/2.jpg": 0.75, "b/0.jpg": 1.0, "0.jpg": 2.0}
    for name, aspect in shapes.items():
        ImageSink(tmp_path).write(Frame(FrameKey(name), picture, pixel_aspect=aspect))
    (tmp_path / "a" / "3.jpg").write_bytes(b"x" * 5000)
    source = open_source([str(tmp_path)])
    assert source.pixel_aspects() == {name: each for name, each in shapes.items() if each != 1}


@pytest.mark.parametrize(
    ("said", "aspect"),
    [
        (b"\0\0\1\0\1\0\0", 1.0),
        (b"\0\0\x40\0\x2d\0\0", 64 / 45),
        (b"\0\0\x20\0\x0b\0\0", 32 / 11),
        (b"\0\0\x0b\0\x20\0\0", 11 / 32),
        (b"\1\0\xc8\0\x64\0\0", 1.0),  # 200 and 100 dots per inch
        (b"\0\1\x2c\0\x48\0\0", 1.0),  # 300 and 72 without a unit
        (b"\0\0\x48\1\x2c\0\0", 1.0),
        (b"\0\0\1\0\0\0\0", 1.0),
        (b"\0\0\0\0\1\0\0", 1.0),
        (b"\0\0\2\0", 1.0),  # too short
        (b"", 1.0),
    ],
)
def test_what_a_photo_says(tmp_path: Path, said: bytes, aspect: float) -> None:
    """Neither nonsense nor a segment that lacks it refuses a photo, as other programs show it."""
    path = tmp_path / "a.jpg"
    assert cv2.imwrite(str(path), np.zeros((64, 96, 3), np.uint8))
    segment = b"JFIF\0\1\1" + said
    head = b"\xff\xd8\xff\xe0" + (len(segment) + 2).to_bytes(2, "big") + segment
    path.write_bytes(head + path.read_bytes()[20:])
    (frame,) = open_source([str(path)]).frames()
    assert isinstance(frame, Frame), frame
    assert (frame.size_wh, frame.pixel_aspect) == ((96, 64), aspect)


def spent_s(action: Callable[[], object]) -> float:
    """Return how long the processor works for something, s."""
    start_s = time.process_time()
    action()
    return time.process_time() - start_s


def test_no_picture_of_a_video_with_square_pixels_is_decoded(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "a.mov", num=1, codec="mjpeg", pix_fmt="yuvj420p", size_wh=(4096, 2304)
    )
    looked_s = min(spent_s(lambda: VideoFile(path, "clip").pixel_aspect) for _ in range(3))
    decoded_s = min(spent_s(lambda: aspects_of_frames(path)) for _ in range(3))
    assert looked_s < decoded_s / 4  # about a thirtieth

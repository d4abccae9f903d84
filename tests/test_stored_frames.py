"""Frames of a video are found by every command, in the video or extracted as photos."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from label_cases import SIZE_WH as LABELLED_WH
from label_cases import make_record, make_run
from runs import vitpose
from video_cases import number, write_video

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import Frame, FrameFailure, FrameKey
from vitpose_cli.media.images import ImageSink, decode_image
from vitpose_cli.media.video import VideoFile
from vitpose_cli.records.media_root import MediaFolders
from vitpose_cli.review.pictures import PictureReader
from vitpose_cli.training.data_options import CocoSource
from vitpose_cli.training.opened_source import OpenedSource
from vitpose_cli.training.sources import open_data_source

INDICES = (0, 3, 6, 9)
KEYS = [FrameKey("clip.mp4", index) for index in INDICES]
NAMES = [str(key) for key in KEYS]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs over a video; its frames in `video` and, as photos, in `extracted`."""
    folder = tmp_path_factory.mktemp("job")
    (folder / "video").mkdir()
    video = write_video(folder / "video/clip.mp4", num=12, size_wh=LABELLED_WH)
    for key in KEYS:
        ImageSink(folder / "extracted").write(VideoFile(video, "clip.mp4").read(key))
    for name, shift in (("one", 0), ("other", 4)):
        records = [make_record("clip.mp4", key.index, count=1) for key in KEYS]
        for record in records:
            assert record.instances is not None
            record.instances.keypoints[:] += shift
        make_run(folder / name, records)
    return folder


def told(*arguments: str | Path) -> str:
    done = vitpose(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def by_sheet(job: Path, images: Path, out: Path) -> None:
    told("sheet", job / "one", "-i", images, "-o", out / "s.html")
    captions = re.findall(r"<figcaption>(.*) [0-9.]+</figcaption>", (out / "s.html").read_text())
    assert sorted(captions) == NAMES  # an error would follow the name


def by_diff(job: Path, images: Path, out: Path) -> None:
    picture = out / "worst.png"
    told("diff", job / "one", job / "other", "-i", images, "-o", picture)
    assert decode_image(picture.read_bytes()).std() > 20


def by_select(job: Path, images: Path, out: Path) -> None:
    text = told("select", job / "one", "-n", "3", "-i", images, "-o", out / "queue.json")
    assert "not be read" not in text


def by_review(job: Path, images: Path, out: Path) -> None:
    del job, out
    pictures = PictureReader(MediaFolders.at(images))
    for key in KEYS:
        assert number(decode_image(pictures.picture(key))) == key.index
        assert pictures.thumbnail(key)
        assert pictures.size_wh(key) == LABELLED_WH


def by_export(job: Path, images: Path, out: Path) -> None:
    told("export", job / "one", "--format", "yolo", "-i", images, "-o", out / "yolo")
    assert len(list((out / "yolo").rglob("frame_*.jpg"))) == len(KEYS)


def by_train(job: Path, images: Path, out: Path) -> None:
    del out
    frames = opened(job / "one/annotations.json", images).frames
    shown = [frames.source.read(key).image for key in frames.keys]
    assert [number(image) for image in shown] == list(INDICES)


def opened(labels: Path, images: Path, **fields: object) -> OpenedSource:
    source = {"kind": "coco", "annotations": str(labels), "images": str(images), **fields}
    return open_data_source(CocoSource.model_validate(source))


@pytest.mark.parametrize("place", ["video", "extracted"])
@pytest.mark.parametrize("command", [by_sheet, by_diff, by_select, by_review, by_export, by_train])
def test_frames_are_found(
    job: Path, tmp_path: Path, command: Callable[[Path, Path, Path], None], place: str
) -> None:
    command(job, job / place, tmp_path)


@pytest.fixture(scope="module")
def bare(job: Path) -> Path:
    """Return the labels as a document that says nothing of videos."""
    document = json.loads((job / "one/annotations.json").read_bytes())
    del document["videos"]
    for image in document["images"]:
        for name in ("video_id", "frame_id", "timestamp"):
            image.pop(name, None)
    (job / "bare.json").write_text(json.dumps(document))
    return job / "bare.json"


@pytest.mark.parametrize("place", ["video", "extracted"])
def test_frames_of_a_document_without_videos_are_found(
    job: Path, bare: Path, tmp_path: Path, place: str
) -> None:
    images = job / place
    assert "not be read" not in told("sheet", bare, "-i", images, "-o", tmp_path / "s.png")
    out = tmp_path / "yolo"
    assert "not found" not in told("export", bare, "--format", "yolo", "-i", images, "-o", out)
    assert len(list(out.rglob("frame_*.jpg"))) == len(KEYS)
    frames = opened(bare, images).frames
    assert [str(key) for key in frames.keys] == NAMES
    shown = [frames.source.read(key).image for key in frames.keys]
    assert [number(image) for image in shown] == list(INDICES)
    sizes = []
    for split in ((0, 0.5), (0.5, 1)):
        try:
            sizes.append(len(opened(bare, images, split=split).frames.keys))
        except InputError:
            sizes.append(0)
    assert sorted(sizes) == [0, len(KEYS)]  # a video is on one side


def test_a_frame_under_both_names_is_read_for_both(job: Path) -> None:
    keys = [KEYS[1], FrameKey(NAMES[1]), FrameKey("clip.mp4/frame_000001.jpg"), FrameKey("b.jpg")]
    for place in ("video", "extracted"):
        folders = MediaFolders.at(job / place)
        found = {frame.key: frame for frame in folders.read(keys)}
        assert set(found) == set(keys)
        assert [type(found[key]) for key in keys[:2]] == [Frame, Frame]
        failure = found[keys[3]]
        assert isinstance(failure, FrameFailure)
        assert failure.error == f"It is not in {job / place}."
    assert isinstance(found[keys[2]], FrameFailure)  # was not extracted
    assert not folders.has(FrameKey("one.txt/frame_000000.jpg"))

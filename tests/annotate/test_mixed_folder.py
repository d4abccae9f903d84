"""A folder of photos, videos and animations labelled in one command: names, times, ids, frames."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from runs import save_photos, save_weights, vitpose
from video_cases import number, picture, write_video

from vitpose_cli.media.images import decode_image

EVERY = 3


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Label a mixed folder; return where everything lies."""
    base = tmp_path_factory.mktemp("mixed")
    folder = base / "in"
    save_photos(folder, 2)
    write_video(folder / "late.mp4", num=10, start_s=5.0)
    (folder / "sub").mkdir()
    write_video(folder / "sub" / "uneven.mkv", num=4, times_s=[0.0, 0.1, 0.5, 0.9])
    for suffix in ("gif", "webp"):
        animation = cv2.Animation()
        animation.frames = [cv2.cvtColor(picture(n), cv2.COLOR_RGB2BGR) for n in range(4)]
        animation.durations = [100, 200, 50, 300]
        assert cv2.imwriteanimation(str(folder / f"moving.{suffix}"), animation)
    (folder / "IMG_1.CR3").write_bytes(b"\0\0\0\x18ftypcrx ")
    save_weights(base / "weights.safetensors")
    done = label(base, "--extract-frames", base / "frames")
    assert done.returncode == 0, done.stderr
    assert "2 photos and 10 frames of 4 videos" in done.stderr
    assert "passed over: 1 .cr3." in done.stderr
    return base


def label(base: Path, *options: str | Path) -> subprocess.CompletedProcess[str]:
    """Label what lies in a folder, every third frame of videos."""
    return vitpose(
        "annotate", base / "in", "-o", base / "run", "--detector", "whole-image", "--device", "cpu",
        "-w", base / "weights.safetensors", "--keypoint-threshold", "0.01",
        "--every", str(EVERY), "--smooth", *options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def document(labelled: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((labelled / "run" / "annotations.json").read_text())
    return loaded


def test_the_document_is_valid(labelled: Path) -> None:
    checked = vitpose("validate", labelled / "run" / "annotations.json")
    assert checked.returncode == 0, checked.stdout


def test_frames_have_their_names_and_times(document: dict[str, Any]) -> None:
    times = {image["file_name"]: image.get("timestamp") for image in document["images"]}
    assert list(times)[:2] == ["a/photo 1.jpg", "b/photo 0.jpg"]
    expected = {
        "late.mp4": {0: 0.0, 3: 0.12, 6: 0.24, 9: 0.36},
        "moving.gif": {0: 0.0, 3: 0.35},
        "moving.webp": {0: 0.0, 3: 0.35},
        "sub/uneven.mkv": {0: 0.0, 3: 0.9},
    }
    for media, frames in expected.items():
        for index, time_s in frames.items():
            # GIF counts in hundredths of a second, Matroska in thousandths.
            assert times.pop(f"{media}/frame_{index:06d}.jpg") == pytest.approx(time_s, abs=0.011)
    assert set(times.values()) == {None}


def test_videos_share_no_identities(document: dict[str, Any]) -> None:
    video_of = {image["id"]: image.get("video_id") for image in document["images"]}
    owners: dict[int, set[int]] = {}
    for person in document["annotations"]:
        video = video_of[person["image_id"]]
        assert ("track_id" in person["attributes"]) == (video is not None)
        if video is not None:
            owners.setdefault(person["attributes"]["track_id"], set()).add(video)
    assert {len(videos) for videos in owners.values()} == {1}
    assert len(document["videos"]) == 4


def test_labelled_frames_are_extracted_by_their_names(
    labelled: Path, document: dict[str, Any]
) -> None:
    frames = labelled / "frames"
    written = {
        path.relative_to(frames).as_posix() for path in frames.glob("[!.]*/**/*") if path.is_file()
    }
    assert written == {image["file_name"] for image in document["images"]}
    for image in document["images"]:
        shown = decode_image((frames / image["file_name"]).read_bytes())
        assert shown.shape == (image["height"], image["width"], 3)
        if "frame_id" in image:
            assert number(shown) == image["frame_id"]
            assert np.ptp(shown) > 100


def test_frames_labelled_earlier_are_extracted_by_the_same_command(labelled: Path) -> None:
    late = label(labelled, "--extract-frames", labelled / "late", "--json")
    assert late.returncode == 0, late.stderr
    assert json.loads(late.stdout)["num_new"] == 0
    assert "12 frames were labelled earlier" in late.stderr
    at_once = labelled / "frames"
    written = [path.relative_to(at_once) for path in at_once.rglob("*.jpg")]
    assert len(written) == 12
    for name in written:
        assert (labelled / "late" / name).read_bytes() == (at_once / name).read_bytes()
    (labelled / "late" / "late.mp4" / "frame_000006.jpg").unlink()
    again = label(labelled, "--extract-frames", labelled / "late")
    assert "1 frame was labelled earlier" in again.stderr
    assert (labelled / "late" / "late.mp4" / "frame_000006.jpg").is_file()
    assert "labelled earlier" not in label(labelled, "--extract-frames", labelled / "late").stderr

"""Smoothed keypoints beside the raw ones of a run: whose they are, and what stays untouched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import save_photos, save_weights, vitpose
from video_cases import write_video

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.instances import Instances
from vitpose_cli.records.record import FrameRecord, Review
from vitpose_cli.records.run import Run
from vitpose_cli.review.edits import Edit
from vitpose_cli.review.session import ReviewSession
from vitpose_cli.tracking.smoothed_labels import with_smoothed

NOISE = np.random.default_rng(0).normal(0, 3, (40, 2, 17, 2))


def record(index: int, ids: tuple[int, ...] = (1, 2), media: str = "clip.mp4") -> FrameRecord:
    """Return a frame in which people stand 200 px apart by their ids, with 3 px of jitter."""
    points = np.array([[200.0 * each, 100.0] for each in ids]).reshape(-1, 1, 2)
    points = points + NOISE[index % 40, : len(ids)]
    people = Instances(
        boxes=np.concatenate([points.min(axis=1) - 5, points.max(axis=1) + 5], axis=1),
        box_scores=np.ones(len(ids), np.float32),
        keypoints=points.astype(np.float32),
        keypoint_scores=np.full((len(ids), 17), 0.9, np.float32),
        visibility=np.full((len(ids), 17), 2, np.int8),
        track_ids=np.array(ids, np.int64),
    )
    return FrameRecord(FrameKey(media, index), (900, 200), max(index, 0) / 25, instances=people)


def test_jitter_goes_from_a_field_of_its_own() -> None:
    records = [record(index, (2, 1) if index % 2 else (1, 2)) for index in range(40)]
    smoothed = list(with_smoothed(iter(records)))
    for raw, done in zip(records, smoothed, strict=True):
        assert raw.instances is not None
        assert done.instances is not None
        assert done.instances.smoothed is not None
        assert done.to_json() == raw.to_json()  # in the journal's sense, nothing has changed
        places = done.instances.smoothed.mean(axis=1)[:, 0] / 200
        np.testing.assert_allclose(places, np.asarray(raw.instances.track_ids), atol=0.02)
    middle = [each.instances.smoothed for each in smoothed[8:-8] if each.instances is not None]
    assert np.std([points[0, :, 1] for points in middle if points is not None]) < 0.6 * 3


def test_what_has_no_say() -> None:
    records = [record(index) for index in range(20)]
    expected = list(with_smoothed(iter(records[:9] + records[10:])))
    failed = FrameRecord(FrameKey("clip.mp4", 9), error="damaged")
    rejected = FrameRecord(
        FrameKey("clip.mp4", 9), (9, 9), 0.36, record(9).instances, review=Review("rejected")
    )
    for odd in (failed, rejected):
        done = list(with_smoothed([*records[:9], odd, *records[10:]]))
        assert done[9] is odd
        for one, other in zip(done[:9] + done[10:], expected, strict=True):
            assert one.instances is not None
            assert other.instances is not None
            np.testing.assert_array_equal(one.instances.smoothed, other.instances.smoothed)


def test_videos_are_smoothed_one_by_one_and_photos_not_at_all() -> None:
    photo = record(-1, media="a.jpg")
    first, second = ([record(n, media=f"{name}.mp4") for n in range(9)] for name in "ab")
    done = list(with_smoothed([*first, photo, *second]))
    assert done[9] is photo
    alone = list(with_smoothed(first))
    for one, other in zip(done, alone, strict=False):
        assert one.instances is not None
        assert other.instances is not None
        np.testing.assert_array_equal(one.instances.smoothed, other.instances.smoothed)


def test_each_video_of_too_few_frames_is_said(caplog: pytest.LogCaptureFixture) -> None:
    records = [
        record(index, media=f"{name}.mp4")
        for name, every in (("a", 5), ("b", 1), ("c", 5))
        for index in range(0, 40, every)
    ]
    done = list(with_smoothed(records))
    assert done[0].instances is not None
    np.testing.assert_array_equal(done[0].instances.smoothed, done[0].instances.keypoints)
    said = [message.getMessage() for message in caplog.records]
    assert [text.split(" as they are")[0] for text in said] == [
        "Smoothing leaves the keypoints of a.mp4",
        "Smoothing leaves the keypoints of c.mp4",
    ]


def labels(run: Path) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads((run / "annotations.json").read_text())["annotations"]
    return loaded


def test_the_command(tmp_path: Path) -> None:
    source = write_video(tmp_path / "clip.mp4", num=12)
    weights = save_weights(tmp_path / "weights.safetensors")
    command = ["annotate", str(source), "-w", str(weights), "--device", "cpu", "-o"]
    command += [str(tmp_path / "run"), "--boxes", str(tmp_path / "boxes.json")]
    box = {"category_id": 1, "bbox": [20.0, 5.0, 30.0, 50.0], "score": 0.9}
    names = [f"clip.mp4/frame_{index:06d}.jpg" for index in range(12)]
    (tmp_path / "boxes.json").write_text(json.dumps([{"file_name": n, **box} for n in names]))
    assert vitpose(*command, "--smooth", "--no-track").returncode == 2
    assert vitpose(*command).returncode == 0
    raw = labels(tmp_path / "run")
    assert len(raw) == 12
    done = vitpose(*command, "--smooth", "--json")  # nothing is labelled anew for it
    assert json.loads(done.stdout)["num_new"] == 0
    smooth = labels(tmp_path / "run")
    moved = [each.pop("keypoints_smoothed") for each in smooth]
    assert smooth == raw
    assert [each[2::3] for each in moved] == [each["keypoints"][2::3] for each in raw]
    assert vitpose("validate", tmp_path / "run" / "annotations.json").returncode == 0

    # A review writes the document as it was written before.
    accept_first(tmp_path / "run")
    after = labels(tmp_path / "run")
    assert [each.pop("keypoints_smoothed") for each in after] == moved
    assert after[1:] == raw[1:]
    assert vitpose(*command, "--no-track").returncode == 0
    assert not any("track_id" in each["attributes"] for each in labels(tmp_path / "run"))
    accept_first(tmp_path / "run", 1)
    after = labels(tmp_path / "run")
    assert not any("track_id" in each["attributes"] for each in after)
    assert [each["attributes"]["source"] for each in after[:3]] == ["human", "human", "model"]


def accept_first(run: Path, number: int = 0) -> None:
    session = ReviewSession(Run.edit(run), reviewer="anna")
    session.save(number, Edit(session.frame(number)["version"], "accepted", None, ()))
    session.close()


def test_photos_alone_are_told(tmp_path: Path) -> None:
    save_photos(tmp_path / "photos", 1)
    weights = save_weights(tmp_path / "weights.safetensors")
    done = vitpose(
        "annotate", tmp_path / "photos", "-w", weights, "--detector", "whole-image", "--smooth",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0
    assert "no video among the sources" in done.stderr


def test_frames_of_the_same_time_are_not_filled() -> None:
    records = [record(0), record(1, (1,)), record(2)]
    at_once = [FrameRecord(each.key, each.size_wh, 0.0, each.instances) for each in records]
    done = list(with_smoothed(at_once))
    assert [len(each.instances) for each in done if each.instances is not None] == [2, 1, 2]

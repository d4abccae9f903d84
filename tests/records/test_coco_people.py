"""Fields of other programs that mean something else than ours of the same name."""

import json
from pathlib import Path
from typing import Any

import pytest
from runs import vitpose

from vitpose_cli.formats.content import Selection, open_content
from vitpose_cli.labels import open_labels
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.coco_people import time_of
from vitpose_cli.smoothed_labels import for_document


def save_document(path: Path, image: dict[str, Any], person: dict[str, Any]) -> Path:
    """Write a document of two frames of a video, one with further fields."""
    images: list[dict[str, Any]] = [
        {
            "id": number,
            "file_name": f"clip.mp4/frame_{number:06d}.jpg",
            "width": 100,
            "height": 100,
            "video_id": 1,
            "frame_id": number,
        }
        for number in (1, 2)
    ]
    people: list[dict[str, Any]] = [
        {
            "id": number,
            "image_id": number,
            "category_id": 1,
            "bbox": [10, 10, 50, 50],
            "iscrowd": 0,
            "keypoints": [20, 20, 2, 30, 30, 2],
        }
        for number in (1, 2)
    ]
    images[1] |= image
    people[1] |= person
    category = {"id": 1, "name": "person", "keypoints": ["nose", "tail"], "skeleton": []}
    document = {
        "images": images,
        "videos": [{"id": 1, "name": "clip.mp4"}],
        "annotations": people,
        "categories": [category],
    }
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize("timestamp", ["2026-11-23T01:02:03Z", None, True, {}, float("nan")])
def test_what_is_no_time_in_seconds_is_left_out(tmp_path: Path, timestamp: object) -> None:
    assert time_of({"timestamp": timestamp}) is None
    path = save_document(tmp_path / "a.json", {"timestamp": timestamp}, {})
    records = [each.record for each in open_content(path, Selection(), for_document).frames()]
    assert [record.time_s for record in records] == [None, None]
    frames = list(open_labels(path).video("clip.mp4"))
    assert [key for key, _, _ in frames] == [FrameKey("clip.mp4", 1), FrameKey("clip.mp4", 2)]
    assert [time_s for _, time_s, _ in frames] == pytest.approx([1 / 30, 2 / 30])


def test_half_characters_and_huge_numbers_are_copied(tmp_path: Path) -> None:
    path = save_document(
        tmp_path / "a.json", {"serial": 2**70}, {"attributes": {"uid": "\ud800", "note": "\udfff"}}
    )
    for name, out in (("coco", "copy.json"), ("cvat", "cvat")):
        done = vitpose("export", path, "-f", name, "-o", tmp_path / out)
        assert done.returncode == 0, done.stderr
    copied = json.loads((tmp_path / "copy.json").read_text())
    assert copied["images"][1]["serial"] == 2**70
    assert copied["annotations"][1]["attributes"]["note"] == "\udfff"

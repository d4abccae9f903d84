"""Fields of other programs that mean something else than ours of the same name."""

import json
from pathlib import Path
from typing import Any

import pytest
from label_cases import make_record, make_run
from runs import vitpose

from vitpose_cli.formats.content import open_content
from vitpose_cli.formats.label_filter import LabelFilter
from vitpose_cli.labels import open_labels
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.coco_people import time_of, uids_of
from vitpose_cli.records.record import instance_uid
from vitpose_cli.tracking.smoothed_labels import for_document


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
    records = [each.record for each in open_content(path, LabelFilter(), for_document).frames()]
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


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((None, None), (0, 1)),
        ((1, None), (1, 2)),
        ((None, 0, 1), (2, 0, 1)),
        ((None, None, 0, 2), (1, 3, 0, 2)),
        ((2, 2, None, 4), (2, 1, 3, 4)),
    ],
)
def test_a_new_name_is_nobody_elses(
    given: tuple[int | None, ...], expected: tuple[int, ...]
) -> None:
    key = FrameKey("a.jpg")
    people = [{} if n is None else {"attributes": {"uid": instance_uid(key, n)}} for n in given]
    assert uids_of(key, people) == tuple(instance_uid(key, number) for number in expected)


def test_whom_another_program_added_gets_a_name_besides_those_who_stayed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [make_record("a.jpg")])
    document = json.loads((run / "annotations.json").read_bytes())
    first, second = document["annotations"]
    added = {name: value for name, value in first.items() if name != "attributes"}
    document["annotations"] = [second, added]
    (tmp_path / "edited.json").write_text(json.dumps(document))
    for arguments in (
        ("stats", "edited.json"),
        ("export", "edited.json", "-f", "coco", "-o", "copy.json"),
        ("merge", run, "edited.json", "--human", "edited.json", "-o", "merged.json"),
    ):
        done = vitpose(*arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    merged = json.loads((tmp_path / "merged.json").read_bytes())
    uids = [person["attributes"]["uid"] for person in merged["annotations"]]
    assert second["attributes"]["uid"] in uids
    assert len({*uids}) == 2

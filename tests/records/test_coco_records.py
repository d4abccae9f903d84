"""One record of an image of a COCO file, whichever command makes it."""

import json
from pathlib import Path
from typing import Any

import pytest

from vitpose_cli.formats.content import open_content
from vitpose_cli.formats.label_filter import LabelFilter
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run
from vitpose_cli.review.coco_file import import_file
from vitpose_cli.tracking.smoothed_labels import for_document

POINTS = [20, 20, 2, 30, 30, 1]
IMAGE = {"id": 1, "file_name": "a.jpg", "width": 100, "height": 80}
CATEGORY = {"id": 3, "name": "person", "keypoints": ["nose", "left_eye"]}


def save(path: Path, image: dict[str, Any], attributes: list[dict[str, Any]]) -> Path:
    people = [
        {
            "id": number,
            "image_id": 1,
            "category_id": 3,
            "bbox": [10, 10, 50, 50],
            "iscrowd": 0,
            "keypoints": POINTS,
            "score": 0.5,
            "attributes": each,
        }
        for number, each in enumerate(attributes, start=1)
    ]
    document = {"images": [IMAGE | image], "annotations": people, "categories": [CATEGORY]}
    (path.parent / "a.jpg").touch()  # its size is stated
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def records(path: Path) -> tuple[FrameRecord, FrameRecord]:
    """Return what `export` writes from, and what `review` begins with."""
    (exported,) = open_content(path, LabelFilter(), for_document).frames()
    (reviewed,) = Run.read(import_file(path, None).run).records()
    return exported.record, reviewed


@pytest.mark.parametrize(
    ("image", "attributes"),
    [
        ({}, [{"source": "model", "model": "abc", "uid": "one"}, {"source": "human"}]),
        ({}, [{"source": "model", "model": "abc"}, {"source": "model", "model": "abc"}]),
        ({"review": "fixed"}, [{"source": "model", "model": "abc"}]),
        ({"timestamp": 0.08, "review": "rejected"}, [{"source": "human"}]),
        ({"review": "accepted"}, []),
    ],
)
def test_commands_make_the_same_record(
    tmp_path: Path, image: dict[str, Any], attributes: list[dict[str, Any]]
) -> None:
    exported, reviewed = records(save(tmp_path / "people.json", image, attributes))
    assert exported.to_json() == reviewed.to_json()


def test_what_nothing_says_a_person_made_is_for_review_a_persons_alone(tmp_path: Path) -> None:
    exported, reviewed = records(save(tmp_path / "people.json", {}, [{}]))
    assert (exported.origin, reviewed.origin) == ("model", "human")
    assert (exported.model, reviewed.model) == ("", "")
    assert exported.labels_version == reviewed.labels_version


def test_labels_of_an_unknown_model_begin_with_the_file(tmp_path: Path) -> None:
    exported, reviewed = records(save(tmp_path / "people.json", {}, [{"source": "model"}]))
    assert exported.model == ""
    assert len(reviewed.model) == 16
    assert exported.labels_version == reviewed.labels_version

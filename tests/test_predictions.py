"""Labels of every kind, photo by photo in the order of the ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from record_cases import make_failure, make_record, small_document, write_json

from vitpose_cli.errors import InputError
from vitpose_cli.pose.instances import Instances
from vitpose_cli.predictions import labelled_photos, predicted_photos
from vitpose_cli.records.coco_frames import CocoFrames
from vitpose_cli.records.record import FrameRecord

POINTS = [float(number) for number in range(51)]


@pytest.fixture
def truth(tmp_path: Path) -> CocoFrames:
    return CocoFrames(write_json(tmp_path / "truth.json", small_document()))


def test_a_document_is_matched_by_file_name(tmp_path: Path, truth: CocoFrames) -> None:
    content = small_document()
    content["images"][0] |= {"file_name": "sub/b.jpg"}
    content["images"][1] |= {"file_name": "unknown.jpg"}
    content["annotations"].append(content["annotations"][0] | {"id": 9, "category_id": 2})
    content["categories"].append({"id": 2, "name": "cup"})
    del content["annotations"][2]["keypoints"]
    photos = [*predicted_photos(write_json(tmp_path / "p.json", content), truth)]
    assert [(photo.image_id, len(photo.truth)) for photo in photos] == [(1, 1), (2, 1)]
    assert [photo.scores.tolist() for photo in photos] == [[], [0.5]]
    np.testing.assert_array_equal(photos[1].found[0, :2], [[50.5, 60.5], [0, 0]])
    assert photos[1].areas is None


def test_results_are_matched_by_id_or_file_name(tmp_path: Path, truth: CocoFrames) -> None:
    rest = {"category_id": 1, "keypoints": POINTS, "score": 0.5}
    results = [
        {"image_id": 2, **rest, "bbox": [1, 2, 3, 4]},
        {"image_id": 77, **rest},
        {"file_name": "a.jpg", **rest},
        {"image_id": 2, **rest, "score": 0.25, "bbox": [1, 2, 5, 4]},
    ]
    first, second = predicted_photos(write_json(tmp_path / "p.json", results), truth)
    assert (first.scores.tolist(), first.areas) == ([0.5], None)
    assert second.scores.tolist() == [0.5, 0.25]
    assert second.areas is not None
    assert second.areas.tolist() == [12, 20]


def test_nothing_predicted_is_fine(tmp_path: Path, truth: CocoFrames) -> None:
    photos = [*predicted_photos(write_json(tmp_path / "p.json", []), truth)]
    assert [photo.found.shape for photo in photos] == [(0, 17, 2)] * 2


@pytest.mark.parametrize("kind", ["results", "document"])
def test_predictions_for_other_photos_are_refused(
    tmp_path: Path, truth: CocoFrames, kind: str
) -> None:
    content: Any = [{"image_id": 77, "keypoints": POINTS, "score": 0.5}]
    if kind == "document":
        content = small_document()
        for image in content["images"]:
            image["file_name"] = f"other/{image['file_name']}"
    with pytest.raises(InputError, match=r"None of the images in .* is in"):
        list(predicted_photos(write_json(tmp_path / "p.json", content), truth))


@pytest.mark.parametrize("points", [None, [1, 2], ["x"] * 51])
def test_boxes_are_no_predictions(tmp_path: Path, truth: CocoFrames, points: Any) -> None:
    results = [{"image_id": 1, "keypoints": points, "score": 0.5}]
    with pytest.raises(InputError, match="has no keypoints x, y, score"):
        list(predicted_photos(write_json(tmp_path / "p.json", results), truth))


def test_a_file_that_changes_meanwhile_is_noticed(tmp_path: Path, truth: CocoFrames) -> None:
    path = write_json(tmp_path / "p.json", small_document())
    photos = predicted_photos(path, truth)
    next(photos)
    path.write_bytes(b" " * path.stat().st_size)
    truth.path.write_bytes(b" " * truth.path.stat().st_size)
    truth.close()
    with pytest.raises(InputError, match="was changed while it was read"):
        list(photos)


def test_what_is_labelled_now_is_matched_by_file_name(tmp_path: Path) -> None:
    content = small_document()
    content["images"].append(content["images"][0] | {"id": 9})  # the same photo a second time
    truth = CocoFrames(write_json(tmp_path / "truth.json", content))
    a, b = (make_record(image["file_name"]) for image in content["images"][:2])
    photos = [*labelled_photos([make_record("other.jpg"), b, a], truth)]
    assert [(photo.image_id, len(photo.scores)) for photo in photos] == [(2, 2), (9, 2), (1, 0)]
    assert a.instances is not None
    np.testing.assert_array_equal(photos[1].found, a.instances.keypoints)
    np.testing.assert_array_equal(photos[1].scores, a.instances.scores)
    [failed, *rest] = labelled_photos([make_failure(b.key.media)], truth)
    assert failed.failed
    assert len(failed.scores) == 0
    assert len(rest) == 1
    people = Instances.empty(4)
    with pytest.raises(InputError, match="4 keypoints a person"):
        [*labelled_photos([FrameRecord(b.key, (640, 480), instances=people)], truth)]

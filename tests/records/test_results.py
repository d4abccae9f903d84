from pathlib import Path
from typing import Any

import numpy as np
import pytest
from record_cases import small_document, write_json

from vitpose_cli.errors import InputError
from vitpose_cli.records.results import (
    given_boxes,
    is_results_file,
    read_results,
)

POINTS = [float(number) for number in range(51)]


def test_the_two_kinds_of_files_are_told_apart(tmp_path: Path) -> None:
    assert is_results_file(write_json(tmp_path / "a.json", []))
    assert not is_results_file(write_json(tmp_path / "a.json", small_document()))
    assert not is_results_file(write_json(tmp_path / "a.json", {}))


def test_a_results_file_is_read(tmp_path: Path) -> None:
    results = [{"image_id": 1, "category_id": 1, "keypoints": POINTS, "score": 0.5}]
    assert read_results(write_json(tmp_path / "a.json", results)) == results


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (small_document(), "is not a results file"),
        ([3], "neither image_id"),
        ([{"score": 1}], "neither image_id"),
        ([{"image_id": [1], "score": 1}], "neither image_id"),
        ([{"image_id": 1}], r"\[0\]\.score is not a number"),
        ([{"image_id": 1, "score": "0.5"}], r"\[0\]\.score is not a number"),
    ],
)
def test_what_is_no_results_file_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_results(write_json(tmp_path / "a.json", content))


class TestBoxes:
    def test_of_a_document(self, tmp_path: Path) -> None:
        content = small_document()
        content["images"].append({"id": 3, "file_name": "empty.jpg"})
        content["annotations"][1]["iscrowd"] = 1
        found = given_boxes(write_json(tmp_path / "a.json", content)).by_name
        assert {name: len(boxes) for name, boxes in found.items()} == {
            "a.jpg": 1,
            "sub/b.jpg": 0,
            "empty.jpg": 0,
        }
        np.testing.assert_array_equal(found["a.jpg"].boxes, [[10, 20, 110, 220]])
        np.testing.assert_array_equal(found["a.jpg"].scores, [0.5])

    def test_of_one_category(self, tmp_path: Path) -> None:
        content = small_document()
        content["categories"].append({"id": 5, "name": "dog"})
        content["annotations"][0] |= {"category_id": 5, "keypoints": []}
        path = write_json(tmp_path / "a.json", content)
        for category, counts in {"person": [0, 1], "dog": [1, 0], "horse": [1, 1]}.items():
            found = given_boxes(path, category=category).by_name
            assert [len(each) for each in found.values()] == counts

    def test_of_a_results_file(self, tmp_path: Path) -> None:
        results = [
            {"file_name": "a.jpg", "bbox": [1, 2, 3, 4], "score": 0.75},
            {"image_id": 9, "bbox": [5, 6, 7, 8], "score": 0.5},
            {"image_id": 9, "bbox": [0, 0, 1, 1], "score": 0.25},
        ]
        found = given_boxes(write_json(tmp_path / "a.json", results), {9: "b.jpg"}).by_name
        np.testing.assert_array_equal(found["a.jpg"].boxes, [[1, 2, 4, 6]])
        np.testing.assert_array_equal(found["b.jpg"].scores, [0.5, 0.25])

    def test_ids_alone_are_those_of_coco(self, tmp_path: Path) -> None:
        results = [{"image_id": 139, "bbox": [5, 6, 7, 8], "score": 0.5}]
        found = given_boxes(write_json(tmp_path / "a.json", results)).by_name
        assert list(found) == ["000000000139.jpg"]

    @pytest.mark.parametrize("other", [17, [1], None])
    def test_of_a_results_file_with_many_classes(self, tmp_path: Path, other: Any) -> None:
        rest = {"file_name": "a.jpg", "bbox": [1, 2, 3, 4], "score": 0.5}
        results = [{"category_id": 1, **rest}, {"category_id": other, **rest}]
        path = write_json(tmp_path / "a.json", results)
        assert len(given_boxes(path, category="person").by_name["a.jpg"]) == 1
        assert len(given_boxes(path).by_name["a.jpg"]) == 2

    def test_poses_are_no_boxes(self, tmp_path: Path) -> None:
        results = [{"file_name": "a.jpg", "keypoints": POINTS, "score": 0.5}]
        with pytest.raises(InputError, match="bbox is not four numbers"):
            given_boxes(write_json(tmp_path / "a.json", results))

"""COCO-WholeBody's own files, whose feet, faces and hands stand beside the bodies."""

from __future__ import annotations

import itertools
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from record_cases import small_document

from vitpose_cli.errors import InputError
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.records.coco import read_coco
from vitpose_cli.records.coco_frames import CocoFrames

PARTS = {"foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21}


def whole_body_document() -> dict[str, Any]:
    """Return a document whose first person has all parts, and whose second has feet alone."""
    content = small_document()
    first, second = content["annotations"]
    for number, (name, count) in enumerate(PARTS.items(), start=1):
        first[name] = [number, 10.5, 1.0] * count
    first["face_kpts"][2::3] = [0.75] * 67 + [0]  # scores, in some versions
    first["face_valid"] = True
    second["foot_kpts"] = [7, 8, 2] * 6
    return content


@pytest.mark.parametrize("last", ["categories", "annotations"])
def test_the_parts_are_read_as_keypoints(tmp_path: Path, last: str) -> None:
    content = whole_body_document()
    content[last] = content.pop(last)
    path = tmp_path / "wholebody.json"
    path.write_text(json.dumps(content))
    document = read_coco(path)
    assert document.keypoint_set is keypoint_set("wholebody")
    first, second = (np.reshape(one["keypoints"], (133, 3)) for one in document.annotations)
    np.testing.assert_array_equal(first[0], [50.5, 60.5, 2])
    starts = np.cumsum([17, *PARTS.values()])
    for number, (start, end) in enumerate(itertools.pairwise(starts), start=1):
        np.testing.assert_array_equal(first[start, :2], [number, 10.5])
        np.testing.assert_array_equal(
            first[start:end, 2] > 0, [True] * (end - start - 1) + [start != 23]
        )
    assert set(first[23:90, 2]) == {2}
    np.testing.assert_array_equal(first[90], [0, 0, 0])
    np.testing.assert_array_equal(
        second[:, 2] > 0, [True] + [False] * 16 + [True] * 6 + [False] * 110
    )
    assert [one["num_keypoints"] for one in document.annotations] == [1 + 6 + 67 + 42, 7]
    assert not PARTS.keys() & document.annotations[0].keys()
    with closing(CocoFrames(path)) as frames:
        assert frames.keypoint_set is keypoint_set("wholebody")
        assert tuple(frames.annotations(number)[0] for number in range(2)) == document.annotations


@pytest.mark.parametrize("last", ["categories", "annotations"])
@pytest.mark.parametrize("with_parts", [0, 1])
def test_one_shard_with_parts_makes_whole_bodies_of_all(
    tmp_path: Path, with_parts: int, last: str
) -> None:
    whole = whole_body_document()
    for name in PARTS:
        whole["annotations"][1 - with_parts].pop(name, None)
    (tmp_path / "whole.json").write_text(json.dumps(whole))
    for number in range(2):
        shard = json.loads(json.dumps(whole))
        shard["images"] = [shard["images"][number]]
        ids = {image["id"] for image in shard["images"]}
        shard["annotations"] = [each for each in shard["annotations"] if each["image_id"] in ids]
        shard[last] = shard.pop(last)
        (tmp_path / f"s-{number:05}-of-00002.json").write_text(json.dumps(shard))
    document = read_coco(tmp_path / "s-*.json")
    assert document.keypoint_set is keypoint_set("wholebody")
    assert document.annotations == read_coco(tmp_path / "whole.json").annotations
    with closing(CocoFrames(tmp_path / "s-*.json")) as frames:
        assert frames.keypoint_set is keypoint_set("wholebody")
        assert tuple(frames.annotations(number)[0] for number in range(2)) == document.annotations


def test_a_part_of_another_length_is_refused_with_its_place(tmp_path: Path) -> None:
    content = whole_body_document()
    content["annotations"][1]["lefthand_kpts"] = [1, 2, 2]
    path = tmp_path / "wholebody.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"annotations\[1\] needs 63 numbers in lefthand_kpts"):
        read_coco(path)


def test_parts_beside_other_keypoints_stay_what_they_are(tmp_path: Path) -> None:
    content = whole_body_document()
    names = content["categories"][0]["keypoints"]
    names[0] = "crown"
    path = tmp_path / "others.json"
    path.write_text(json.dumps(content))
    document = read_coco(path)
    assert document.keypoint_set.names == tuple(names)
    assert document.annotations[0]["foot_kpts"] == content["annotations"][0]["foot_kpts"]


def test_a_body_alone_is_no_whole_one_where_nobody_has_parts(tmp_path: Path) -> None:
    content = small_document()
    content["categories"][0] |= {"keypoints": [*keypoint_set("wholebody").names], "skeleton": []}
    path = tmp_path / "bodies.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"annotations\[0\] needs 399 numbers in keypoints"):
        read_coco(path)

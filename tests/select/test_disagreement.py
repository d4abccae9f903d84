"""Two runs side by side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from select_cases import COCO, make_people, make_record

from vitpose_cli.pose.instances import Instances
from vitpose_cli.select.disagreement import disagreement, side_by_side

NOBODY = Instances.empty(17)


def test_the_same_people_in_another_order_agree() -> None:
    people = make_people(0.9, 0.8, 0.7)
    found, num_missed = disagreement(people, people.select([2, 0, 1]), COCO.sigmas)
    np.testing.assert_allclose(found, 0, atol=1e-6)
    assert num_missed == 0


def test_a_moved_keypoint_is_disagreement_and_a_hidden_one_is_not() -> None:
    people = make_people(0.9)
    points, seen = people.keypoints.copy(), people.visibility.copy()
    points[0, 3] += 500
    moved = replace(people, keypoints=points)
    assert disagreement(people, moved, COCO.sigmas)[0][0] == pytest.approx(1 / 17, abs=1e-3)
    seen[0, 3] = 0
    assert disagreement(replace(people, visibility=seen), moved, COCO.sigmas)[0][0] < 1e-6
    blind = replace(people, visibility=np.zeros((1, 17), np.int8))
    assert disagreement(blind, moved, COCO.sigmas)[0][0] == pytest.approx(1 / 17, abs=1e-3)


def test_a_pixel_is_no_disagreement() -> None:
    people = make_people(0.9)
    size = float(np.sqrt(np.prod(people.boxes[0, 2:] - people.boxes[0, :2])))
    for way, differs in ((0.002, False), (0.05, True)):
        moved = replace(people, keypoints=people.keypoints + np.float32(way * size))
        (found,), _ = disagreement(people, moved, COCO.sigmas)
        assert (found > 0) == differs
        assert (f"{1 - found:.2f}" != "1.00") == differs


def test_people_whom_one_run_lacks() -> None:
    people = make_people(0.9, 0.8, 0.7)
    found, num_missed = disagreement(people.select([0]), people, COCO.sigmas)
    assert (found.tolist(), num_missed) == (pytest.approx([0], abs=1e-6), 2)
    found, num_missed = disagreement(people, people.select([0]), COCO.sigmas)
    assert num_missed == 0
    assert (found[1:] > 0.9).all()
    assert disagreement(NOBODY, people, COCO.sigmas)[1] == 3
    assert disagreement(people, NOBODY, COCO.sigmas)[0].tolist() == [1, 1, 1]


def test_records_of_the_same_frame_come_together() -> None:
    ours = [make_record(name, 0.9) for name in ("a", "b", "d")]
    theirs = [make_record(name, 0.9) for name in ("b", "c", "d", "e")]
    pairs = [(a.key.media, b and b.key.media) for a, b in side_by_side(ours, theirs)]
    assert pairs == [("a", None), ("b", "b"), ("d", "d")]
    assert [b for _, b in side_by_side(ours, [])] == [None] * 3


@pytest.mark.parametrize(("way", "num_missed"), [(20, 0), (24, 1)])  # an IoU of 0.33, of 0.25
def test_a_box_in_the_same_place_is_the_same_person(way: float, num_missed: int) -> None:
    people = make_people(0.9)
    boxes = people.boxes + np.array([way, 0, way, 0], np.float32)
    torn = replace(people, keypoints=people.keypoints + 500, boxes=boxes)
    assert disagreement(people, torn, COCO.sigmas)[1] == num_missed

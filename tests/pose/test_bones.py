"""Proportions of bodies: what is human passes, what is torn stands out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vitpose_cli.pose.bones import BONES, MAX_DEVIATION, implausibility, known_bones
from vitpose_cli.pose.keypoints import keypoint_set

COCO = keypoint_set("coco")

# A person standing upright, in body heights; x of the left side is positive.
UPRIGHT = np.array(
    [(0, 0.07), (0.02, 0.055), (-0.02, 0.055), (0.04, 0.065), (-0.04, 0.065), (0.1, 0.18),
     (-0.1, 0.18), (0.12, 0.35), (-0.12, 0.35), (0.12, 0.5), (-0.12, 0.5), (0.06, 0.5),
     (-0.06, 0.5), (0.06, 0.74), (-0.06, 0.74), (0.06, 0.96), (-0.06, 0.96)]
)  # fmt: skip


def oddness(points: NDArray[np.float64]) -> float:
    found = implausibility(points[None], COCO)
    assert found is not None
    return float(found[0])


def test_a_person_is_plausible() -> None:
    assert oddness(UPRIGHT * 300) < 1


@given(
    st.floats(10, 2000), st.floats(-180, 180), st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
)
def test_neither_size_nor_place_nor_turn_matters(
    height: float, angle_deg: float, place: tuple[float, float]
) -> None:
    angle = np.deg2rad(angle_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    assert oddness(UPRIGHT * height @ turn + place) == pytest.approx(
        oddness(UPRIGHT * 300), abs=0.3
    )


@pytest.mark.parametrize("keypoint", [0, 5, 7, 9, 11, 13, 15])
def test_a_keypoint_torn_away_is_seen(keypoint: int) -> None:
    torn = UPRIGHT.copy()
    torn[keypoint] += (0.7, -0.4)
    assert oddness(torn * 300) > oddness(UPRIGHT * 300) + 0.2


def test_however_far_a_keypoint_is_torn_away_it_is_one_wrong_bone() -> None:
    found = []
    for way in (10, 1000):
        torn = UPRIGHT * 300
        torn[9] += 300 * way  # a wrist, the end of one bone
        found.append(oddness(torn))
    assert found == pytest.approx([0.7292] * 2, abs=0.001)


def test_keypoints_that_nobody_has_placed_do_not_count() -> None:
    unplaced = UPRIGHT.copy()
    unplaced[15:] = np.nan  # the ankles
    assert oddness(unplaced * 300) < 1
    assert oddness(np.full((17, 2), np.nan)) == 0


def test_all_keypoints_in_one_place_are_no_more_than_wrong() -> None:
    assert 0 <= oddness(np.zeros((17, 2))) <= MAX_DEVIATION
    assert oddness(np.random.default_rng(0).uniform(0, 300, (17, 2))) > 1.5


def test_nobody_is_fine() -> None:
    found = implausibility(np.zeros((0, 17, 2), np.float32), COCO)
    assert found is not None
    assert found.shape == (0,)


@pytest.mark.parametrize("name", ["coco", "halpe26", "wholebody", "coco25", "crowdpose", "aic"])
def test_sets_of_people_are_known(name: str) -> None:
    people = keypoint_set(name)
    assert implausibility(np.zeros((1, people.num_keypoints, 2)), people) is not None


@pytest.mark.parametrize("name", ["ap10k", "apt36k"])
def test_animals_are_not_held_against_people(name: str) -> None:
    animal = keypoint_set(name)
    assert not known_bones(animal)
    assert implausibility(np.zeros((1, animal.num_keypoints, 2)), animal) is None


def test_coco_has_every_bone() -> None:
    assert set(known_bones(COCO).values()) == set(BONES)
    assert len(known_bones(COCO)) == len(COCO.edges)

import numpy as np
import pytest
from numpy.typing import NDArray

from vitpose_cli.pose.keypoints import KeypointSet, keypoint_set
from vitpose_cli.pose.parts import BODY_PARTS, BodyPart, inside, limbs, part_keypoints, part_windows

COCO = keypoint_set("coco")

STANDING = np.array(
    [
        *((50, 10), (47, 8), (53, 8), (44, 10), (56, 10), (35, 30), (65, 30), (28, 55), (72, 55)),
        *((25, 80), (75, 80), (40, 85), (60, 85), (40, 125), (60, 125), (40, 165), (60, 165)),
    ],
    np.float32,
)[None]
BOX = np.array([[20, 0, 80, 175]], np.float32)


def window(part: BodyPart, draw: float = 0.0) -> tuple[NDArray[np.float64], set[str]]:
    labelled = np.ones((1, 17), bool)
    kept = part_keypoints(part, STANDING, labelled, COCO, np.array([draw]))
    windows, real = part_windows(kept, STANDING, labelled, BOX, 0.05)
    assert real.all()
    shown = inside(STANDING, windows)[0]
    return windows[0], {name for name, there in zip(COCO.names, shown, strict=True) if there}


def test_limbs_of_coco_are_two_arms_and_two_legs() -> None:
    found = {tuple(np.flatnonzero(limb).tolist()) for limb in limbs(COCO)}
    assert found == {(5, 7, 9), (6, 8, 10), (11, 13, 15), (12, 14, 16)}


def test_upper_keeps_the_head_and_the_width_and_cuts_below() -> None:
    cut, names = window("upper")
    assert cut[:3].tolist() == [20, 0, 80]
    assert 80 < cut[3] < 125
    assert "nose" in names
    assert "left_knee" not in names


def test_lower_keeps_the_feet() -> None:
    cut, names = window("lower")
    assert cut[3] == 175
    assert {"left_ankle", "right_knee"} <= names
    assert "nose" not in names


def test_left_and_right_are_sides_of_the_picture() -> None:
    left, _ = window("left")
    right, _ = window("right")
    assert left[0] == 20
    assert left[2] < 60
    assert right[2] == 80
    assert right[0] > 35


@pytest.mark.parametrize(("draw", "tip"), [(0.0, "left_wrist"), (0.99, "right_ankle")])
def test_limb_follows_the_draw(draw: float, tip: str) -> None:
    _, names = window("limb", draw)
    assert tip in names
    assert "nose" not in names


def test_a_part_without_keypoints_cuts_nothing() -> None:
    labelled = np.zeros((1, 17), bool)
    labelled[0, :5] = True
    kept = part_keypoints("lower", STANDING, labelled, COCO, np.zeros(1))
    windows, real = part_windows(kept, STANDING, labelled, BOX)
    assert not real.any()
    assert (windows == BOX).all()
    for part in BODY_PARTS:
        kept = part_keypoints(part, STANDING, np.zeros_like(labelled), COCO, np.zeros(1))
        assert not kept.any()


def test_a_limb_ends_before_a_branch() -> None:
    names = ["head", "neck", "left_shoulder", "right_shoulder", "left_wrist", "right_wrist"]
    edges = [[1, 2], [2, 3], [2, 4], [3, 5], [4, 6]]
    torso = KeypointSet.from_category({"name": "x", "keypoints": names, "skeleton": edges})
    found = [tuple(np.flatnonzero(limb).tolist()) for limb in limbs(torso)]
    assert found == [(0, 1), (1, 2, 4), (1, 3, 5)]


def test_a_window_with_one_keypoint_is_no_cut() -> None:
    labelled = np.ones((1, 17), bool)
    labelled[0, 1:11] = False  # of the upper body only the nose
    for count in (1, 2):
        labelled[0, 5] = count == 2
        kept = part_keypoints("upper", STANDING, labelled, COCO, np.zeros(1))
        windows, real = part_windows(kept, STANDING, labelled, BOX, 0.05)
        assert real.tolist() == [count == 2]
        assert (windows[0, 3] < 80) == (count == 2)

"""The built-in sets are the published ones; any other comes from a COCO file."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.pose.keypoint_sigmas import UNKNOWN_SIGMA
from vitpose_cli.pose.keypoints import KEYPOINT_SETS, KeypointSet, keypoint_set

BODY_PAIRS = "1-2 3-4 5-6 7-8 9-10 11-12 13-14 15-16"
ANIMAL_PAIRS = "0-1 5-8 6-9 7-10 11-14 12-15 13-16"
FACE_PAIRS = (
    "23-39 24-38 25-37 26-36 27-35 28-34 29-33 30-32 40-49 41-48 42-47 43-46 44-45 54-58 55-57 "
    "59-68 60-67 61-66 62-65 63-70 64-69 71-77 72-76 73-75 78-82 79-81 83-87 84-86 88-90"
)
HAND_PAIRS = " ".join(f"{91 + point}-{112 + point}" for point in range(21))

# name: keypoints, flip pairs, sum of sigmas, of the published configuration
PUBLISHED = {
    "coco": (17, BODY_PAIRS, 1.138),
    "aic": (14, "0-3 1-4 2-5 6-9 7-10 8-11", 0.30056174),
    "mpii": (16, "0-5 1-4 2-3 10-15 11-14 12-13", 1.288),
    "ap10k": (17, ANIMAL_PAIRS, 1.138),
    "apt36k": (17, ANIMAL_PAIRS, 1.138),
    "crowdpose": (14, "0-1 2-3 4-5 6-7 8-9 10-11", 1.15),
    "halpe26": (26, f"{BODY_PAIRS} 20-21 22-23 24-25", 1.73),
    "wholebody": (133, f"{BODY_PAIRS} 17-20 18-21 19-22 {FACE_PAIRS} {HAND_PAIRS}", 3.861),
    "coco25": (25, "1-2 3-4 6-7 8-9 10-11 12-13 15-16 17-18 19-22 20-23 21-24", 1.71),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_built_in_sets_are_the_published_ones(name: str) -> None:
    built_in = keypoint_set(name)
    num_keypoints, pairs, total = PUBLISHED[name]
    assert built_in.name == name
    assert built_in.num_keypoints == len(built_in.names) == num_keypoints
    assert built_in.flip_pairs == tuple(
        sorted((int(a), int(b)) for a, b in (pair.split("-") for pair in pairs.split()))
    )
    assert built_in.sigmas.shape == (num_keypoints,)
    assert built_in.sigmas.sum() == pytest.approx(total, abs=1e-9)
    assert built_in.source


def test_every_set_is_listed() -> None:
    assert list(KEYPOINT_SETS) == list(PUBLISHED)


@pytest.mark.parametrize(
    ("name", "upper"),
    [
        ("coco", [*range(11)]),
        ("aic", [*range(6), 12, 13]),
        ("mpii", [*range(7, 16)]),
        ("ap10k", [0, 1, 2, 3, *range(5, 11)]),  # 10, the right front paw, is an upstream slip
        ("crowdpose", [*range(6), 12, 13]),
        # faces and hands are in neither half upstream, and so go with the legs: a slip, too
        ("wholebody", [*range(11), *range(23, 133)]),
    ],
)
def test_upper_bodies(name: str, upper: list[int]) -> None:
    assert list(keypoint_set(name).upper_body) == upper


@pytest.mark.parametrize("name", PUBLISHED)
def test_sigmas_and_edges_are_symmetric_where_the_source_is(name: str) -> None:
    built_in = keypoint_set(name)
    order = built_in.flip_order
    assert order.dtype == np.int64
    np.testing.assert_array_equal(order[order], np.arange(built_in.num_keypoints))
    if name in ("coco", "mpii", "ap10k", "crowdpose", "halpe26"):
        np.testing.assert_array_equal(built_in.sigmas[order], built_in.sigmas)
    edges = {frozenset(edge) for edge in built_in.edges}
    if name != "wholebody":
        assert edges == {frozenset(order[list(edge)].tolist()) for edge in edges}


def test_whole_body_hands_and_feet_are_chained() -> None:
    names, edges = keypoint_set("wholebody").names, set(keypoint_set("wholebody").edges)
    assert names[17:24] == (
        "left_big_toe", "left_small_toe", "left_heel",
        "right_big_toe", "right_small_toe", "right_heel", "face_0",
    )  # fmt: skip
    assert (names[90], names[91], names[112]) == ("face_67", "left_hand_root", "right_hand_root")
    assert len(edges) == 19 + 6 + 40
    for root in (91, 112):
        for finger in range(root + 1, root + 21, 4):
            assert set(pairwise((root, *range(finger, finger + 4)))) <= edges


def test_a_misspelled_set_is_guessed() -> None:
    with pytest.raises(ConfigError) as caught:
        keypoint_set("coco-17")
    assert "'coco'" in caught.value.hint
    assert "wholebody" in caught.value.hint


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name != "apt36k"])
def test_built_in_sets_survive_a_coco_file(name: str) -> None:
    category = keypoint_set(name).to_category()
    assert category["id"] == 1
    assert min(min(bone) for bone in category["skeleton"]) == 1
    assert KeypointSet.from_category(category) is KEYPOINT_SETS[name]


def test_the_original_spelling_of_ap10k_is_recognised() -> None:
    names = (
        "L_Eye,R_Eye,Nose,Neck,Root of tail,L_Shoulder,L_Elbow,L_F_Paw,R_Shoulder,R_Elbow,R_F_Paw,"
        "L_Hip,L_Knee,L_B_Paw,R_Hip,R_Knee,R_B_Paw"
    )
    category = {"name": "antelope", "keypoints": names.split(",")}
    assert KeypointSet.from_category(category) is KEYPOINT_SETS["ap10k"]


def test_the_original_file_of_crowdpose_is_recognised_with_the_skeleton_of_coco() -> None:
    names = [*keypoint_set("crowdpose").names[:12], "head", "neck"]
    category = {"name": "person", "keypoints": names, "skeleton": [[16, 14], [17, 15]]}
    assert KeypointSet.from_category(category) is KEYPOINT_SETS["crowdpose"]


def test_an_own_set_is_built_from_its_category() -> None:
    horse = KeypointSet.from_category(
        {
            "id": 3,
            "name": "horse",
            "keypoints": ["nose", "leftKnee", "rightKnee", "withers"],
            "skeleton": [[1, 4], [4, 2], [4, 3]],
        }
    )
    assert (horse.name, horse.category) == ("horse", "horse")
    assert horse.edges == ((0, 3), (3, 1), (3, 2))
    assert horse.flip_pairs == ((1, 2),)
    assert horse.oks_sigmas == (0.026, 0.087, 0.087, UNKNOWN_SIGMA)
    assert horse.upper_body == (0, 3)
    assert horse.to_category(3)["skeleton"] == [[1, 4], [4, 2], [4, 3]]


def test_a_skeleton_that_counts_from_0_is_understood() -> None:
    category = {"keypoints": ["a1", "a2", "a3"], "skeleton": [[0, 1], [1, 2]]}
    assert KeypointSet.from_category(category).edges == ((0, 1), (1, 2))
    assert KeypointSet.from_category({"keypoints": ["a1"]}).edges == ()


@pytest.mark.parametrize(
    "category",
    [
        {"name": "car"},
        {"keypoints": []},
        {"keypoints": ["a", "b"], "skeleton": [[1, 3]]},
        {"keypoints": ["a", "b"], "skeleton": [[1, 2, 2]]},
        {"keypoints": ["a", "b"], "skeleton": ["ab"]},
        {"keypoints": ["a", "a"]},
    ],
    ids=["no keypoints", "empty", "out of range", "triple", "text", "twice"],
)
def test_broken_categories_are_refused(category: dict[str, object]) -> None:
    with pytest.raises(InputError):
        KeypointSet.from_category(category)


def test_refusals_name_what_is_wrong_with_a_category() -> None:
    with pytest.raises(InputError, match="Category 'arm' has the keypoint 'tip' twice"):
        KeypointSet.from_category({"name": "arm", "keypoints": ["tip", "hand", "tip"]})
    named = {"name": "arm", "keypoints": ["tip", "hand"], "skeleton": [["tip", "hand"]]}
    with pytest.raises(InputError, match="the skeleton is not a list of pairs of numbers") as said:
        KeypointSet.from_category(named)
    assert "leave the skeleton out" in said.value.hint


def test_unknown_sigma_is_the_mean_of_coco() -> None:
    assert pytest.approx(keypoint_set("coco").sigmas.mean(), abs=5e-4) == UNKNOWN_SIGMA


def test_keypoints_and_geometry_load_no_torch() -> None:
    code = (
        "import sys, vitpose_cli.pose.geometry, vitpose_cli.pose.keypoints;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_category_has_the_last_word_on_flip_pairs() -> None:
    category = {"name": "arm", "keypoints": ["kp1", "kp2", "left_tip", "right_tip"]}
    arm = KeypointSet.from_category({**category, "flip_pairs": [["kp2", "kp1"]]})
    assert arm.flip_pairs == ((0, 1),)
    assert arm.sides == ("centre",) * 4
    assert arm.to_category()["flip_pairs"] == [["kp1", "kp2"]]
    assert KeypointSet.from_category(arm.to_category()) == arm
    by_name = KeypointSet.from_category(category)
    assert by_name.flip_pairs == ((2, 3),)
    assert "flip_pairs" not in by_name.to_category()
    assert arm.shows_the_same(by_name)  # so that a head is taken over


def test_a_category_without_pairs_is_never_mirrored() -> None:
    people = keypoint_set("coco").to_category()
    assert not KeypointSet.from_category({**people, "flip_pairs": []}).mirrorable
    assert KeypointSet.from_category(people) is keypoint_set("coco")


def test_a_category_has_the_last_word_on_sigmas() -> None:
    category = {"name": "chair", "keypoints": ["seat", "nose", "leg"]}
    chair = KeypointSet.from_category({**category, "sigmas": [0.2, 0.026, 1]})
    assert chair.oks_sigmas == (0.2, 0.026, 1.0)
    assert chair.to_category()["sigmas"] == [0.2, 0.026, 1.0]
    assert KeypointSet.from_category(chair.to_category()) == chair
    usual = KeypointSet.from_category(category)
    assert usual.oks_sigmas == (UNKNOWN_SIGMA, 0.026, UNKNOWN_SIGMA)
    assert "sigmas" not in usual.to_category()
    assert chair.shows_the_same(usual)  # so that a head is taken over
    for built_in in KEYPOINT_SETS.values():
        assert "sigmas" not in built_in.to_category()
        wide = [0.1] * built_in.num_keypoints
        wider = KeypointSet.from_category({**built_in.to_category(), "sigmas": wide})
        assert wider.oks_sigmas == tuple(wide)
        assert wider.to_category()["sigmas"] == wide


@pytest.mark.parametrize(
    ("sigmas", "fault"),
    [
        (0.1, "is not a list"),
        ([0.1], "has 1 numbers for 2 keypoints"),
        ([0.1, "0.1"], "has '0.1', which is not a number"),
        ([0.1, True], "has True, which is not a number"),
        ([0.1, 0], "has 0, which is not from 0.0001 to 10"),
        ([0.1, float("inf")], "has inf, which is not from 0.0001 to 10"),
        ([0.1, 10**400], "has 1000"),
        ([0.1, 1e-9], "has 1e-09, which is not from 0.0001 to 10"),
        ([float("nan"), 0.1], "has nan, which is not from 0.0001 to 10"),
    ],
)
def test_sigmas_that_do_not_fit_are_refused(sigmas: object, fault: str) -> None:
    with pytest.raises(InputError, match=f"Category 'x': sigmas {fault}"):
        KeypointSet.from_category({"name": "x", "keypoints": ["a", "b"], "sigmas": sigmas})


@pytest.mark.parametrize(
    ("pairs", "fault"),
    [
        ("left", "is not a list"),
        ([["a"]], "is not a pair"),
        ([["a", "z"]], "none of the keypoints"),
        ([["a", "b"], ["b", "c"]], "twice"),
    ],
)
def test_flip_pairs_that_do_not_fit_are_refused(pairs: object, fault: str) -> None:
    with pytest.raises(InputError, match=f"Category 'x': flip_pairs .*{fault}"):
        KeypointSet.from_category({"name": "x", "keypoints": ["a", "b", "c"], "flip_pairs": pairs})

"""Names of keypoints in the spellings that real files use."""

import pytest

from vitpose_cli.errors import InputError
from vitpose_cli.pose.keypoint_names import canonical_words, keypoint_places


@pytest.mark.parametrize(
    "name",
    [
        *("left_eye", "L_Eye", "leftEye", "LeftEye", "LEye", "l-eye", "eye.l", "eye_L"),
        *("EyeLeft", "LEFT.EYE", "Left eye", "eye (left)"),
    ],
)
def test_spellings_of_one_point_are_one(name: str) -> None:
    assert canonical_words(name) == ("left", "eye")


ALIKE = ["tip+", "tip-", "C", "C'", "b", "back", "F", "Front"]


def test_names_that_differ_in_spelling_alone_are_found_where_all_are_there() -> None:
    assert keypoint_places(ALIKE, ALIKE) == [*range(8)]
    assert keypoint_places(ALIKE[::2], ["base", *ALIKE]) == [1, 3, 5, 7]


def test_names_are_found_by_their_words() -> None:
    assert keypoint_places(["left_hip", "nose", "tip"], ["Nose", "hip.l"]) == [1, 0, None]
    assert keypoint_places(["base"], ["Base", *ALIKE]) == [0]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (ALIKE, [*ALIKE[:-1], "front"]),
        (["tip+", "tip-"], ["tip"]),
        (["tip"], ["tip+", "tip-"]),
        (["tip", "C"], ["C", "tip", "tip"]),
    ],
)
def test_names_that_their_words_do_not_tell_apart_are_refused(
    wanted: list[str], found: list[str]
) -> None:
    with pytest.raises(InputError, match="differ in their spelling alone"):
        keypoint_places(wanted, found)

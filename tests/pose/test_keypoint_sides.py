"""Left, right, upper and lower, in the spellings that real files use."""

import pytest

from vitpose_cli.pose.keypoint_sides import flip_pairs, is_upper_body


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("left_eye", "right_eye"),
        ("L_Eye", "R_Eye"),
        ("eye.l", "eye.r"),
        ("leftEye", "rightEye"),
        ("l-eye", "r-eye"),
        ("LAnkle", "RAnkle"),
        ("lefteye", "righteye"),
        ("lankle", "rankle"),
        ("LF_paw", "RF_paw"),
        ("knee (left)", "knee (right)"),
        ("left_eye_left_corner", "right_eye_right_corner"),
        ("left_eye_right_corner", "right_eye_left_corner"),
        ("左_l", "左_r"),
        ("左目", "右目"),
        ("FL_hoof", "FR_hoof"),
        ("hoof RL", "hoof RR"),
        ("lh_paw", "rh_paw"),
        ("Knie links", "Knie rechts"),
        ("linkes Auge", "rechtes Auge"),
        ("ojo izquierdo", "ojo derecho"),
        ("genou gauche", "genou droit"),
    ],
)
def test_flip_pairs_are_found(left: str, right: str) -> None:
    assert flip_pairs(["nose", right, "neck", left]) == ((1, 3),)


def test_names_that_differ_in_spelling_alone_are_paired_as_they_are_spelled() -> None:
    names = ["left tip+", "Left tip-", "Right tip-", "right tip+", "L_C", "L_C'", "R_C'", "c"]
    assert flip_pairs(names) == ((0, 3), (1, 2), (5, 6))


def test_names_without_an_opposite_are_not_paired() -> None:
    assert flip_pairs(["left_eye", "nose", "lip", "rear", "root", "1", "2", "right_ear"]) == ()
    assert flip_pairs([]) == ()


def test_words_that_begin_with_l_and_r_by_accident_are_not_paired() -> None:
    assert flip_pairs(["light", "right", "link1", "rink1", "lobe", "robe"]) == ()
    assert flip_pairs(["lamp", "ramp", "lankle", "rankle"]) == ((2, 3),)


def test_glued_initials_of_other_words_are_a_habit_where_three_pairs_have_them() -> None:
    assert flip_pairs(["lx", "rx", "ly", "ry"]) == ()
    assert flip_pairs(["lx", "rx", "ly", "ry", "lz", "rz"]) == ((0, 1), (2, 3), (4, 5))


def test_all_sided_points_of_a_horse_are_paired() -> None:
    names = ["left_eye", "right_eye", "FL_hoof", "FR_hoof", "HL_hoof", "HR_hoof", "tail"]
    assert flip_pairs(names) == ((0, 1), (2, 3), (4, 5))


def test_face_points_are_paired_only_where_all_68_are_there() -> None:
    face = [f"face-{number}" for number in range(68)]
    pairs = flip_pairs(face)
    assert len(pairs) == 29
    assert {(0, 16), (17, 26), (31, 35), (36, 45), (41, 46), (48, 54), (60, 64)} <= set(pairs)
    assert flip_pairs(face[:67]) == ()
    assert flip_pairs([*face, "face-68"]) == ()


@pytest.mark.parametrize(
    ("name", "upper"),
    [
        ("nose", True),
        ("L_Wrist", True),
        ("left_front_paw", True),
        ("R_F_Paw", True),
        ("left_pinky_finger4", True),
        ("leftHip", False),
        ("lknee", False),
        ("L_B_Paw", False),
        ("Root of tail", False),
        ("right_small_toe", False),
        ("pelvis", False),
        ("left_calf", False),
        ("right feet", False),
        ("left_hock", False),
        ("left_hind_fetlock", False),
        ("left_front_fetlock", True),
        ("RH_coronet", False),
        ("left_hind_elbow", False),
    ],
)
def test_upper_body(name: str, upper: bool) -> None:
    assert is_upper_body(name) is upper

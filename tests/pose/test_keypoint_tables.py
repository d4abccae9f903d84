"""The published tables number by number: a list in another order would still look right.

Typed from the dataset configurations of mmpose (`configs/_base_/datasets`), whose limbs are pairs
of names. easy_ViTPose's coco25 has its own order; its neck and hip have Halpe's sigmas, its feet
those of whole bodies.
"""

from __future__ import annotations

from itertools import pairwise

import pytest

from vitpose_cli.pose.keypoints import keypoint_set

SHORT = {
    "L": "left", "R": "right", "sho": "shoulder", "elb": "elbow", "wri": "wrist", "kne": "knee",
    "ank": "ankle",
}  # fmt: skip

BODY_LIMBS = """
    L_ank-L_kne L_kne-L_hip R_ank-R_kne R_kne-R_hip L_hip-R_hip L_sho-L_hip R_sho-R_hip L_sho-R_sho
    L_sho-L_elb R_sho-R_elb L_elb-L_wri R_elb-R_wri L_eye-R_eye nose-L_eye nose-R_eye L_eye-L_ear
    R_eye-R_ear L_ear-L_sho R_ear-R_sho
"""
BODY_SIGMAS = ".026 .025 .025 .035 .035 .079 .079 .072 .072 .062 .062 .107 .107 .087 .087 .089 .089"
BODY_NAMES = """
    nose L_eye R_eye L_ear R_ear L_sho R_sho L_elb R_elb L_wri R_wri L_hip R_hip L_kne R_kne L_ank
    R_ank
"""
ANIMAL = (
    """
    L_eye R_eye nose neck root_of_tail L_sho L_elb L_front_paw R_sho R_elb R_front_paw L_hip L_kne
    L_back_paw R_hip R_kne R_back_paw
    """,
    """
    L_eye-R_eye L_eye-nose R_eye-nose nose-neck neck-root_of_tail neck-L_sho L_sho-L_elb
    L_elb-L_front_paw neck-R_sho R_sho-R_elb R_elb-R_front_paw root_of_tail-L_hip L_hip-L_kne
    L_kne-L_back_paw root_of_tail-R_hip R_hip-R_kne R_kne-R_back_paw
    """,
    ".025 .025 .026 .035 .035 .079 .072 .062 .079 .072 .062 .107 .087 .089 .107 .087 .089",
)
FINGERS = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
HAND_SIGMAS = (
    ".029 .022 .035 .037 .047 .026 .025 .024 .035 .018 .024 .022 .026 .017 .021 .021 .032 .020 "
    ".019 .022 .031 "
)
FOOT_LIMBS = " ".join(
    f"{side}_ank-{side}_{part}" for side in "LR" for part in ("big_toe", "small_toe", "heel")
)


def hand(side: str) -> str:
    points = [f"{side}_{finger}{number}" for finger in FINGERS for number in range(1, 5)]
    return " ".join([f"{side}_hand_root", *points])


def hand_limbs(side: str) -> str:
    chains = [
        [f"{side}_hand_root", *(f"{side}_{finger}{number}" for number in range(1, 5))]
        for finger in FINGERS
    ]
    return " ".join(f"{one}-{other}" for chain in chains for one, other in pairwise(chain))


# name: keypoints in their order, limbs, sigmas
PUBLISHED = {
    "coco": (BODY_NAMES, BODY_LIMBS, BODY_SIGMAS),
    "aic": (
        """
        R_sho R_elb R_wri L_sho L_elb L_wri R_hip R_kne R_ank L_hip L_kne L_ank head_top neck
        """,
        """
        R_wri-R_elb R_elb-R_sho R_sho-neck neck-L_sho L_sho-L_elb L_elb-L_wri R_ank-R_kne
        R_kne-R_hip R_hip-L_hip L_hip-L_kne L_kne-L_ank head_top-neck R_sho-R_hip L_sho-L_hip
        """,
        ".01388152 .01515228 .01057665 .01417709 .01497891 .01402144 .03909642 .03686941 .01981803 "
        ".03843971 .03412318 .02415081 .01291456 .01236173",
    ),
    "mpii": (
        """
        R_ank R_kne R_hip L_hip L_kne L_ank pelvis thorax upper_neck head_top R_wri R_elb R_sho
        L_sho L_elb L_wri
        """,
        """
        R_ank-R_kne R_kne-R_hip R_hip-pelvis pelvis-L_hip L_hip-L_kne L_kne-L_ank pelvis-thorax
        thorax-upper_neck upper_neck-head_top upper_neck-R_sho R_sho-R_elb R_elb-R_wri
        upper_neck-L_sho L_sho-L_elb L_elb-L_wri
        """,
        ".089 .083 .107 .107 .083 .089 .026 .026 .026 .026 .062 .072 .179 .179 .072 .062",
    ),
    "ap10k": ANIMAL,
    "apt36k": ANIMAL,
    "crowdpose": (
        "L_sho R_sho L_elb R_elb L_wri R_wri L_hip R_hip L_kne R_kne L_ank R_ank top_head neck",
        """
        L_ank-L_kne L_kne-L_hip R_ank-R_kne R_kne-R_hip L_hip-R_hip L_sho-L_hip R_sho-R_hip
        L_sho-R_sho L_sho-L_elb R_sho-R_elb L_elb-L_wri R_elb-R_wri top_head-neck R_sho-neck
        L_sho-neck
        """,
        ".079 .079 .072 .072 .062 .062 .107 .107 .087 .087 .089 .089 .079 .079",
    ),
    "halpe26": (
        BODY_NAMES
        + "head neck hip L_big_toe R_big_toe L_small_toe R_small_toe L_heel R_heel",
        """
        L_ank-L_kne L_kne-L_hip L_hip-hip R_ank-R_kne R_kne-R_hip R_hip-hip head-neck neck-hip
        neck-L_sho L_sho-L_elb L_elb-L_wri neck-R_sho R_sho-R_elb R_elb-R_wri L_eye-R_eye nose-L_eye
        nose-R_eye L_eye-L_ear R_eye-R_ear L_ear-L_sho R_ear-R_sho
        """
        + FOOT_LIMBS,
        BODY_SIGMAS + " .026 .026 .066 .079 .079 .079 .079 .079 .079",
    ),
    "wholebody": (
        BODY_NAMES
        + "L_big_toe L_small_toe L_heel R_big_toe R_small_toe R_heel "
        + " ".join(f"face_{number}" for number in range(68))
        + f" {hand('L')} {hand('R')}",
        f"{BODY_LIMBS} {FOOT_LIMBS} {hand_limbs('L')} {hand_limbs('R')}",
        BODY_SIGMAS + " .068 .066 .066 .092 .094 .094 "
        ".042 .043 .044 .043 .040 .035 .031 .025 .020 .023 .029 .032 .037 .038 .043 .041 .045 "
        ".013 .012 .011 .011 .012 .012 .011 .011 .013 .015 .009 .007 .007 .007 .012 .009 .008 "
        ".016 .010 .017 .011 .009 .011 .009 .007 .013 .008 .011 .012 .010 .034 .008 .008 .009 "
        ".008 .008 .007 .010 .008 .009 .009 .009 .007 .007 .008 .011 .008 .008 .008 .010 .008 "
        + 2 * HAND_SIGMAS,
    ),
}  # fmt: skip

COCO25 = """
    nose L_eye R_eye L_ear R_ear neck L_sho R_sho L_elb R_elb L_wri R_wri L_hip R_hip hip L_kne
    R_kne L_ank R_ank L_big_toe L_small_toe L_heel R_big_toe R_small_toe R_heel
"""
COCO25_SIGMAS = (
    ".026 .025 .025 .035 .035 .026 .079 .079 .072 .072 .062 .062 .107 .107 .066 .087 .087 .089 "
    ".089 .068 .066 .066 .092 .094 .094"
)


def spelled(name: str) -> str:
    return "_".join(SHORT.get(part, part) for part in name.split("_"))


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_name_limb_and_sigma_is_in_its_place(name: str) -> None:
    names, limbs, sigmas = PUBLISHED[name]
    built_in = keypoint_set(name)
    assert list(built_in.names) == [spelled(one) for one in names.split()]
    assert list(built_in.oks_sigmas) == [float(sigma) for sigma in sigmas.split()]
    drawn = [tuple(built_in.names[end] for end in edge) for edge in built_in.edges]
    ends = [tuple(map(spelled, limb.split("-"))) for limb in limbs.split()]
    assert {frozenset(edge) for edge in drawn} == {frozenset(edge) for edge in ends}
    assert len(drawn) == len(ends)


def test_the_points_of_coco25_are_in_their_places() -> None:
    built_in = keypoint_set("coco25")
    assert list(built_in.names) == [spelled(one) for one in COCO25.split()]
    assert list(built_in.oks_sigmas) == [float(sigma) for sigma in COCO25_SIGMAS.split()]

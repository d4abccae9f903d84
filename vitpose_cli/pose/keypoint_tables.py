"""The published keypoint sets as plain data: names, edges, sigmas, and where they come from.

Nothing here that can be derived: flip pairs and upper bodies follow from the names. Only
`keypoints` reads these tables, to turn each into a `KeypointSet`. Edges are written as the
positions they join, counted from 0.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class PublishedSet(NamedTuple):
    """One published set; the fields are those of `KeypointSet`."""

    name: str
    category: str
    names: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    oks_sigmas: tuple[float, ...]
    source: str


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _edges(text: str, offset: int = 0) -> tuple[tuple[int, int], ...]:
    ends = (edge.split("-") for edge in text.split())
    return tuple((int(start) + offset, int(end) + offset) for start, end in ends)


def _sigmas(text: str) -> tuple[float, ...]:
    return tuple(float(sigma) for sigma in text.split())


_BODY = _names(
    "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow "
    "right_elbow left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle "
    "right_ankle"
)
_BODY_EDGES = _edges(
    "15-13 13-11 16-14 14-12 11-12 5-11 6-12 5-6 5-7 6-8 7-9 8-10 1-2 0-1 0-2 1-3 2-4 3-5 4-6"
)
_BODY_SIGMAS = _sigmas(
    ".026 .025 .025 .035 .035 .079 .079 .072 .072 .062 .062 .107 .107 .087 .087 .089 .089"
)

_FEET = _names("left_big_toe left_small_toe left_heel right_big_toe right_small_toe right_heel")
_FEET_SIGMAS = _sigmas(".068 .066 .066 .092 .094 .094")

_FACE = tuple(f"face_{number}" for number in range(68))
_FACE_SIGMAS = _sigmas(
    ".042 .043 .044 .043 .040 .035 .031 .025 .020 .023 .029 .032 .037 .038 .043 .041 .045 .013 "
    ".012 .011 .011 .012 .012 .011 .011 .013 .015 .009 .007 .007 .007 .012 .009 .008 .016 .010 "
    ".017 .011 .009 .011 .009 .007 .013 .008 .011 .012 .010 .034 .008 .008 .009 .008 .008 .007 "
    ".010 .008 .009 .009 .009 .007 .007 .008 .011 .008 .008 .008 .010 .008"
)

_HANDS = tuple(
    f"{side}_{point}"
    for side in ("left", "right")
    for point in _names(
        "hand_root thumb1 thumb2 thumb3 thumb4 forefinger1 forefinger2 forefinger3 forefinger4 "
        "middle_finger1 middle_finger2 middle_finger3 middle_finger4 ring_finger1 ring_finger2 "
        "ring_finger3 ring_finger4 pinky_finger1 pinky_finger2 pinky_finger3 pinky_finger4"
    )
)
_HAND_EDGES = (
    "0-1 1-2 2-3 3-4 0-5 5-6 6-7 7-8 0-9 9-10 10-11 11-12 0-13 13-14 14-15 15-16 0-17 17-18 "
    "18-19 19-20"
)
_HAND_SIGMAS = _sigmas(
    ".029 .022 .035 .037 .047 .026 .025 .024 .035 .018 .024 .022 .026 .017 .021 .021 .032 .020 "
    ".019 .022 .031"
)

_ANIMAL = _names(
    "left_eye right_eye nose neck root_of_tail left_shoulder left_elbow left_front_paw "
    "right_shoulder right_elbow right_front_paw left_hip left_knee left_back_paw right_hip "
    "right_knee right_back_paw"
)
_ANIMAL_EDGES = _edges(
    "0-1 0-2 1-2 2-3 3-4 3-5 5-6 6-7 3-8 8-9 9-10 4-11 11-12 12-13 4-14 14-15 15-16"
)
_ANIMAL_SIGMAS = _sigmas(
    ".025 .025 .026 .035 .035 .079 .072 .062 .079 .072 .062 .107 .087 .089 .107 .087 .089"
)

TABLES = (
    PublishedSet(
        name="coco",
        category="person",
        names=_BODY,
        edges=_BODY_EDGES,
        oks_sigmas=_BODY_SIGMAS,
        source="COCO 2017; edges as in mmpose",
    ),
    PublishedSet(
        name="aic",
        category="person",
        names=_names(
            "right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist right_hip "
            "right_knee right_ankle left_hip left_knee left_ankle head_top neck"
        ),
        edges=_edges("2-1 1-0 0-13 13-3 3-4 4-5 8-7 7-6 6-9 9-10 10-11 12-13 0-6 3-9"),
        oks_sigmas=_sigmas(
            ".01388152 .01515228 .01057665 .01417709 .01497891 .01402144 .03909642 .03686941 "
            ".01981803 .03843971 .03412318 .02415081 .01291456 .01236173"
        ),
        source="AI Challenger 2017; edges and sigmas as in mmpose",
    ),
    PublishedSet(
        name="mpii",
        category="person",
        names=_names(
            "right_ankle right_knee right_hip left_hip left_knee left_ankle pelvis thorax "
            "upper_neck head_top right_wrist right_elbow right_shoulder left_shoulder left_elbow "
            "left_wrist"
        ),
        edges=_edges("0-1 1-2 2-6 6-3 3-4 4-5 6-7 7-8 8-9 8-12 12-11 11-10 8-13 13-14 14-15"),
        oks_sigmas=_sigmas(
            ".089 .083 .107 .107 .083 .089 .026 .026 .026 .026 .062 .072 .179 .179 .072 .062"
        ),
        source="MPII Human Pose; edges and sigmas as in mmpose (MPII itself measures PCKh)",
    ),
    PublishedSet(
        name="ap10k",
        category="animal",
        names=_ANIMAL,
        edges=_ANIMAL_EDGES,
        oks_sigmas=_ANIMAL_SIGMAS,
        source="AP-10K; edges and sigmas as in mmpose, whose right front paw in the lower body is "
        "taken for a slip",
    ),
    PublishedSet(
        name="apt36k",
        category="animal",
        names=_ANIMAL,
        edges=_ANIMAL_EDGES,
        oks_sigmas=_ANIMAL_SIGMAS,
        source="APT-36K, which shares the keypoints of AP-10K",
    ),
    PublishedSet(
        name="crowdpose",
        category="person",
        names=(*_BODY[5:], "top_head", "neck"),
        edges=_edges("10-8 8-6 11-9 9-7 6-7 0-6 1-7 0-1 0-2 1-3 2-4 3-5 12-13 1-13 0-13"),
        oks_sigmas=(*_BODY_SIGMAS[5:], 0.079, 0.079),
        source="CrowdPose; edges and sigmas as in mmpose",
    ),
    PublishedSet(
        name="halpe26",
        category="person",
        names=_BODY
        + _names(
            "head neck hip left_big_toe right_big_toe left_small_toe right_small_toe left_heel "
            "right_heel"
        ),
        edges=_edges(
            "15-13 13-11 11-19 16-14 14-12 12-19 17-18 18-19 18-5 5-7 7-9 18-6 6-8 8-10 1-2 0-1 "
            "0-2 1-3 2-4 3-5 4-6 15-20 15-22 15-24 16-21 16-23 16-25"
        ),
        oks_sigmas=(*_BODY_SIGMAS, 0.026, 0.026, 0.066, *(0.079,) * 6),
        source="Halpe full body, its first 26; edges and sigmas as in mmpose",
    ),
    PublishedSet(
        name="wholebody",
        category="person",
        names=_BODY + _FEET + _FACE + _HANDS,
        edges=_BODY_EDGES
        + _edges("15-17 15-18 15-19 16-20 16-21 16-22")
        + _edges(_HAND_EDGES, offset=91)
        + _edges(_HAND_EDGES, offset=112),
        oks_sigmas=_BODY_SIGMAS + _FEET_SIGMAS + _FACE_SIGMAS + _HAND_SIGMAS * 2,
        source="COCO-WholeBody 1.0; face_0 to face_67 count as in iBUG-68",
    ),
    PublishedSet(
        name="coco25",
        category="person",
        names=(*_BODY[:5], "neck", *_BODY[5:13], "hip", *_BODY[13:], *_FEET),
        edges=_edges(
            "17-15 15-12 12-14 18-16 16-13 13-14 14-5 5-6 5-7 6-8 8-10 7-9 9-11 1-2 0-1 0-2 1-3 "
            "2-4 0-5 17-19 17-20 17-21 18-22 18-23 18-24"
        ),
        oks_sigmas=(
            *_BODY_SIGMAS[:5],
            0.026,
            *_BODY_SIGMAS[5:13],
            0.066,
            *_BODY_SIGMAS[13:],
            *_FEET_SIGMAS,
        ),
        source="easy_ViTPose's coco_25 order; neck and hip sigmas of Halpe, feet of WholeBody",
    ),
)

OTHER_NAMES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {"crowdpose": MappingProxyType({"top_head": "head"})}
)
"""What a data set's own files call keypoints of a set, by set and by name here."""

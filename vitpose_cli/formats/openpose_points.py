"""Which keypoints stand where in the lists of OpenPose's files.

OpenPose has lists of its own, which put a neck between the shoulders and a hip between the hips:
means of two keypoints, as in its training data. Programs that read its files count places in them,
so what is not labelled keeps its place, as 0, 0, 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.pose.keypoint_names import keypoint_places
from vitpose_cli.pose.keypoints import KeypointSet, keypoint_set
from vitpose_cli.records.record import SCORE_DECIMALS
from vitpose_cli.records.whole_body import part_places

ListName = Literal["pose", "face", "hand_left", "hand_right"]
LIST_NAMES: tuple[ListName, ...] = ("pose", "face", "hand_left", "hand_right")
"""The lists that each person has, in OpenPose's order."""

ListedPoint = tuple[str, ...]
"""The keypoint that a point is, the two that it is between, or nothing if it is not labelled."""

Lists = Mapping[ListName, Sequence[ListedPoint]]

_LEAST_SCORE = 10.0**-SCORE_DECIMALS
_DECIMALS = 3  # coordinates have two, and a mean of two of them one more


def _points(text: str) -> tuple[ListedPoint, ...]:
    return tuple(tuple(point.split("+")) for point in text.split())


_NECK_AND_ARMS = (
    "nose left_shoulder+right_shoulder right_shoulder right_elbow right_wrist left_shoulder "
    "left_elbow left_wrist "
)
_LEGS = "right_hip right_knee right_ankle left_hip left_knee left_ankle "
_HEAD = "right_eye left_eye right_ear left_ear "
_FEET = "left_big_toe left_small_toe left_heel right_big_toe right_small_toe right_heel"

COCO_18 = _points(_NECK_AND_ARMS + _LEGS + _HEAD)
BODY_25 = _points(_NECK_AND_ARMS + "left_hip+right_hip " + _LEGS + _HEAD + _FEET)
"""OpenPose's own lists of bodies: include/openpose/pose/poseParameters.hpp."""

_WHOLE = keypoint_set("wholebody")
_FACE, _LEFT, _RIGHT = (
    tuple((name,) for name in _WHOLE.names[part_places(_WHOLE)[part]])
    for part in ("face", "lefthand", "righthand")
)
_PUPILS: tuple[ListedPoint, ...] = ((), ())


def lists_with_body(body: Sequence[ListedPoint], *, pupils: bool) -> Lists:
    """Return lists of a body, face and hands.

    Args:
        body: The points of the body.
        pupils: Whether the face has places for those two, which no keypoint set here has: 70 points
            in place of 68.
    """
    face = (*_FACE, *_PUPILS) if pupils else _FACE
    return {"pose": body, "face": face, "hand_left": _LEFT, "hand_right": _RIGHT}


@dataclass(frozen=True, slots=True)
class OpenPosePoints:
    """Where the points of all lists are among K keypoints.

    Attributes:
        places: By list, (P, 2): the keypoints that each of its P points is the mean of; twice the
            same for one that is a keypoint, K for what is not labelled. None for an empty list.
        missing: Keypoints of the body that are not among the K.
    """

    places: Mapping[ListName, NDArray[np.int64] | None]
    missing: tuple[str, ...]

    @classmethod
    def of(cls, keypoints: KeypointSet, lists: Lists | None) -> OpenPosePoints:
        """Find the points of lists among keypoints, by their names.

        A face or hand of which no point is a keypoint is an empty list.

        Args:
            keypoints: K keypoints.
            lists: What is to be in the files; None for all keypoints as they are, as the body.

        Raises:
            InputError: Names differ in nothing but their spelling.
        """
        count = keypoints.num_keypoints
        places: dict[ListName, NDArray[np.int64] | None] = dict.fromkeys(LIST_NAMES)
        if lists is None:
            places["pose"] = np.repeat(np.arange(count)[:, None], 2, axis=1)
            return cls(places, ())
        names = [*dict.fromkeys(chain.from_iterable(chain.from_iterable(lists.values())))]
        found = dict(zip(names, keypoint_places(names, keypoints.names), strict=True))
        for part, points in lists.items():
            pairs = [
                [count if place is None else place for place in map(found.get, (one[0], one[-1]))]
                if one
                else [count, count]
                for one in points
            ]
            places[part] = np.array(pairs) if np.less(pairs, count).any() else None
        body = dict.fromkeys(chain.from_iterable(lists["pose"]))
        return cls(places, tuple(name for name in body if found[name] is None))

    def numbers(self, people: Sequence[Mapping[str, Any]]) -> list[dict[ListName, list[float]]]:
        """Return the lists of people: x, y in px and a score from 0 to 1 of every point.

        What is not labelled is 0, 0, 0; a score of what is labelled is never 0. A point between two
        has the lower score, and is labelled where both are.

        Args:
            people: COCO annotations of the K keypoints, with scores.
        """
        if not people:
            return []
        scores = np.array([person["keypoint_scores"] for person in people], np.float64)
        points = np.array([person["keypoints"] for person in people], np.float64)
        points = points.reshape(*scores.shape, 3)
        labelled = points[..., 2] > 0
        points[..., 2] = np.where(labelled, np.clip(scores, _LEAST_SCORE, 1), 0)
        points = np.pad(points, ((0, 0), (0, 1), (0, 0)))
        rows: list[dict[ListName, list[float]]] = [
            {part: [] for part in LIST_NAMES} for _ in people
        ]
        for part, places in self.places.items():
            if places is None:
                continue
            ends = points[:, places]
            found = ends.mean(axis=2).round(_DECIMALS)
            found[..., 2] = ends[..., 2].min(axis=2)
            found[found[..., 2] == 0] = 0
            for row, numbers in zip(rows, found.reshape(len(people), -1).tolist(), strict=True):
                row[part] = numbers
        return rows

"""Which keypoints of a run are labelled: none that a model puts outside of the picture.

So its document says it, and so does what counts and compares its labels. The journal keeps such
keypoints as they came, and evaluation and results take them from there.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.pose.instances import Instances
from vitpose_cli.records.record import BY_HAND_SCORE, FrameRecord


def labelled_visibility(
    people: Instances, sizes_wh: NDArray[np.int64], by_hand: NDArray[np.bool_]
) -> NDArray[np.int8]:
    """Return the visibility (N, K) of people, 0 where a model put a keypoint outside.

    What a person put there stays, also where the rest of a frame is a model's that the person
    accepted: keypoints placed by hand score 1, while those of a model score less or more.

    Args:
        people: N of them, of one frame or of several.
        sizes_wh: (N, 2) width and height of each one's picture, px.
        by_hand: (N,) whether a person has the last word on each one's frame.
    """
    inside = ((people.keypoints >= 0) & (people.keypoints <= sizes_wh[:, None])).all(axis=-1)
    placed = (people.keypoint_scores == BY_HAND_SCORE) & by_hand[:, None]
    return np.where(inside | placed, people.visibility, np.int8(0))


def with_labelled_keypoints(record: FrameRecord) -> FrameRecord:
    """Return a record of a run with the visibility that its document has; places stay.

    It is the very same one where nothing lies outside. For counting and comparing: what is stored,
    or handed on as a run, is the record itself.
    """
    people = record.instances
    if people is None or _are_all_inside(people, record.size_wh):
        return record
    sizes_wh = np.array([record.size_wh] * len(people), np.int64).reshape(-1, 2)
    by_hand = np.full(len(people), record.origin == "human")
    visibility = labelled_visibility(people, sizes_wh, by_hand)
    if np.array_equal(visibility, people.visibility):
        return record
    return replace(record, instances=replace(people, visibility=visibility), exact=True)


def _are_all_inside(people: Instances, size_wh: tuple[int, int] | None) -> bool:
    """Return whether no keypoint lies outside of the picture: so it is in nearly all frames."""
    points = people.keypoints.reshape(-1, 2)
    if not len(points) or size_wh is None:
        return not len(points)
    (right, bottom), (width, height) = points.max(axis=0).tolist(), size_wh
    return bool(points.min() >= 0) and right <= width and bottom <= height

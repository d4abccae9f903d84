"""The people of a run as its document has them: within the picture.

A network's keypoints, and boxes that were given or drawn by hand, may lie outside of it. The
document says of such keypoints that they are not labelled and cuts boxes at the border, and so
does what counts, compares and draws labels. The journal keeps both as they came, and evaluation and
results take them from there.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.pose.geometry import xywh_to_xyxy
from vitpose_cli.pose.instances import Instances
from vitpose_cli.records.body_sizes import SMALLEST_SIDE
from vitpose_cli.records.record import BY_HAND_SCORE, COORDINATE_DECIMALS, FrameRecord


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


def bboxes_within(boxes: NDArray[np.float32], sizes_wh: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return xyxy boxes as xywh inside the picture, at least one pixel wide and high.

    Args:
        boxes: (N, 4) frame px.
        sizes_wh: (N, 2) width and height of each one's picture, px.

    Returns:
        (N, 4) frame px, rounded as documents have them.
    """
    places = np.asarray(boxes, np.float64).round(COORDINATE_DECIMALS)
    smallest = np.minimum(SMALLEST_SIDE, sizes_wh)
    low = np.minimum(np.maximum(places[:, :2], 0.0), sizes_wh - smallest)
    high = np.minimum(np.maximum(places[:, 2:], low + smallest), sizes_wh)
    return np.concatenate([low, (high - low).round(COORDINATE_DECIMALS)], axis=1)


def as_documented(record: FrameRecord) -> FrameRecord:
    """Return a record of a run with the boxes and the visibility of its document.

    Places of keypoints stay. For counting, comparing and drawing: what is stored, or handed on as a
    run, is the record itself.
    """
    people = record.instances
    if people is None or not len(people) or _is_within(people, record.size_wh):
        return record
    sizes_wh = np.array([record.size_wh] * len(people), np.int64)
    by_hand = np.full(len(people), record.origin == "human")
    within = replace(
        people,
        visibility=labelled_visibility(people, sizes_wh, by_hand),
        boxes=xywh_to_xyxy(bboxes_within(people.boxes, sizes_wh)).astype(np.float32),
    )
    return replace(record, instances=within, exact=True)


def _is_within(people: Instances, size_wh: tuple[int, int] | None) -> bool:
    """Return whether nothing of anybody lies outside of the picture, as in nearly all frames."""
    if size_wh is None:
        return False
    boxes, points = people.boxes, people.keypoints.reshape(-1, 2)
    low = min(points.min(), boxes[:, :2].min())
    (right, bottom), (width, height) = np.maximum(points.max(0), boxes[:, 2:].max(0)), size_wh
    shortest = (boxes[:, 2:] - boxes[:, :2]).min()
    return bool(low >= 0 and right <= width and bottom <= height and shortest >= SMALLEST_SIDE)

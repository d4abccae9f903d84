"""The people of a run as they are drawn: as its document has them.

A network's boxes and keypoints may lie outside of the picture. The document cuts boxes at its
border and says that such keypoints are not labelled, and a picture of either is the same.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.pose.geometry import xywh_to_xyxy
from vitpose_cli.pose.instances import Instances
from vitpose_cli.records.body_sizes import SMALLEST_SIDE
from vitpose_cli.records.labelled_keypoints import with_labelled_keypoints
from vitpose_cli.records.record import COORDINATE_DECIMALS, FrameRecord


def drawn_people(record: FrameRecord) -> Instances | None:
    """Return who is in a frame of a run, with the boxes and the visibility of its document.

    Returns:
        None where the frame has no labels.
    """
    people = with_labelled_keypoints(record).instances
    if people is None or not len(people):
        return people
    sizes_wh = np.array([record.size_wh] * len(people), np.int64)
    bboxes = bboxes_within(people.boxes, sizes_wh)
    return replace(people, boxes=xywh_to_xyxy(bboxes).astype(np.float32))


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

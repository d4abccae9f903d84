"""Where the keypoints of a person whom somebody adds by hand stand at first.

The mean pose of the run: it needs no table of poses for every kind of body, and fits animals as
well. Nothing of it becomes a label by itself: it is what an editor shows, until a person moves or
places the points.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.records.record import FrameRecord

_MIN_SIDE_PX = 1.0
_RING = 0.35
"""Radius of the ring, in box sides, on which keypoints stand that nobody in the run has."""


def mean_pose(records: Iterable[FrameRecord], num_keypoints: int) -> list[list[float]]:
    """Return the mean place of every keypoint in its person's box.

    Args:
        records: Frames to take the mean over.
        num_keypoints: K.

    Returns:
        (K, 2) x and y, from 0 at the left and top of the box to 1 at its right and bottom.
    """
    total = np.zeros((num_keypoints, 2))
    count = np.zeros(num_keypoints)
    for record in records:
        people = record.instances
        if people is None or not len(people):
            continue
        low = people.boxes[:, None, :2].astype(np.float64)
        sides = np.maximum(people.boxes[:, None, 2:] - low, _MIN_SIDE_PX)
        places = np.clip((people.keypoints - low) / sides, 0, 1)
        labelled = people.visibility > 0
        total += (places * labelled[..., None]).sum(axis=0)
        count += labelled.sum(axis=0)
    known = count > 0
    mean = np.where(known[:, None], total / np.maximum(count, 1)[:, None], _ring(num_keypoints))
    pose: list[list[float]] = mean.round(4).tolist()
    return pose


def _ring(num_keypoints: int) -> NDArray[np.float64]:
    angles = 2 * np.pi * np.arange(num_keypoints) / num_keypoints
    return 0.5 + _RING * np.stack([np.sin(angles), -np.cos(angles)], axis=1)

"""Where two runs over the same frames say different things: a committee of two networks.

A small and a large network are right together and wrong apart, so their disagreement tells more
than the doubts of either. Each person is compared with the nearest of the other run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.pose.geometry import box_areas, box_iou
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.oks import oks_matrix
from vitpose_cli.records.record import FrameRecord

MISSED_OKS = 0.1
MISSED_IOU = 0.3
"""A person below both with everybody of a run is not in that run at all."""

SAME = 0.005
"""1 - OKS up to which two people agree: their OKS reads as 1.00."""


def disagreement(
    people: Instances, others: Instances, sigmas: NDArray[np.float64]
) -> tuple[NDArray[np.float32], int]:
    """Compare the people of a frame with those of another run.

    Args:
        people: N of the one run.
        others: M of the other.
        sigmas: (K,) of the keypoint set.

    Returns:
        1 - OKS (N,) with the nearest of the others, over the keypoints that the one run shows (all
        where it shows none), and 0 up to `SAME`; and how many of the others are nobody of the one
        run.
    """
    if not len(people) or not len(others):
        return np.ones(len(people), np.float32), len(others)
    shown = people.visibility > 0
    shown |= ~shown.any(axis=1, keepdims=True)
    alike = oks_matrix(
        others.keypoints,
        box_areas(others.boxes),
        people.keypoints,
        box_areas(people.boxes),
        sigmas,
        shown.astype(np.int8),
    )
    overlap = box_iou(others.boxes, people.boxes)
    missed = (alike.max(axis=1) < MISSED_OKS) & (overlap.max(axis=1) < MISSED_IOU)
    differences = (1 - alike.max(axis=0)).astype(np.float32)
    return np.where(differences > SAME, differences, np.float32(0)), int(missed.sum())


def side_by_side(
    records: Iterable[FrameRecord], others: Iterable[FrameRecord]
) -> Iterator[tuple[FrameRecord, FrameRecord | None]]:
    """Yield every record with that of another run for the same frame, None where it has none.

    Args:
        records: Sorted by key.
        others: Sorted by key.
    """
    waiting = iter(others)
    other = next(waiting, None)
    for record in records:
        while other is not None and other.key < record.key:
            other = next(waiting, None)
        yield record, other if other is not None and other.key == record.key else None

"""PCKh, in which MPII's accuracy is published: keypoints within half the size of a head.

Its own annotations have a box of each head, of whose diagonal 0.6 is the size; a COCO-keypoint
file can say it as `head_size`. Where none does, the segment from head_top to upper_neck, which that
is to be about as long as, serves instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.evaluate.photo_batches import PhotoBatch
from vitpose_cli.pose.keypoints import KeypointSet

PCKH_THRESHOLDS = (0.1, 0.5)
"""Distances that count as right, relative to the size of the head."""

_SEGMENT = ("head_top", "upper_neck")
_LEFT_OUT = ("pelvis", "thorax")
"""Not in the mean, as published: other points of the trunk fix them."""


@dataclass(frozen=True, slots=True)
class HeadRow:
    """How well one keypoint is found.

    Attributes:
        name: The keypoint.
        count: How many labelled ones people with a size of the head have.
        pckh: Share within each of `PCKH_THRESHOLDS`, in [0, 1]; None if none is labelled.
    """

    name: str
    count: int
    pckh: tuple[float | None, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        pckh = {str(at): share for at, share in zip(PCKH_THRESHOLDS, self.pckh, strict=True)}
        return {"name": self.name, "count": self.count, "pckh": pckh}


@dataclass(frozen=True, slots=True)
class HeadPck:
    """PCKh of all keypoints.

    Attributes:
        by: What the size of a head was: `head_size`, or `head_top to upper_neck`.
        num_people: People with labelled keypoints of whom it is known; others are left out.
        rows: One for each keypoint, then their mean as published, without pelvis and thorax.
    """

    by: str
    num_people: int
    rows: tuple[HeadRow, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        rows = [row.as_dict() for row in self.rows]
        return {"by": self.by, "num_people": self.num_people, "keypoints": rows}


class HeadTable:
    """Sums over the photos that were added."""

    def __init__(self, keypoint_set: KeypointSet) -> None:
        """Begin without photos.

        Args:
            keypoint_set: Of truth and predictions.
        """
        names = keypoint_set.names
        self._names = names
        self._segment = [names.index(one) for one in _SEGMENT if one in names]
        # For `head_size` and for the segment: labelled keypoints, and those within each threshold.
        self._sums = np.zeros((2, 1 + len(PCKH_THRESHOLDS), keypoint_set.num_keypoints))
        self._num_people = [0, 0]

    def add(self, batch: PhotoBatch, distances: NDArray[np.float64]) -> None:
        """Take photos.

        Args:
            batch: The photos.
            distances: (B, G, K) of true keypoints from predicted ones, px; infinite without one.
        """
        labelled = batch.truth[..., 2] > 0
        for number, sizes in enumerate((batch.head_sizes, self._segments(batch))):
            counted = labelled & (sizes > 0)[..., None]
            if not counted.any():
                continue
            within = (distances <= sizes[..., None] * at for at in PCKH_THRESHOLDS)
            for row, values in enumerate((counted, *within)):
                self._sums[number, row] += (values & counted).sum(axis=(0, 1))
            self._num_people[number] += int(counted.any(axis=-1).sum())

    def result(self) -> HeadPck | None:
        """Return what was measured, by `head_size` if anybody has one; None if nothing was."""
        names = ("head_size", " to ".join(_SEGMENT))
        for by, num_people, sums in zip(names, self._num_people, self._sums, strict=True):
            if num_people:
                return HeadPck(by, num_people, self._rows(sums))
        return None

    def _segments(self, batch: PhotoBatch) -> NDArray[np.float64]:
        """Return how long the segments of heads are, (B, G) px; NaN without both ends."""
        if len(self._segment) < len(_SEGMENT):
            return np.full(batch.areas.shape, np.nan)
        top, neck = (batch.truth[:, :, place] for place in self._segment)
        lengths = np.hypot(*(top - neck)[..., :2].transpose(2, 0, 1))
        return np.where((top[..., 2] > 0) & (neck[..., 2] > 0), lengths, np.nan)

    def _rows(self, sums: NDArray[np.float64]) -> tuple[HeadRow, ...]:
        columns = [*zip(self._names, sums.T, strict=True)]
        inside = [name not in _LEFT_OUT for name in self._names]
        columns.append(("mean", sums[:, inside].sum(axis=1)))
        return tuple(
            HeadRow(
                name, int(count), tuple(float(one / count) if count else None for one in within)
            )
            for name, (count, *within) in columns
        )

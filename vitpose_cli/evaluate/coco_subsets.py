"""COCO's AP and AR of what data sets publish apart: parts of whole bodies, and crowded photos.

COCO-WholeBody measures body, feet, face and hands each with their own keypoints, and CrowdPose the
photos in which few, some or many people are in each other's boxes, each as if nothing else were
there. What counts is decided as by their own evaluators.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.evaluate.coco_metrics import CocoMetrics, mean_metrics, or_none
from vitpose_cli.evaluate.photo_batches import PhotoBatch
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.records.whole_body import part_places

CROWDING = {"easy": (-math.inf, 0.2), "medium": (0.2, 0.8), "hard": (0.8, math.inf)}
"""From which crowding on, and under which, photos are called so; as in CrowdPose's evaluator."""


@dataclass(frozen=True, slots=True)
class Subset:
    """What was measured of a part of the keypoints or the photos.

    Attributes:
        coco: `METRICS` by name; -1 where there was nothing to measure.
        num_people: People in the ground truth of whom one of these keypoints is labelled.
    """

    coco: Mapping[str, float]
    num_people: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; None where there was nothing to measure."""
        return {**or_none(self.coco), "num_people": self.num_people}


class PartMetrics:
    """Metrics of the parts of whole bodies; of none for other keypoints."""

    def __init__(self, keypoint_set: KeypointSet) -> None:
        """Begin without photos.

        Args:
            keypoint_set: Of truth and predictions.
        """
        self._places = part_places(keypoint_set)
        self._parts = {
            name: _SubsetMetrics(keypoint_set.sigmas[place]) for name, place in self._places.items()
        }

    def add(self, batch: PhotoBatch) -> None:
        """Take photos."""
        for name, place in self._places.items():
            truth, found = batch.truth[:, :, place], batch.found[:, :, place]
            self._parts[name].add(replace(batch, truth=truth, found=found))

    def result(self) -> dict[str, Subset]:
        """Return what was measured by part, hands also together. May be asked once."""
        results = {name: part.result() for name, part in self._parts.items()}
        if results:
            left, right = results["lefthand"], results["righthand"]
            means = mean_metrics((left.coco, right.coco))
            results["hand"] = Subset(means, left.num_people + right.num_people)
        return results


class CrowdingMetrics:
    """Metrics of photos by how crowded they are; of none where none says it."""

    def __init__(self, sigmas: NDArray[np.float64], crowding: Mapping[int, float]) -> None:
        """Begin without photos.

        Args:
            sigmas: (K,) per-keypoint deviations.
            crowding: By image id; other photos are left out.
        """
        self._crowding = crowding
        self._kinds = {name: _SubsetMetrics(sigmas) for name in CROWDING} if crowding else {}

    def add(self, batch: PhotoBatch) -> None:
        """Take photos."""
        if not self._kinds:
            return
        image_ids = batch.image_ids.tolist()
        crowding = np.array([self._crowding.get(one, math.nan) for one in image_ids])
        for name, (low, high) in CROWDING.items():
            rows = (crowding >= low) & (crowding < high)
            if rows.any():
                self._kinds[name].add(batch.select(rows))

    def result(self) -> dict[str, Subset]:
        """Return what was measured by the names of `CROWDING`. May be asked once."""
        return {name: kind.result() for name, kind in self._kinds.items()}


class _SubsetMetrics:
    """Metrics of one of them."""

    def __init__(self, sigmas: NDArray[np.float64]) -> None:
        self._metrics = CocoMetrics(sigmas)
        self._num_people = 0

    def add(self, batch: PhotoBatch) -> None:
        self._metrics.add(batch)
        self._num_people += batch.num_labelled

    def result(self) -> Subset:
        return Subset(self._metrics.result(), self._num_people)

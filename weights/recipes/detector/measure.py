"""How well people are found: matching of found and true boxes, recall, false boxes, AP50.

pycocotools measures AP over many overlaps and knows neither a threshold nor false boxes per photo;
here are the numbers that somebody who labels photos feels. Only numpy, for use while training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from teacher import box_iou

FloatArray = NDArray[np.float32]

_MATCH = 0.5


@dataclass(frozen=True, slots=True)
class PhotoResult:
    """What was found in one photo beside what is there.

    Attributes:
        boxes: (N, 4) found boxes, best first.
        scores: (N,).
        true_boxes: (M, 4).
        weights: (M,) 0 for regions to ignore, above for people.
    """

    boxes: FloatArray
    scores: FloatArray
    true_boxes: FloatArray
    weights: FloatArray


@dataclass(frozen=True, slots=True)
class Matches:
    """Every found box and every person of many photos.

    Attributes:
        scores: (N,) of the found boxes that count: those in regions to ignore do not.
        hits: (N,) whether each found a person.
        person_scores: (P,) score with which each person was found, 0 if never.
        areas: (P,) of the people's boxes, px².
        num_photos: Photos.
    """

    scores: FloatArray
    hits: NDArray[np.bool_]
    person_scores: FloatArray
    areas: FloatArray
    num_photos: int

    def recall(self, threshold: float, side: float = 0) -> float:
        """Return the share of people in boxes larger than `side`² px that are found."""
        large = self.areas > side**2
        return float((self.person_scores[large] >= threshold).mean()) if large.any() else 0.0

    def false_boxes(self, threshold: float) -> float:
        """Return false boxes a photo."""
        return float((~self.hits & (self.scores >= threshold)).sum() / max(1, self.num_photos))

    def threshold_at(self, most_false: float) -> float:
        """Return the least score that gives at most so many false boxes a photo."""
        false_scores = np.sort(self.scores[~self.hits])[::-1]
        allowed = int(most_false * self.num_photos)
        if allowed >= len(false_scores):
            return 0.05
        return float(np.nextafter(false_scores[allowed], np.float32(1)))

    def average_precision(self) -> float:
        """Return AP at an overlap of 0.5, as the area under the precision envelope."""
        order = np.argsort(-self.scores, kind="stable")
        found = np.cumsum(self.hits[order])
        precision = found / np.arange(1, len(found) + 1)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        gained = np.diff(np.concatenate([[0], found])) / max(1, len(self.areas))
        return float((envelope * gained).sum())


def match(results: Sequence[PhotoResult]) -> Matches:
    """Match found boxes with people, best score first, each person once (as COCO does)."""
    scores: list[float] = []
    hits: list[bool] = []
    person_scores, areas = [], []
    for result in results:
        people = np.flatnonzero(result.weights > 0)
        overlaps = box_iou(result.boxes, result.true_boxes[people])
        own_scores = np.zeros(len(people), np.float32)
        doubt = _share_within(result.boxes, result.true_boxes[result.weights == 0])
        for index, score in enumerate(result.scores):
            row = np.where(own_scores == 0, overlaps[index], 0)
            hit = len(people) > 0 and row.max() >= _MATCH
            if hit:
                own_scores[row.argmax()] = score
            if hit or doubt[index] < _MATCH:
                scores.append(float(score))
                hits.append(bool(hit))
        person_scores.append(own_scores)
        sides = result.true_boxes[people, 2:] - result.true_boxes[people, :2]
        areas.append(sides.prod(axis=1))
    return Matches(
        np.array(scores, np.float32),
        np.array(hits, bool),
        np.concatenate(person_scores).astype(np.float32),
        np.concatenate(areas).astype(np.float32),
        len(results),
    )


def _share_within(boxes: FloatArray, regions: FloatArray) -> FloatArray:
    """Return how much of each box (N, 4) lies in the region that holds most of it, (N,)."""
    if not len(regions):
        return np.zeros(len(boxes), np.float32)
    low = np.maximum(boxes[:, None, :2], regions[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], regions[None, :, 2:])
    shared = (high - low).clip(0).prod(axis=2).max(axis=1)
    share: FloatArray = shared / (boxes[:, 2:] - boxes[:, :2]).prod(axis=1).clip(1e-6)
    return share

"""COCO's AP and AR over any number of photos: the same numbers as pycocotools, in little memory.

COCOeval matches photo by photo in Python and keeps 25 kB of each. Here the matching, which is its
`computeOks` and `evaluateImg` step by step, is done on stacks of photos, and of a predicted person
38 bytes are kept: its score, and what became of it at each threshold and size of people. Precision
and recall over all of them, and the metrics, are computed by COCOeval itself. Where predictions
tell categories apart they are matched within each, and the metrics are means over those of which
somebody is to be found, as COCOeval's.
"""

from __future__ import annotations

import contextlib
import copy
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pycocotools.cocoeval import COCOeval

from vitpose_cli.evaluate.photo_batches import PhotoBatch

METRICS = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR", "AR50", "AR75", "AR_M", "AR_L")
"""COCO's keypoint metrics in COCOeval's order; -1 where no ground truth falls into a class."""

_SIZES = {"_M": 1, "_L": 2}
"""COCOeval's place of the people that a metric is of; all are 0."""

_WRONG, _RIGHT, _IGNORED = 0, 1, 2
_ALMOST_ONE = 1 - 1e-10


@dataclass(slots=True)
class _Kind:
    """What is known of one category.

    Attributes:
        num_true: (A,) people who are to be found, by size.
        image_ids: Of its predictions, batch by batch.
        scores: Theirs.
        fates: What became of them: (predictions, sizes, thresholds).
    """

    num_true: NDArray[np.int64]
    image_ids: list[NDArray[np.int64]] = field(default_factory=list)
    scores: list[NDArray[np.float64]] = field(default_factory=list)
    fates: list[NDArray[np.int8]] = field(default_factory=list)


class CocoMetrics:
    """Metrics over the photos that were added, in any order."""

    def __init__(self, sigmas: NDArray[np.float64]) -> None:
        """Begin without photos.

        Args:
            sigmas: (K,) per-keypoint deviations.
        """
        self._sigmas = sigmas
        self._evaluation = COCOeval(iouType="keypoints")
        params = self._evaluation.params
        self._max_found = max(params.maxDets)
        self._thresholds = np.minimum(params.iouThrs, _ALMOST_ONE)
        self._ranges = np.array(params.areaRng, np.float64)
        self._kinds = defaultdict[int, _Kind](lambda: _Kind(np.zeros(len(self._ranges), np.int64)))

    def add(self, batch: PhotoBatch) -> None:
        """Take photos."""
        best, counted = _best(batch, self._max_found)
        kinds = np.take_along_axis(batch.found_kinds, best, axis=1)
        scores = np.take_along_axis(batch.scores, best, axis=1)
        found = np.take_along_axis(batch.found, best[:, :, None, None], axis=1)
        unlabelled = ~(batch.truth[..., 2] > 0).any(axis=-1)
        ignored = self._outside(batch.areas) | unlabelled | batch.crowds
        comparable = (kinds[:, :, None] == batch.kinds[:, None]) & counted[:, :, None]
        oks = np.where(comparable, _oks(batch, found, self._sigmas), -1.0)
        fates = self._matched(oks, ignored, batch.crowds)
        areas = np.take_along_axis(batch.found_areas, best, axis=1)
        excused = self._outside(areas)[:, :, None, :] | batch.partial[:, None, None]
        fates[(fates == _WRONG) & excused] = _IGNORED
        for number in np.unique(batch.kinds).tolist():
            to_find = ~ignored & (batch.kinds == number)
            self._kinds[number].num_true += to_find.sum(axis=(1, 2))
        fates = fates.transpose(1, 3, 0, 2)  # (photos, predictions, sizes, thresholds)
        image_ids = np.broadcast_to(batch.image_ids[:, None], scores.shape)
        for number in np.unique(kinds[counted]).tolist():
            rows = counted & (kinds == number)
            kind = self._kinds[number]
            kind.image_ids.append(image_ids[rows])
            kind.scores.append(scores[rows])
            kind.fates.append(fates[rows])

    def result(self) -> dict[str, float]:
        """Return `METRICS` by name; 0 where nothing was predicted. May be asked once."""
        return mean_metrics([self._result(kind) for _, kind in sorted(self._kinds.items())])

    def _result(self, kind: _Kind) -> dict[str, float]:
        """Return the metrics of one category, -1 where nobody is to be found."""
        scores = np.concatenate([np.zeros(0), *kind.scores])
        if not len(scores):
            # COCOeval cannot work without predictions.
            counts = {name: kind.num_true[_SIZES.get(name[-2:], 0)] for name in METRICS}
            return {name: 0.0 if count else -1.0 for name, count in counts.items()}
        order = np.argsort(np.concatenate(kind.image_ids), kind="stable")
        fates = np.concatenate(kind.fates)[order]
        kind.image_ids, kind.scores, kind.fates = [], [], []
        evaluation = self._evaluation
        joined = copy.deepcopy(evaluation.params)
        joined.imgIds, joined.catIds, joined.maxDets = [1], [1], [len(scores)]
        evaluation._paramsEval = joined
        parts = []
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
            # One threshold after the other: it keeps some 60 bytes of a prediction for each.
            for number, threshold in enumerate(evaluation.params.iouThrs):
                # One photo with everybody: what COCOeval would join, in the order of its images.
                evaluation.evalImgs = [
                    {
                        "dtScores": scores[order],
                        "dtMatches": fates[None, :, size, number] == _RIGHT,
                        "dtIgnore": fates[None, :, size, number] == _IGNORED,
                        "gtIgnore": np.zeros(count, np.int8),
                    }
                    for size, count in enumerate(kind.num_true)
                ]
                joined.iouThrs = np.array([threshold])
                evaluation.accumulate(joined)
                parts.append(evaluation.eval)
            evaluation.eval = {
                name: np.concatenate([part[name] for part in parts])
                for name in ("precision", "recall")
            }
            evaluation.summarize()
        return dict(zip(METRICS, map(float, evaluation.stats), strict=True))

    def _outside(self, areas: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return whether areas (...) are outside of each range of sizes, (A, ...)."""
        low, high = self._ranges.T[(..., *[None] * areas.ndim)]
        outside: NDArray[np.bool_] = (areas < low) | (areas > high)
        return outside

    def _matched(
        self,
        oks: NDArray[np.float64],
        ignored: NDArray[np.bool_],
        crowds: NDArray[np.bool_],
    ) -> NDArray[np.int8]:
        """Give every prediction, best score first, the true person it is most like.

        Args:
            oks: (B, D, G).
            ignored: (A, B, G) true people who do not count, by size.
            crowds: (B, G) those of them that any number of predictions may match.

        Returns:
            (A, B, T, D) what each prediction is at each threshold.
        """
        num_photos, num_found, num_true = oks.shape
        shape = (len(ignored), num_photos, len(self._thresholds))
        fates = np.zeros((*shape, num_found), np.int8)
        if not num_true:
            return fates
        free = np.ones((*shape, num_true), np.bool_)
        counted = ~ignored[:, :, None, :]
        people = np.arange(num_true)
        for number in range(num_found):
            values = oks[None, :, None, number, :]
            possible = free & (values >= self._thresholds[:, None])
            better = possible & counted
            possible = np.where(better.any(axis=-1, keepdims=True), better, possible)
            # Of equal ones the last, as COCOeval takes them.
            ranked = np.where(possible, values, -1.0)[..., ::-1]
            chosen = num_true - 1 - ranked.argmax(axis=-1)
            hit = possible.any(axis=-1)
            is_counted = np.take_along_axis(counted, chosen[..., None], axis=-1)[..., 0]
            fates[..., number] = np.where(hit, np.where(is_counted, _RIGHT, _IGNORED), _WRONG)
            free &= ~(hit[..., None] & (chosen[..., None] == people)) | crowds[None, :, None, :]
        return fates


def mean_metrics(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each of `METRICS` over those that are measured; -1 where none is."""
    means = {}
    for name in METRICS:
        measured = [part[name] for part in parts if part[name] >= 0]
        means[name] = sum(measured) / len(measured) if measured else -1.0
    return means


def or_none(coco: Mapping[str, float]) -> dict[str, float | None]:
    """Return metrics with None for -1, as JSON is to have them."""
    return {name: value if value >= 0 else None for name, value in coco.items()}


def _best(batch: PhotoBatch, count: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Choose the predictions of each photo that count: the best ones of each category.

    Args:
        batch: Of which photos.
        count: How many of a category.

    Returns:
        (B, N) positions of predictions, best first, N as many as count in any of the photos; and
        whether they do, (B, N).
    """
    order = np.argsort(-batch.scores, axis=1, kind="stable")
    kinds = np.take_along_axis(batch.found_kinds, order, axis=1)
    counted = np.zeros(kinds.shape, np.bool_)
    for kind in np.unique(kinds):
        alike = kinds == kind
        counted |= alike & (alike.cumsum(axis=1) <= count)
    most = counted.sum(axis=1).max(initial=0)
    front = np.argsort(~counted, axis=1, kind="stable")[:, :most]
    return (
        np.take_along_axis(order, front, axis=1),
        np.take_along_axis(counted, front, axis=1),
    )


def _oks(
    batch: PhotoBatch, found: NDArray[np.float64], sigmas: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the similarity of predictions (B, D, K, 2) with true people, (B, D, G).

    To a person without labelled keypoints a prediction is the more alike the less it reaches out
    of twice the box. Every operation is COCOeval's, so that the last bit of each number is.
    """
    num_photos, num_found, num_keypoints, _ = found.shape
    num_true = batch.truth.shape[1]
    away = found[:, :, None] - batch.truth[:, None, :, :, :2]  # (B, D, G, K, 2)
    labelled = batch.truth[..., 2] > 0  # (B, G, K)
    unlabelled = np.logical_not(labelled.any(axis=-1))
    if unlabelled.any():
        low, side = batch.boxes[..., :2], batch.boxes[..., 2:]
        below = (low - side)[:, None, :, None] - found[:, :, None]
        above = found[:, :, None] - (low + side * 2)[:, None, :, None]
        reach = np.maximum(below, 0) + np.maximum(above, 0)
        away = np.where(unlabelled[:, None, :, None, None], reach, away)
    areas = (batch.areas + np.spacing(1))[:, None, :, None]
    terms = np.exp(-(away[..., 0] ** 2 + away[..., 1] ** 2) / (sigmas * 2) ** 2 / areas / 2)
    counted = labelled | unlabelled[..., None]
    pairs = np.broadcast_to(counted[:, None], terms.shape).reshape(-1, num_keypoints)
    terms = terms.reshape(-1, num_keypoints)
    oks = np.zeros(len(terms))
    num_counted = pairs.sum(axis=1)
    for count in np.unique(num_counted):  # sums over other numbers of terms round differently
        rows = num_counted == count
        oks[rows] = terms[rows][pairs[rows]].reshape(-1, count).sum(axis=1) / count
    return oks.reshape(num_photos, num_found, num_true)

"""How well each keypoint is found: mean OKS term and PCK, which COCOeval has not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.evaluate.photo_batches import PhotoBatch
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.pose.oks import oks_terms

PCK_THRESHOLDS = (0.05, 0.1, 0.2)
"""Distances that count as right, relative to the longer side of the ground-truth box."""


@dataclass(frozen=True, slots=True)
class KeypointRow:
    """How well one keypoint is found.

    Attributes:
        name: The keypoint.
        count: How many labelled ones the ground truth has.
        oks: Mean OKS term in [0, 1]; people who were missed count as 0. None if none is labelled.
        pck: Share within each of `PCK_THRESHOLDS` of the longer box side, in [0, 1], or None.
    """

    name: str
    count: int
    oks: float | None
    pck: tuple[float | None, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        pck = {str(at): share for at, share in zip(PCK_THRESHOLDS, self.pck, strict=True)}
        return {"name": self.name, "count": self.count, "oks": self.oks, "pck": pck}


class KeypointTable:
    """Sums over the photos that were added."""

    def __init__(self, keypoint_set: KeypointSet) -> None:
        """Begin without photos.

        Args:
            keypoint_set: Of truth and predictions.
        """
        self._keypoint_set = keypoint_set
        # Labelled keypoints, their OKS terms, and those within each threshold, by keypoint.
        self._sums = np.zeros((2 + len(PCK_THRESHOLDS), keypoint_set.num_keypoints))

    def add(self, batch: PhotoBatch) -> NDArray[np.float64]:
        """Take photos.

        Returns:
            (B, G, K) how far each true keypoint is from that of the prediction which its person
            was given, px; infinite without one.
        """
        labelled = batch.truth[..., 2] > 0
        terms, distances = _nearest(batch, self._keypoint_set.sigmas)
        sides = batch.boxes[..., 2:].max(axis=-1, initial=0)[..., None]
        within = (distances <= sides * at for at in PCK_THRESHOLDS)
        for number, values in enumerate((labelled, terms, *within)):
            self._sums[number] += (values * labelled).sum(axis=(0, 1))
        return distances

    def rows(self) -> tuple[KeypointRow, ...]:
        """Return one row for each keypoint, then one for all."""
        columns = [*zip(self._keypoint_set.names, self._sums.T, strict=True)]
        columns.append(("all", self._sums.sum(axis=1)))
        return tuple(
            KeypointRow(name, int(count), oks, tuple(pck))
            for name, (count, *sums) in columns
            for oks, *pck in [[float(one / count) if count else None for one in sums]]
        )


def _nearest(
    batch: PhotoBatch, sigmas: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give every person the nearest prediction of the photo that is still free, best pair first.

    Returns:
        OKS terms (B, G, K), 0 for a person without a prediction, and distances (B, G, K) in px,
        infinite there.
    """
    num_photos, num_true, num_keypoints, _ = batch.truth.shape
    num_found = batch.found.shape[1]
    terms = np.zeros((num_photos, num_true, num_keypoints))
    distances = np.full(terms.shape, np.inf)
    if not num_found or not num_true:
        return terms, distances
    away = batch.truth[:, :, None, :, :2] - batch.found[:, None]
    squares = (away**2).sum(axis=-1)  # (B, G, D, K)
    pair_terms = oks_terms(squares, batch.areas[..., None], sigmas)
    labelled = batch.truth[:, :, None, :, 2] > 0
    num_labelled = labelled.sum(axis=-1)
    oks = (pair_terms * labelled).sum(axis=-1) / np.maximum(num_labelled, 1)
    oks[np.broadcast_to(num_labelled == 0, oks.shape)] = -1  # there is nothing to be near to
    photos = np.arange(num_photos)
    for _ in range(min(num_true, num_found)):
        best = oks.reshape(num_photos, -1).argmax(axis=1)
        person, prediction = np.divmod(best, num_found)
        there = oks[photos, person, prediction] >= 0
        pairs = photos[there], person[there], prediction[there]
        terms[pairs[:2]] = pair_terms[pairs]
        distances[pairs[:2]] = np.sqrt(squares[pairs])
        oks[pairs[:2]] = -1
        oks[pairs[0], :, pairs[2]] = -1
    return terms, distances

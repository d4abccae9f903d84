"""Object keypoint similarity: how alike two instances are, pairs and duplicates found by it.

One frame at a time, in float64 numpy: there are tens of instances, for which no device is worth
waiting. Average precision is not here; pycocotools computes it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vitpose_cli.pose.geometry import FloatArray

NMS_THRESHOLD = 0.9
"""OKS above which the worse of two instances is a duplicate; all published APs are with this."""

_COMPARED_AT_ONCE = 64
"""The best so many are compared with all others in one go: fast, and bounded in a crowd."""


def oks_terms(
    squares: NDArray[np.floating[Any]], areas: FloatArray, sigmas: FloatArray
) -> NDArray[np.float64]:
    """Return how near keypoints are to where they belong, (..., K) in [0, 1].

    Source: COCO's keypoint evaluation, exp(-d² / 2s²k²) with k = 2 sigma.

    Args:
        squares: (..., K) squared distances, in any unit squared.
        areas: (...) of the people, the same unit.
        sigmas: (..., K) of the keypoint set.
    """
    spreads = 2 * (areas[..., None] + np.spacing(1)) * (2 * sigmas) ** 2
    terms: NDArray[np.float64] = np.exp(-squares / spreads)
    return terms


def oks_matrix(
    keypoints_a: FloatArray,
    areas_a: FloatArray | None,
    keypoints_b: FloatArray,
    areas_b: FloatArray,
    sigmas: FloatArray,
    visibility: NDArray[np.integer[Any]] | NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Compare every instance of a with every one of b.

    Source: COCO's keypoint evaluation; the mean of the two areas as in `oks_iou` of mmpose 0.24.

    Args:
        keypoints_a: (N, K, 2) xy, any unit.
        areas_a: (N,), that unit squared; None leaves the area to b, as COCO does to the truth.
        keypoints_b: (M, K, 2) xy, the same unit.
        areas_b: (M,), that unit squared.
        sigmas: (K,) of the keypoint set, or (N, 1, K) of each of a.
        visibility: (M, K) of b, or (N, M, K) of each pair; keypoints with 0 do not count. All do
            if None.

    Returns:
        (N, M) float64 in [0, 1]; 0 for an instance of b of which no keypoint counts.
    """
    steps = keypoints_a[:, None].astype(np.float64) - keypoints_b[None]
    areas = np.asarray(areas_b, np.float64)[None]
    if areas_a is not None:
        areas = (areas + np.asarray(areas_a, np.float64)[:, None]) / 2
    alike = oks_terms(np.square(steps).sum(axis=-1), areas, sigmas)
    counted = np.ones(keypoints_b.shape[:2]) if visibility is None else visibility > 0
    total = np.where(counted, alike, 0).sum(axis=-1)
    mean: NDArray[np.float64] = total / np.maximum(counted.sum(axis=-1), 1)
    return mean


def best_pairs(likeness: FloatArray, least: float) -> list[tuple[int, int]]:
    """Take the most alike pair, then the most alike of the rest, and so on.

    The optimal assignment (Hungarian method) was tried for tracks: it gives the same ids, and needs
    scipy.

    Args:
        likeness: (N, M) of N instances and M others, by any measure that is not negative.
        least: How alike a pair must be; above 0.

    Returns:
        Rows and columns, the most alike first; none of either is in two pairs.
    """
    pairs: list[tuple[int, int]] = []
    left = likeness.copy()
    while left.size and left.max() >= least:
        row, column = divmod(int(left.argmax()), left.shape[1])
        pairs.append((row, column))
        left[row], left[:, column] = -1, -1
    return pairs


def oks_nms(
    keypoints: FloatArray,
    areas: FloatArray,
    scores: ArrayLike,
    sigmas: FloatArray,
    threshold: float = NMS_THRESHOLD,
    pixel_aspect: float = 1.0,
) -> NDArray[np.int64]:
    """Keep the best instance, drop those too much like it, and go on with the rest.

    Every keypoint counts, also those that a frame does not show. Of equal scores the first wins.
    How alike two are is judged as the frame is shown.

    Source: `oks_nms` of mmpose 0.24, which the published results use.

    Args:
        keypoints: (N, K, 2) xy, frame px.
        areas: (N,) areas of the crops' regions (`CropTransforms.region_areas`), frame px².
        scores: (N,) COCO scores (`Instances.scores`).
        sigmas: (K,) of the keypoint set.
        threshold: The highest OKS that two kept instances may have.
        pixel_aspect: Width of the frame's pixels by their height.

    Returns:
        (M,) int64 positions of the kept instances, best first.
    """
    shown, areas = keypoints * np.array([pixel_aspect, 1.0]), areas * pixel_aspect
    left = np.argsort(-np.asarray(scores), kind="stable")
    kept = []
    while left.size:
        best = left[:_COMPARED_AT_ONCE]
        alike = oks_matrix(shown[best], areas[best], shown[left], areas[left], sigmas)
        alive = np.ones(left.size, bool)
        for position, similar in enumerate(alike > threshold):
            if alive[position]:
                kept.append(best[position])
                alive &= ~similar
        left = left[best.size :][alive[best.size :]]
    return np.array(kept, np.int64)

"""Parts of a body: which window of a frame shows only the upper half, one side, or one limb.

Training cuts crops to such windows, evaluation cuts photos to them, and both must mean the same.
A window follows the labelled keypoints, not fixed shares of the box: the upper half of somebody
who lies is not the upper half of the box.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.pose.geometry import FloatArray
from vitpose_cli.pose.keypoints import KeypointSet

BodyPart = Literal["upper", "lower", "left", "right", "limb"]
BODY_PARTS: tuple[BodyPart, ...] = ("upper", "lower", "left", "right", "limb")
"""left and right are sides of the picture: photos are cut there, whichever way people face."""

MIN_KEYPOINTS = 2
"""A window that shows fewer labelled keypoints is no pose any more."""


def limbs(keypoint_set: KeypointSet) -> NDArray[np.bool_]:
    """Return the limbs (L, K) of a set: each end of its skeleton with the next two keypoints.

    A set without edges has none.
    """
    neighbours: dict[int, set[int]] = {}
    for start, end in keypoint_set.edges:
        neighbours.setdefault(start, set()).add(end)
        neighbours.setdefault(end, set()).add(start)
    found = []
    for tip in sorted(point for point, joined in neighbours.items() if len(joined) == 1):
        limb = [tip]
        while len(limb) < 3:
            onward = neighbours[limb[-1]] - set(limb)
            if not onward or len(neighbours[limb[-1]]) > 2:
                break
            limb.append(min(onward))
        found.append(np.isin(np.arange(keypoint_set.num_keypoints), limb))
    return np.array(found, bool).reshape(-1, keypoint_set.num_keypoints)


def part_keypoints(
    part: BodyPart,
    keypoints: FloatArray,
    labelled: NDArray[np.bool_],
    keypoint_set: KeypointSet,
    draws: FloatArray,
) -> NDArray[np.bool_]:
    """Return which labelled keypoints (N, K) of N instances belong to a part of each.

    Args:
        part: Which part.
        keypoints: (N, K, 2) frame px.
        labelled: (N, K), where they are known.
        keypoint_set: What they are.
        draws: (N,) in [0, 1), which limb it is.
    """
    if part in ("upper", "lower"):
        upper = np.isin(np.arange(keypoint_set.num_keypoints), keypoint_set.upper_body)
        return labelled & (upper if part == "upper" else ~upper)
    if part == "limb":
        choices = limbs(keypoint_set)
        if not len(choices):
            return np.zeros_like(labelled)
        chosen: NDArray[np.bool_] = choices[(draws * len(choices)).astype(np.int64)]
        return labelled & chosen
    across = np.where(labelled, keypoints[..., 0].astype(np.float64), np.nan)
    known = labelled.any(axis=1)
    middle = np.zeros(len(across))
    middle[known] = np.nanmedian(across[known], axis=1)
    left = across < middle[:, None]
    return labelled & (left if part == "left" else ~left)


def part_windows(
    kept: NDArray[np.bool_],
    keypoints: FloatArray,
    labelled: NDArray[np.bool_],
    boxes: FloatArray,
    margins: FloatArray | float = 0.1,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the window of each instance that shows the `kept` keypoints and little else.

    A side of the box beyond which no other labelled keypoint lies stays; the other sides move to
    the kept keypoints, at a distance.

    Args:
        kept: (N, K) keypoints to show, among the labelled.
        keypoints: (N, K, 2) frame px.
        labelled: (N, K), where they are known.
        boxes: (N, 4) xyxy, frame px.
        margins: That distance, (N,) or one, relative to the longer side of the box.

    Returns:
        Windows (N, 4) float64 xyxy, frame px, and (N,) whether each is a real cut: it shows at
        least two keypoints and hides one. Windows of the others are their boxes.
    """
    windows = boxes.astype(np.float64)
    distances = np.broadcast_to(margins, len(boxes)) * (windows[:, 2:] - windows[:, :2]).max(axis=1)
    points = keypoints.astype(np.float64)
    others = labelled & ~kept
    for axis in (0, 1):
        along = points[..., axis]
        low = np.where(kept, along, np.inf).min(axis=1)
        high = np.where(kept, along, -np.inf).max(axis=1)
        below = (others & (along < low[:, None])).any(axis=1)
        above = (others & (along > high[:, None])).any(axis=1)
        start, end = windows[:, axis], windows[:, axis + 2]
        windows[:, axis] = np.where(below, np.maximum(low - distances, start), start)
        windows[:, axis + 2] = np.where(above, np.minimum(high + distances, end), end)
    shown = labelled & inside(points, windows)
    sizes = windows[:, 2:] - windows[:, :2]
    real = (shown.sum(axis=1) >= MIN_KEYPOINTS) & (labelled & ~shown).any(axis=1)
    real &= (sizes > 0).all(axis=1)
    windows[~real] = boxes[~real]
    return windows, real


def inside(points: FloatArray, windows: FloatArray) -> NDArray[np.bool_]:
    """Return which points (N, K, 2) lie in the xyxy window (N, 4) of their instance."""
    low, high = windows[:, None, :2], windows[:, None, 2:]
    within: NDArray[np.bool_] = np.all((points >= low) & (points <= high), axis=-1)
    return within

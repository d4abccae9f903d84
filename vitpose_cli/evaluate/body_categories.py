"""Which category a predicted body is of, where ground truth has several: antelopes and bisons.

Results and documents may say it. Of bodies that were looked for in the boxes of the ground truth
it is known by their boxes. Carrying the category of a box through detectors, network and records
was refused: nobody else there asks for it, and equal boxes have equal poses, of which suppression
leaves the first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.pose.geometry import clip_boxes, xywh_to_xyxy


def are_told_apart(found: Collection[int | None], bodies: Collection[int]) -> bool:
    """Return whether predictions say which of the categories of the ground truth a body is.

    Those of one category alone do not, such as of a network that knows no species.

    Args:
        found: The categories of the predictions, each once; None for those that the truth lacks.
        bodies: Those of the ground truth.
    """
    return len(found) > 1 and not set(found).isdisjoint(bodies)


def ids_by_name(
    categories: Iterable[Mapping[str, Any]], truth: Iterable[Mapping[str, Any]]
) -> dict[int, int | None]:
    """Return the ids of the ground truth for those of a document; None for what it does not have.

    Args:
        categories: Of the document.
        truth: Those of the ground truth that have keypoints.
    """
    ids = {_name(category): category["id"] for category in truth}
    return {category["id"]: ids.get(_name(category)) for category in categories}


def categories_of_boxes(
    boxes: NDArray[np.float32],
    annotations: Iterable[Mapping[str, Any]],
    size_wh: tuple[int, int],
) -> list[int | None]:
    """Return the category of the body that each box is of.

    Args:
        boxes: (N, 4) xyxy, frame px, of labelled bodies of a frame, cut at its edges.
        annotations: Its annotations.
        size_wh: Its width and height, px.

    Returns:
        N ids; None where the frame has nobody.
    """
    bodies = labelled_bodies(annotations)
    if not bodies:
        return [None] * len(boxes)
    bodies.sort(key=lambda one: -one.get("score", 1.0))  # as detections are
    known = xywh_to_xyxy(np.array([one["bbox"] for one in bodies], np.float64))
    known = clip_boxes(known.astype(np.float32), size_wh)
    away = np.abs(boxes[:, None] - known).sum(axis=-1)
    return [bodies[number]["category_id"] for number in away.argmin(axis=1)]


def labelled_bodies(annotations: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return those annotations that are to be found: no crowds, and some keypoint is labelled."""
    return [one for one in annotations if not one["iscrowd"] and any(one["keypoints"][2::3])]


def _name(category: Mapping[str, Any]) -> str:
    return str(category.get("name", "")).casefold()

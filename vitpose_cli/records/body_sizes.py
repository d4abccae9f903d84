"""How large the bodies of a COCO file are: their boxes and areas, also where it does not say.

OKS, PCK and crops are relative to a size, so that a body without one cannot be measured or learnt
from. Files that hold keypoints alone have no boxes, or empty ones; then the keypoints say it, as
far as they can: a single one does not. Boxes and areas that a file states are never touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.plurals import people
from vitpose_cli.pose.geometry import FloatArray
from vitpose_cli.pose.instances import Instances
from vitpose_cli.records.json_values import are_numbers, is_number, no_numbers
from vitpose_cli.records.record import COORDINATE_DECIMALS

SMALLEST_SIDE = 1.0
"""Sides of a box in a document that is written, px, at least: readers drop boxes without an area.
A box of such a pixel therefore says no more of a size than an empty one."""

SIZE_HINT = (
    "Give each of them a bbox ([left, top, width, height] in px) or an area (px²): a single "
    "keypoint does not say how large a body is."
)

_MARGIN = 0.1
"""How far a box round keypoints reaches beyond them, in longer sides of what they extend over.

Without, such boxes have 0.6 of the area of those that people draw (median of 247 people of COCO
with three labelled keypoints or more), with it 1.0.
"""


def complete_size(annotation: dict[str, Any]) -> str:
    """Fill in the box of a body that has none, and drop an area that is none.

    A missing box, one without area and one of a single pixel is replaced where keypoints are
    labelled, by one round these. There an area of 0 counts as missing, too.

    Args:
        annotation: With `keypoints` as they are checked.

    Returns:
        What is wrong, empty where nothing is.
    """
    area: Any = annotation.get("area")
    bbox: Any = annotation.get("bbox")
    is_there = bbox is not None and bbox != []
    if is_there and not are_numbers(bbox, 4):
        return no_numbers(bbox, 4, "bbox")
    if is_there and (bbox[2] < 0 or bbox[3] < 0):  # drawn from right to left, or upwards
        annotation["bbox"] = bbox = _ordered(*bbox)
    has_box = is_there and says_size(*bbox[2:])
    has_area = is_number(area) and area > (0 if has_box else SMALLEST_SIDE**2)
    if has_box and (has_area or "area" not in annotation):
        return ""
    if not any(annotation["keypoints"][2::3]):
        return "" if is_there else "has neither bbox nor labelled keypoints"
    if not has_area:
        annotation.pop("area", None)
    if not has_box:
        annotation["bbox"] = _guessed_box(annotation)
    return ""


def says_size(width: float, height: float) -> bool:
    """Return whether a box of these sides, px, says how large something is."""
    return width > 0 and height > 0 and max(width, height) > SMALLEST_SIDE


def lacks_size(annotation: Mapping[str, Any]) -> bool:
    """Return whether a body has labelled keypoints, and nothing that says how large it is.

    Args:
        annotation: Completed.
    """
    _, _, width, height = annotation["bbox"]
    return not says_size(width, height) and any(annotation["keypoints"][2::3])


def has_own_box(annotation: Mapping[str, Any]) -> bool:
    """Return whether the box of a completed annotation says what its keypoints do not."""
    bbox = annotation["bbox"]
    is_guess = any(annotation["keypoints"][2::3]) and bbox == _guessed_box(annotation)
    return says_size(*bbox[2:]) and not is_guess


def num_without_size(instances: Instances) -> int:
    """Return how many people of a frame have labelled keypoints, and nothing that says a size."""
    sides = (instances.boxes[:, 2:] - instances.boxes[:, :2]).tolist()
    labelled = (instances.visibility > 0).any(axis=1)
    return sum(not says_size(*sides[row]) for row in np.flatnonzero(labelled))


def without_size(number: int) -> str:
    """Return the beginning of a sentence on people of whom `lacks_size` is true."""
    have = "has" if number == 1 else "have"
    return f"{people(number)} {have} one labelled keypoint and no box with an area"


def _guessed_box(annotation: Mapping[str, Any]) -> list[float]:
    """Return the bbox of a body as its labelled keypoints say it, one of which there is at least.

    That of keypoints in one place is a square of the body's area; without an area, it is empty.
    """
    points = np.reshape(np.array(annotation["keypoints"], np.float64), (-1, 3))
    box = box_round(points[points[:, 2] > 0, :2])
    low, size_wh = box[:2], box[2:] - box[:2]
    if not says_size(*size_wh.tolist()) and "area" in annotation:
        side = sqrt(annotation["area"])
        low, size_wh = low + (size_wh - side) / 2, np.full(2, side)
    bbox: list[float] = np.concatenate([low, size_wh]).round(COORDINATE_DECIMALS).tolist()
    return bbox


def box_round(points: FloatArray) -> NDArray[np.float64]:
    """Return the box (4,) xyxy of a body round its keypoints (N, 2), at least one, with a margin.

    Keypoints on a line have a box with an area; those in one place an empty one.
    """
    low, high = points.min(axis=0).astype(np.float64), points.max(axis=0).astype(np.float64)
    margin = _MARGIN * (high - low).max()
    return np.concatenate([low - margin, high + margin])


def _ordered(x: float, y: float, width: float, height: float) -> list[float]:
    return [min(x, x + width), min(y, y + height), abs(width), abs(height)]

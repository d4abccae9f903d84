"""COCO-WholeBody's own files: feet, face and hands in fields beside the keypoints of the body.

They are read as the 133 keypoints that they are. A person without one of the fields has none of
its points labelled. Order: arXiv:2007.11858.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate, pairwise
from typing import Any

from vitpose_cli.pose.keypoints import KeypointSet, keypoint_set
from vitpose_cli.records.json_values import are_numbers, no_numbers

_PARTS: Mapping[str, int] = {
    "foot_kpts": 6,
    "face_kpts": 68,
    "lefthand_kpts": 21,
    "righthand_kpts": 21,
}
"""Field of each part and how many keypoints it has, in the order in which they follow the body."""


def has_parts(annotation: Mapping[str, Any]) -> bool:
    """Tell whether an annotation has parts beside its body."""
    return any(name in annotation for name in _PARTS)


def part_places(keypoints: KeypointSet) -> dict[str, slice]:
    """Return where the keypoints of each part are; nothing for what is no whole body.

    Args:
        keypoints: Whose parts; they are called body, foot, face, lefthand and righthand.
    """
    if keypoints is not keypoint_set("wholebody"):
        return {}
    names = ["body", *(field.removesuffix("_kpts") for field in _PARTS)]
    ends = accumulate(_PARTS.values(), initial=keypoint_set("coco").num_keypoints)
    return {name: slice(*place) for name, place in zip(names, pairwise([0, *ends]), strict=True)}


def widened(category: dict[str, Any]) -> dict[str, Any]:
    """Return a category with the keypoints of COCO's bodies with those of whole bodies."""
    if category.get("keypoints") != list(keypoint_set("coco").names):
        return category
    whole = keypoint_set("wholebody").to_category()
    return {**category, "keypoints": whole["keypoints"], "skeleton": whole["skeleton"]}


def join_parts(annotation: dict[str, Any], num_keypoints: int) -> str:
    """Put the parts of an annotation behind its body; return what is wrong, empty if nothing is.

    Whatever the third number of a part's point is above 0, a score in some versions, the point is
    labelled (as in mmpose).

    Args:
        annotation: Of a body; any other stays as it is.
        num_keypoints: K of its category, of bodies of any kind or of whole ones.
    """
    num_body = keypoint_set("coco").num_keypoints
    body = annotation.get("keypoints") or [0] * 3 * num_body
    if num_keypoints != num_body + sum(_PARTS.values()) or not are_numbers(body, 3 * num_body):
        return ""
    joined = [*body]
    for name, count in _PARTS.items():
        points = annotation.pop(name, None) or [0] * 3 * count
        if not are_numbers(points, 3 * count):
            return no_numbers(points, 3 * count, name)
        for x, y, sure in zip(points[::3], points[1::3], points[2::3], strict=True):
            joined += [x, y, sure if sure in (1, 2) else 2] if sure > 0 else [0, 0, 0]
    annotation["keypoints"] = joined
    annotation["num_keypoints"] = sum(value > 0 for value in joined[2::3])
    return ""

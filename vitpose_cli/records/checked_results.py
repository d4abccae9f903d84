"""Checking COCO results: a bare list of poses or boxes."""

from __future__ import annotations

from vitpose_cli.records.findings import Findings, what_it_is
from vitpose_cli.records.json_stream import Item
from vitpose_cli.records.json_values import are_numbers, is_int, is_number


def check_result(item: Item, findings: Findings) -> None:
    """Check an element of a bare list: a COCO result."""
    place, result = f"[{item.position}]", item.value
    if not findings.is_object(place, result):
        return
    if not is_int(result.get("image_id")) and not isinstance(result.get("file_name"), str):
        findings.add("results-image", f"{place}.image_id", what_it_is(result, "image_id"))
    if not is_int(result.get("category_id")):
        findings.add("results-category", f"{place}.category_id", what_it_is(result, "category_id"))
    if not is_number(result.get("score")):
        findings.add("results-score", f"{place}.score", what_it_is(result, "score"))
    points, bbox = result.get("keypoints"), result.get("bbox")
    if points is None and bbox is None:
        findings.add("results-labels", place, "has neither keypoints nor bbox")
    if points is not None and not (
        isinstance(points, list) and len(points) % 3 == 0 and are_numbers(points, len(points))
    ):
        findings.add("results-labels", f"{place}.keypoints", what_it_is(result, "keypoints"))
    if bbox is not None and not are_numbers(bbox, 4):
        findings.add("results-labels", f"{place}.bbox", what_it_is(result, "bbox"))

"""Checking the annotations of a COCO file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vitpose_cli.records.checked_categories import CheckedCategories
from vitpose_cli.records.checked_images import CheckedImages, Size
from vitpose_cli.records.findings import Findings, in_or_add, what_it_is
from vitpose_cli.records.json_stream import Item
from vitpose_cli.records.json_values import are_numbers, is_int, is_number, shown, why_no_numbers

_BORDER = 1.0  # px: labels reach over the border by rounding and by the half-pixel convention
_VISIBILITIES = frozenset({0, 1, 2})
_FIELDS = frozenset(
    {
        "id",
        "image_id",
        "category_id",
        "bbox",
        "area",
        "iscrowd",
        "segmentation",
        "keypoints",
        "num_keypoints",
        "score",
        "keypoint_scores",
        "keypoints_smoothed",
    }
)


class CheckedAnnotations:
    """The annotations of a document; ids and uids are unique over all its files."""

    def __init__(
        self, findings: Findings, images: CheckedImages, categories: CheckedCategories
    ) -> None:
        self._findings = findings
        self._images = images
        self._categories = categories
        self._ids: set[int] = set()
        # Hashes, not the values: millions of them must fit.
        self._boxes: set[int] = set()
        self._uids: set[int] = set()
        self._tracked: set[int] = set()

    def check(self, item: Item) -> None:
        """Check an annotation; images and categories must be known."""
        place, annotation = f"annotations[{item.position}]", item.value
        if not self._findings.is_object(place, annotation):
            return
        if not is_int(annotation.get("id")) or annotation["id"] < 1:
            self._findings.add("annotation-id", f"{place}.id", what_it_is(annotation, "id"))
        elif in_or_add(self._ids, annotation["id"]):
            self._findings.add(
                "annotation-id-unique", f"{place}.id", f"{annotation['id']} comes again"
            )
        self._references(place, annotation)
        self._box(place, annotation)
        self._plain_fields(place, annotation)
        self._keypoints(place, annotation)
        self._attributes(place, annotation)

    def _references(self, place: str, annotation: Mapping[str, Any]) -> None:
        image_id, category_id = annotation.get("image_id"), annotation.get("category_id")
        if not is_int(image_id) or image_id not in self._images.sizes:
            self._findings.add(
                "image-reference", f"{place}.image_id", what_it_is(annotation, "image_id")
            )
        if not is_int(category_id) or category_id not in self._categories.num_keypoints:
            self._findings.add(
                "category-reference", f"{place}.category_id", what_it_is(annotation, "category_id")
            )

    def _box(self, place: str, annotation: Mapping[str, Any]) -> None:
        place, bbox = f"{place}.bbox", annotation.get("bbox")
        if not are_numbers(bbox, 4) or bbox[2] <= 0 or bbox[3] <= 0:
            self._findings.add("bbox", place, what_it_is(annotation, "bbox"))
            return
        size = self._images.size_of(annotation)
        if size is not None:
            left, top, right, bottom = bbox[0], bbox[1], bbox[0] + bbox[2], bbox[1] + bbox[3]
            message = f"{bbox} in {size[0]} x {size[1]}"
            if left >= size[0] or top >= size[1] or right <= 0 or bottom <= 0:
                self._findings.add("bbox-outside", place, message)
            elif not _within(left, top, size) or not _within(right, bottom, size):
                self._findings.add("bbox-inside", place, message)
        # Of texts, as -1 and -2 have the same hash; 0.0 added, -0.0 and 0.0 are the same text.
        numbers = [float(number) + 0.0 for number in bbox]
        if in_or_add(self._boxes, hash(f"{annotation.get('image_id')} {numbers}")):
            self._findings.add("bbox-duplicate", place, f"{bbox} comes again in the same image")

    def _plain_fields(self, place: str, annotation: Mapping[str, Any]) -> None:
        area, crowd = annotation.get("area"), annotation.get("iscrowd")
        if not is_number(area) or area <= 0:
            self._findings.add("area", f"{place}.area", what_it_is(annotation, "area"))
        if not is_int(crowd) or crowd not in (0, 1):
            self._findings.add("iscrowd", f"{place}.iscrowd", what_it_is(annotation, "iscrowd"))
        elif crowd:
            self._findings.add("crowd", f"{place}.iscrowd", "is 1")
        outline = annotation.get("segmentation")
        if not isinstance(outline, (list, dict)):
            self._findings.add(
                "segmentation", f"{place}.segmentation", what_it_is(annotation, "segmentation")
            )
        elif outline:
            self._findings.add("segmentation-outline", f"{place}.segmentation", "is not empty")
        if "score" not in annotation:
            self._findings.add("score-missing", f"{place}.score", "is missing")
        elif not is_number(annotation["score"]):
            self._findings.add("score", f"{place}.score", what_it_is(annotation, "score"))

    def _keypoints(self, place: str, annotation: Mapping[str, Any]) -> None:
        category_id, points = annotation.get("category_id"), annotation.get("keypoints")
        count = self._categories.num_keypoints.get(category_id) if is_int(category_id) else None
        if count is None:
            return
        scores = annotation.get("keypoint_scores", [0.0] * count)
        if not are_numbers(scores, count):
            message = (
                f"{what_it_is(annotation, 'keypoint_scores')}, the category has {count} keypoints"
            )
            self._findings.add("keypoint-scores", f"{place}.keypoint_scores", message)
        smoothed = annotation.get("keypoints_smoothed", [0.0] * 3 * count)
        if not are_numbers(smoothed, 3 * count):
            message = (
                f"{what_it_is(annotation, 'keypoints_smoothed')}, expected {3 * count} numbers"
            )
            self._findings.add("keypoints-smoothed", f"{place}.keypoints_smoothed", message)
        if not are_numbers(points, 3 * count):
            have = why_no_numbers(points, 3 * count) if "keypoints" in annotation else "is missing"
            message = f"{have}, {count} keypoints need {3 * count} numbers"
            self._findings.add("keypoints", f"{place}.keypoints", message)
            return
        visibility = points[2::3]
        if not _VISIBILITIES.issuperset(visibility):
            self._findings.add("visibility", f"{place}.keypoints", f"v is {shown(visibility)}")
            return
        labelled = sum(map(bool, visibility))
        if annotation.get("num_keypoints") != labelled or not is_int(annotation["num_keypoints"]):
            message = f"{what_it_is(annotation, 'num_keypoints')}, {labelled} have v > 0"
            self._findings.add("num-keypoints", f"{place}.num_keypoints", message)
        if not labelled:
            self._findings.add("nothing-labelled", f"{place}.keypoints", "has no v above 0")
        self._keypoint_places(f"{place}.keypoints", points, self._images.size_of(annotation))

    def _keypoint_places(self, place: str, points: Sequence[float], size: Size | None) -> None:
        for number, (x, y, v) in enumerate(zip(*[iter(points)] * 3, strict=True)):
            if v == 0:
                if x or y:
                    self._findings.add("unlabelled-place", f"{place}[{3 * number}]", f"{x}, {y}, 0")
            elif size is not None and not _within(x, y, size):
                message = f"({x}, {y}) in {size[0]} x {size[1]}"
                self._findings.add("keypoint-inside", f"{place}[{3 * number}]", message)

    def _attributes(self, place: str, annotation: Mapping[str, Any]) -> None:
        attributes = annotation.get("attributes", {})
        if not isinstance(attributes, dict):
            self._findings.add(
                "attributes", f"{place}.attributes", what_it_is(annotation, "attributes")
            )
            return
        for name, value in attributes.items():
            if isinstance(value, (dict, list)):
                self._findings.add(
                    "attributes", f"{place}.attributes", f"{shown(name)} is {shown(value)}"
                )
            if name in _FIELDS:
                self._findings.add("attribute-names", f"{place}.attributes", f"has {shown(name)}")
        uid, track_id = attributes.get("uid"), attributes.get("track_id", 0)
        if uid is not None and in_or_add(self._uids, hash(str(uid))):
            self._findings.add("uid-unique", f"{place}.attributes.uid", f"{shown(uid)} comes again")
        if not is_int(track_id):
            self._findings.add("track-id", f"{place}.attributes.track_id", f"is {shown(track_id)}")
            return
        tracked = hash(f"{annotation.get('image_id')} {track_id}")
        is_tracked = "track_id" in attributes and track_id >= 0  # other programs write -1 for none
        if is_tracked and in_or_add(self._tracked, tracked):
            message = f"{track_id} comes again in the same image"
            self._findings.add("track-id-unique", f"{place}.attributes.track_id", message)


def _within(x: float, y: float, size: Size) -> bool:
    return -_BORDER <= x <= size[0] + _BORDER and -_BORDER <= y <= size[1] + _BORDER

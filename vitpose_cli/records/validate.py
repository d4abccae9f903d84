"""Checking a COCO file against the rules that its consumers set (`rules`).

The file is streamed: what is kept of an image or annotation is its id and a few numbers, so that a
file of millions is checked in the memory of a laptop. A JSON schema was refused: most rules join
two places of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from vitpose_cli.errors import InputError
from vitpose_cli.records.coco import safe_media_path
from vitpose_cli.records.json_stream import Item, stream_items
from vitpose_cli.records.json_values import are_numbers, is_int, is_number, shown
from vitpose_cli.records.rules import Validation
from vitpose_cli.records.shards import document_files

_NEEDED = ("images", "annotations", "categories")
_BORDER = 1.0  # px: labels reach over the border by rounding and by the half-pixel convention
_Size = tuple[int, int]
_T = TypeVar("_T")
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


def validate(path: Path) -> Validation:
    """Check a COCO annotation file or results file against every rule.

    Args:
        path: The file; or a glob of shards or a folder, for all files of the document. Each has to
            be whole by itself, and ids are unique over all of them.

    Raises:
        InputError: A file cannot be read, or is not JSON.
    """
    files = document_files(path)
    checker = _Checker(path)
    for file in files:
        checker.begin(f"{file.name}: " if len(files) > 1 else "")
        for item in stream_items(file):
            checker.take(item)
        checker.end()
        if checker.postponed:  # annotations before what they refer to
            for item in stream_items(file):
                if item.section == "annotations" and item.position is not None:
                    checker.annotation(item)
    return checker.report


class _Checker:
    """What is known of a file so far, and the report about it."""

    def __init__(self, path: Path) -> None:
        self.report = Validation(path)
        self.postponed = False
        self._checks: Mapping[str, Callable[[Item], None]] = {
            "": self._result,
            "images": self._image,
            "videos": self._video,
            "categories": self._category,
            "annotations": self._annotation_in_order,
        }
        self._file = ""  # what stands before each place
        self._sections: dict[str, int] = {}  # elements by section
        self._sizes: dict[int, _Size | None] = {}
        self._stems: dict[str, str] = {}  # the first suffix of each
        self._beside: set[str] = set()  # names of another suffix
        self._videos: set[int] = set()
        self._num_keypoints: dict[int, int] = {}
        self._category_names: set[str] = set()
        self._annotation_ids: set[int] = set()
        self._referred_videos: set[int] = set()
        # Hashes, not the values: millions of them must fit.
        self._boxes: set[int] = set()
        self._uids: set[int] = set()

    def begin(self, file: str) -> None:
        """Begin with a file, which `file` stands for in the places of the report."""
        self.postponed, self._file = False, file
        for of_one_file in (
            self._sections,
            self._videos,
            self._num_keypoints,
            self._category_names,
            self._referred_videos,
        ):
            of_one_file.clear()

    def take(self, item: Item) -> None:
        """Check one value of the file, in the order of the file."""
        check = self._checks.get(item.section)
        if check is None:
            return
        if item.position is not None:
            self._sections[item.section] += 1
            check(item)
        elif item.section in self._sections:
            self._add("section-repeated", item.section, "comes a second time")
        else:
            self._sections[item.section] = 0
            if item.value != []:
                self._add("section-type", item.section, f"is {shown(item.value)}, not a list")

    def end(self) -> None:
        """Check what only the end of a file shows."""
        if "" in self._sections:
            self.report.kind = "results"
            self.report.num_annotations = self._sections[""]
            if not self._sections[""]:
                self._add("results-empty", "the file", "is an empty list")
            return
        for section in _NEEDED:
            if section not in self._sections:
                self._add("section-missing", section, "is missing")
        unknown = self._referred_videos - self._videos
        if unknown:
            message = f"video_id {min(unknown)} is used and not there"
            self._add("video-id", "videos", message)
        self.report.num_images += self._sections.get("images", 0)
        self.report.num_annotations += self._sections.get("annotations", 0)

    def annotation(self, item: Item) -> None:
        """Check an annotation; images and categories must be known."""
        place, annotation = f"annotations[{item.position}]", item.value
        if not self._is_object(place, annotation):
            return
        if not is_int(annotation.get("id")) or annotation["id"] < 1:
            self._add("annotation-id", f"{place}.id", _is(annotation, "id"))
        elif _in_or_add(self._annotation_ids, annotation["id"]):
            self._add("annotation-id-unique", f"{place}.id", f"{annotation['id']} comes again")
        self._references(place, annotation)
        self._box(place, annotation)
        self._plain_fields(place, annotation)
        self._keypoints(place, annotation)
        self._attributes(place, annotation)

    def _annotation_in_order(self, item: Item) -> None:
        if self.postponed or not {"images", "categories"} <= self._sections.keys():
            self.postponed = True
        else:
            self.annotation(item)

    def _add(self, rule: str, place: str, message: str) -> None:
        self.report.add(rule, self._file + place, message)

    def _is_object(self, place: str, value: Any) -> bool:
        if isinstance(value, dict):
            return True
        self._add("item-type", place, f"is {shown(value)}")
        return False

    def _image(self, item: Item) -> None:
        place, image = f"images[{item.position}]", item.value
        if not self._is_object(place, image):
            return
        width, height = image.get("width"), image.get("height")
        size = None
        if is_int(width) and is_int(height) and width > 0 and height > 0:
            size = (width, height)
        else:
            message = f"is {shown(width)} x {shown(height)}"
            self._add("image-size", f"{place}.width, height", message)
        if not is_int(image.get("id")):
            self._add("image-id", f"{place}.id", _is(image, "id"))
        elif image["id"] in self._sizes:
            self._add("image-id-unique", f"{place}.id", f"{image['id']} comes again")
        else:
            self._sizes[image["id"]] = size
            if image["id"] < 1:
                self._add("image-id-zero", f"{place}.id", _is(image, "id"))
        self._file_name(f"{place}.file_name", image)
        if "video_id" in image:
            self._video_frame(place, image)

    def _file_name(self, place: str, image: Mapping[str, Any]) -> None:
        name = image.get("file_name")
        if not isinstance(name, str) or not name:
            self._add("file-name", place, _is(image, "file_name"))
            return
        try:
            safe_media_path(Path(), name)
            escapes = "\\" in name
        except InputError:
            escapes = True
        if escapes:
            self._add("file-name-path", place, _is(image, "file_name"))
        suffix = PurePosixPath(name).suffix
        stem = name.removesuffix(suffix)
        if stem not in self._stems:
            self._stems[stem] = suffix
        elif self._stems[stem] == suffix or _in_or_add(self._beside, name):
            self._add("file-name-unique", place, f"{shown(name)} comes again")
        else:
            other = stem + self._stems[stem]
            self._add("file-stem-unique", place, f"{shown(name)} is beside {shown(other)}")

    def _video_frame(self, place: str, image: Mapping[str, Any]) -> None:
        if not is_int(image["video_id"]):
            self._add("video-id", f"{place}.video_id", _is(image, "video_id"))
        else:
            self._referred_videos.add(image["video_id"])
        index, time_s = image.get("frame_id", 0), image.get("timestamp", 0)
        if not is_int(index) or index < 0 or not is_number(time_s):
            message = f"frame_id {shown(index)}, timestamp {shown(time_s)}"
            self._add("frame-id", place, message)

    def _video(self, item: Item) -> None:
        if self._is_object(f"videos[{item.position}]", item.value) and is_int(item.value.get("id")):
            self._videos.add(item.value["id"])

    def _category(self, item: Item) -> None:
        place, category = f"categories[{item.position}]", item.value
        if not self._is_object(place, category):
            return
        names = category.get("keypoints", [])
        if not is_int(category.get("id")) or category["id"] < 1:
            self._add("category-id", f"{place}.id", _is(category, "id"))
        elif category["id"] in self._num_keypoints:
            self._add("category-id-unique", f"{place}.id", f"{category['id']} comes again")
        if is_int(category.get("id")):
            count = len(names) if isinstance(names, list) else 0
            self._num_keypoints.setdefault(category["id"], count)
        name = category.get("name")
        if not isinstance(name, str) or not name or _in_or_add(self._category_names, name):
            self._add("category-name", f"{place}.name", _is(category, "name"))
        if not names:
            self._add("category-without-keypoints", f"{place}.keypoints", "is missing or empty")
        elif not _are_names(names):
            self._add("category-keypoints", f"{place}.keypoints", _is(category, "keypoints"))
        else:
            self._skeleton(f"{place}.skeleton", category.get("skeleton"), len(names))

    def _skeleton(self, place: str, skeleton: Any, num_keypoints: int) -> None:
        if not isinstance(skeleton, list):
            self._add("skeleton", place, f"is {shown(skeleton)}")
            return
        edges: set[tuple[int, ...]] = set()
        for position, edge in enumerate(skeleton):
            here = f"{place}[{position}]"
            if not isinstance(edge, list) or len(edge) != 2 or not all(map(is_int, edge)):
                self._add("skeleton", here, f"is {shown(edge)}")
            elif not all(1 <= end <= num_keypoints for end in edge):
                self._add("skeleton", here, f"{edge} is not within 1 to {num_keypoints}")
            elif edge[0] == edge[1] or _in_or_add(edges, tuple(sorted(edge))):
                self._add("skeleton-edge", here, f"is {edge}")

    def _references(self, place: str, annotation: Mapping[str, Any]) -> None:
        image_id, category_id = annotation.get("image_id"), annotation.get("category_id")
        if not is_int(image_id) or image_id not in self._sizes:
            self._add("image-reference", f"{place}.image_id", _is(annotation, "image_id"))
        if not is_int(category_id) or category_id not in self._num_keypoints:
            self._add("category-reference", f"{place}.category_id", _is(annotation, "category_id"))

    def _box(self, place: str, annotation: Mapping[str, Any]) -> None:
        place, bbox = f"{place}.bbox", annotation.get("bbox")
        if not are_numbers(bbox, 4) or bbox[2] <= 0 or bbox[3] <= 0:
            self._add("bbox", place, _is(annotation, "bbox"))
            return
        size = self._size_of(annotation)
        if size is not None:
            left, top, right, bottom = bbox[0], bbox[1], bbox[0] + bbox[2], bbox[1] + bbox[3]
            message = f"{bbox} in {size[0]} x {size[1]}"
            if left >= size[0] or top >= size[1] or right <= 0 or bottom <= 0:
                self._add("bbox-outside", place, message)
            elif not _within(left, top, size, _BORDER) or not _within(right, bottom, size, _BORDER):
                self._add("bbox-inside", place, message)
        if _in_or_add(self._boxes, hash((str(annotation.get("image_id")), *bbox))):
            self._add("bbox-duplicate", place, f"{bbox} comes again in the same image")

    def _plain_fields(self, place: str, annotation: Mapping[str, Any]) -> None:
        area, crowd = annotation.get("area"), annotation.get("iscrowd")
        if not is_number(area) or area <= 0:
            self._add("area", f"{place}.area", _is(annotation, "area"))
        if not is_int(crowd) or crowd not in (0, 1):
            self._add("iscrowd", f"{place}.iscrowd", _is(annotation, "iscrowd"))
        elif crowd:
            self._add("crowd", f"{place}.iscrowd", "is 1")
        outline = annotation.get("segmentation")
        if not isinstance(outline, (list, dict)):
            self._add("segmentation", f"{place}.segmentation", _is(annotation, "segmentation"))
        elif outline:
            self._add("segmentation-outline", f"{place}.segmentation", "is not empty")
        if "score" not in annotation:
            self._add("score-missing", f"{place}.score", "is missing")
        elif not is_number(annotation["score"]):
            self._add("score", f"{place}.score", _is(annotation, "score"))

    def _keypoints(self, place: str, annotation: Mapping[str, Any]) -> None:
        category_id, points = annotation.get("category_id"), annotation.get("keypoints")
        count = self._num_keypoints.get(category_id) if is_int(category_id) else None
        if count is None:
            return
        scores = annotation.get("keypoint_scores", [0.0] * count)
        if not are_numbers(scores, count):
            message = f"{_is(annotation, 'keypoint_scores')}, the category has {count} keypoints"
            self._add("keypoint-scores", f"{place}.keypoint_scores", message)
        smoothed = annotation.get("keypoints_smoothed", [0.0] * 3 * count)
        if not are_numbers(smoothed, 3 * count):
            message = f"{_is(annotation, 'keypoints_smoothed')}, expected {3 * count} numbers"
            self._add("keypoints-smoothed", f"{place}.keypoints_smoothed", message)
        if not are_numbers(points, 3 * count):
            have = f"has {len(points)} values" if isinstance(points, list) else shown(points)
            message = f"{have}, {count} keypoints need {3 * count} numbers"
            self._add("keypoints", f"{place}.keypoints", message)
            return
        visibility = points[2::3]
        if not _VISIBILITIES.issuperset(visibility):
            self._add("visibility", f"{place}.keypoints", f"v is {shown(visibility)}")
            return
        labelled = sum(map(bool, visibility))
        if annotation.get("num_keypoints") != labelled or not is_int(annotation["num_keypoints"]):
            message = f"{_is(annotation, 'num_keypoints')}, {labelled} have v > 0"
            self._add("num-keypoints", f"{place}.num_keypoints", message)
        if not labelled:
            self._add("nothing-labelled", f"{place}.keypoints", "has no v above 0")
        self._keypoint_places(f"{place}.keypoints", points, self._size_of(annotation))

    def _keypoint_places(self, place: str, points: Sequence[float], size: _Size | None) -> None:
        for number, (x, y, v) in enumerate(zip(*[iter(points)] * 3, strict=True)):
            if v == 0:
                if x or y:
                    self._add("unlabelled-place", f"{place}[{3 * number}]", f"{x}, {y}, 0")
            elif size is not None and not _within(x, y, size, _BORDER):
                message = f"({x}, {y}) in {size[0]} x {size[1]}"
                self._add("keypoint-inside", f"{place}[{3 * number}]", message)

    def _attributes(self, place: str, annotation: Mapping[str, Any]) -> None:
        attributes = annotation.get("attributes", {})
        if not isinstance(attributes, dict):
            self._add("attributes", f"{place}.attributes", _is(annotation, "attributes"))
            return
        for name, value in attributes.items():
            if isinstance(value, (dict, list)):
                self._add("attributes", f"{place}.attributes", f"{shown(name)} is {shown(value)}")
            if name in _FIELDS:
                self._add("attribute-names", f"{place}.attributes", f"has {shown(name)}")
        uid, track_id = attributes.get("uid"), attributes.get("track_id", 0)
        if uid is not None and _in_or_add(self._uids, hash(str(uid))):
            self._add("uid-unique", f"{place}.attributes.uid", f"{shown(uid)} comes again")
        if not is_int(track_id):
            self._add("track-id", f"{place}.attributes.track_id", f"is {shown(track_id)}")

    def _result(self, item: Item) -> None:
        place, result = f"[{item.position}]", item.value
        if not self._is_object(place, result):
            return
        if not is_int(result.get("image_id")) and not isinstance(result.get("file_name"), str):
            self._add("results-image", f"{place}.image_id", _is(result, "image_id"))
        if not is_int(result.get("category_id")):
            self._add("results-category", f"{place}.category_id", _is(result, "category_id"))
        if not is_number(result.get("score")):
            self._add("results-score", f"{place}.score", _is(result, "score"))
        points, bbox = result.get("keypoints"), result.get("bbox")
        if points is None and bbox is None:
            self._add("results-labels", place, "has neither keypoints nor bbox")
        if points is not None and not (
            isinstance(points, list) and len(points) % 3 == 0 and are_numbers(points, len(points))
        ):
            self._add("results-labels", f"{place}.keypoints", _is(result, "keypoints"))
        if bbox is not None and not are_numbers(bbox, 4):
            self._add("results-labels", f"{place}.bbox", _is(result, "bbox"))

    def _size_of(self, annotation: Mapping[str, Any]) -> _Size | None:
        image_id = annotation.get("image_id")
        return self._sizes.get(image_id) if is_int(image_id) else None


def _are_names(values: Any) -> bool:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        return False
    return len({*values}) == len(values)


def _in_or_add(known: set[_T], value: _T) -> bool:
    """Return whether `value` was known, and know it from now on."""
    before = len(known)
    known.add(value)
    return len(known) == before


def _within(x: float, y: float, size: _Size, border: float) -> bool:
    return -border <= x <= size[0] + border and -border <= y <= size[1] + border


def _is(element: Mapping[str, Any], name: str) -> str:
    return f"is {shown(element[name])}" if name in element else "is missing"

"""The COCO annotation file as it is read.

A document keeps COCO's own dictionaries, so that nothing a file holds is lost, but what every
reader relies on has been checked: ids, boxes and keypoints are there and are numbers. `validate`
checks far more, and reports instead of refusing. Writing is in `coco_writer`, the other kind of
COCO file, a list of results, in `results`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.geometry import xywh_to_xyxy
from vitpose_cli.pose.instances import KEYPOINT_SCORE_THRESHOLD, Instances
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.records.json_stream import stream_items
from vitpose_cli.records.json_values import are_numbers

_SECTIONS = ("images", "annotations", "categories", "videos")
_HINT = "`vitpose validate FILE` lists everything that is wrong with a file."


@dataclass(frozen=True, slots=True)
class CocoDocument:
    """A COCO annotation file.

    Attributes:
        path: The file.
        info: Its `info`.
        images: Each with at least `id` (int, unique) and `file_name`.
        categories: Each with at least `id`.
        annotations: Each with at least `image_id` (of an image), `category_id`, `iscrowd`,
            `bbox` (xywh, frame px) and `keypoints` (3K numbers; zeros where the file has none).
        videos: Empty for photos.
    """

    path: Path
    info: Mapping[str, Any]
    images: tuple[Mapping[str, Any], ...]
    categories: tuple[Mapping[str, Any], ...]
    annotations: tuple[Mapping[str, Any], ...]
    videos: tuple[Mapping[str, Any], ...] = ()

    @property
    def keypoint_set(self) -> KeypointSet:
        """The keypoints that the categories describe.

        Raises:
            InputError: No category has keypoints, or they have different ones.
        """
        with_keypoints = [category for category in self.categories if category.get("keypoints")]
        if not with_keypoints:
            raise InputError(
                f"{self.path} is no keypoint file: none of its categories lists keypoints.",
                "Give a COCO-keypoint file, whose categories have `keypoints` and `skeleton`.",
            )
        first = with_keypoints[0]
        for category in with_keypoints[1:]:
            if category["keypoints"] != first["keypoints"]:
                raise InputError(
                    f"{self.path}: categories {first.get('name')!r} and {category.get('name')!r} "
                    "have different keypoints.",
                    "Split the file into one for each list of keypoints.",
                )
        return KeypointSet.from_category(first)

    def keys(self) -> dict[int, FrameKey]:
        """Return the frame that each image id stands for, in the order of the images."""
        names = {
            video["id"]: video.get("name")
            for video in self.videos
            if isinstance(video.get("id"), int)
        }
        return {image["id"]: _frame_key(image, names) for image in self.images}

    def by_image(self) -> dict[int, list[Mapping[str, Any]]]:
        """Return the annotations of every image id, also of those without any."""
        grouped: dict[int, list[Mapping[str, Any]]] = {image["id"]: [] for image in self.images}
        for annotation in self.annotations:
            grouped[annotation["image_id"]].append(annotation)
        return grouped


def read_coco(path: Path) -> CocoDocument:
    """Read a COCO annotation file; annotations without keypoints get unlabelled ones.

    Raises:
        InputError: The file cannot be read, is something else, or lacks what a reader needs.
    """
    info: Mapping[str, Any] = {}
    sections: dict[str, list[dict[str, Any]]] = {}
    for section, position, value in stream_items(path):
        if section == "":
            raise InputError(
                f"{path} is a list (a results file), not a COCO annotation file.",
                "Give a file with images, annotations and categories.",
            )
        if section in _SECTIONS:
            if position is not None:
                if not isinstance(value, dict):
                    raise wrong(path, f"{section}[{position}]", "is not an object")
                sections[section].append(value)
            elif value == [] and section not in sections:
                sections[section] = []
            else:
                raise wrong(path, section, "is not one list")
        elif section == "info" and isinstance(value, dict):
            info = value
    missing = [name for name in _SECTIONS[:3] if name not in sections]
    if missing:
        raise InputError(
            f"{path} is not a COCO annotation file: it has no {' and no '.join(missing)}.",
            "Give a file with images, annotations and categories.",
        )
    image_ids = _checked_images(path, sections["images"])
    num_keypoints = _checked_categories(path, sections["categories"])
    for position, annotation in enumerate(sections["annotations"]):
        reason = _complete_annotation(annotation, image_ids, num_keypoints)
        if reason:
            raise wrong(path, f"annotations[{position}]", reason)
    return CocoDocument(
        path=path,
        info=info,
        images=tuple(sections["images"]),
        categories=tuple(sections["categories"]),
        annotations=tuple(sections["annotations"]),
        videos=tuple(sections.get("videos", ())),
    )


def instances_of(annotations: Sequence[Mapping[str, Any]], num_keypoints: int) -> Instances:
    """Return a document's annotations of one image as instances.

    Without `keypoint_scores` a labelled keypoint counts 1, another 0. Box scores are such that
    `Instances.scores` gives the file's `score`, and 1 where it has none.
    """
    count = len(annotations)
    if not count:
        return Instances.empty(num_keypoints)
    flat = np.array([item["keypoints"] for item in annotations], np.float32)
    points = flat.reshape(count, num_keypoints, 3)
    labelled = (points[..., 2] > 0).astype(np.float32)
    raw_scores = [
        item.get("keypoint_scores") or row for item, row in zip(annotations, labelled, strict=True)
    ]
    point_scores = np.array(raw_scores, np.float32).reshape(count, num_keypoints)
    scores = np.array([item.get("score", np.nan) for item in annotations], np.float32)
    counted = point_scores > KEYPOINT_SCORE_THRESHOLD
    means = (point_scores * counted).sum(axis=1) / np.maximum(counted.sum(axis=1), 1)
    box_scores = np.minimum(scores / np.where(means > 0, means, 1), 1)
    return Instances(
        boxes=xywh_to_xyxy(np.array([item["bbox"] for item in annotations])),
        box_scores=np.where(np.isnan(scores), 1, box_scores).astype(np.float32),
        keypoints=points[..., :2],
        keypoint_scores=point_scores,
        visibility=points[..., 2].astype(np.int8),
        track_ids=_track_ids(annotations),
    )


def safe_media_path(root: Path, file_name: str, *, follow_links: bool = True) -> Path:
    """Return where a file that a document names lies, never outside of `root`.

    Args:
        root: The folder that file names are relative to.
        file_name: A name from a document, which nobody has checked.
        follow_links: Whether links inside `root` that were put there may lead out of it.

    Raises:
        InputError: The name leads out of `root`.
    """
    windows = PureWindowsPath(file_name)
    parts = PurePosixPath(file_name.replace("\\", "/")).parts
    outside = windows.drive or windows.root or not parts or {"..", "/"} & {*parts}
    path = root / file_name
    if outside or "\0" in file_name or not (follow_links or _is_inside(path, root)):
        raise InputError(
            f"The file name {file_name!r} leads out of {root}.",
            "File names must be relative, without '..'.",
        )
    return path


def _frame_key(image: Mapping[str, Any], videos: Mapping[Any, Any]) -> FrameKey:
    """Return the key of an image; a video's frame only if it is named as we name it."""
    name, index, video = image["file_name"], image.get("frame_id"), image.get("video_id")
    media = videos.get(video) if isinstance(video, int) else None
    if isinstance(media, str) and isinstance(index, int):
        key = FrameKey(media, index)
        if str(key) == name:
            return key
    return FrameKey(name)


def _checked_images(path: Path, images: Iterable[Mapping[str, Any]]) -> set[int]:
    ids: set[int] = set()
    for position, image in enumerate(images):
        place = f"images[{position}]"
        if not isinstance(image.get("id"), int) or image["id"] in ids:
            raise wrong(path, f"{place}.id", "is not a whole number of its own")
        if not isinstance(image.get("file_name"), str) or not image["file_name"]:
            raise wrong(path, f"{place}.file_name", "is missing")
        ids.add(image["id"])
    return ids


def _checked_categories(path: Path, categories: Iterable[Mapping[str, Any]]) -> dict[int, int]:
    """Return the number of keypoints by category id."""
    num_keypoints: dict[int, int] = {}
    for position, category in enumerate(categories):
        if not isinstance(category.get("id"), int):
            raise wrong(path, f"categories[{position}].id", "is not a whole number")
        names = category.get("keypoints") or []
        if not isinstance(names, list):
            raise wrong(path, f"categories[{position}].keypoints", "is not a list")
        num_keypoints[category["id"]] = len(names)
    return num_keypoints


def _complete_annotation(
    annotation: dict[str, Any], image_ids: set[int], num_keypoints: Mapping[int, int]
) -> str:
    """Fill in what may be missing; return what is wrong, empty where nothing is."""
    image_id, category_id = annotation.get("image_id"), annotation.get("category_id")
    if not isinstance(image_id, int) or image_id not in image_ids:
        return f"belongs to image {image_id!r}, which is not in the file"
    if not isinstance(category_id, int) or category_id not in num_keypoints:
        return f"has the category {category_id!r}, which is not in the file"
    annotation.setdefault("iscrowd", 0)
    length = 3 * num_keypoints[category_id]
    points = annotation.get("keypoints") or [0] * length
    if not are_numbers(points, length):
        return f"needs {length} numbers in keypoints"
    if not {0, 1, 2}.issuperset(points[2::3]):
        return "has keypoints whose third number is not 0, 1 or 2; a score belongs elsewhere"
    annotation["keypoints"] = points
    if "bbox" not in annotation:
        labelled = np.reshape(points, (-1, 3))
        labelled = labelled[labelled[:, 2] > 0, :2]
        if not len(labelled):
            return "has neither bbox nor labelled keypoints"
        low, high = labelled.min(axis=0), labelled.max(axis=0)
        annotation["bbox"] = [*low.tolist(), *(high - low).tolist()]
    if not are_numbers(annotation["bbox"], 4):
        return "needs four numbers in bbox"
    if "score" in annotation and not are_numbers([annotation["score"]], 1):
        return "has a score that is not a number"
    scores = annotation.get("keypoint_scores")
    if scores is not None and not are_numbers(scores, length // 3):
        return f"needs {length // 3} numbers in keypoint_scores"
    return ""


def _track_ids(annotations: Sequence[Mapping[str, Any]]) -> NDArray[np.int64] | None:
    ids = []
    for annotation in annotations:
        attributes = annotation.get("attributes")
        inner = attributes.get("track_id") if isinstance(attributes, dict) else None
        ids.append(annotation.get("track_id", inner))
    if not all(isinstance(track_id, int) for track_id in ids):
        return None
    return np.array(ids, np.int64)


def _is_inside(path: Path, root: Path) -> bool:
    return path.resolve().is_relative_to(root.resolve())


def wrong(path: Path, place: str, reason: str) -> InputError:
    """Return the error for something in a COCO file that cannot be used."""
    return InputError(f"{path}: {place} {reason}.", _HINT)

"""The COCO annotation file as it is read.

A document keeps COCO's own dictionaries, so that nothing a file holds is lost, but what every
reader relies on has been checked (`coco_items`). It lies in memory whole; `coco_frames` reads one
of any size. `validate` checks far more, and reports instead of refusing. Writing is in
`coco_writer`, the other kind of COCO file, a list of results, in `results`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.alike_sets import with_stated
from vitpose_cli.pose.geometry import xywh_to_xyxy
from vitpose_cli.pose.instances import KEYPOINT_SCORE_THRESHOLD, Instances
from vitpose_cli.pose.keypoints import STATEMENTS, KeypointSet
from vitpose_cli.records.chosen_categories import how_to_part
from vitpose_cli.records.coco_items import (
    NO_OWN_ID,
    CocoHead,
    CocoItem,
    check_image,
    coco_items,
    complete_annotation,
    unknown_image,
    wrong,
)
from vitpose_cli.records.coco_people import attributes_of, crowding_of
from vitpose_cli.records.json_values import is_int
from vitpose_cli.records.keypoint_order import KeypointOrder
from vitpose_cli.records.record import MAX_TRACK_ID, completed_track_ids
from vitpose_cli.records.shards import document_files


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
        return common_keypoint_set(self.categories, self.path)

    def keys(self) -> dict[int, FrameKey]:
        """Return the frame that each image id stands for, in the order of the images."""
        names = video_names(self.videos)
        return {image["id"]: frame_key(image, names) for image in self.images}

    def crowding(self) -> dict[int, float]:
        """Return how crowded images are by their ids, of those that say it."""
        said = ((image["id"], crowding_of(image)) for image in self.images)
        return {image_id: crowding for image_id, crowding in said if crowding is not None}

    def by_image(self) -> dict[int, list[Mapping[str, Any]]]:
        """Return the annotations of every image id, also of those without any."""
        grouped: dict[int, list[Mapping[str, Any]]] = {image["id"]: [] for image in self.images}
        for annotation in self.annotations:
            grouped[annotation["image_id"]].append(annotation)
        return grouped


def read_coco(path: Path) -> CocoDocument:
    """Read a COCO annotation file; annotations without keypoints get unlabelled ones.

    Args:
        path: The file, a glob of shards, or the folder of a run.

    Raises:
        InputError: A file cannot be read, is something else, or lacks what a reader needs.
    """
    files, head = document_files(path), CocoHead()
    image_ids: set[int] = set()
    images: list[CocoItem] = []
    annotations: list[CocoItem] = []
    for item in coco_items(files, head):
        if item.section == "annotations":
            annotations.append(item)
            continue
        image_id = check_image(files[item.file_number], item)
        if image_id in image_ids:
            raise wrong(files[item.file_number], f"images[{item.position}].id", NO_OWN_ID)
        image_ids.add(image_id)
        images.append(item)
    for item in annotations:
        wanted = item.value.get("image_id")
        if isinstance(wanted, int) and wanted in image_ids:
            fault = complete_annotation(item.value, head)
        else:
            fault = unknown_image(wanted)
        if fault:
            raise wrong(files[item.file_number], f"annotations[{item.position}]", fault)
    return CocoDocument(
        path=path,
        info=head.info,
        images=tuple(item.value for item in images),
        categories=tuple(head.categories),
        annotations=tuple(item.value for item in annotations),
        videos=tuple(head.videos),
    )


def common_keypoint_set(categories: Sequence[Mapping[str, Any]], path: Path) -> KeypointSet:
    """Return the keypoints that the categories of the document `path` describe.

    Flip pairs and sigmas are those of whichever category states some.

    Raises:
        InputError: No category has keypoints, they have different ones or state different pairs or
            sigmas, or what else a category says does not fit its keypoints.
    """
    with_keypoints = [category for category in categories if category.get("keypoints")]
    if not with_keypoints:
        raise InputError(
            f"{path} is no keypoint file: none of its categories lists keypoints.",
            "Give a COCO-keypoint file, whose categories have `keypoints` and `skeleton`.",
        )
    first = with_keypoints[0]
    for category in with_keypoints[1:]:
        if category["keypoints"] != first["keypoints"]:
            hint = how_to_part(with_keypoints, path)
            order = KeypointOrder.between(first["keypoints"], category["keypoints"])
            try:
                _ = order and order.category(category)
            except InputError as error:  # why they were not brought into the same order
                raise InputError(f"{path}: {error}", hint) from error
            raise InputError(
                f"{path}: categories {first.get('name')!r} and {category.get('name')!r} "
                "have different keypoints.",
                hint,
            )
    saying = [
        category
        for category in with_keypoints
        if category is first or any(category.get(what) is not None for what in STATEMENTS)
    ]
    try:
        sets = [KeypointSet.from_category(category) for category in saying]
        names = [f"category {category.get('name')!r}" for category in saying]
        known = sets[0]
        for what in STATEMENTS:
            known = with_stated(known, list(zip(names, sets, strict=True)), what)
    except InputError as error:
        raise InputError(f"{path}: {error}", error.hint) from error
    return known


def video_names(videos: Iterable[Mapping[str, Any]]) -> dict[int, Any]:
    """Return the names of videos by their ids."""
    return {video["id"]: video.get("name") for video in videos if isinstance(video.get("id"), int)}


def frame_key(image: Mapping[str, Any], videos: Mapping[int, Any]) -> FrameKey:
    """Return the key of an image; a video's frame only if it is named as we name it.

    Args:
        image: With at least `file_name`.
        videos: Names of videos by their ids.
    """
    name, index, video = image["file_name"], image.get("frame_id"), image.get("video_id")
    media = videos.get(video) if isinstance(video, int) else None
    if isinstance(media, str) and isinstance(index, int):
        key = FrameKey(media, index)
        if str(key) == name:
            return key
    return FrameKey(name)


def video_of(image: Mapping[str, Any], videos: Mapping[int, Any]) -> str:
    """Return which video an image is said to be of, whatever it is called; empty for a photo.

    Args:
        image: Of a document; PoseTrack's files say `vid_id` for `video_id`.
        videos: Names of videos by their ids.
    """
    video = image.get("video_id", image.get("vid_id"))
    if not isinstance(video, (int, str)):
        return ""
    name = videos.get(video) if isinstance(video, int) else None
    return name if isinstance(name, str) and name else f"video {video}"


def instances_of(
    annotations: Sequence[Mapping[str, Any]], num_keypoints: int, uids: Sequence[str]
) -> Instances:
    """Return a document's annotations of one image as instances.

    Without `keypoint_scores` a labelled keypoint counts 1, another 0. Box scores are such that
    `Instances.scores` gives the file's `score`, and 1 where it has none. Where only some people
    have an identity, the others get one that nobody else has.

    Args:
        annotations: Labelled people.
        num_keypoints: K of each.
        uids: Their names.
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
        track_ids=completed_track_ids(map(track_id_of, annotations), uids),
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
    # b:1.jpg is a name like others, but on Windows, where it leads to a drive.
    drive = windows.drive and os.name == "nt"
    outside = drive or windows.root or not parts or {"..", "/"} & {*parts}
    path = root / file_name
    if outside or "\0" in file_name:
        raise InputError(
            f"The file name {file_name!r} leads out of {root}.",
            "File names must be relative, without '..'.",
        )
    if not (follow_links or path.resolve().is_relative_to(root.resolve())):
        raise InputError(
            f"A link leads from {file_name!r} out of {root}.",
            "Begin the review with --follow-links if what it leads to may be shown.",
        )
    return path


def track_id_of(annotation: Mapping[str, Any]) -> int | None:
    """Return the identity of a person; None for none, for which other programs write -1, too."""
    track_id = annotation.get("track_id", attributes_of(annotation).get("track_id"))
    return track_id if is_int(track_id) and 0 <= track_id <= MAX_TRACK_ID else None

"""From a COCO-keypoint file and its photos to labelled people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vitpose_cli.errors import InputError
from vitpose_cli.media.archives import photo_at
from vitpose_cli.media.finding import FoundMedia
from vitpose_cli.media.frames import FrameKey, PhotoFile
from vitpose_cli.media.source import MediaSource
from vitpose_cli.pose.keypoints import KeypointSet, keypoint_set
from vitpose_cli.records.coco import (
    CocoDocument,
    read_coco,
    video_names,
    video_of,
)
from vitpose_cli.records.coco_people import bodies_of, size_of
from vitpose_cli.records.media_root import MediaFolders
from vitpose_cli.records.results import boxes_by_image
from vitpose_cli.records.shards import document_files
from vitpose_cli.split import group_of
from vitpose_cli.training.data_options import CocoSource
from vitpose_cli.training.fingerprints import (
    Fingerprint,
    files_hash,
    measured_hash,
    people_hash,
)
from vitpose_cli.training.labels import (
    Person,
    ignored,
    is_looked_at,
    is_wanted,
    person_of,
)
from vitpose_cli.training.opened_source import (
    OpenedSource,
    identity,
    in_split,
    nobody,
    outside_split,
    spread,
)
from vitpose_cli.training.people import LabelledFrames, People


def open_coco(
    options: CocoSource, num_threads: int, labelled: bool, measured: bool
) -> OpenedSource:
    """Read the labels of a COCO-keypoint file; `open_data_source` says what the arguments mean."""
    document = read_coco(options.annotations)
    keypoint_set_ = document.keypoint_set if labelled else _set_or_coco(document)
    dropped: Counter[str] = Counter()
    images = {image["id"]: image for image in document.images}
    videos = video_names(document.videos)
    all_keys = document.keys()
    groups = {
        one: group_of(key, options.split_by, video_of(images[one], videos))
        for one, key in all_keys.items()
    }
    keys = {one: key for one, key in all_keys.items() if in_split(groups[one], options)}
    found, reasons = _people_by_image(document, keys, options, labelled, measured)
    empty_too = measured and options.boxes is not None
    useful = [
        image_id
        for image_id in _in_order(keys)
        if found[image_id] or (empty_too and is_looked_at(images[image_id], options))
    ]
    chosen = spread(useful, options)
    passed_over = set(useful).difference(chosen)
    for image_id, counts in reasons.items():
        if image_id not in passed_over:
            dropped.update(counts)
    shown = _present_keys({one: keys[one] for one in chosen}, options, dropped)
    numbered = [(number, one) for number, image_id in enumerate(shown) for one in found[image_id]]
    if not numbered:
        outside = _outside_split(document, groups, options)
        raise outside or nobody(options, dropped, len(chosen))
    people = _stacked(keypoint_set_, numbered, options.repeat)
    folders = MediaFolders.at(options.images)
    files = {key.media: _file(folders.path(key.media)) for key in shown.values()}
    source = MediaSource(FoundMedia(folders.folders[0], files, {}), num_threads=num_threads)
    truth = _truth(document, shown, options)
    known_from = document_files(options.annotations)
    known = people_hash(people, tuple(shown.values()), files)
    boxes = None
    if options.boxes is not None:
        names = {image_id: images[image_id]["file_name"] for image_id in shown}
        boxes = boxes_by_image(options.boxes, names, keypoint_set_.category)
        known_from += document_files(options.boxes)
    if measured:
        known += f" {measured_hash(truth, boxes)}"
    fingerprint = Fingerprint(
        str(options.annotations), files_hash(known_from), known, len(people), len(shown)
    )
    frames = LabelledFrames(
        people,
        tuple(shown.values()),
        source,
        identity(fingerprint, options),
        options.annotations,
        tuple(size_of(images[image_id]) for image_id in shown),
    )
    return OpenedSource(frames, truth, +dropped, fingerprint, boxes)


def _outside_split(
    document: CocoDocument, groups: Mapping[int, str], options: CocoSource
) -> InputError | None:
    """Return the error of a source whose `split` takes no photo with labels; None if it does.

    Args:
        document: The labels.
        groups: What each image is taken together with.
        options: The source.
    """
    keys, labelled = document.keys(), {one["image_id"] for one in document.annotations}
    if not labelled:
        return None
    sizes = Counter(groups[one] for one in labelled)
    are_photos = {keys[one].index < 0 and keys[one].media == groups[one] for one in labelled}
    what = "photo or video" if len(are_photos) > 1 else "photo" if True in are_photos else "video"
    what = "folder" if options.split_by == "folder" else what
    return outside_split(options, sizes, what)


def _stacked(
    keypoint_set_: KeypointSet, numbered: Sequence[tuple[int, Person]], repeat: float
) -> People:
    """Return people, each with the number of their frame, as arrays."""
    everybody = [person for _, person in numbered]
    return People(
        keypoint_set_,
        np.stack([person.box for person in everybody]).astype(np.float32),
        np.stack([person.keypoints for person in everybody]).astype(np.float32),
        np.stack([person.weights for person in everybody]).astype(np.float32),
        np.full(len(everybody), repeat, np.float32),
        np.array([number for number, _ in numbered], np.int64),
    )


def _people_by_image(
    document: CocoDocument,
    chosen: Iterable[int],
    options: CocoSource,
    labelled: bool,
    measured: bool,
) -> tuple[dict[int, list[Person]], dict[int, Counter[str]]]:
    """Return who can be learnt from in each of the chosen images, and the reasons of the others.

    Returns:
        People by image; where somebody was left out, also how many by the reason.
    """
    images = {image["id"]: image for image in document.images}
    annotations = document.by_image()
    categories = None if labelled else _people_categories(document)
    num_keypoints = 0 if labelled else _set_or_coco(document).num_keypoints
    found: dict[int, list[Person]] = {image_id: [] for image_id in chosen}
    reasons: dict[int, Counter[str]] = {}
    for image_id in found:
        dropped: Counter[str] = Counter()
        for annotation in annotations[image_id]:
            if categories is not None and annotation["category_id"] not in categories:
                dropped["boxes of other categories"] += 1
                continue
            person = person_of(annotation, images[image_id], options, dropped, labelled, measured)
            if person is not None:
                found[image_id].append(person if labelled else person.unlabelled(num_keypoints))
        if +dropped:
            reasons[image_id] = dropped
    return found, reasons


def _people_categories(document: CocoDocument) -> frozenset[int]:
    """Return the ids of categories that are people, or whatever else has keypoints.

    Raises:
        InputError: None is.
    """
    bodies = bodies_of(document.categories)
    if bodies:
        return bodies
    names = {one["id"]: str(one.get("name", "")) for one in document.categories}
    people = frozenset(number for number, name in names.items() if name.casefold() == "person")
    if not people:
        raise InputError(
            f"None of the categories of {document.path} lists keypoints, nor is one called person: "
            f"{', '.join(names.values()) or 'it has none'}.",
            "Call the category of what is to be learnt person, or give it keypoints.",
        )
    return people


def _truth(
    document: CocoDocument, shown: Mapping[int, FrameKey], options: CocoSource
) -> CocoDocument:
    """Return what is to be found in the images that are shown."""
    images = {image["id"]: image for image in document.images}
    return replace(
        document,
        images=tuple(images[image_id] for image_id in shown),
        annotations=tuple(
            one if is_wanted(one, options) else ignored(one)
            for one in document.annotations
            if one["image_id"] in shown
        ),
    )


def _set_or_coco(document: CocoDocument) -> KeypointSet:
    """Return the keypoints of a document; COCO's where it has boxes alone."""
    lists = any(category.get("keypoints") for category in document.categories)
    return document.keypoint_set if lists else keypoint_set("coco")


def _present_keys(
    keys: Mapping[int, FrameKey], options: CocoSource, dropped: Counter[str]
) -> dict[int, FrameKey]:
    """Return the frames whose file is there, by image id, in the order in which they are read."""
    stored = MediaFolders.at(options.images).stored_keys(keys.values())
    there = dict(zip(keys, stored, strict=True))
    found = {image_id: key for image_id, key in there.items() if key is not None}
    dropped["photos missing"] += len(keys) - len(found)
    return {image_id: found[image_id] for image_id in _in_order(found)}


def _in_order(keys: Mapping[int, FrameKey]) -> list[int]:
    """Return image ids file by file, as each is first named, and frames of a video in theirs."""
    places: dict[str, int] = {}
    for key in keys.values():
        places.setdefault(key.media, len(places))
    return sorted(keys, key=lambda one: (places[keys[one].media], keys[one].index))


def _file(path: Path) -> PhotoFile:
    return photo_at(path) or path

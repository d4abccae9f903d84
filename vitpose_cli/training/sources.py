"""From files to labelled people: COCO-keypoint files with their photos, and packs.

What a label is worth is decided here: a person's word counts more than a network's, an unlabelled
keypoint counts nothing. What cannot be used is dropped, counted and named, never skipped in
silence.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.errors import InputError
from vitpose_cli.media.archives import photo_at
from vitpose_cli.media.finding import FoundMedia
from vitpose_cli.media.frames import FrameKey, PhotoFile
from vitpose_cli.media.source import MediaSource
from vitpose_cli.pose.geometry import xyxy_to_xywh
from vitpose_cli.pose.instances import Detections
from vitpose_cli.pose.keypoints import KeypointSet, keypoint_set
from vitpose_cli.records.coco import CocoDocument, read_coco, safe_media_path
from vitpose_cli.records.results import boxes_by_image
from vitpose_cli.records.shards import document_files
from vitpose_cli.training.config import CocoSource, PackSource, Source, SourceOptions
from vitpose_cli.training.packs import Pack
from vitpose_cli.training.people import LabelledFrames, People


@dataclass(frozen=True, slots=True)
class OpenedSource:
    """A source whose labels are read; of its photos it is only known whether they are there.

    Attributes:
        frames: The people who can be trained on or measured, with their frames.
        truth: All labels of these frames as a COCO document, for measuring.
        dropped: How many people, keypoints and photos were left out, by the reason.
        boxes: Boxes by `file_name` to measure with; None for those of the people.
    """

    frames: LabelledFrames
    truth: CocoDocument
    dropped: Mapping[str, int]
    boxes: Mapping[str, Detections] | None = None


@dataclass(frozen=True, slots=True)
class _Person:
    """One usable annotation."""

    box: NDArray[np.float64]
    keypoints: NDArray[np.float64]
    weights: NDArray[np.float64]

    def unlabelled(self, num_keypoints: int) -> _Person:
        """Return the same person as if nobody knew their keypoints."""
        return _Person(self.box, np.zeros((num_keypoints, 2)), np.zeros(num_keypoints))


def open_source(options: Source, num_threads: int = 4, *, labelled: bool = True) -> OpenedSource:
    """Read the labels of one source.

    Args:
        options: Which.
        num_threads: Photos read at once.
        labelled: Whether people without keypoints are left out; else boxes will do.

    Raises:
        InputError: A file is missing or damaged, or nobody in it is labelled.
    """
    if isinstance(options, PackSource):
        return _open_pack(options, num_threads, labelled)
    return _open_coco(options, num_threads, labelled)


def dropped_sentence(dropped: Mapping[str, int]) -> str:
    """Say what was left out, by reason; empty where nothing was."""
    return ", ".join(f"{count:,} {reason}" for reason, count in dropped.items())


def _open_coco(options: CocoSource, num_threads: int, labelled: bool) -> OpenedSource:
    document = read_coco(options.annotations)
    keypoint_set_ = document.keypoint_set if labelled else _set_or_coco(document)
    dropped: Counter[str] = Counter()
    keys = _present_keys(document, options, dropped)
    chosen = _spread([one for one in keys if _in_split(keys[one], options)], options)
    images = {image["id"]: image for image in document.images}
    annotations = document.by_image()
    people: list[_Person] = []
    numbers: list[int] = []
    shown: dict[int, FrameKey] = {}
    for image_id in chosen:
        for annotation in annotations[image_id]:
            person = _person(annotation, images[image_id], options, dropped, labelled)
            if person is not None and not labelled:
                person = person.unlabelled(keypoint_set_.num_keypoints)
            if person is not None:
                shown.setdefault(image_id, keys[image_id])
                people.append(person)
                numbers.append(len(shown) - 1)
    if not people:
        raise InputError(
            f"Nobody in {options.annotations} can be learnt from"
            f" ({dropped_sentence(+dropped) or 'no annotation fits'}).",
            "Label some keypoints, or check `include` and `split` of this source.",
        )
    truth = replace(
        document,
        images=tuple(images[image_id] for image_id in shown),
        annotations=tuple(one for one in document.annotations if one["image_id"] in shown),
    )
    files = {key.media: _file(options.images / key.media) for key in shown.values()}
    frames = LabelledFrames(
        People(
            keypoint_set_,
            np.stack([person.box for person in people]).astype(np.float32),
            np.stack([person.keypoints for person in people]).astype(np.float32),
            np.stack([person.weights for person in people]).astype(np.float32),
            np.full(len(people), options.repeat, np.float32),
            np.array(numbers, np.int64),
        ),
        tuple(shown.values()),
        MediaSource(FoundMedia(options.images, files, {}), num_threads=num_threads),
        _identity(document_files(options.annotations), options),
    )
    boxes = None
    if options.boxes is not None:
        names = {image_id: images[image_id]["file_name"] for image_id in shown}
        boxes = boxes_by_image(options.boxes, names, keypoint_set_.category)
    return OpenedSource(frames, truth, +dropped, boxes)


def _set_or_coco(document: CocoDocument) -> KeypointSet:
    """Return the keypoints of a document; COCO's where it has boxes alone."""
    lists = any(category.get("keypoints") for category in document.categories)
    return document.keypoint_set if lists else keypoint_set("coco")


def _present_keys(
    document: CocoDocument, options: CocoSource, dropped: Counter[str]
) -> dict[int, FrameKey]:
    """Return the frames whose file is there, by image id, in the order in which they are read."""
    found: dict[int, FrameKey] = {}
    places: dict[str, int] = {}
    for image_id, key in document.keys().items():
        candidates = (key, FrameKey(str(key)))  # in the video, or extracted from it
        for candidate in candidates:
            if candidate.media in places or _is_there(options.images, candidate.media):
                places.setdefault(candidate.media, len(places))
                found[image_id] = candidate
                break
        else:
            dropped["photos missing"] += 1
    order = sorted(found, key=lambda one: (places[found[one].media], found[one].index))
    return {image_id: found[image_id] for image_id in order}


def _file(path: Path) -> PhotoFile:
    return photo_at(path) or path


def _is_there(folder: Path, media: str) -> bool:
    return photo_at(safe_media_path(folder, media)) is not None


def _in_split(key: FrameKey, options: SourceOptions) -> bool:
    share = crc32(str(key).encode()) / 2**32
    return options.split[0] <= share < options.split[1]


def _spread(chosen: list[int], options: SourceOptions) -> list[int]:
    """Return at most `limit` of these, spread evenly."""
    if options.limit is None or len(chosen) <= options.limit:
        return chosen
    return [chosen[index * len(chosen) // options.limit] for index in range(options.limit)]


def _person(
    annotation: Mapping[str, Any],
    image: Mapping[str, Any],
    options: CocoSource,
    dropped: Counter[str],
    labelled: bool,
) -> _Person | None:
    """Return what can be learnt from an annotation; None, and the reason counted, if nothing."""
    attributes = annotation.get("attributes")
    attributes = attributes if isinstance(attributes, dict) else {}
    human = attributes.get("source", "human") == "human"
    review = attributes.get("review", "fixed")
    checked, edited = human and review != "draft", human and review == "fixed"
    wanted = {"all": True, "reviewed": checked, "human": edited}[options.include]
    x, y, width, height = annotation["bbox"]
    points = np.reshape(np.array(annotation["keypoints"], np.float64), (-1, 3))
    known = points[:, 2] > 0
    if image.get("width") and image.get("height"):
        far = np.array([image["width"], image["height"]])
        inside = ((points[:, :2] >= 0) & (points[:, :2] <= far)).all(axis=1)
        dropped["keypoints outside of their photo"] += int((known & ~inside).sum())
        known = known & inside
    reasons = {
        "crowds": annotation["iscrowd"] != 0,
        "people whose labels nobody has checked": not wanted,
        "boxes without area": not (width > 0 and height > 0),
        "people without keypoints": labelled and not known.any(),
    }
    for reason, applies in reasons.items():
        if applies:
            dropped[reason] += 1
            return None
    scores = np.array(annotation.get("keypoint_scores") or np.ones(len(points)), np.float64)
    weights = _weights(np.where(known, 2 if human else 1, 0), scores, options)
    return _Person(np.array([x, y, x + width, y + height], np.float64), points[:, :2], weights)


def _weights(
    labels: NDArray[np.int64], scores: NDArray[np.float64], options: SourceOptions
) -> NDArray[np.float64]:
    """Return loss weights of keypoints: labels 0 unknown, 1 by a network, 2 by a person."""
    sure = np.where(scores >= options.min_score, options.model_weight * scores.clip(0, 1), 0)
    return np.select([labels >= 2, labels == 1], [np.float64(options.human_weight), sure], 0.0)


def _open_pack(options: PackSource, num_threads: int, labelled: bool) -> OpenedSource:
    pack = Pack.open(options.path, num_threads)
    keys = pack.keys()
    frame = pack.read(keys[0])
    known_as = keypoint_set(options.keypoint_set)
    if pack.keypoints.shape[1] != known_as.num_keypoints:
        raise InputError(
            f"{options.path} has {pack.keypoints.shape[1]} keypoints a person, "
            f"{known_as.name} has {known_as.num_keypoints}.",
            "Set keypoint_set of this source.",
        )
    points = pack.keypoints[..., :2]
    inside = ((points >= 0) & (points <= np.array(frame.size_wh))).all(axis=-1)
    labels = np.where(inside, pack.keypoints[..., 2], 0).astype(np.int64)
    weights = _weights(labels, pack.keypoints[..., 3].astype(np.float64), options)
    useless = (weights <= 0).all(axis=1) if labelled else np.zeros(len(weights), bool)
    repeats = np.array([options.repeat_of.get(int(one), options.repeat) for one in pack.sources])
    usable = ~useless & ~np.isin(pack.sources, [n for n, x in options.repeat_of.items() if x == 0])
    usable &= np.array([_in_split(key, options) for key in keys])
    rows = np.array(_spread(np.flatnonzero(usable).tolist(), options), np.int64)
    if not len(rows):
        raise InputError(
            f"Nobody in {options.path} can be learnt from.", "Check `split` and `repeat_of`."
        )
    boxes = pack.boxes(frame.size_wh, options.context)[rows]
    people = People(
        known_as,
        boxes,
        points[rows],
        weights[rows].astype(np.float32),
        repeats[rows].astype(np.float32),
        np.arange(len(rows)),
    )
    dropped = Counter({"people without keypoints": int(useless.sum())})
    chosen = tuple(keys[row] for row in rows)
    frames = LabelledFrames(people, chosen, pack, _identity((options.path,), options))
    return OpenedSource(frames, _pack_truth(options.path, people, frame.size_wh), +dropped)


def _pack_truth(path: Path, people: People, size_wh: tuple[int, int]) -> CocoDocument:
    """Return the people of a pack as a COCO document, each in a photo of their own."""
    xywh = xyxy_to_xywh(people.boxes.astype(np.float64))
    known = (people.weights > 0)[..., None]
    points = np.concatenate([np.where(known, people.keypoints, 0), 2 * known], axis=-1)
    images = [
        {"id": number, "file_name": f"{number:06d}", "width": size_wh[0], "height": size_wh[1]}
        for number in range(1, len(people) + 1)
    ]
    annotations = [
        {
            "id": number,
            "image_id": number,
            "category_id": 1,
            "iscrowd": 0,
            "bbox": box,
            "keypoints": flat,
        }
        for number, box, flat in zip(
            range(1, len(people) + 1),
            xywh.tolist(),
            points.reshape(len(people), -1).tolist(),
            strict=True,
        )
    ]
    category = people.keypoint_set.to_category()
    return CocoDocument(path, {}, tuple(images), (category,), tuple(annotations))


def _identity(files: Iterable[Path], options: SourceOptions) -> str:
    """Return a text that changes with the files and with what is taken from them."""
    digest = ""
    for path in files:
        with path.open("rb") as stream:
            digest += hashlib.file_digest(stream, "sha256").hexdigest()
    return f"{digest} {options.model_dump_json()}"

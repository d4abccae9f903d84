"""From files to labelled people: COCO-keypoint files with their photos, and packs.

What a label is worth is decided in `labels`. What cannot be used is dropped, counted and named,
never skipped in silence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
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
from vitpose_cli.records.coco import (
    CocoDocument,
    read_coco,
    safe_media_path,
    video_names,
    video_of,
)
from vitpose_cli.records.coco_people import bodies_of, size_of
from vitpose_cli.records.results import boxes_by_image
from vitpose_cli.records.shards import document_files
from vitpose_cli.split import group_of
from vitpose_cli.training.data_options import CocoSource, PackSource, Source, SourceOptions
from vitpose_cli.training.fingerprints import Fingerprint, files_hash, people_hash
from vitpose_cli.training.labels import (
    Person,
    ignored,
    is_looked_at,
    is_wanted,
    keypoint_weights,
    person_of,
)
from vitpose_cli.training.packs import Pack
from vitpose_cli.training.people import LabelledFrames, People

_SHOWN = 10
"""How many numbers a sentence lists."""


@dataclass(frozen=True, slots=True)
class OpenedSource:
    """A source whose labels are read; of its photos it is only known whether they are there.

    Attributes:
        frames: The people who can be trained on or measured, with their frames.
        truth: All labels of these frames as a COCO document, for measuring; who is not wanted is
            marked as neither to be found nor to be missed.
        dropped: How many people, keypoints and photos were left out, by the reason.
        fingerprint: What the source holds, in short.
        boxes: Boxes by `file_name` to measure with; None for those of the people.
        notes: Sentences on options that do nothing with what the source holds.
    """

    frames: LabelledFrames
    truth: CocoDocument
    dropped: Mapping[str, int]
    fingerprint: Fingerprint
    boxes: Mapping[str, Detections] | None = None
    notes: tuple[str, ...] = ()


def open_source(
    options: Source, num_threads: int = 4, *, labelled: bool = True, measured: bool = False
) -> OpenedSource:
    """Read the labels of one source.

    Args:
        options: Which.
        num_threads: Photos read at once.
        labelled: Whether people without keypoints are left out; else boxes will do.
        measured: Whether it is measured on: with boxes of a detector photos without people count.

    Raises:
        InputError: A file is missing or damaged, or nobody in it is labelled.
    """
    if isinstance(options, PackSource):
        return _open_pack(options, num_threads, labelled, measured)
    return _open_coco(options, num_threads, labelled, measured)


def dropped_sentence(dropped: Mapping[str, int]) -> str:
    """Say what was left out, by reason; empty where nothing was."""
    return ", ".join(f"{count:,} {reason}" for reason, count in dropped.items())


def _open_coco(
    options: CocoSource, num_threads: int, labelled: bool, measured: bool
) -> OpenedSource:
    document = read_coco(options.annotations)
    keypoint_set_ = document.keypoint_set if labelled else _set_or_coco(document)
    dropped: Counter[str] = Counter()
    images = {image["id"]: image for image in document.images}
    videos = video_names(document.videos)
    keys = {
        one: key
        for one, key in document.keys().items()
        if _in_split(group_of(key, options.split_by, video_of(images[one], videos)), options)
    }
    found, reasons = _people_by_image(document, keys, options, labelled, measured)
    empty_too = measured and options.boxes is not None
    useful = [
        image_id
        for image_id in _in_order(keys)
        if found[image_id] or (empty_too and is_looked_at(images[image_id], options))
    ]
    chosen = _spread(useful, options)
    passed_over = set(useful).difference(chosen)
    for image_id, counts in reasons.items():
        if image_id not in passed_over:
            dropped.update(counts)
    shown = _present_keys({one: keys[one] for one in chosen}, options, dropped)
    numbered = [(number, one) for number, image_id in enumerate(shown) for one in found[image_id]]
    if not numbered:
        raise _nobody(options, dropped, len(chosen))
    people = People(
        keypoint_set_,
        np.stack([person.box for _, person in numbered]).astype(np.float32),
        np.stack([person.keypoints for _, person in numbered]).astype(np.float32),
        np.stack([person.weights for _, person in numbered]).astype(np.float32),
        np.full(len(numbered), options.repeat, np.float32),
        np.array([number for number, _ in numbered], np.int64),
    )
    files = {key.media: _file(options.images / key.media) for key in shown.values()}
    source = MediaSource(FoundMedia(options.images, files, {}), num_threads=num_threads)
    fingerprint = Fingerprint(
        str(options.annotations),
        files_hash(document_files(options.annotations)),
        people_hash(people, tuple(shown.values()), files),
        len(people),
        len(shown),
    )
    boxes = None
    if options.boxes is not None:
        names = {image_id: images[image_id]["file_name"] for image_id in shown}
        boxes = boxes_by_image(options.boxes, names, keypoint_set_.category)
    frames = LabelledFrames(
        people,
        tuple(shown.values()),
        source,
        _identity(fingerprint, options),
        options.annotations,
        tuple(size_of(images[image_id]) for image_id in shown),
    )
    return OpenedSource(frames, _truth(document, shown, options), +dropped, fingerprint, boxes)


def _nobody(options: Source, dropped: Counter[str], num_photos: int) -> InputError:
    """Return the error of a source in whose `num_photos` nobody is left."""
    path = options.annotations if options.kind == "coco" else options.path
    missing = dropped["photos missing"]
    if missing:
        return InputError(
            f"{path}: {missing} of {num_photos} photos are missing, and nobody is left.",
            "Check `images` of this source.",
        )
    own = "include" if options.kind == "coco" else "repeat_of"
    return InputError(
        f"Nobody in {path} can be learnt from"
        f" ({dropped_sentence(+dropped) or 'no annotation fits'}).",
        f"Label some keypoints, or check `{own}`, `split`, `min_score`, `human_weight` and "
        "`model_weight` of this source.",
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
    found: dict[int, FrameKey] = {}
    there: set[str] = set()
    for image_id, key in keys.items():
        candidates = (key, FrameKey(str(key)))  # in the video, or extracted from it
        for candidate in candidates:
            if candidate.media in there or _is_there(options.images, candidate.media):
                there.add(candidate.media)
                found[image_id] = candidate
                break
        else:
            dropped["photos missing"] += 1
    return {image_id: found[image_id] for image_id in _in_order(found)}


def _in_order(keys: Mapping[int, FrameKey]) -> list[int]:
    """Return image ids file by file, as each is first named, and frames of a video in theirs."""
    places: dict[str, int] = {}
    for key in keys.values():
        places.setdefault(key.media, len(places))
    return sorted(keys, key=lambda one: (places[keys[one].media], keys[one].index))


def _file(path: Path) -> PhotoFile:
    return photo_at(path) or path


def _is_there(folder: Path, media: str) -> bool:
    return photo_at(safe_media_path(folder, media)) is not None


def _in_split(group: str, options: SourceOptions) -> bool:
    share = crc32(group.encode()) / 2**32
    return options.split[0] <= share < options.split[1]


def _spread(chosen: list[int], options: SourceOptions) -> list[int]:
    """Return at most `limit` of these, spread evenly."""
    if options.limit is None or len(chosen) <= options.limit:
        return chosen
    return [chosen[index * len(chosen) // options.limit] for index in range(options.limit)]


def _open_pack(
    options: PackSource, num_threads: int, labelled: bool, measured: bool
) -> OpenedSource:
    pack = Pack.open(options.path, num_threads)
    keys = pack.keys()
    size_wh = pack.size_wh()
    known_as = keypoint_set(options.keypoint_set)
    if pack.keypoints.shape[1] != known_as.num_keypoints:
        raise InputError(
            f"{options.path} has {pack.keypoints.shape[1]} keypoints a person, "
            f"{known_as.name} has {known_as.num_keypoints}.",
            "Set keypoint_set of this source.",
        )
    points = pack.keypoints[..., :2]
    inside = ((points >= 0) & (points <= np.array(size_wh))).all(axis=-1)
    labels = np.where(inside, pack.keypoints[..., 2], 0).astype(np.int64)
    weights = keypoint_weights(labels, pack.keypoints[..., 3].astype(np.float64), options)
    repeats = np.array([options.repeat_of.get(int(one), options.repeat) for one in pack.sources])
    never = [number for number, repeat in options.repeat_of.items() if repeat == 0]
    usable = ~np.isin(pack.sources, never)
    usable &= np.array([_in_split(str(key), options) for key in keys])
    dropped: Counter[str] = Counter()
    reasons = {
        "people without keypoints": labelled & ~(labels > 0).any(axis=1),
        "people whose keypoints count nothing": labelled & ~(measured | weights.any(axis=1)),
    }
    for reason, applies in reasons.items():
        dropped[reason] = int((usable & applies).sum())
        usable &= ~applies
    rows = np.array(_spread(np.flatnonzero(usable).tolist(), options), np.int64)
    if not len(rows):
        raise _nobody(options, dropped, len(keys))
    boxes = pack.boxes(size_wh, options.context)[rows]
    people = People(
        known_as,
        boxes,
        points[rows],
        weights[rows].astype(np.float32),
        repeats[rows].astype(np.float32),
        np.arange(len(rows)),
    )
    chosen = tuple(keys[row] for row in rows)
    file = files_hash((options.path,))
    known = f"{people_hash(people, chosen, {})} {file}"  # the pixels are in the file
    fingerprint = Fingerprint(str(options.path), file, known, len(people), len(people))
    frames = LabelledFrames(
        people,
        chosen,
        pack,
        _identity(fingerprint, options),
        options.path,
        (size_wh,) * len(people),
    )
    truth = _pack_truth(options.path, people, labels[rows] > 0, size_wh)
    notes = tuple(_unknown_sources(pack, options))
    return OpenedSource(frames, truth, +dropped, fingerprint, notes=notes)


def _unknown_sources(pack: Pack, options: PackSource) -> Iterator[str]:
    """Yield a sentence if `repeat_of` speaks of sources that a pack does not have."""
    there = set(pack.sources.tolist())
    unknown = sorted(options.repeat_of.keys() - there)
    if unknown:
        yield (
            f"repeat_of does nothing for {', '.join(map(str, unknown))}: the source numbers in "
            f"{options.path} are {', '.join(map(str, sorted(there)[:_SHOWN]))}"
            f"{', and others' * (len(there) > _SHOWN)}."
        )


def _pack_truth(
    path: Path, people: People, known: NDArray[np.bool_], size_wh: tuple[int, int]
) -> CocoDocument:
    """Return the people of a pack, and which keypoints (N, K) are known, as a COCO document.

    Each is in a photo of their own.
    """
    xywh = xyxy_to_xywh(people.boxes.astype(np.float64))
    shown = known[..., None]
    points = np.concatenate([np.where(shown, people.keypoints, 0), 2 * shown], axis=-1)
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


def _identity(fingerprint: Fingerprint, options: SourceOptions) -> str:
    """Return a text that changes with the people taken, and with how and from where."""
    return f"{fingerprint.people} {options.model_dump_json()}"

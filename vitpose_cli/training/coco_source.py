"""From a COCO-keypoint file and its photos to labelled people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from vitpose_cli.errors import InputError
from vitpose_cli.media.archives import photo_at
from vitpose_cli.media.finding import FoundFiles, FoundMedia
from vitpose_cli.media.frames import FrameKey, PhotoFile
from vitpose_cli.media.source import MediaSource
from vitpose_cli.pose.keypoints import KeypointSet, keypoint_set
from vitpose_cli.records.coco import CocoDocument
from vitpose_cli.records.coco_frames import CocoFrames
from vitpose_cli.records.coco_people import bodies_of, size_of
from vitpose_cli.records.composed_names import ByName, plain
from vitpose_cli.records.media_root import MediaFolders
from vitpose_cli.records.results import given_boxes
from vitpose_cli.records.shards import document_files
from vitpose_cli.split import group_of
from vitpose_cli.subjects import Subjects
from vitpose_cli.training.data_options import CocoSource
from vitpose_cli.training.fingerprints import (
    Fingerprint,
    files_hash,
    measured_hash,
    people_hash,
)
from vitpose_cli.training.labels import (
    Person,
    Purpose,
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
from vitpose_cli.training.packed_people import PackedPeople
from vitpose_cli.training.people import LabelledFrames


def open_coco(
    options: CocoSource,
    num_threads: int,
    purpose: Purpose,
    keypoints: Sequence[Sequence[str]],
) -> OpenedSource:
    """Read the labels of a COCO-keypoint file; `open_data_source` says what the arguments mean.

    Image after image, so that what stays in memory is what is learnt from: the outlines that files
    have beside it fill gigabytes.
    """
    with closing(CocoFrames(options.annotations, keypoints=keypoints)) as document:
        return _opened(document, options, num_threads, purpose)


def _opened(
    document: CocoFrames, options: CocoSource, num_threads: int, purpose: Purpose
) -> OpenedSource:
    keypoint_set_ = _set_or_coco(document) if purpose == "pretraining" else document.keypoint_set
    dropped: Counter[str] = Counter()
    folders = MediaFolders.at(options.images)
    groups = _groups(document, options, folders)
    keys = {
        number: document.key(number)
        for number, group in enumerate(groups)
        if in_split(group, options.split)
    }
    packed, found, reasons = _people_by_image(document, keys, keypoint_set_, options, purpose)
    measured = purpose == "measuring"
    empty_too = measured and options.boxes is not None
    useful = [
        number
        for number in _in_order(keys)
        if found[number] or (empty_too and is_looked_at(document.image(number), options))
    ]
    chosen = spread(useful, options)
    passed_over = set(useful).difference(chosen)
    for number, counts in reasons.items():
        if number not in passed_over:
            dropped.update(counts)
    shown = _present_keys({one: keys[one] for one in chosen}, options, dropped)
    if not any(found[number] for number in shown):
        outside = _outside_split(document, groups, options)
        raise outside or nobody(options, dropped, len(chosen))
    files = FoundFiles({key.media: _place(folders.path(key.media)) for key in shown.values()})
    source = MediaSource(FoundMedia(folders.folders[0], files, {}), num_threads=num_threads)
    not_square = source.pixel_aspects()
    aspects = tuple(not_square.get(key.media, 1.0) for key in shown.values())
    people = packed.people(
        keypoint_set_, [found[number] for number in shown], options.repeat, aspects
    )
    truth = _truth(document, shown if measured else (), options)
    known_from = document.files
    known = people_hash(people, tuple(shown.values()), files)
    boxes = None
    if options.boxes is not None:
        names = {int(document.image_ids[one]): document.names[one] for one in shown}
        given = given_boxes(options.boxes, names, keypoint_set_.category)
        boxes = ByName(given.by_name)
        known_from += document_files(options.boxes)
    if measured:
        known += f" {measured_hash(truth, boxes)}"
    fingerprint = Fingerprint(
        str(options.annotations),
        files_hash(known_from),
        known,
        len(people),
        len(shown),
    )
    frames = LabelledFrames(
        people,
        tuple(shown.values()),
        source,
        identity(fingerprint, options),
        options.annotations,
        tuple(size_of(document.image(number)) for number in shown),
        aspects,
    )
    return OpenedSource(frames, truth, +dropped, fingerprint, boxes)


def _groups(document: CocoFrames, options: CocoSource, folders: MediaFolders) -> list[str]:
    """Return what each image is taken together with, by the name that it has in the folder.

    Files that write a name in several forms would else disagree on the part that it is of. A
    `split` that takes everything asks nobody whose an image is.

    Raises:
        InputError: There are images of which nothing says whose they are.
    """
    if options.split == (0, 1):
        return [""] * len(document)
    groups, nobodys = [], []
    told = f"{options.annotations}: `subject`"
    subjects = None if options.subject is None else Subjects(options.subject, told)
    for number in range(len(document)):
        key, video = document.key(number), document.video(document.image(number))
        if subjects is not None:
            subject = subjects.of(key, video, document.videos)
            groups.append(subject or "")
            if subject is None:
                nobodys.append(str(key))
            continue
        stored = replace(key, media=folders.stored_name(key.media))
        group = group_of(stored, options.split_by, video)
        groups.append(group if group == video else folders.stored_name(group))
    if subjects is not None and nobodys:
        instead = "give a file without these frames (`vitpose export --format coco --only`)"
        raise subjects.nobody(nobodys, instead)
    return groups


def _outside_split(
    document: CocoFrames, groups: Sequence[str], options: CocoSource
) -> InputError | None:
    """Return the error of a source whose `split` takes no photo with labels; None if it does.

    Args:
        document: The labels.
        groups: What each image is taken together with, by its number.
        options: The source.
    """
    labelled = [number for number in range(len(document)) if document.annotations(number)]
    if not labelled:
        return None
    sizes = Counter(groups[number] for number in labelled)
    keys = ((document.key(number), groups[number]) for number in labelled)
    are_photos = {key.index < 0 and plain(key.media) == plain(group) for key, group in keys}
    what = "photo or video" if len(are_photos) > 1 else "photo" if True in are_photos else "video"
    what = "folder" if options.split_by == "folder" else what
    what = "subject" if options.subject is not None else what
    return outside_split(options, sizes, what)


def _people_by_image(
    document: CocoFrames,
    chosen: Iterable[int],
    keypoint_set_: KeypointSet,
    options: CocoSource,
    purpose: Purpose,
) -> tuple[PackedPeople, dict[int, range], dict[int, Counter[str]]]:
    """Return who can be learnt from in each of the chosen images, and the reasons of the others.

    Returns:
        People; their rows by the number of their image; where somebody was left out, also how many
        by the reason.
    """
    labelled = purpose != "pretraining"
    categories = None if labelled else _people_categories(document)
    packed = PackedPeople(keypoint_set_.num_keypoints)
    found: dict[int, range] = {}
    reasons: dict[int, Counter[str]] = {}
    for number in chosen:
        dropped: Counter[str] = Counter()
        people: list[Person] = []
        image = document.image(number)
        for annotation in document.annotations(number):
            if categories is not None and annotation["category_id"] not in categories:
                dropped["boxes of other categories"] += 1
                continue
            person = person_of(annotation, image, options, dropped, purpose)
            if person is not None:
                count = keypoint_set_.num_keypoints
                people.append(person if labelled else person.unlabelled(count))
        found[number] = packed.add(people)
        if +dropped:
            reasons[number] = dropped
    return packed, found, reasons


def _people_categories(document: CocoFrames) -> frozenset[int]:
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


def _truth(document: CocoFrames, shown: Iterable[int], options: CocoSource) -> CocoDocument:
    """Return what is to be found in the images that are shown."""
    return CocoDocument(
        document.path,
        document.info,
        images=tuple(document.image(number) for number in shown),
        categories=document.categories,
        annotations=tuple(
            one if is_wanted(one, options) else ignored(one)
            for number in shown
            for one in document.annotations(number)
        ),
    )


def _set_or_coco(document: CocoFrames) -> KeypointSet:
    """Return the keypoints of a document; COCO's where it has boxes alone."""
    lists = any(category.get("keypoints") for category in document.categories)
    return document.keypoint_set if lists else keypoint_set("coco")


def _present_keys(
    keys: Mapping[int, FrameKey], options: CocoSource, dropped: Counter[str]
) -> dict[int, FrameKey]:
    """Return the frames whose file is there, by number, in the order in which they are read."""
    stored = MediaFolders.at(options.images).stored_keys(keys.values())
    there = dict(zip(keys, stored, strict=True))
    found = {number: key for number, key in there.items() if key is not None}
    dropped["photos missing"] += len(keys) - len(found)
    return {number: found[number] for number in _in_order(found)}


def _in_order(keys: Mapping[int, FrameKey]) -> list[int]:
    """Return numbers of images file by file, as each is first named, a video's in their order."""
    places: dict[str, int] = {}
    for key in keys.values():
        places.setdefault(key.media, len(places))
    return sorted(keys, key=lambda one: (places[keys[one].media], keys[one].index))


def _place(path: Path) -> PhotoFile | str:
    file = photo_at(path) or path
    return str(file) if isinstance(file, Path) else file

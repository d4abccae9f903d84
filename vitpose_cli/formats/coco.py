"""COCO itself: a run or a part of one as a document, a document or a part of one as a copy.

A run's frames carry the `version` of their records, by which corrections find the state that they
were made on. A copy of a file keeps every field, also of sections that nobody here knows.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.files import NewFile, atomic_file, atomic_set
from vitpose_cli.formats.content import Content, Excerpt, LabelledFrame
from vitpose_cli.formats.corrections import (
    CorrectedFrame,
    CorrectedPerson,
    Corrections,
    first_text,
    order_in_file,
)
from vitpose_cli.formats.written import WriteOptions, Written, check_new
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.geometry import xywh_to_xyxy
from vitpose_cli.records.body_sizes import has_own_box
from vitpose_cli.records.coco import track_id_of
from vitpose_cli.records.coco_frames import CocoFrames
from vitpose_cli.records.coco_people import size_of, source_of
from vitpose_cli.records.coco_writer import DocumentSize, DocumentStyle, write_document
from vitpose_cli.records.json_stream import stream_items
from vitpose_cli.records.json_values import to_json
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.shards import document_parts, num_shards_of, shard_paths

_PER_IMAGE = {"images": "id", "annotations": "image_id"}
_PER_CATEGORY = {"categories": "id", "annotations": "category_id"}
_SECTIONS = {*_PER_IMAGE, "info", "licenses", "categories", "videos"}
_LABEL_STUDIO = "Label Studio"  # the contributor that its COCO files name


def write(content: Content, out: Path, options: WriteOptions) -> Written:
    """Write the frames as a COCO annotation file, in the place of all parts that it had before.

    Raises:
        ConfigError: A copy of a file is to be several files.
        InputError: It cannot be written.
    """
    return write_together({out: content}, options)[out]


def write_together(
    contents: Mapping[Path, Content], options: WriteOptions, outdated: Sequence[Path] = ()
) -> dict[Path, Written]:
    """Write frames as several COCO annotation files, of which none is ever beside earlier ones.

    Args:
        contents: The frames of each file; at least one file.
        options: What the user chose for all of them.
        outdated: What else these files take the place of.

    Raises:
        ConfigError: A copy of a file is to be several files.
        InputError: They cannot be written, or somebody else has made one meanwhile; all that was
            there stays.
    """
    counts: dict[Path, int] = {}
    replaced = list(outdated)
    for out, content in contents.items():
        parts = document_parts(out)
        replaced += parts
        for part in (out, *parts):
            check_new(part, options, _is_document, content.files)
        if content.excerpt is not None and options.num_shards is not None:
            raise ConfigError(
                f"{content.name} is copied with all that is in it, as one file.",
                "Shards are written of a run: leave --shards out.",
            )
        whole = content.excerpt is not None
        counts[out] = 1 if whole else options.num_shards or num_shards_of(out)
    written: dict[Path, Written] = {}
    is_new = not options.overwrite
    with atomic_set(next(iter(contents)), replaced, is_new=is_new) as new_file:
        for out, content in contents.items():
            if content.excerpt is None:
                frames, count = content.frames(), counts[out]
                size = write_frames(content, frames, out, num_shards=count, new_file=new_file)
            else:
                size = _copy(content.excerpt, out, new_file)
            files = shard_paths(out, counts[out])
            written[out] = Written(files, size.num_images, size.num_instances)
    return written


def _is_document(path: Path) -> bool:
    try:
        return next(stream_items(path)).section in _SECTIONS
    except (InputError, StopIteration):
        return False


def read(path: Path, names: Sequence[str]) -> Corrections:
    """Read a COCO annotation file that comes back from another program.

    Args:
        path: The file.
        names: The K keypoints of the run.

    Raises:
        InputError: The file cannot be read, or has other keypoints.
    """
    with closing(CocoFrames(path)) as document:
        return corrections_of(document, names)


def read_content(content: Iterable[bytes], name: str, names: Sequence[str]) -> Corrections:
    """Read a COCO annotation file that does not lie on the disk as it is; see `read`.

    Args:
        content: What would be in the file, part by part.
        name: What to call it in errors.
        names: The K keypoints of the run.

    Raises:
        InputError: As `read`, or it cannot be kept on the disk for as long as that takes.
    """
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "document.json"
        with atomic_file(copy, durable=False) as stream:
            stream.writelines(content)
        try:
            return read(copy, names)
        except InputError as error:
            raise InputError(error.message.replace(str(copy), name), error.hint) from error


def corrections_of(document: CocoFrames, names: Sequence[str]) -> Corrections:
    """Return the people of a document; crowds and what has no keypoints are left out.

    Raises:
        InputError: It has other keypoints, or comes from Label Studio.
    """
    if _is_of_label_studio(document):
        raise InputError(
            f"{document.path} is a COCO file of Label Studio, which makes one person of everybody "
            "in a picture.",
            "Export the project again: Export → JSON (not JSON-MIN, CSV or COCO).",
        )
    orders = _orders(document, names)
    frames, num_ignored = [], 0
    for number, name in enumerate(document.names):
        image, annotations = document.image(number), document.annotations(number)
        people = [
            _person(item, orders[item["category_id"]])
            for item in annotations
            if item["category_id"] in orders and not item["iscrowd"]
        ]
        num_ignored += len(annotations) - len(people)
        frames.append(
            CorrectedFrame(
                name=name,
                size_wh=size_of(image),
                version=first_text("version", image, *annotations),
                people=tuple(people),
            )
        )
    return Corrections(document.path, frames, num_ignored=num_ignored)


def _is_of_label_studio(document: CocoFrames) -> bool:
    """Return whether Label Studio wrote a document.

    What was made of its files here names it, too, but has `uid`, which it does not write.
    """
    return document.info.get("contributor") == _LABEL_STUDIO and not any(
        first_text("uid", item)
        for number in range(len(document.names))
        for item in document.annotations(number)
    )


def _orders(document: CocoFrames, names: Sequence[str]) -> dict[int, NDArray[np.int64]]:
    """Return where the run's keypoints are in those of each category that has them all."""
    orders: dict[int, NDArray[np.int64]] = {}
    reason = InputError(f"{document.path} has no keypoints.", "Export skeletons, not boxes.")
    for category in document.categories:
        if category.get("keypoints"):
            try:
                found = [str(name) for name in category["keypoints"]]  # as keypoint sets take them
                orders[category["id"]] = order_in_file(document.path, found, names)
            except InputError as error:
                reason = error
    if not orders:
        raise reason
    return orders


def _person(annotation: Mapping[str, Any], order: NDArray[np.int64]) -> CorrectedPerson:
    """Return a person; a box that their keypoints say is none that the program keeps."""
    points = np.reshape(np.array(annotation["keypoints"], np.float64), (-1, 3))[order]
    bbox = np.array(annotation["bbox"], np.float64)
    return CorrectedPerson(
        uid=first_text("uid", annotation),
        points=points[:, :2],
        visibility=points[:, 2].astype(np.int8),
        box=xywh_to_xyxy(bbox[None])[0] if has_own_box(annotation) else None,
        track_id=track_id_of(annotation),
    )


def write_frames(
    content: Content,
    frames: Iterable[LabelledFrame],
    path: Path,
    *,
    file_name: Callable[[FrameKey], str] = str,
    keyframes: bool = False,
    num_shards: int | None = None,
    new_file: NewFile | None = None,
) -> DocumentSize:
    """Write frames as a COCO annotation file in which each carries the version of its record.

    Who made the labels of a COCO file is written as that says it, and not where it does not.

    Args:
        content: What the frames are of.
        frames: Sorted by key.
        path: The file.
        file_name: What a frame is called in it.
        keyframes: See `DocumentStyle`.
        num_shards: See `write_document`.
        new_file: See `write_document`.

    Raises:
        InputError: It cannot be written.
    """
    versions: dict[FrameKey, str] = {}
    sources: dict[FrameKey, list[Any]] = {}

    def records() -> Iterator[FrameRecord]:
        for frame in frames:
            key = frame.record.key
            versions[key] = frame.version
            sources[key] = [source_of(person) for person in frame.original_people]
            yield frame.record

    style = DocumentStyle(file_name, versions.pop, keyframes, sources=sources.pop)
    return write_document(
        records(), path, content.category, content.info, style, num_shards, new_file=new_file
    )


def _copy(excerpt: Excerpt, out: Path, new_file: NewFile) -> DocumentSize:
    """Copy a document without the images, categories and annotations that were not chosen."""
    image_ids, category_ids = excerpt.image_ids(), excerpt.category_ids
    counts: Counter[str] = Counter()
    first, *others = excerpt.files
    beside = _lists_beside(others)
    with new_file(out) as stream:
        sections = _Sections(stream)

        def add(section: str, value: Any) -> None:
            wanted = section not in _PER_IMAGE or value[_PER_IMAGE[section]] in image_ids
            if category_ids is not None and section in _PER_CATEGORY:
                wanted &= value[_PER_CATEGORY[section]] in category_ids
            sections.add(value, wanted)
            counts[section] += wanted

        for section, items in groupby(stream_items(first), key=lambda item: item.section):
            more = beside.pop(section, {})
            for _, position, value in items:
                if position is None:
                    sections.begin(section, value)
                    more = more if value == [] else {}
                else:
                    add(section, value)
                    if more:
                        more.pop(_canonical(value), None)
            for value in more.values():
                sections.add(value)
            for shard in others if section in _PER_IMAGE else ():
                for also, position, value in stream_items(shard):
                    if also == section and position is not None:
                        add(section, value)
        for section, more in beside.items():
            sections.begin(section, [])
            for value in more.values():
                sections.add(value)
        sections.end()
    return DocumentSize(counts["images"], counts["annotations"])


def _lists_beside(shards: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """Return what stands in lists beside labels, by section, each entry once under its own text.

    Args:
        shards: All but the first, whose categories theirs are.
    """
    lists: dict[str, dict[str, Any]] = {}
    for shard in shards:
        for section, position, value in stream_items(shard):
            if section in _PER_IMAGE or section in _PER_CATEGORY:
                continue
            if position is not None:
                lists[section][_canonical(value)] = value
            elif value == []:
                lists.setdefault(section, {})
    return lists


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


class _Sections:
    """Writes a JSON object value by value, and its lists element by element."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._before = b"{\n"
        self._in_list = False

    def begin(self, name: str, value: Any) -> None:
        self._close_list()
        self._stream.write(self._before + to_json(name) + b": ")
        self._before = b",\n"
        self._in_list = value == []
        if self._in_list:
            self._before_element = b"[\n"
        else:
            self._stream.write(to_json(value))

    def add(self, element: Any, wanted: bool = True) -> None:
        if wanted:
            self._stream.write(self._before_element + to_json(element))
            self._before_element = b",\n"

    def end(self) -> None:
        self._close_list()
        self._stream.write(b"\n}\n")

    def _close_list(self) -> None:
        if self._in_list:
            self._stream.write(b"[]" if self._before_element == b"[\n" else b"\n]")

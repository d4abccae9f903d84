"""Frame records as a COCO-keypoint document, streamed to the disk.

A pure function of the records in their order: no clock, no host, no path, so that a run that was
killed and resumed gives the same bytes as one that was not. Every image and annotation stands on
a line of its own. What each reader needs of each field is in docs/formats.md.

pycocotools' and datumaro's writers were refused: they hold the whole document in memory.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.files import NewFile, atomic_set, unnamed_file
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.instances import Instances
from vitpose_cli.records.as_documented import bboxes_within, labelled_visibility
from vitpose_cli.records.json_values import to_json
from vitpose_cli.records.kept_annotations import kept_annotations
from vitpose_cli.records.record import (
    COORDINATE_DECIMALS,
    SCORE_DECIMALS,
    FrameRecord,
)
from vitpose_cli.records.shards import document_parts, shard_paths

_AREA_DECIMALS = 2 * COORDINATE_DECIMALS
_COPY_BYTES = 1 << 20
_BATCH = 200
_BETWEEN = b",\n"


@dataclass(frozen=True, slots=True)
class DocumentSize:
    """How much a written document holds.

    Attributes:
        num_images: Photos and video frames, with or without people.
        num_instances: Annotations.
    """

    num_images: int
    num_instances: int


@dataclass(frozen=True, slots=True)
class DocumentStyle:
    """What may differ between documents of the same records.

    Attributes:
        file_name: What a frame is called.
        version: The `version` of a frame's record, written into its image and annotations, so
            that corrections of this very state can be told from others when they come back.
        keyframes: Mark whoever has a `track_id` as a keyframe, without which CVAT makes no track.
        extras: Further fields of a frame's image.
        originals: The annotations that a frame has in the document that it comes from, crowds among
            them, to be written with all they hold; none for a frame that comes from elsewhere.
        more_categories: Further entries of `categories`, to which originals may belong.
        category_id: The category of a frame's people who have no originals; None for the first.
        sources: Who made the labels of each of a frame's people, as the document that it comes from
            says; None where it does not. Nobody for a frame that comes from elsewhere.
    """

    file_name: Callable[[FrameKey], str] = str
    version: Callable[[FrameKey], str] | None = None
    keyframes: bool = False
    extras: Callable[[FrameKey], Mapping[str, Any]] | None = None
    originals: Callable[[FrameKey], Sequence[Mapping[str, Any]]] | None = None
    more_categories: Sequence[Mapping[str, Any]] = ()
    category_id: Callable[[FrameKey], int] | None = None
    sources: Callable[[FrameKey], Sequence[Any]] | None = None


def write_document(
    records: Iterable[FrameRecord],
    path: Path,
    category: Mapping[str, Any],
    info: Mapping[str, Any],
    style: DocumentStyle = DocumentStyle(),
    num_shards: int | None = None,
    licences: Sequence[Mapping[str, Any]] = (),
    *,
    is_new: bool = False,
    new_file: NewFile | None = None,
) -> DocumentSize:
    """Write `records` as a COCO-keypoint document, whole or not at all.

    Memory grows by 16 bytes a record. Failed frames and those that a person rejected are left out:
    an image without annotations means that nobody is there.

    Args:
        records: The frames, in the order of their ids.
        path: The document to write.
        category: The entry of `categories` that all instances belong to, unless the style has more.
        info: The entry `info`.
        style: Names and marks.
        num_shards: Into how many files, each a document of its own, see `shards`; they take the
            place of whatever parts it had before. None for one file, beside others.
        licences: The entries of `licenses`, where an image names one.
        is_new: Leave alone what is there when it is written.
        new_file: Opens its files where they are of a set with others, which then says what they
            take the place of.

    Raises:
        InputError: The document cannot be written, or may not take the place of what is there.
    """
    own_set = atomic_set(path, document_parts(path) if num_shards else (), is_new=is_new)
    with (
        nullcontext(new_file) if new_file is not None else own_set as opened,
        unnamed_file(path) as images,
        unnamed_file(path) as annotations,
    ):
        spool = _Spool(images, annotations, category, style)
        stream = iter(records)
        while batch := list(islice(stream, _BATCH)):
            spool.add([record for record in batch if is_in_document(record)])
        parts = shard_paths(path, num_shards or 1)
        for number, part in enumerate(parts):
            with opened(part) as target:
                _write_head(target, (category, *style.more_categories), info, licences)
                spool.copy(target, number, len(parts))
    return DocumentSize(spool.num_images, spool.num_instances)


def is_in_document(record: FrameRecord) -> bool:
    """Return whether a frame has labels, possibly of nobody, that nobody rejected."""
    return record.instances is not None and record.size_wh is not None and not record.rejected


class _Spool:
    """Images and annotations on their way into documents, and where each image's part ends."""

    def __init__(
        self,
        images: IO[bytes],
        annotations: IO[bytes],
        category: Mapping[str, Any],
        style: DocumentStyle,
    ) -> None:
        self.num_images = self.num_instances = 0
        self._images, self._annotations = images, annotations
        self._image_ends, self._annotation_ends = array("q", [0]), array("q", [0])
        self._category_id = category["id"]
        self._style = style
        self._videos: dict[str, dict[str, Any]] = {}

    def add(self, records: Sequence[FrameRecord]) -> None:
        """Take frames in the order of their ids."""
        style = self._style
        first_id = self.num_images + 1
        people = annotations_of(records, first_id, self._category_id)
        for image_id, (record, own) in enumerate(zip(records, people, strict=True), first_id):
            width, height = record.size_wh or (0, 0)
            size = {"width": width, "height": height}
            media, index = record.key.media, record.key.index
            if index >= 0:
                video = {"id": len(self._videos) + 1, "name": media, **size}
                self._videos.setdefault(media, video)
            image = {"id": image_id, "file_name": style.file_name(record.key), **size}
            image |= _image_extras(record, self._videos)
            marks = {"version": style.version(record.key)} if style.version else {}
            extras = style.extras(record.key) if style.extras else {}
            length = _write_item(self._images, {**image, **marks, **extras})
            self._image_ends.append(self._image_ends[-1] + length)
            length = 0
            if style.category_id is not None:
                own = [each | {"category_id": style.category_id(record.key)} for each in own]
            if style.originals is not None and (kept := style.originals(record.key)):
                own = kept_annotations(kept, own, image_id)
            sources = style.sources(record.key) if style.sources else ()
            for annotation, source in zip(own, sources, strict=False):
                if source is None:
                    del annotation["attributes"]["source"]
                else:
                    annotation["attributes"]["source"] = source
            for annotation in own:
                self.num_instances += 1
                annotation["attributes"] |= marks
                if style.keyframes and "track_id" in annotation["attributes"]:
                    annotation["attributes"]["keyframe"] = True
                length += _write_item(self._annotations, {"id": self.num_instances, **annotation})
            self._annotation_ends.append(self._annotation_ends[-1] + length)
        self.num_images += len(records)

    def copy(self, target: BinaryIO, number: int, count: int) -> None:
        """Write the rest of the document that is part `number`, from 0, of `count`."""
        first, last = (self.num_images * edge // count for edge in (number, number + 1))
        target.write(b'"images": [')
        _copy_items(self._images, self._image_ends[first], self._image_ends[last], target)
        target.write(b'\n],\n"annotations": [')
        ends = self._annotation_ends
        _copy_items(self._annotations, ends[first], ends[last], target)
        target.write(b"\n]")
        if self._videos:
            target.write(b',\n"videos": [')
            for video in self._videos.values():
                target.write((b"\n" if video["id"] == 1 else b",\n") + to_json(video))
            target.write(b"\n]")
        target.write(b"\n}\n")


def frame_annotations(
    record: FrameRecord, image_id: int, category_id: int
) -> Iterator[dict[str, Any]]:
    """Yield the COCO annotations of a frame with labels, without their ids."""
    if record.instances is not None and record.size_wh is not None:
        yield from next(annotations_of([record], image_id, category_id))


def annotations_of(
    records: Sequence[FrameRecord], first_image_id: int, category_id: int
) -> Iterator[list[dict[str, Any]]]:
    """Yield the COCO annotations of each of some frames with labels, without their ids.

    A keypoint that a model puts outside of the picture is written as not labelled, see
    `as_documented`; the journal keeps its place.

    Args:
        records: The frames, whose numbers are computed together: several times faster.
        first_image_id: The id of the first; the others follow.
        category_id: Of everybody.
    """
    if not records:
        return
    table = _numbers(records)
    row = 0
    for image_id, record in enumerate(records, first_image_id):
        provenance = {"source": record.origin, "model": record.model}
        if record.review is not None:
            provenance["review"] = record.review.state
        people = record.instances
        track_ids = None if people is None else people.track_ids
        smoothed = None if people is None else people.smoothed
        annotations = []
        for position, uid in enumerate(record.uids):
            attributes: dict[str, Any] = {"uid": uid, **provenance}
            if track_ids is not None:
                attributes["track_id"] = int(track_ids[position])
            visibility = table.visibility[row]
            annotation = {
                "image_id": image_id,
                "category_id": category_id,
                "bbox": table.boxes[row],
                "area": table.areas[row],
                "iscrowd": 0,
                "segmentation": [],
                "keypoints": _triples(table.points[row], visibility),
                "num_keypoints": len(visibility) - visibility.count(0),
                "score": table.scores[row],
                "keypoint_scores": table.point_scores[row],
            }
            if smoothed is not None:
                labelled = np.array(visibility)[:, None] > 0
                places = np.where(labelled, _decimals(smoothed[position], COORDINATE_DECIMALS), 0.0)
                annotation["keypoints_smoothed"] = _triples(places.ravel().tolist(), visibility)
            annotations.append({**annotation, "attributes": attributes})
            row += 1
        yield annotations


class _Numbers(NamedTuple):
    """The numbers of N people as lists: what is written of them."""

    boxes: list[list[float]]
    areas: list[float]
    points: list[list[float]]
    visibility: list[list[int]]
    scores: list[float]
    point_scores: list[list[float]]


def _numbers(records: Sequence[FrameRecord]) -> _Numbers:
    """Return the numbers of all people in some frames, one after the other."""
    people = [record.instances for record in records if record.instances is not None]
    counts = [len(each) for each in people]
    sizes = np.repeat(np.array([record.size_wh for record in records]), counts, axis=0)
    by_hand = np.repeat([record.origin == "human" for record in records], counts)
    everybody = Instances(
        np.concatenate([each.boxes for each in people]),
        np.concatenate([each.box_scores for each in people]),
        np.concatenate([each.keypoints for each in people]),
        np.concatenate([each.keypoint_scores for each in people]),
        np.concatenate([each.visibility for each in people]),
    )
    visibility = labelled_visibility(everybody, sizes, by_hand)
    places = _decimals(everybody.keypoints, COORDINATE_DECIMALS)
    points = np.where(visibility[..., None] > 0, places, 0.0)
    boxes = bboxes_within(everybody.boxes, sizes)
    areas = (boxes[:, 2] * boxes[:, 3]).round(_AREA_DECIMALS)
    return _Numbers(
        boxes.tolist(),
        areas.tolist(),
        points.reshape(len(points), 2 * points.shape[1]).tolist(),
        visibility.tolist(),
        _decimals(everybody.scores, SCORE_DECIMALS).tolist(),
        _decimals(everybody.keypoint_scores, SCORE_DECIMALS).tolist(),
    )


def _triples(places: Sequence[float], visibility: Sequence[int]) -> list[float | int]:
    """Return x, y, v of every keypoint; `places` are x, y, and zeros where it is not labelled."""
    triples: list[float | int] = [0] * (3 * len(visibility))
    triples[0::3], triples[1::3], triples[2::3] = places[0::2], places[1::2], visibility
    return triples


def _image_extras(record: FrameRecord, videos: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what readers of plain COCO skip."""
    extras: dict[str, Any] = {}
    if record.key.index >= 0:
        extras = {"video_id": videos[record.key.media]["id"], "frame_id": record.key.index}
        if record.time_s is not None:
            extras["timestamp"] = record.time_s
    if record.review is not None:
        extras["review"] = record.review.state  # an empty photo has no annotation to carry it
    return extras


def _decimals(values: NDArray[np.float32], count: int) -> NDArray[np.float64]:
    """Return the float64 whose shortest decimal form is that of the rounded float32."""
    return np.asarray(values, np.float64).round(count)


def _write_head(
    stream: BinaryIO,
    categories: Sequence[Mapping[str, Any]],
    info: Mapping[str, Any],
    licences: Sequence[Mapping[str, Any]],
) -> None:
    head = {
        "info": dict(info),
        "licenses": list(licences) or [{"id": 0, "name": "", "url": ""}],
        "categories": [dict(category) for category in categories],
    }
    stream.write(b"{")
    for name, value in head.items():
        stream.write(b'\n"%s": %s,' % (name.encode(), to_json(value)))
    stream.write(b"\n")


def _write_item(stream: IO[bytes], item: Mapping[str, Any]) -> int:
    return stream.write(_BETWEEN + to_json(item))


def _copy_items(source: IO[bytes], start: int, end: int, target: BinaryIO) -> None:
    """Copy the items between two places; what stands before the first one is left out."""
    source.seek(start)
    left = end - start
    while left and (data := source.read(min(left, _COPY_BYTES))):
        target.write(data[len(_BETWEEN) - 1 :] if left == end - start else data)
        left -= len(data)

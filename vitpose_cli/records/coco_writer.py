"""Frame records as a COCO-keypoint document, streamed to the disk.

A pure function of the records in their order: no clock, no host, no path, so that a run that was
killed and resumed gives the same bytes as one that was not. Every image and annotation stands on
a line of its own. What each reader needs of each field is in docs/formats.md.

pycocotools' and datumaro's writers were refused: they hold the whole document in memory.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

import numpy as np
import orjson
from numpy.typing import NDArray

from vitpose_cli.files import atomic_file
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.record import COORDINATE_DECIMALS, SCORE_DECIMALS, FrameRecord

_AREA_DECIMALS = 2 * COORDINATE_DECIMALS
_MIN_SIDE = 1.0  # px; readers drop boxes without an area
_COPY_BYTES = 1 << 20


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
    """

    file_name: Callable[[FrameKey], str] = str
    version: Callable[[FrameKey], str] | None = None
    keyframes: bool = False
    extras: Callable[[FrameKey], Mapping[str, Any]] | None = None


def write_document(
    records: Iterable[FrameRecord],
    path: Path,
    category: Mapping[str, Any],
    info: Mapping[str, Any],
    style: DocumentStyle = DocumentStyle(),
) -> DocumentSize:
    """Write `records` as a COCO-keypoint document, whole or not at all.

    Memory does not grow with the records. Failed frames and those that a person rejected are left
    out: an image without annotations means that nobody is there.

    Args:
        records: The frames, in the order of their ids.
        path: The document to write.
        category: The entry of `categories` that all instances belong to.
        info: The entry `info`.
        style: Names and marks.

    Raises:
        InputError: The document cannot be written.
    """
    num_images = num_instances = 0
    videos: dict[str, dict[str, Any]] = {}
    with atomic_file(path) as stream, TemporaryFile(dir=path.parent) as spool:
        _write_head(stream, category, info)
        for record in records:
            if record.instances is None or record.size_wh is None or record.rejected:
                continue
            num_images += 1
            size = {"width": record.size_wh[0], "height": record.size_wh[1]}
            media, index = record.key.media, record.key.index
            if index >= 0:
                videos.setdefault(media, {"id": len(videos) + 1, "name": media, **size})
            image = {"id": num_images, "file_name": style.file_name(record.key), **size}
            image |= _image_extras(record, videos)
            marks = {"version": style.version(record.key)} if style.version else {}
            extras = style.extras(record.key) if style.extras else {}
            _write_item(stream, num_images == 1, {**image, **marks, **extras})
            for annotation in frame_annotations(record, num_images, category["id"]):
                num_instances += 1
                annotation["attributes"] |= marks
                if style.keyframes and "track_id" in annotation["attributes"]:
                    annotation["attributes"]["keyframe"] = True
                _write_item(spool, num_instances == 1, {"id": num_instances, **annotation})
        stream.write(b'\n],\n"annotations": [')
        spool.seek(0)
        shutil.copyfileobj(spool, stream, _COPY_BYTES)
        stream.write(b"\n]")
        if videos:
            stream.write(b',\n"videos": [')
            for video in videos.values():
                _write_item(stream, video["id"] == 1, video)
            stream.write(b"\n]")
        stream.write(b"\n}\n")
    return DocumentSize(num_images, num_instances)


def frame_annotations(
    record: FrameRecord, image_id: int, category_id: int
) -> Iterator[dict[str, Any]]:
    """Yield the COCO annotations of a frame with labels, without their ids.

    A keypoint that a model puts outside of the picture is written as not labelled, as COCO has it,
    also where a person has accepted the frame; the journal keeps its place. What a person put there
    stays: keypoints placed by hand score 1.
    """
    instances, size_wh = record.instances, record.size_wh
    if instances is None or size_wh is None:
        return
    boxes = _decimals(instances.boxes, COORDINATE_DECIMALS).tolist()
    scores = _decimals(instances.scores, SCORE_DECIMALS).tolist()
    points = _decimals(instances.keypoints, COORDINATE_DECIMALS).tolist()
    point_scores = _decimals(instances.keypoint_scores, SCORE_DECIMALS).tolist()
    smoothed: list[list[list[float]]] = []
    if instances.smoothed is not None:
        smoothed = _decimals(instances.smoothed, COORDINATE_DECIMALS).tolist()
    inside = ((instances.keypoints >= 0) & (instances.keypoints <= size_wh)).all(axis=-1)
    placed_by_hand = (instances.keypoint_scores >= 1) & (record.origin == "human")
    labelled = (instances.visibility > 0) & (inside | placed_by_hand)
    visibility = np.where(labelled, instances.visibility, 0).tolist()
    provenance = {"source": record.origin, "model": record.model}
    if record.review is not None:
        provenance["review"] = record.review.state
    for position, uid in enumerate(record.uids):
        attributes: dict[str, Any] = {"uid": uid, **provenance}
        if instances.track_ids is not None:
            attributes["track_id"] = int(instances.track_ids[position])
        bbox = _bbox(boxes[position], size_wh)
        yield {
            "image_id": image_id,
            "category_id": category_id,
            "bbox": bbox,
            "area": round(bbox[2] * bbox[3], _AREA_DECIMALS),
            "iscrowd": 0,
            "segmentation": [],
            "keypoints": _triples(points[position], visibility[position]),
            "num_keypoints": sum(map(bool, visibility[position])),
            "score": scores[position],
            "keypoint_scores": point_scores[position],
            **(
                {"keypoints_smoothed": _triples(smoothed[position], visibility[position])}
                if smoothed
                else {}
            ),
            "attributes": attributes,
        }


def _triples(points: list[list[float]], visibility: list[int]) -> list[float | int]:
    """Return x, y, v of every keypoint; zeros where it is not labelled."""
    triples: list[float | int] = []
    for (x, y), visible in zip(points, visibility, strict=True):
        triples += (x, y, visible) if visible else (0.0, 0.0, 0)
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


def _bbox(box: Sequence[float], size_wh: tuple[int, int]) -> list[float]:
    """Return an xyxy box as xywh inside the picture, at least one pixel wide and high."""
    low, side = [0.0, 0.0], [0.0, 0.0]
    for axis, limit in enumerate(size_wh):
        smallest = min(_MIN_SIDE, limit)
        low[axis] = min(max(box[axis], 0.0), limit - smallest)
        high = min(max(box[axis + 2], low[axis] + smallest), limit)
        side[axis] = round(high - low[axis], COORDINATE_DECIMALS)
    return low + side


def _decimals(values: NDArray[np.float32], count: int) -> NDArray[np.float64]:
    """Return the float64 whose shortest decimal form is that of the rounded float32."""
    return np.asarray(values, np.float64).round(count)


def _write_head(stream: BinaryIO, category: Mapping[str, Any], info: Mapping[str, Any]) -> None:
    head = {
        "info": dict(info),
        "licenses": [{"id": 0, "name": "", "url": ""}],
        "categories": [dict(category)],
    }
    stream.write(b"{")
    for name, value in head.items():
        stream.write(b'\n"%s": %s,' % (name.encode(), orjson.dumps(value)))
    stream.write(b'\n"images": [')


def _write_item(stream: BinaryIO, first: bool, item: Mapping[str, Any]) -> None:
    stream.write((b"\n" if first else b",\n") + orjson.dumps(item))

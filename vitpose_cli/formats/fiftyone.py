"""FiftyOne's COCO layout: `data/` with the photos beside `labels.json`.

Its importer (`fo.types.COCODetectionDataset`) needs width and height, finds photos by their path
below `data/`, flattens `attributes` into fields of each label, and takes the skeleton not from
categories but from `info.default_skeleton`. FiftyOne writes COCO files whose keypoints are cut to
whole pixels, and without boxes; keypoints within a pixel of where they were therefore count as
unchanged, and keep their decimals.

Since the end of 2023 it keeps v of every keypoint in a list beside the points, `visible`, and
writes that whatever became of the point: one that was taken away (NaN) is at (0, 0) and still
visible, one that was placed keeps v = 0. Before, it called all of them visible; where a file has no
hidden one, those that were hidden still are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vitpose_cli.errors import InputError
from vitpose_cli.formats import coco
from vitpose_cli.formats.content import Content
from vitpose_cli.formats.corrections import Corrections
from vitpose_cli.formats.new_files import new_files
from vitpose_cli.formats.pictures import PicturePlacer
from vitpose_cli.formats.written import WriteOptions, Written, new_folder
from vitpose_cli.own_files import OwnFiles
from vitpose_cli.records.coco_people import attributes_of
from vitpose_cli.records.json_stream import stream_items
from vitpose_cli.records.json_values import are_numbers, to_json

_LABELS = "labels.json"
_WHOLE_PX = 1.0  # FiftyOne cuts coordinates down to whole pixels
_FIELDS = frozenset({"id", "image_id", "category_id", "bbox", "keypoints", "iscrowd"})
_NO_BOX = (0, 0, 0, 0)


def write(content: Content, out: Path, options: WriteOptions) -> Written:
    """Write a folder that FiftyOne imports as `COCODetectionDataset`.

    Raises:
        InputError: A photo is listed twice, photos are not found, a file of somebody else is in
            the way, or something cannot be written.
    """
    content.check_listed_once()
    keypoint_set = content.keypoint_set
    skeleton = {"labels": list(keypoint_set.names), "edges": list(map(list, keypoint_set.edges))}
    # Without a url FiftyOne writes its own into what it exports, and import knows such files by it.
    info = {name: value for name, value in content.info.items() if name != "url"}
    described = replace(content, info={**info, "default_skeleton": skeleton})
    labels = out / _LABELS
    with OwnFiles(out) as own, new_files(own) as new:
        pictures = PicturePlacer.of(content, out / "data", new, options)
        new_folder(out, options)
        place = new.place(labels)
        size = coco.write_frames(described, pictures.placed(content.frames()), place)
        new.put_in_place({})
    return Written((labels,), size.num_images, size.num_instances, pictures.notes())


def read(path: Path, names: Sequence[str]) -> Corrections:
    """Read what FiftyOne exports as `COCODetectionDataset` from a field of keypoints.

    Args:
        path: `labels.json`, or the folder that it is in.
        names: The K keypoints of the run; FiftyOne may leave them out, but keeps their order.

    Raises:
        InputError: The file cannot be read, or has other keypoints.
    """
    labels = path / _LABELS if path.is_dir() else path
    if path.is_dir() and not labels.is_file():
        raise InputError(
            f"{path} is a folder, but no dataset of FiftyOne: it has no {_LABELS}.",
            "Give the file that the other program exported. Runs are joined by `vitpose merge`.",
        )
    sections: dict[str, Any] = {}
    for section, position, value in stream_items(labels):
        if position is None:
            sections[section] = value
        else:
            sections[section].append(value)
    found = coco.read_content([to_json(_completed(sections, names))], str(labels), names)
    return replace(
        found,
        path=path,
        tolerance_px=_WHOLE_PX,
        tells_hidden=any(
            (person.visibility == 1).any() for frame in found.frames for person in frame.people
        ),
        missing_at_origin=True,
        without_folders=not any("/" in frame.name or "\\" in frame.name for frame in found.frames),
    )


def _completed(sections: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return a document of FiftyOne with what it leaves out, without what only it writes.

    What is no part of a COCO file stays, so that whoever reads it says where it is.
    """
    completed = dict(sections)
    if isinstance(categories := sections.get("categories", ()), Sequence):
        completed["categories"] = [
            {**category, "keypoints": list(names)}
            if isinstance(category, dict) and not category.get("keypoints")
            else category
            for category in categories
        ]
    if isinstance(annotations := sections.get("annotations", ()), Sequence):
        completed["annotations"] = [
            item
            for item in map(_completed_person, annotations)
            if not isinstance(item, dict) or _is_kept(item)
        ]
    return completed


def _completed_person(item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    fields = {name: item[name] for name in item.keys() & _FIELDS}
    points = fields.get("keypoints")
    if isinstance(points, list) and are_numbers(points, len(points)):
        fields["keypoints"] = _seen_where_placed(points)
    return {"bbox": _NO_BOX, **fields, "attributes": _attributes(item)}


def _seen_where_placed(keypoints: Sequence[float]) -> list[float]:
    """Return x, y, v of keypoints with the v that their places say.

    Nothing is labelled at (0, 0), where FiftyOne writes what has no place; what has one is.
    """
    triples = list(keypoints)
    for x, y, place in zip(triples[0::3], triples[1::3], range(2, len(triples), 3), strict=False):
        if not (x or y):
            triples[place] = 0
        elif not triples[place]:
            triples[place] = 2
    return triples


def _attributes(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of an annotation, which FiftyOne writes among its fields."""
    return {**item, **attributes_of(item)}


def _is_kept(item: Mapping[str, Any]) -> bool:
    """Return whether an annotation is a person, and not a box or a skeleton without keypoints."""
    points = item.get("keypoints")
    if not isinstance(points, list):
        return bool(points)
    return bool(points) and (any(points[2::3]) or "uid" in _attributes(item))

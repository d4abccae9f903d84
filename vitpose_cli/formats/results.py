"""The COCO results file: a bare list of poses, as evaluation servers and pycocotools take it.

Every keypoint is written where the network saw it, also below the threshold, with its raw score as
third number: evaluation ranks all of them. There is no way back: a list of results says neither
what a person decided nor which keypoints are visible.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from vitpose_cli.errors import InputError
from vitpose_cli.files import atomic_file
from vitpose_cli.formats.content import Content
from vitpose_cli.formats.written import WriteOptions, Written, check_new
from vitpose_cli.records.coco import read_coco
from vitpose_cli.records.coco_writer import frame_annotations
from vitpose_cli.records.json_stream import stream_items
from vitpose_cli.records.record import COORDINATE_DECIMALS, SCORE_DECIMALS, FrameRecord

_COPIED = ("image_id", "category_id", "bbox", "score")
_EMPTY = "Nobody is in these frames; pycocotools cannot load an empty list of results."


def write(content: Content, out: Path, options: WriteOptions) -> Written:
    """Write the poses as a COCO results file; image ids are those of `options.truth`, or count.

    Raises:
        InputError: It cannot be written, or a frame is not in the ground truth.
    """
    check_new(out, options, _is_results, content.files)
    ids = _image_ids(options.truth)
    counter = count(1)
    num_images = num_instances = 0
    with atomic_file(out) as stream:
        separator = b"[\n"
        for record in (frame.record for frame in content.frames()):
            name = str(record.key)
            image_id = next(counter) if ids is None else ids.get(name)
            if image_id is None:
                raise InputError(
                    f"{name} is not in {options.truth}.",
                    "Choose the frames that are with --only, and name photos as the file does.",
                )
            num_images += 1
            for result in _results(record, image_id, content.category["id"]):
                stream.write(separator + orjson.dumps(result))
                separator = b",\n"
                num_instances += 1
        stream.write(b"\n]\n" if num_instances else b"[]\n")
    return Written((out,), num_images, num_instances, () if num_instances else (_EMPTY,))


def _is_results(path: Path) -> bool:
    try:
        first = next(stream_items(path), None)
    except InputError:
        return False
    return first is not None and first.section == ""


def _image_ids(truth: Path | None) -> dict[str, int] | None:
    if truth is None:
        return None
    return {image["file_name"]: image["id"] for image in read_coco(truth).images}


def _results(record: FrameRecord, image_id: int, category_id: int) -> list[dict[str, Any]]:
    people = record.instances
    if people is None or not len(people):
        return []
    places = people.keypoints.astype(np.float64).round(COORDINATE_DECIMALS)
    scores = people.keypoint_scores.astype(np.float64).round(SCORE_DECIMALS)
    points = np.concatenate([places, scores[..., None]], axis=2).reshape(len(people), -1)
    return [
        {
            "file_name": str(record.key),
            **{name: annotation[name] for name in _COPIED},
            "keypoints": row,
        }
        for annotation, row in zip(
            frame_annotations(record, image_id, category_id), points.tolist(), strict=True
        )
    ]

"""The COCO results file: a bare list of poses, as evaluation servers and pycocotools take it.

Every keypoint is written where the network saw it, also below the threshold, with its raw score as
third number: evaluation ranks all of them. They stand in the order of their category. Ids are those
of the document that the frames are of, or of a ground truth, since results are measured against one
of the two. There is no way back: a list of results says neither what a person decided nor which
keypoints are visible.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from vitpose_cli.errors import InputError
from vitpose_cli.files import atomic_file
from vitpose_cli.formats.content import Content, LabelledFrame
from vitpose_cli.formats.written import WriteOptions, Written, check_new
from vitpose_cli.records.coco_items import NO_OWN_ID, CocoHead, check_image, coco_items, wrong
from vitpose_cli.records.coco_writer import frame_annotations
from vitpose_cli.records.composed_names import ByName
from vitpose_cli.records.keypoint_order import KeypointOrder
from vitpose_cli.records.record import COORDINATE_DECIMALS, SCORE_DECIMALS, FrameRecord
from vitpose_cli.records.results import is_results_file
from vitpose_cli.records.shards import document_files

_EMPTY = "Nobody is in these frames; pycocotools cannot load an empty list of results."


def write(content: Content, out: Path, options: WriteOptions) -> Written:
    """Write the poses as a COCO results file; ids are the document's or those of `options.truth`.

    Raises:
        InputError: It cannot be written, somebody else has made it meanwhile, or a frame or
            category is not in the ground truth.
    """
    check_new(out, options, _is_results, content.files)
    ids = _OwnIds(content) if options.truth is None else _IdsOfTruth(options.truth, content)
    num_images = num_instances = 0
    with atomic_file(out, is_new=not options.overwrite) as stream:
        separator = b"[\n"
        for frame in content.frames():
            num_images += 1
            image_id = ids.image_id(frame)
            categories = map(ids.category_id, frame.category_ids(content.category["id"]))
            for result in _results(frame.record, image_id, [*categories]):
                if (order := ids.orders.get(result["category_id"])) is not None:
                    result |= order.lists(result)
                stream.write(separator + orjson.dumps(result))
                separator = b",\n"
                num_instances += 1
        stream.write(b"\n]\n" if num_instances else b"[]\n")
    return Written((out,), num_images, num_instances, () if num_instances else (_EMPTY,))


def _is_results(path: Path) -> bool:
    try:
        return is_results_file(path)
    except InputError:
        return False


class _OwnIds:
    """The ids of the document that the frames are of.

    Attributes:
        orders: By category id, what brings people into the order in which it lists its keypoints.
    """

    def __init__(self, content: Content) -> None:
        self.orders = _own_orders(content.categories, content.orders, content)

    def image_id(self, frame: LabelledFrame) -> int:
        return frame.image_id

    def category_id(self, own_id: int) -> int:
        return own_id


class _IdsOfTruth:
    """The ids that a ground truth has for the same photos and categories, by their names.

    Attributes:
        orders: See `_OwnIds`.
    """

    def __init__(self, path: Path, content: Content) -> None:
        head, files = CocoHead(), document_files(path)
        ids: dict[str, int] = {}
        taken: set[int] = set()
        # Of photos whose labels are a secret, a server gives out the ids alone.
        for item in coco_items(files, head, needed=("images", "categories")):
            if item.section == "images":
                image_id = check_image(files[item.file_number], item)
                if image_id in taken:
                    place = f"images[{item.position}].id"
                    raise wrong(files[item.file_number], place, NO_OWN_ID)
                taken.add(image_id)
                ids[item.value["file_name"]] = image_id
        self._path = path
        self._images = ByName(ids)
        bodies = [one for one in head.categories if one.get("keypoints")] or head.categories
        self._categories = {_name(one): one["id"] for one in bodies}
        self._names = {one["id"]: _name(one) for one in content.categories}
        self.orders = _own_orders(bodies, head.orders, content)

    def image_id(self, frame: LabelledFrame) -> int:
        """Return the id of a frame.

        Raises:
            InputError: It is not in the ground truth.
        """
        name = str(frame.record.key)
        image_id = self._images.get(name)
        if image_id is None:
            raise InputError(
                f"{name} is not in {self._path}.",
                "Choose the frames that are with --only, and name photos as the file does.",
            )
        return image_id

    def category_id(self, own_id: int) -> int:
        """Return the id of a category; where the ground truth has only one, that one's.

        Raises:
            InputError: None of several is called so.
        """
        if len(self._categories) == 1:
            return int(next(iter(self._categories.values())))
        name = self._names[own_id]
        if name not in self._categories:
            raise InputError(
                f"{self._path} has no category {name!r} with keypoints.",
                f"It has {', '.join(self._categories) or 'none'}: name them as the labels do.",
            )
        return int(self._categories[name])


def _own_orders(
    categories: Sequence[Mapping[str, Any]], orders: Mapping[int, KeypointOrder], content: Content
) -> dict[int, KeypointOrder]:
    """Return what brings people into the order in which their category lists its keypoints.

    Args:
        categories: With their keypoints in a common order.
        orders: What brought them into it, by category id.
        content: What the people are of.
    """
    found: dict[int, KeypointOrder] = {}
    for category in categories:
        order = orders.get(category["id"])
        own = order.before if order else category.get("keypoints") or ()
        if (back := KeypointOrder.between(own, content.keypoint_set.names)) is not None:
            found[category["id"]] = back
    return found


def _name(category: Mapping[str, Any]) -> str:
    return str(category.get("name", "")).casefold()


def _results(
    record: FrameRecord, image_id: int, category_ids: Sequence[int]
) -> list[dict[str, Any]]:
    people = record.instances
    if people is None or not len(people):
        return []
    places = people.keypoints.astype(np.float64).round(COORDINATE_DECIMALS)
    scores = people.keypoint_scores.astype(np.float64).round(SCORE_DECIMALS)
    points = np.concatenate([places, scores[..., None]], axis=2).reshape(len(people), -1)
    annotations = frame_annotations(record, image_id, category_ids[0])
    return [
        {
            "file_name": str(record.key),
            "image_id": image_id,
            "category_id": category_id,
            "bbox": annotation["bbox"],
            "score": annotation["score"],
            "keypoints": row,
        }
        for annotation, category_id, row in zip(
            annotations, category_ids, points.tolist(), strict=True
        )
    ]

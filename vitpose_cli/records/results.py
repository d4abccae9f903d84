"""The COCO results file: a bare list of boxes or poses, as detectors and evaluations exchange them.

Its third number of a keypoint is a score, where an annotation file has the visibility; mixing up
the two kinds is the commonest mistake with COCO files, so each reader says which one it was given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.errors import InputError
from vitpose_cli.pose.instances import Detections
from vitpose_cli.records.coco_frames import CocoFrames
from vitpose_cli.records.coco_items import wrong
from vitpose_cli.records.coco_people import size_of
from vitpose_cli.records.composed_names import ByName, without_dot
from vitpose_cli.records.grouped_places import GroupedPlaces
from vitpose_cli.records.json_stream import Item, stream_items, stream_places
from vitpose_cli.records.json_values import are_numbers, is_int
from vitpose_cli.records.place_reader import PlaceReader

_COCO_PERSON = 1


@dataclass(frozen=True, slots=True)
class GivenBoxes:
    """Boxes that were made elsewhere.

    Attributes:
        by_name: The boxes of each image by `file_name`; an image without boxes is there too if the
            file names it.
        sizes_wh: Width and height in px of the images of which the file states them; a results file
            does of none.
        are_scored: Whether a box has a score, as a detector's have and a person's have not.
        num_others: How many boxes of an annotation file are of another category than was wanted.
    """

    by_name: Mapping[str, Detections]
    sizes_wh: Mapping[str, tuple[int, int]]
    are_scored: bool
    num_others: int = 0


def read_results(path: Path) -> list[dict[str, Any]]:
    """Read a COCO results file: a bare list with `image_id` or `file_name`, and `score`.

    Raises:
        InputError: The file cannot be read, or is something else.
    """
    checked = (_checked(path, item) for item in stream_items(path))
    return [result for result in checked if result is not None]


class ImageResults(PlaceReader):
    """The poses of a results file, image by image; what is kept of a result is where it lies.

    Attributes:
        num_results: How many there are in the file, of whatever image.
        category_ids: Their categories, each once; None for one that is not said.
        by_name: Whether some are of a photo that is known by its name.
    """

    def __init__(self, path: Path, image_ids: ByName[int]) -> None:
        """Read through the file.

        Args:
            path: The file.
            image_ids: The id of each image by `file_name`. Where a result has a name, its own id is
                another image's, perhaps: it counts only if none of the names in the file is known.

        Raises:
            InputError: The file cannot be read, is something else, or a result has no keypoints.
        """
        super().__init__((path,))
        known, unknown = GroupedPlaces(), GroupedPlaces()
        self.by_name = False
        self.num_results = 0
        self.category_ids: set[int | None] = set()
        for item, place in stream_places(path):
            result = _checked(path, item)
            if result is None:
                continue
            self.num_results += 1
            category_id = result.get("category_id")
            self.category_ids.add(category_id if is_int(category_id) else None)
            points = result.get("keypoints")
            if (
                not isinstance(points, list)
                or len(points) % 3
                or not are_numbers(points, len(points))
            ):
                where = f"prediction {item.position}"
                raise wrong(path, where, "has no keypoints x, y, score, ...")
            name, image_id = result.get("file_name"), result.get("image_id")
            named = image_ids.get(without_dot(name)) if isinstance(name, str) else None
            if named is not None:
                self.by_name = True
                known.add(named, 0, place)
            elif isinstance(image_id, int):
                places = unknown if isinstance(name, str) else known
                places.add(image_id, 0, place)
        self._places = (known,) if self.by_name else (known, unknown)
        for places in self._places:
            places.sort()

    def image_ids(self) -> NDArray[np.int64]:
        """Return the image of every result that counts, (N,)."""
        return np.concatenate([places.groups() for places in self._places])

    def of(self, image_id: int) -> list[dict[str, Any]]:
        """Return the results of an image.

        Raises:
            InputError: The file was changed meanwhile, or cannot be read.
        """
        return [
            self.read_object(*places.place(row))
            for places in self._places
            for row in places.rows(image_id)
        ]


def is_results_file(path: Path) -> bool:
    """Return whether the outermost value of a JSON file is a list.

    Raises:
        InputError: The file cannot be read, or is not JSON.
    """
    first = next(stream_items(path), None)
    return first is not None and first.section == ""


def given_boxes(
    path: Path,
    names: Mapping[int, str] | None = None,
    category: str | None = None,
    *,
    labelled: bool = False,
) -> GivenBoxes:
    """Read boxes made elsewhere, from an annotation file or a results file.

    Boxes marked as crowds are left out; a box without a score has 1.

    Args:
        path: The file.
        names: File names by image id, for a results file without file names; by default those
            of COCO's own photos, `000000000139.jpg`.
        category: Take this category alone if the file has one of this name. A results file names
            none; if it has several, "person" is COCO's number 1.
        labelled: Of an annotation file, take only people with labelled keypoints.

    Raises:
        InputError: The file is something else, or a box is not four numbers.
    """
    if path.is_file() and is_results_file(path):
        results = read_results(path)
        ids = [item.get("category_id") for item in results]
        if category == "person" and any(each != ids[0] for each in ids):
            results = [item for item in results if item.get("category_id") == _COCO_PERSON]
        return GivenBoxes(
            _grouped(_result_rows(path, results, names or {}), ()), {}, are_scored=True
        )
    folded = category.casefold() if category else None
    with closing(CocoFrames(path)) as document:
        wanted = {
            item["id"]
            for item in document.categories
            if str(item.get("name", "")).casefold() == folded
        }
        scored: set[bool] = set()
        num_others = 0

        def is_taken(item: Mapping[str, Any]) -> bool:
            nonlocal num_others
            if item["iscrowd"] or (labelled and not any(item["keypoints"][2::3])):
                return False
            is_other = bool(wanted) and item["category_id"] not in wanted
            num_others += is_other
            return not is_other

        def score(item: Mapping[str, Any]) -> float:
            given = item.get("score")
            scored.add(given is not None)
            return 1.0 if given is None else given

        rows = (
            (name, item["bbox"], score(item))
            for number, name in enumerate(document.names)
            for item in document.annotations(number)
            if is_taken(item)
        )
        sizes = (size_of(document.image(number)) for number in range(len(document.names)))
        stated = {
            name: size for name, size in zip(document.names, sizes, strict=True) if size is not None
        }
        boxes = _grouped(rows, document.names)
        return GivenBoxes(boxes, stated, are_scored=True in scored, num_others=num_others)


def _checked(path: Path, item: Item) -> dict[str, Any] | None:
    """Return an element of a results file; None for what announces them."""
    section, position, value = item
    if section != "":
        raise InputError(
            f"{path} is not a results file: it is no list.",
            "A results file is a bare list of {image_id, category_id, bbox or keypoints, score}.",
        )
    if position is None:
        return None
    if not isinstance(value, dict) or not _names_an_image(value):
        raise wrong(path, f"[{position}]", "has neither image_id (int) nor file_name")
    if not are_numbers([value.get("score")], 1):
        raise wrong(path, f"[{position}].score", "is not a number")
    return value


def _names_an_image(result: Mapping[str, Any]) -> bool:
    named = [result[key] for key in ("image_id", "file_name") if key in result]
    return bool(named) and all(isinstance(name, (int, str)) for name in named)


def _result_rows(
    path: Path, results: Iterable[Mapping[str, Any]], names: Mapping[int, str]
) -> Iterator[tuple[str, Sequence[float], float]]:
    for position, result in enumerate(results):
        image_id = result.get("image_id", 0)
        number = f"{image_id:012d}.jpg" if isinstance(image_id, int) else image_id
        name = result.get("file_name", names.get(image_id, number))
        if not are_numbers(result.get("bbox"), 4):
            raise wrong(path, f"[{position}].bbox", "is not four numbers")
        yield without_dot(str(name)), result["bbox"], result["score"]


def _grouped(
    rows: Iterable[tuple[str, Sequence[float], float]], names: Iterable[str]
) -> dict[str, Detections]:
    grouped: dict[str, list[tuple[float, ...]]] = {name: [] for name in names}
    for name, (x, y, width, height), score in rows:
        grouped.setdefault(name, []).append((x, y, x + width, y + height, score))
    tables = {name: np.reshape(boxes, (-1, 5)) for name, boxes in grouped.items()}
    return {name: Detections(table[:, :4], table[:, 4]) for name, table in tables.items()}

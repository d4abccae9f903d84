"""The COCO results file: a bare list of boxes or poses, as detectors and evaluations exchange them.

Its third number of a keypoint is a score, where an annotation file has the visibility; mixing up
the two kinds is the commonest mistake with COCO files, so each reader says which one it was given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vitpose_cli.errors import InputError
from vitpose_cli.pose.instances import Detections
from vitpose_cli.records.coco import CocoDocument, read_coco, wrong
from vitpose_cli.records.json_stream import stream_items
from vitpose_cli.records.json_values import are_numbers

_COCO_PERSON = 1


def read_results(path: Path) -> list[dict[str, Any]]:
    """Read a COCO results file: a bare list with `image_id` or `file_name`, and `score`.

    Raises:
        InputError: The file cannot be read, or is something else.
    """
    results: list[dict[str, Any]] = []
    for section, position, value in stream_items(path):
        if section != "":
            raise InputError(
                f"{path} is not a results file: it is no list.",
                "A results file is a bare list of {image_id, category_id, bbox or keypoints, "
                "score}.",
            )
        if position is None:
            continue
        if not isinstance(value, dict) or not _names_an_image(value):
            raise wrong(path, f"[{position}]", "has neither image_id (int) nor file_name")
        if not are_numbers([value.get("score")], 1):
            raise wrong(path, f"[{position}].score", "is not a number")
        results.append(value)
    return results


def read_predictions(path: Path, truth: CocoDocument) -> list[dict[str, Any]]:
    """Read predictions for the images of `truth` as COCO results with its image ids.

    Args:
        path: A results file with `keypoints`, or an annotation file; images of the latter are
            found by `file_name`, and their keypoints with v=0 stay at (0, 0).
        truth: The ground truth; predictions for other images are left out.

    Raises:
        InputError: The file is something else, or none of its images is in the ground truth.
    """
    ids = {image["file_name"]: image["id"] for image in truth.images}
    if is_results_file(path):
        found = read_results(path)
        results = [
            {**result, "image_id": ids.get(result.get("file_name"), result.get("image_id"))}
            for result in found
        ]
    else:
        document = read_coco(path)
        names = {image["id"]: image["file_name"] for image in document.images}
        found = [dict(item) for item in document.annotations]
        results = [
            {**_as_result(item), "image_id": ids.get(names[item["image_id"]])} for item in found
        ]
    known = {*ids.values()}
    results = [result for result in results if result["image_id"] in known]
    for position, result in enumerate(results):
        points = result.get("keypoints")
        if not isinstance(points, list) or len(points) % 3 or not are_numbers(points, len(points)):
            raise wrong(path, f"prediction {position}", "has no keypoints x, y, score, ...")
    if found and not results:
        raise no_image_in_common(path, truth)
    return results


def no_image_in_common(predictions: Path, truth: CocoDocument) -> InputError:
    """Return the error to raise where predictions are of other images than the ground truth."""
    return InputError(
        f"None of the images in {predictions} is in {truth.path}.",
        "File names (or the image ids of a results file) must be those of the ground truth.",
    )


def is_results_file(path: Path) -> bool:
    """Return whether the outermost value of a JSON file is a list.

    Raises:
        InputError: The file cannot be read, or is not JSON.
    """
    first = next(stream_items(path), None)
    return first is not None and first.section == ""


def boxes_by_image(
    path: Path, names: Mapping[int, str] | None = None, category: str | None = None
) -> dict[str, Detections]:
    """Read boxes made elsewhere, from an annotation file or a results file.

    Boxes marked as crowds are left out; a box without a score has 1.

    Args:
        path: The file.
        names: File names by image id, for a results file without file names; by default those
            of COCO's own photos, `000000000139.jpg`.
        category: Take this category alone if the file has one of this name. A results file names
            none; if it has several, "person" is COCO's number 1.

    Returns:
        Boxes by `file_name`; an image without boxes is there too if the file names it.

    Raises:
        InputError: The file is something else, or a box is not four numbers.
    """
    if is_results_file(path):
        results = read_results(path)
        if category == "person" and len({item.get("category_id") for item in results}) > 1:
            results = [item for item in results if item.get("category_id") == _COCO_PERSON]
        return _grouped(_result_rows(path, results, names or {}), ())
    document = read_coco(path)
    files = {image["id"]: image["file_name"] for image in document.images}
    folded = category.casefold() if category else None
    wanted = {
        item["id"] for item in document.categories if str(item.get("name", "")).casefold() == folded
    }
    rows = (
        (files[item["image_id"]], item["bbox"], item.get("score", 1.0))
        for item in document.annotations
        if not item["iscrowd"] and (not wanted or item["category_id"] in wanted)
    )
    return _grouped(rows, files.values())


def _names_an_image(result: Mapping[str, Any]) -> bool:
    named = [result[key] for key in ("image_id", "file_name") if key in result]
    return bool(named) and all(isinstance(name, (int, str)) for name in named)


def _as_result(annotation: Mapping[str, Any]) -> dict[str, Any]:
    points = list(annotation["keypoints"])
    points[2::3] = annotation.get("keypoint_scores") or points[2::3]
    return {
        "category_id": annotation["category_id"],
        "keypoints": points,
        "score": annotation.get("score", 1.0),
    }


def _result_rows(
    path: Path, results: Iterable[Mapping[str, Any]], names: Mapping[int, str]
) -> Iterator[tuple[str, Sequence[float], float]]:
    for position, result in enumerate(results):
        image_id = result.get("image_id", 0)
        number = f"{image_id:012d}.jpg" if isinstance(image_id, int) else image_id
        name = result.get("file_name", names.get(image_id, number))
        if not are_numbers(result.get("bbox"), 4):
            raise wrong(path, f"[{position}].bbox", "is not four numbers")
        yield str(name), result["bbox"], result["score"]


def _grouped(
    rows: Iterable[tuple[str, Sequence[float], float]], names: Iterable[str]
) -> dict[str, Detections]:
    grouped: dict[str, list[tuple[float, ...]]] = {name: [] for name in names}
    for name, (x, y, width, height), score in rows:
        grouped.setdefault(name, []).append((x, y, x + width, y + height, score))
    tables = {name: np.reshape(boxes, (-1, 5)) for name, boxes in grouped.items()}
    return {name: Detections(table[:, :4], table[:, 4]) for name, table in tables.items()}

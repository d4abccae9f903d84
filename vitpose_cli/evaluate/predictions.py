"""Labels as photos to be measured: of a run, a COCO document, a results file, or made just now.

All of them are taken photo by photo, and the ground truth lies in memory no more than they do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.errors import InputError
from vitpose_cli.evaluate.body_categories import are_told_apart, categories_of_boxes, ids_by_name
from vitpose_cli.evaluate.photo_batches import FailedPhoto, Photo
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.media.marks import MANIFEST
from vitpose_cli.pose.instances import instance_scores
from vitpose_cli.pose.keypoint_names import keypoint_places
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.records.coco_frames import CocoFrames
from vitpose_cli.records.coco_people import size_of
from vitpose_cli.records.composed_names import ByName, plain
from vitpose_cli.records.json_values import are_numbers, is_int
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.results import ImageResults, is_results_file
from vitpose_cli.records.run import Run
from vitpose_cli.records.stated_sizes import check_same_size, check_size

_FRAMES_AT_ONCE = 1000


def predicted_photos(path: Path, truth: CocoFrames) -> Iterator[Photo]:
    """Yield the photos of `truth` with the people predicted there.

    Args:
        path: A run folder (its journal has the raw coordinates of every keypoint), a COCO document
            such as a run's annotations.json (keypoints with v=0 count as missed), or COCO results,
            which do not say what their keypoints are.
        truth: The ground truth; predictions for other images are left out. Photos of it that the
            predictions do not have, or that a person rejected, are `missing` and show nobody.

    Raises:
        InputError: A file cannot be used, the people have other keypoints than those of the truth,
            no photo of the predictions is in it, one has another size there, or is listed twice
            where photos are found by their names.
    """
    if path.is_file() and is_results_file(path):
        return _of_results(path, truth)
    truth.check_listed_once()
    if (path / MANIFEST).is_file():
        return _of_run(path, truth)
    return _of_document(path, truth)


def labelled_photos(
    records: Iterable[FrameRecord],
    truth: CocoFrames,
    found: KeypointSet,
    *,
    gt_boxes: bool = False,
) -> Iterator[Photo]:
    """Yield the photos of `truth` as they are labelled.

    Raw coordinates are used, also of keypoints under the threshold: AP ranks, it does not cut.

    Args:
        records: What a labeler says, in any order.
        truth: The ground truth; what is not in it is left out.
        found: The keypoints of their people.
        gt_boxes: Whether their boxes are those of the truth's labelled people, who are of the same
            category then.

    Raises:
        InputError: The people have other keypoints than those of the truth, a photo has another
            size than the truth states, or the truth lists one twice.
    """
    truth.check_listed_once()
    order = keypoint_order(found, truth.keypoint_set)
    numbers = {name: number for number, name in enumerate(truth.names)}
    unknown: Sequence[int] | None = () if gt_boxes else None
    for record in records:
        number = numbers.get(str(record.key))
        if number is None:
            continue
        if record.size_wh is not None:
            stated_wh = size_of(truth.image(number))
            check_size(record.key, record.size_wh, stated_wh, truth.path)
        bodies = _bodies(truth, number)
        photo = labelled_photo(int(truth.image_ids[number]), bodies, record, order)
        photo = photo._replace(categories=unknown)
        if gt_boxes and record.instances is not None and record.size_wh is not None:
            categories = categories_of_boxes(record.instances.boxes, bodies, record.size_wh)
            photo = photo._replace(categories=categories)
        yield photo


def labelled_photo(
    image_id: int,
    bodies: Sequence[Mapping[str, Any]],
    record: FrameRecord,
    order: NDArray[np.int64],
) -> Photo:
    """Return a photo as a labeler says it is.

    Args:
        image_id: Its id.
        bodies: The truth.
        record: What the labeler says.
        order: Where the truth's keypoints are among those of the labeler, (K,).
    """
    points, scores = np.zeros((0, len(order), 2)), np.zeros(0)
    if (people := record.instances) is not None:
        points = people.keypoints[:, order].astype(np.float64)
        scores = people.scores.astype(np.float64)
    failure = None if record.error is None else FailedPhoto(str(record.key), record.error)
    return Photo(image_id, bodies, points, scores, failure=failure)


def photo_of(
    image_id: int,
    annotations: Sequence[Mapping[str, Any]],
    results: Sequence[Mapping[str, Any]],
    num_keypoints: int,
    *,
    by_category: bool = False,
) -> Photo:
    """Return a photo of what a COCO file says of it.

    Args:
        image_id: Its id.
        annotations: The truth.
        results: The predictions: `keypoints` (3K: x, y, score), `score`, possibly `bbox`.
        num_keypoints: K of the truth.
        by_category: Whether the `category_id` of the predictions tells categories apart.

    Raises:
        InputError: The predictions have another number of keypoints.
    """
    for result in results:
        count = len(result["keypoints"]) // 3
        if count != num_keypoints:
            raise InputError(
                f"The predictions have {count} keypoints a person, the ground truth has "
                f"{num_keypoints}.",
                "Evaluate results of the same keypoints, and leave those of other categories out.",
            )
    points = np.array([result["keypoints"] for result in results], np.float64)
    areas = None
    if all(are_numbers(result.get("bbox"), 4) for result in results):
        areas = np.array([result["bbox"][2] * result["bbox"][3] for result in results], np.float64)
    return Photo(
        image_id,
        annotations,
        points.reshape(len(results), num_keypoints, 3)[..., :2],
        np.array([result.get("score", 1.0) for result in results], np.float64),
        areas,
        categories=[result["category_id"] for result in results] if by_category else None,
    )


def keypoint_order(found: KeypointSet, wanted: KeypointSet) -> NDArray[np.int64]:
    """Return where the keypoints of the ground truth are among those of predictions, (K,).

    However names are spelled, `keypoints[:, order]` are predictions in the order of the truth,
    without keypoints that are not in it. Names that differ in their spelling alone are told apart
    where predictions have the truth's very own.

    Args:
        found: The keypoints of the predictions.
        wanted: Those of the ground truth.

    Raises:
        InputError: Some of the truth's are not there.
    """
    try:
        places = keypoint_places(wanted.names, found.names)
    except InputError as error:
        raise InputError(
            f"The predictions have other keypoints than the ground truth: {error}", error.hint
        ) from error
    if None in places:
        raise InputError(
            f"The predictions have other keypoints than the ground truth: {_listed(found)}; there "
            f"{_listed(wanted)}.",
            "Evaluate with weights that have all keypoints of the ground truth; if these are only "
            "other names for the same keypoints, rename them in the `categories` of the file.",
        )
    return np.array(places, np.int64)


def _listed(keypoints: KeypointSet) -> str:
    return ", ".join(keypoints.names)


def _of_run(path: Path, truth: CocoFrames) -> Iterator[Photo]:
    with Run.read(path) as run:
        labelled = KeypointSet.from_category(run.manifest.keypoint_set)
        order = keypoint_order(labelled, truth.keypoint_set)
        done = run.done(retry_errors=False)
        forms = {
            (plain(key.media), key.index): key for key in done if plain(key.media) != key.media
        }

        def in_run(number: int) -> FrameKey:
            """Return a frame of the truth as the run calls it: either may know no videos."""
            key, photo = truth.key(number), FrameKey(truth.names[number])
            common = FrameKey(plain(photo.media))
            for each in filter(None, (key, photo.other_form, photo, common, common.other_form)):
                there = each if each in done else forms.get((each.media, each.index))
                if there is not None:
                    return there
            return key

        if len(run) and not any(in_run(number) in done for number in range(len(truth))):
            raise _no_image_in_common(path, truth)
        for start in range(0, len(truth), _FRAMES_AT_ONCE):
            numbers = range(start, min(start + _FRAMES_AT_ONCE, len(truth)))
            keys = [in_run(number) for number in numbers]
            records = {
                FrameKey(record["media"], record["index"]): record
                for record in run.json_records(keys)
                if not _is_rejected(record)  # not in the run's document either
            }
            for number, key in zip(numbers, keys, strict=True):
                record = records.get(key, {})
                sizes_wh = _size_wh(record), size_of(truth.image(number))
                check_same_size(key, sizes_wh, (path, truth.path))
                points, scores = _people(record, labelled.num_keypoints)
                error = record.get("error")
                yield Photo(
                    int(truth.image_ids[number]),
                    _bodies(truth, number),
                    points[:, order],
                    scores,
                    failure=FailedPhoto(truth.names[number], error) if error else None,
                    missing=key not in records,
                    reviewed=record.get("review") is not None,
                )


def _size_wh(record: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the size of a frame as it lies in the journal; None where it could not be read."""
    size_wh = record.get("size_wh")
    return None if size_wh is None else (size_wh[0], size_wh[1])


def _is_rejected(record: Mapping[str, Any]) -> bool:
    """Return whether a person said that a frame is not to be used, as it lies in the journal."""
    return (record.get("review") or {}).get("state") == "rejected"


def _people(
    record: Mapping[str, Any], num_keypoints: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return keypoints (D, K, 2) and scores (D,) of a record as it lies in the journal."""
    count = len(record.get("boxes", ()))
    if not count:
        return np.zeros((0, num_keypoints, 2)), np.zeros(0)
    points = np.array(record["keypoints"], np.float32).reshape(count, num_keypoints, 2)
    scores = instance_scores(
        np.array(record["box_scores"], np.float32), np.array(record["keypoint_scores"], np.float32)
    )
    return points.astype(np.float64), scores.astype(np.float64)


def _of_document(path: Path, truth: CocoFrames) -> Iterator[Photo]:
    with closing(CocoFrames(path)) as document:
        order = keypoint_order(document.keypoint_set, truth.keypoint_set)
        document.check_listed_once()
        numbers = ByName({name: number for number, name in enumerate(document.names)})
        ids = ids_by_name(_with_keypoints(document), _with_keypoints(truth))
        by_category = are_told_apart({*ids.values()}, truth.bodies)
        if len(document) and all(numbers.get(name) is None for name in truth.names):
            raise _no_image_in_common(path, truth)
        for number, name in enumerate(truth.names):
            there = numbers.get(name)
            found = [] if there is None else list(filter(_is_found, _bodies(document, there)))
            reviewed = False
            if there is not None:
                image = document.image(there)
                sizes_wh = size_of(image), size_of(truth.image(number))
                check_same_size(truth.key(number), sizes_wh, (path, truth.path))
                reviewed = bool(image.get("review"))
            people = [
                {
                    "keypoints": np.reshape(person["keypoints"], (-1, 3))[order].ravel(),
                    "score": person.get("score", 1.0),
                    "category_id": ids[person["category_id"]],
                    "bbox": person["bbox"],
                }
                for person in found
            ]
            image_id = int(truth.image_ids[number])
            bodies = _bodies(truth, number)
            photo = photo_of(image_id, bodies, people, len(order), by_category=by_category)
            yield photo._replace(missing=there is None, reviewed=reviewed)


def _is_found(person: Mapping[str, Any]) -> bool:
    """Return whether an annotation says where somebody's keypoints are.

    No crowd does, nor a body that nobody has labelled, of which ground truths are full; what a
    model scored is a prediction also where it is sure of no keypoint.
    """
    return not person["iscrowd"] and ("score" in person or any(person["keypoints"][2::3]))


def _of_results(path: Path, truth: CocoFrames) -> Iterator[Photo]:
    image_ids = ByName(dict(zip(truth.names, truth.image_ids.tolist(), strict=True)))
    with closing(ImageResults(path, image_ids)) as results:
        if results.by_name:
            truth.check_listed_once()
        num_keypoints = truth.keypoint_set.num_keypoints
        if results.num_results and not np.isin(results.image_ids(), truth.image_ids).any():
            raise _no_image_in_common(path, truth)
        said = results.category_ids
        by_category = None not in said and are_told_apart(said, truth.bodies)
        for number, image_id in enumerate(truth.image_ids.tolist()):
            people = _bodies(truth, number)
            found = [_in_common_order(result, truth) for result in results.of(image_id)]
            photo = photo_of(image_id, people, found, num_keypoints, by_category=by_category)
            yield photo._replace(missing=None)


def _in_common_order(result: Mapping[str, Any], truth: CocoFrames) -> Mapping[str, Any]:
    """Return a result, which has the order of its category, in that of all of the truth."""
    category_id = result.get("category_id")
    order = truth.orders.get(category_id) if is_int(category_id) else None
    return result if order is None else {**result, **order.lists(result)}


def _bodies(document: CocoFrames, number: int) -> list[dict[str, Any]]:
    """Return the annotations of a frame whose category has keypoints."""
    bodies = document.bodies
    return [item for item in document.annotations(number) if item["category_id"] in bodies]


def _with_keypoints(document: CocoFrames) -> list[Mapping[str, Any]]:
    """Return the categories that have keypoints."""
    return [one for one in document.categories if one["id"] in document.bodies]


def _no_image_in_common(path: Path, truth: CocoFrames) -> InputError:
    return InputError(
        f"None of the images in {path} is in {truth.path}.",
        "File names (or the image ids of a results file) must be those of the ground truth.",
    )

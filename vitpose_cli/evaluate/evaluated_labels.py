"""How good labels are that exist: those of a run, of a file, or in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.evaluate.evaluation import Evaluation, check_truth, measure_photos
from vitpose_cli.evaluate.photo_batches import FailedPhoto
from vitpose_cli.evaluate.predictions import photo_of, predicted_photos
from vitpose_cli.media.kinds import is_run_folder
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.records.coco import CocoDocument
from vitpose_cli.records.coco_frames import CocoFrames
from vitpose_cli.records.coco_people import bodies_of
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.shards import ANNOTATIONS


def evaluate_results(
    truth: CocoDocument,
    results: Iterable[Mapping[str, Any]],
    failures: Iterable[FailedPhoto] = (),
    keypoint_set: KeypointSet | None = None,
) -> Evaluation:
    """Measure predictions against ground truth, both in memory.

    Args:
        truth: The ground truth.
        results: COCO results: `image_id`, `keypoints` (3K: x, y, score), `score`; frame px. If all
            have a `category_id`, AP is the mean over the categories of the ground truth.
        failures: Photos that could not be labelled; for the report only.
        keypoint_set: The keypoints of the truth with the sigmas to measure by; None for its own.

    Raises:
        InputError: The predictions have another number of keypoints than the ground truth.
    """
    keypoint_set, bodies = keypoint_set or truth.keypoint_set, bodies_of(truth.categories)
    found = defaultdict(list)
    by_category = True
    for result in results:
        found[result["image_id"]].append(result)
        by_category &= "category_id" in result
    photos = (
        photo_of(
            image_id,
            [item for item in annotations if item["category_id"] in bodies],
            found[image_id],
            keypoint_set.num_keypoints,
            by_category=by_category,
        )
        for image_id, annotations in truth.by_image().items()
    )
    measured = measure_photos(photos, keypoint_set, bodies, truth.crowding())
    return replace(measured, failures=tuple(failures))


def results_of_records(
    records: Iterable[FrameRecord],
    image_ids: Mapping[str, int],
    order: NDArray[np.int64] | None = None,
) -> tuple[list[dict[str, Any]], list[FailedPhoto]]:
    """Return frames' people as COCO results, and the frames that failed.

    Raw coordinates are used, also of keypoints under the threshold: AP ranks, it does not cut.

    Args:
        records: What a labeler or a run says.
        image_ids: The ground truth's image id by file name; other frames are left out.
        order: Where the ground truth's keypoints are among those of the records, (K,); None where
            they are the same.
    """
    results: list[dict[str, Any]] = []
    failures: list[FailedPhoto] = []
    for record in records:
        image_id = image_ids.get(str(record.key))
        if image_id is None:
            continue
        if record.instances is None:
            failures.append(FailedPhoto(str(record.key), record.error or ""))
            continue
        results += results_of_people(image_id, record.instances, order)
    return results, failures


def results_of_people(
    image_id: int, people: Instances, order: NDArray[np.int64] | None = None
) -> list[dict[str, Any]]:
    """Return the people of a frame as COCO results, one after the other.

    Args:
        image_id: The ground truth's id of the frame.
        people: The people.
        order: As for `results_of_records`.
    """
    points = np.concatenate([people.keypoints, people.keypoint_scores[:, :, None]], axis=2)
    if order is not None:
        points = points[:, order]
    return [
        {"image_id": image_id, "keypoints": one.ravel().tolist(), "score": float(score)}
        for one, score in zip(points, people.scores, strict=True)
    ]


def run_of_document(predictions: Path) -> Path | None:
    """Return the run whose document a path is, None where it is anything else.

    Args:
        predictions: A file or folder, or a glob of shards.
    """
    is_document = predictions.name.startswith(Path(ANNOTATIONS).stem)
    return predictions.parent if is_document and is_run_folder(predictions.parent) else None


def evaluate_predictions(annotations: Path, predictions: Path) -> Evaluation:
    """Measure labels that exist.

    Args:
        annotations: Ground truth, a COCO-keypoint file.
        predictions: A run folder (its journal has the raw coordinates of every keypoint), a COCO
            document such as a run's annotations.json (keypoints with v=0 count as missed), or
            COCO results.

    Raises:
        InputError: A file cannot be used, no photo of the predictions is in the ground truth, or
            it has nobody.
    """
    with closing(CocoFrames(annotations)) as truth:
        photos = predicted_photos(predictions, truth)
        result = measure_photos(photos, truth.keypoint_set, truth.bodies, truth.crowding)
    check_truth(result, annotations)
    return result

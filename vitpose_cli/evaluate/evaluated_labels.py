"""How good labels are that exist: those of a run, of a file, or in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from vitpose_cli.evaluate.evaluation import Evaluation, check_truth, measure_photos
from vitpose_cli.evaluate.predictions import photo_of, predicted_photos
from vitpose_cli.media.kinds import is_run_folder
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.records.coco import CocoDocument
from vitpose_cli.records.coco_frames import CocoFrames
from vitpose_cli.records.coco_people import bodies_of
from vitpose_cli.records.shards import ANNOTATIONS


def evaluate_results(
    truth: CocoDocument,
    results: Iterable[Mapping[str, Any]],
    keypoint_set: KeypointSet | None = None,
) -> Evaluation:
    """Measure predictions against ground truth, both in memory.

    Args:
        truth: The ground truth.
        results: COCO results: `image_id`, `keypoints` (3K: x, y, score), `score`; frame px. If all
            have a `category_id`, AP is the mean over the categories of the ground truth.
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
    return measure_photos(photos, keypoint_set, bodies, truth.crowding())


def results_of_people(image_id: int, people: Instances) -> list[dict[str, Any]]:
    """Return the people of a frame, the ground truth's `image_id`, as COCO results."""
    points = np.concatenate([people.keypoints, people.keypoint_scores[:, :, None]], axis=2)
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
    """Measure labels that exist. Paths may be given as text.

    Args:
        annotations: Ground truth, a COCO-keypoint file.
        predictions: A run folder (its journal has the raw coordinates of every keypoint), a COCO
            document such as a run's annotations.json (keypoints with v=0 count as missed), or
            COCO results.

    Raises:
        InputError: A file cannot be used, no photo of the predictions is in the ground truth, or
            it has nobody.
    """
    annotations, predictions = Path(annotations), Path(predictions)
    with closing(CocoFrames(annotations)) as truth:
        photos = predicted_photos(predictions, truth)
        result = measure_photos(photos, truth.keypoint_set, truth.bodies, truth.crowding)
    check_truth(result, annotations)
    return result

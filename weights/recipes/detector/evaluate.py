"""Measure a detector's weights file, beside its teacher, on photos with true boxes.

    python evaluate.py DATA/coco_val person-detector.safetensors --teacher yolox_nano.onnx

Prints one JSON line for each detector: recall at an overlap of 0.5 of people whose boxes are
larger than 64² and 32² px, false boxes a photo, AP50 and AP by pycocotools, and the time of a
photo. Recall of the large is given a second time, at the threshold that leaves half a false box a
photo, since detectors with thresholds of their own cannot be compared; false boxes a second time
without those under 32² px, since tiny people of crowds are often missing from the annotations. The
whole photo as one box is measured too, which any detector must beat. Needs the project.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import PhotoResult, match
from numpy.typing import NDArray
from prepare_data import Photo, photos_of_coco
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from teacher import Teacher

from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.models.detection import DetectorOptions
from vitpose_cli.models.detectors import open_detector

FloatArray = NDArray[np.float32]
Finder = Callable[[Photo], tuple[FloatArray, FloatArray]]

_LEAST = 0.05
_TEACHER_THRESHOLD = 0.3


@dataclass(frozen=True, slots=True)
class Contender:
    """A detector to measure: its name, how it finds people, and from which score on they count."""

    name: str
    find: Finder
    threshold: float


def measure(contender: Contender, photos: Sequence[Photo]) -> dict[str, float | str]:
    """Return the numbers of one detector."""
    contender.find(photos[0])
    started = time.perf_counter()
    found = [contender.find(photo) for photo in photos]
    elapsed_s = time.perf_counter() - started
    results = [
        PhotoResult(boxes, scores, *_truth(photo))
        for photo, (boxes, scores) in zip(photos, found, strict=True)
    ]
    large = [
        PhotoResult(*_larger(result.boxes, result.scores, 32), result.true_boxes, result.weights)
        for result in results
    ]
    matches, threshold = match(results), contender.threshold
    return {
        "detector": contender.name,
        "threshold": threshold,
        "recall_over_64px": round(matches.recall(threshold, 64), 3),
        "recall_over_32px": round(matches.recall(threshold, 32), 3),
        "recall_all": round(matches.recall(threshold), 3),
        "recall_over_64px_at_half_a_false_box": round(
            matches.recall(matches.threshold_at(0.5), 64), 3
        ),
        "false_boxes": round(matches.false_boxes(threshold), 3),
        "false_boxes_over_32px": round(match(large).false_boxes(threshold), 3),
        **average_precision(results),
        "ms_per_photo": round(1000 * elapsed_s / len(photos), 1),
    }


def average_precision(results: Sequence[PhotoResult]) -> dict[str, float]:
    """Return AP50 and AP of pycocotools."""
    truth: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for image_id, result in enumerate(results, 1):
        own = {"image_id": image_id, "category_id": 1}
        for box, weight in zip(result.true_boxes, result.weights, strict=True):
            truth.append({"id": len(truth) + 1, **own, **_bbox(box), "iscrowd": int(weight == 0)})
        for box, score in zip(result.boxes, result.scores, strict=True):
            found.append({**own, **_bbox(box), "score": float(score)})
    if not found:
        return {"ap50": 0.0, "ap": 0.0}
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": image_id} for image_id in range(1, len(results) + 1)],
            "annotations": truth,
            "categories": [{"id": 1, "name": "person"}],
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {
        "ap50": round(float(evaluation.stats[1]), 3),
        "ap": round(float(evaluation.stats[0]), 3),
    }


def find_with_weights(path: Path) -> Contender:
    """Open a weights file as `vitpose annotate` does."""
    threshold = getattr(open_detector(str(path), DetectorOptions()), "threshold", _LEAST)
    detector = open_detector(str(path), DetectorOptions(threshold=_LEAST))

    def find(photo: Photo) -> tuple[FloatArray, FloatArray]:
        image = np.ascontiguousarray(photo.image[:, :, ::-1])
        [found] = detector.detect([Frame(FrameKey(photo.name, -1), image, None)])
        return found.boxes, found.scores

    return Contender(path.name, find, threshold)


def whole_photo(photo: Photo) -> tuple[FloatArray, FloatArray]:
    """Return the photo as one box."""
    height, width = photo.image.shape[:2]
    return np.array([[0, 0, width, height]], np.float32), np.ones(1, np.float32)


def _truth(photo: Photo) -> tuple[FloatArray, FloatArray]:
    true = photo.true_boxes if photo.true_boxes is not None else photo.crowds[:0]
    weights = np.repeat(np.array([1, 0], np.float32), [len(true), len(photo.crowds)])
    return np.concatenate([true, photo.crowds]), weights


def _larger(boxes: FloatArray, scores: FloatArray, side: float) -> tuple[FloatArray, FloatArray]:
    large = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) > side**2
    return boxes[large], scores[large]


def _bbox(box: FloatArray) -> dict[str, Any]:
    left, top, width, height = (float(value) for value in (*box[:2], *(box[2:] - box[:2])))
    return {"bbox": [left, top, width, height], "area": width * height}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="with person_keypoints.json and images/")
    parser.add_argument("weights", type=Path, nargs="*")
    parser.add_argument("--teacher", type=Path, help="YOLOX-nano as .onnx, to compare with")
    parser.add_argument("--threads", type=int, help="of the processor; default as torch chooses")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    photos = list(photos_of_coco(options.folder))
    contenders = [find_with_weights(path) for path in options.weights]
    if options.teacher:
        teacher = Teacher(options.teacher)
        contenders.append(
            Contender(
                options.teacher.name,
                lambda photo: teacher.detect_once(photo.image),
                _TEACHER_THRESHOLD,
            )
        )
    contenders.append(Contender("whole photo", whole_photo, 0.5))
    for contender in contenders:
        print(json.dumps(measure(contender, photos)), flush=True)


if __name__ == "__main__":
    main()

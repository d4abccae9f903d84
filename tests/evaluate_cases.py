"""Ground truth and predictions for the tests of measuring."""

from __future__ import annotations

import contextlib
import copy
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from runs import save_photos, save_weights

from vitpose_cli.pose.keypoints import keypoint_set

COCO_SET = keypoint_set("coco")


def truth_file(path: Path, num_images: int = 6, per_image: int = 3) -> Path:
    """Write ground truth of random people, some keypoints hidden or missing."""
    generator = np.random.default_rng(3)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id in range(1, num_images + 1):
        images.append({"id": image_id, "file_name": f"{image_id}.jpg", "width": 640, "height": 480})
        for _ in range(per_image):
            x, y, width, height = generator.uniform((0, 0, 60, 90), (300, 200, 250, 260))
            points = generator.uniform((x, y), (x + width, y + height), (17, 2))
            visible = generator.integers(0, 3, 17)
            flat = np.where(visible[:, None] > 0, np.c_[points, visible], 0).ravel().round(2)
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": image_id, "category_id": 1,
                    "bbox": [x, y, width, height], "area": width * height * 0.5, "iscrowd": 0,
                    "keypoints": flat.tolist(), "num_keypoints": int((visible > 0).sum()),
                }
            )  # fmt: skip
    document = {
        "images": images,
        "annotations": annotations,
        "categories": [COCO_SET.to_category()],
    }
    path.write_text(json.dumps(document))
    return path


def truth_of_photos(folder: Path, num_photos: int) -> dict[str, Any]:
    """Write `photos`, their ground truth `gt.json` with a person each, and `w.safetensors`.

    Returns:
        What is in `gt.json`.
    """
    names = save_photos(folder / "photos", num_photos)
    save_weights(folder / "w.safetensors")
    document: dict[str, Any] = json.loads(truth_file(folder / "gt.json", num_photos, 1).read_text())
    for image, name in zip(document["images"], names, strict=True):
        image |= {"file_name": name, "width": 120, "height": 90}
    for person in document["annotations"]:
        person["bbox"] = [10.0, 10.0, 60.0, 70.0]
    (folder / "gt.json").write_text(json.dumps(document))
    return document


def predictions_of(path: Path, noise_px: float) -> list[dict[str, Any]]:
    """Return the people of a file as results, moved by noise."""
    generator = np.random.default_rng(4)
    results = []
    for person in json.loads(path.read_text())["annotations"]:
        points = np.reshape(person["keypoints"], (17, 3))
        points[:, :2] += generator.normal(0, noise_px, (17, 2))
        points[:, 2] = generator.uniform(0.3, 1, 17)
        results.append(
            {
                "image_id": person["image_id"], "category_id": 1,
                "keypoints": points.ravel().tolist(), "score": float(generator.uniform(0.2, 1)),
            }
        )  # fmt: skip
    return results


def reference_metrics(
    path: Path,
    results: list[dict[str, Any]],
    sigmas: NDArray[np.float64] | None = None,
    image_ids: Sequence[int] | None = None,
) -> list[float]:
    """Return the metrics that COCOeval finds by itself.

    Args:
        path: The ground truth.
        results: The predictions.
        sigmas: (K,) of other keypoints than COCO's.
        image_ids: The only images to look at.
    """
    copies = copy.deepcopy(results)  # it writes into them
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO(str(path))
        evaluation = COCOeval(reference, reference.loadRes(copies), "keypoints")
        if sigmas is not None:
            evaluation.params.kpt_oks_sigmas = sigmas
        if image_ids is not None:
            evaluation.params.imgIds = image_ids
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return list(map(float, evaluation.stats))

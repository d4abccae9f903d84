"""What tiles find in large photos of small people.

    python benchmarks/detector_tiles.py GT.json IMAGES [--beside 3] [--tile 640]

Puts photos that are wider than high side by side, `--beside` in each direction, as one large photo,
and labels it by the weights and the detector that ship: as a whole, and with `--detector-tile`. The
same photos by themselves say what could be reached. Labels are taken apart along the seams, so that
all are measured by the photo: COCO counts 20 people of each. Seams, which no real photo has, cost
boxes of nobody.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vitpose_cli import PoseLabeler
from vitpose_cli.assembly import LabelerOptions
from vitpose_cli.evaluate.evaluated_labels import evaluate_predictions
from vitpose_cli.pose.geometry import box_iou, xywh_to_xyxy
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.records.coco import read_coco

PHOTO_WH = (640, 480)
"""Into which each photo is fitted, px."""

SAME_PERSON_IOU = 0.5


@dataclass(frozen=True)
class Photo:
    """One photo as it is fitted, and who is in it."""

    picture: NDArray[np.uint8]
    people: Sequence[Mapping[str, Any]]


def fitted_photos(truth: Path, images: Path) -> list[Photo]:
    """Return the photos that are wider than high, shuffled, always in the same way."""
    document = read_coco(truth)
    people = document.by_image()
    wide = [image for image in document.images if image["width"] >= image["height"]]
    photos = []
    for place in np.random.default_rng(0).permutation(len(wide)).tolist():
        picture = cv2.imread(str(images / wide[place]["file_name"]))
        assert picture is not None
        scale = min(PHOTO_WH[0] / picture.shape[1], PHOTO_WH[1] / picture.shape[0])
        shown = cv2.resize(picture, None, fx=scale, fy=scale)[: PHOTO_WH[1], : PHOTO_WH[0]]
        canvas = np.zeros((PHOTO_WH[1], PHOTO_WH[0], 3), np.uint8)
        canvas[: shown.shape[0], : shown.shape[1]] = shown
        photos.append(
            Photo(canvas, [scaled(person, scale) for person in people[wide[place]["id"]]])
        )
    return photos


def scaled(person: Mapping[str, Any], scale: float) -> dict[str, Any]:
    """Return somebody in a photo of another size."""
    points = np.array(person["keypoints"], float).reshape(-1, 3) * [scale, scale, 1]
    return {
        **{key: person[key] for key in ("category_id", "iscrowd", "num_keypoints")},
        "keypoints": points.ravel().tolist(),
        "bbox": [scale * each for each in person["bbox"]],
        "area": person["area"] * scale**2,
    }


def written_truth(photos: Sequence[Photo], folder: Path) -> Path:
    """Write who is in the photos, which are called by their numbers from 1 on."""
    width, height = PHOTO_WH
    numbered = list(enumerate(photos, 1))
    people = [
        {**person, "image_id": number} for number, photo in numbered for person in photo.people
    ]
    document = {
        "images": [
            {"id": number, "file_name": f"{number}.jpg", "width": width, "height": height}
            for number, _ in numbered
        ],
        "annotations": [{**person, "id": number} for number, person in enumerate(people, 1)],
        "categories": [keypoint_set("coco").to_category()],
    }
    path = folder / "truth.json"
    path.write_text(json.dumps(document))
    return path


def cells_of(found: Instances, beside: int) -> list[int]:
    """Return for each person of a large photo the photo that the middle of their box lies in."""
    middles = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    cells = np.clip(middles // PHOTO_WH, 0, beside - 1).astype(int)
    numbers: list[int] = (cells @ [1, beside]).tolist()
    return numbers


def labelled(photos: Sequence[Photo], beside: int, tile: int | None) -> list[dict[str, Any]]:
    """Return COCO results of the photos, labelled `beside` by `beside` together."""
    labeler = PoseLabeler.with_options(LabelerOptions(detector_tile=tile))
    results = []
    for first in range(0, len(photos), beside**2):
        pictures = [photo.picture for photo in photos[first : first + beside**2]]
        rows = [np.hstack(pictures[at : at + beside]) for at in range(0, len(pictures), beside)]
        found = labeler.people(np.ascontiguousarray(np.vstack(rows)[:, :, ::-1]))
        for person, cell in enumerate(cells_of(found, beside)):
            corner = np.array(divmod(cell, beside)[::-1]) * PHOTO_WH
            left, top, right, bottom = (found.boxes[person] - np.tile(corner, 2)).tolist()
            points = np.column_stack([found.keypoints[person] - corner, np.ones(17)])
            results.append(
                {
                    "image_id": first + cell + 1,
                    "category_id": 1,
                    "score": float(found.scores[person]),
                    "bbox": [left, top, right - left, bottom - top],
                    "keypoints": points.ravel().tolist(),
                }
            )
    return results


def num_of_nobody(results: Sequence[Mapping[str, Any]], photos: Sequence[Photo]) -> int:
    """Return how many boxes overlap with nobody's, by an IoU of a half."""
    count = 0
    for result in results:
        people = photos[result["image_id"] - 1].people
        boxes = xywh_to_xyxy(np.reshape([person["bbox"] for person in people], (-1, 4)))
        own = xywh_to_xyxy(np.array([result["bbox"]]))
        count += int(box_iou(own, boxes).max(initial=0) < SAME_PERSON_IOU)
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("truth", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--beside", type=int, default=3, metavar="N")
    parser.add_argument("--tile", type=int, default=640, metavar="PX")
    options = parser.parse_args()
    photos = fitted_photos(options.truth, options.images)
    del photos[len(photos) // options.beside**2 * options.beside**2 :]
    num_people = sum(len(photo.people) for photo in photos)
    print(f"{len(photos)} photos, {num_people} people")
    cases = (
        ("photos by themselves", 1, None),
        ("large photos as a whole", options.beside, None),
        (f"large photos, tiles of {options.tile} px, too", options.beside, options.tile),
    )
    with tempfile.TemporaryDirectory() as name:
        truth, results_path = written_truth(photos, Path(name)), Path(name) / "results.json"
        for what, beside, tile in cases:
            started = time.perf_counter()
            results = labelled(photos, beside, tile)
            took_s = time.perf_counter() - started
            results_path.write_text(json.dumps(results))
            coco = evaluate_predictions(truth, results_path).as_dict()["coco"]
            print(
                f"{what}: AP {coco['AP']:.3f}, AR {coco['AR']:.3f}; {len(results)} people, "
                f"{num_of_nobody(results, photos)} of them nobody; {took_s:.0f} s"
            )


if __name__ == "__main__":
    main()

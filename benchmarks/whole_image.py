"""How well weights tell a photo of a person from one of nobody, each taken as one box.

    python benchmarks/whole_image.py GT.json IMAGES [--weights tiny]

Cuts people out of labelled photos, and pieces of the same photos that show nobody, labels both with
`--detector whole-image`, and prints which share is said to show a person: the figures beside
`WHOLE_IMAGE_POSE_THRESHOLD` in `vitpose_cli/assembly.py`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vitpose_cli.annotate.labelling import annotate
from vitpose_cli.annotate.options import AnnotateOptions
from vitpose_cli.assembly import LabelerOptions
from vitpose_cli.models.detectors import WHOLE_IMAGE
from vitpose_cli.pose.geometry import box_iou, clip_boxes, xywh_to_xyxy
from vitpose_cli.records.coco import read_coco

LEAST_KEYPOINTS, LEAST_HEIGHT = 5, 60
"""Of a person who is cut out; px."""

MARGIN = 0.1
"""Of the box on each side."""

PIECES, TRIES = 2, 60
"""Pieces without people that are taken of a photo at most, and how often a place is drawn."""


def cut_out(truth: Path, images: Path, people: Path, nobody: Path) -> None:
    """Write the pictures of both kinds."""
    document = read_coco(truth)
    random = np.random.default_rng(0)
    photos = {image["id"]: image for image in document.images}
    for image_id, persons in document.by_image().items():
        picture = cv2.imread(str(images / photos[image_id]["file_name"]))
        assert picture is not None
        size_wh = (picture.shape[1], picture.shape[0])
        boxes = xywh_to_xyxy(np.reshape([one["bbox"] for one in persons], (-1, 4)))
        margins = MARGIN * np.tile(boxes[:, 2:] - boxes[:, :2], 2) * [-1, -1, 1, 1]
        for one, box in zip(persons, clip_boxes(boxes + margins, size_wh), strict=True):
            large = one["num_keypoints"] >= LEAST_KEYPOINTS and one["bbox"][3] >= LEAST_HEIGHT
            if large and not one["iscrowd"]:
                save(people / f"{one['id']}.jpg", picture, box)
        empty = [box for box in drawn(random, size_wh) if not box_iou(box[None], boxes).any()]
        for number, box in enumerate(empty[:PIECES]):
            save(nobody / f"{image_id}-{number}.jpg", picture, box)


def drawn(random: np.random.Generator, size_wh: tuple[int, int]) -> list[NDArray[np.float64]]:
    """Return xyxy boxes of a person's size and shape somewhere in a photo, px."""
    boxes = []
    for _ in range(TRIES):
        height = random.integers(80, min(size_wh[1], 300))
        sides = np.array([height * random.uniform(0.4, 1.2), height])
        if (sides < size_wh).all():
            corner = random.uniform(0, size_wh - sides)
            boxes.append(np.concatenate([corner, corner + sides]))
    return boxes


def save(path: Path, picture: NDArray[np.uint8], box: NDArray[np.floating]) -> None:
    left, top, right, bottom = box.astype(int)
    cv2.imwrite(str(path), picture[top:bottom, left:right])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("truth", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--weights", default="tiny")
    options = parser.parse_args()
    labeler = LabelerOptions(options.weights, detector=WHOLE_IMAGE)
    with tempfile.TemporaryDirectory() as folder:
        people, nobody = Path(folder) / "people", Path(folder) / "nobody"
        people.mkdir()
        nobody.mkdir()
        cut_out(options.truth, options.images, people, nobody)
        for kind in (people, nobody):
            run = Path(folder) / f"{kind.name}.vitpose"
            done = annotate(
                AnnotateOptions((str(kind),), run, labeler), lambda *_: None, lambda _: None
            )
            found = (done.num_people or 0) / done.num_frames
            print(f"{kind.name}: {done.num_frames} pictures, a person in {found:.1%}")


if __name__ == "__main__":
    main()

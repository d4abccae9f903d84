"""MPII's annotations, as mmpose and HRNet hand them on, as a COCO-keypoint file with head sizes.

    pip install scipy
    python mpii_to_coco.py mpii_val.json mpii_gt_val.mat mpii_val_coco.json images/
    vitpose evaluate -a mpii_val_coco.json -i images/ --gt-boxes --weights vitpose-plus-b:mpii

Head sizes, by which PCKh is published, are in the .mat file alone (HRNet calls it gt_valid.mat);
its people are those of the .json file, in their order. Widths and heights are those of the photos;
without their folder the file has none, which `evaluate` can do without, but most commands cannot.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat

from vitpose_cli.evaluate.photo_batches import person_area
from vitpose_cli.media.images import decode_image
from vitpose_cli.pose.keypoints import keypoint_set

HEAD_SHARE = 0.6
"""Of the diagonal of a head's box; what PCKh takes for the size of the head."""

PERSON_PX = 200
"""How high a person of scale 1 is, px."""


def to_coco(
    people: list[dict[str, Any]], head_boxes: np.ndarray, images: Path | None
) -> dict[str, Any]:
    """Return a COCO document.

    Args:
        people: Of mpii_val.json; MPII counts pixels from 1, COCO from 0.
        head_boxes: (2, 2, N) corners and x, y of the boxes of their heads.
        images: The folder of the photos, to read their sizes.
    """
    head_sizes = HEAD_SHARE * np.linalg.norm(head_boxes[1] - head_boxes[0], axis=0)
    image_ids: dict[str, int] = {}
    annotations: list[dict[str, Any]] = []
    for person, head_size in zip(people, head_sizes.tolist(), strict=True):
        image_id = image_ids.setdefault(person["image"], len(image_ids) + 1)
        side = PERSON_PX * person["scale"]
        x, y = np.array(person["center"]) - 1 + [0, 15 * person["scale"]] - side / 2
        labelled = np.array(person["joints_vis"]) > 0
        points = np.column_stack([np.array(person["joints"]) - 1, np.full(len(labelled), 2)])
        points[~labelled] = 0
        bbox = [float(x), float(y), side, side]
        annotations.append(
            {
                "id": len(annotations) + 1, "image_id": image_id, "category_id": 1, "iscrowd": 0,
                "bbox": bbox, "area": person_area({"bbox": bbox}), "segmentation": [],
                "head_size": head_size,
                "keypoints": points.ravel().tolist(), "num_keypoints": int(labelled.sum()),
            }
        )  # fmt: skip
    return {
        "images": [
            {"id": number, "file_name": name, **({} if images is None else size_of(images / name))}
            for name, number in image_ids.items()
        ],
        "annotations": annotations,
        "categories": [keypoint_set("mpii").to_category()],
    }


def size_of(photo: Path) -> dict[str, int]:
    """Return width and height of a photo, px."""
    height, width = decode_image(photo.read_bytes()).shape[:2]
    return {"width": width, "height": height}


if __name__ == "__main__":
    people_path, heads_path, document_path, *folder = map(Path, sys.argv[1:])
    people = json.loads(people_path.read_text())
    head_boxes = loadmat(heads_path)["headboxes_src"]
    document = to_coco(people, head_boxes, folder[0] if folder else None)
    document_path.write_text(json.dumps(document))

"""Records, runs and COCO files that several tests use."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.records.manifest import RunManifest
from vitpose_cli.records.record import FrameRecord, Review
from vitpose_cli.records.run import Run

CATEGORY = keypoint_set("coco").to_category()
SIZE_WH = (640, 480)


def make_instances(count: int, seed: int = 0, **extras: Any) -> Instances:
    """Return people well inside of a 640 x 480 frame."""
    random = np.random.default_rng(seed)
    low = random.uniform(10, 200, (count, 2))
    high = low + random.uniform(60, 250, (count, 2))
    points = random.uniform(low[:, None], high[:, None], (count, 17, 2))
    scores = random.uniform(0.3, 1, (count, 17))
    visibility = np.where(random.random((count, 17)) < 0.8, 2, 0)
    visibility[:, 0] = 2
    arrays: list[Any] = [np.concatenate([low, high], axis=1), random.uniform(0.5, 1, count)]
    arrays += [points, scores, visibility]
    return Instances(*arrays, **extras)


def make_record(name: str = "a.jpg", index: int = -1, count: int = 2, **fields: Any) -> FrameRecord:
    seed = sum(name.encode()) + index
    values: dict[str, Any] = {"instances": make_instances(count, seed), "model": "0123456789abcdef"}
    values |= fields
    time_s = index / 25 if index >= 0 else None
    return FrameRecord(FrameKey(name, index), SIZE_WH, time_s, **values)


def make_failure(name: str) -> FrameRecord:
    return FrameRecord(FrameKey(name), error="the file is empty")


def make_fixed(name: str, count: int = 1, index: int = -1) -> FrameRecord:
    review = Review("fixed", "anna", 1_700_000_000.5, previous="00000000")
    return make_record(name, index, count, review=review)


def make_manifest(**fields: Any) -> RunManifest:
    values = {"keypoint_set": CATEGORY, "weights_name": "tiny", "weights_hash": "0123456789abcdef"}
    return RunManifest(**(values | fields))


def write_json(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def small_document() -> dict[str, Any]:
    """Return a document without any fault: two photos, one person each."""
    person = {
        "category_id": 1,
        "bbox": [10.0, 20.0, 100.0, 200.0],
        "area": 20000.0,
        "iscrowd": 0,
        "segmentation": [],
        "keypoints": [50.5, 60.5, 2, *[0, 0, 0] * 16],
        "num_keypoints": 1,
        "score": 0.5,
    }
    return {
        "info": {"description": "a test"},
        "images": [
            {"id": 1, "file_name": "a.jpg", "width": 640, "height": 480},
            {"id": 2, "file_name": "sub/b.jpg", "width": 640, "height": 480},
        ],
        "categories": [deepcopy(CATEGORY)],
        "annotations": [{"id": 1, "image_id": 1, **person}, {"id": 2, "image_id": 2, **person}],
    }


RECORDS = [
    make_record("b.jpg"),
    make_record("sub/ä.jpg", count=0),
    make_failure("bad.jpg"),
    *(make_record("clip.mp4", index) for index in range(3)),
    make_record("a.jpg", count=3),
]


def fill(folder: Path, records: list[FrameRecord] = RECORDS) -> Path:
    """Make a run of these records in a folder."""
    with Run.open(folder, make_manifest()) as run:
        for record in records:
            run.append(record)
    return folder


def exported(folder: Path) -> tuple[bytes, bytes]:
    """Export the run in a folder; return the bytes of its document and of its failures."""
    with Run.open(folder, make_manifest()) as run:
        summary = run.export()
    return summary.annotations.read_bytes(), summary.failures.read_bytes()

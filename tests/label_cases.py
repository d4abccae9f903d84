"""Runs and documents of made-up people, for tests of workflows that read labels."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.records.manifest import RunManifest
from vitpose_cli.records.record import FrameRecord, Review
from vitpose_cli.records.run import Run

COCO = keypoint_set("coco")
SIZE_WH = (640, 480)


def make_people(count: int, seed: int = 0) -> Instances:
    """Return people inside of the frame, some of their keypoints not labelled."""
    generator = np.random.default_rng(seed)
    low = generator.uniform(10, 200, (count, 2))
    high = low + generator.uniform(60, 250, (count, 2))
    points = generator.uniform(low[:, None], high[:, None], (count, 17, 2)).astype(np.float32)
    visibility = np.where(generator.random((count, 17)) < 0.8, 2, 0)
    visibility[:, 0] = 2
    return Instances(
        boxes=np.concatenate([low, high], axis=1),
        box_scores=generator.uniform(0.5, 1, count).astype(np.float32),
        keypoints=points,
        keypoint_scores=generator.uniform(0.3, 1, (count, 17)).astype(np.float32),
        visibility=visibility,
    )


def make_record(media: str, index: int = -1, count: int = 2, **fields: Any) -> FrameRecord:
    people = fields.pop("people", None)
    if people is None:
        people = make_people(count, sum(media.encode()) + index)
    time_s = index / 25 if index >= 0 else None
    fields.setdefault("model", "0123456789abcdef")
    return FrameRecord(FrameKey(media, index), SIZE_WH, time_s, instances=people, **fields)


def make_fixed(media: str, count: int = 1) -> FrameRecord:
    return make_record(media, count=count, review=Review("fixed", "anna", 1_700_000_000.5))


def make_failure(media: str) -> FrameRecord:
    return FrameRecord(FrameKey(media), error="the file is empty")


def make_run(folder: Path, records: Iterable[FrameRecord], **fields: Any) -> Path:
    values = {
        "keypoint_set": COCO.to_category(),
        "weights_name": "tiny",
        "weights_hash": "0123456789abcdef",
    }
    with Run.open(folder, RunManifest(**(values | fields))) as run:
        for record in records:
            run.append(record)
        run.export()
    return folder

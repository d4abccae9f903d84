"""Runs with photos and videos, made of people whose doubts are known."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.records.manifest import RunManifest
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run

COCO = keypoint_set("coco")
SIZE_WH = (640, 480)


def make_people(*scores: float, seed: int = 0, at: float = 0.0) -> Instances:
    """Return a person for each score, side by side."""
    generator = np.random.default_rng(seed)
    count = len(scores)
    low = np.stack([np.arange(count) * 50.0 + at, np.full(count, 20.0)], axis=1)
    points = low[:, None] + generator.uniform(0, (40, 80), (count, 17, 2))
    raw = np.repeat(np.reshape(scores, (count, 1)), 17, axis=1)
    return Instances(
        boxes=np.concatenate([low, low + np.array([40, 80])], axis=1),
        box_scores=np.full(count, 0.9),
        keypoints=points.astype(np.float32),
        keypoint_scores=raw,
        visibility=np.full((count, 17), 2),
        signals={"mean_keypoint_score": np.array(scores), "min_keypoint_score": np.array(scores)},
    )


def make_record(media: str, *scores: float, index: int = -1, **fields: Any) -> FrameRecord:
    people = fields.pop("people", None)
    if people is None:
        people = make_people(*scores, seed=sum(media.encode()) + index)
    time_s = index / 25 if index >= 0 else None
    return FrameRecord(FrameKey(media, index), SIZE_WH, time_s, instances=people, **fields)


def make_run(folder: Path, records: Iterable[FrameRecord], names: str = "coco") -> Path:
    manifest = RunManifest(keypoint_set=keypoint_set(names).to_category(), sources=("photos",))
    with Run.open(folder, manifest) as run:
        for record in records:
            run.append(record)
    return folder

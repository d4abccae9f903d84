"""A run of two videos with two people each, for tests of who is who."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from review_cases import SIZE_WH, VIDEO, make_manifest, make_people, make_video

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.instances import Instances
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run

PEOPLE = replace(make_people(2), boxes=np.array([[2, 2, 40, 60], [90, 2, 130, 60]], np.float32))
OTHER = "other.mp4"


def make_two_videos(folder: Path) -> Path:
    """Return a run of two people in each of two videos of 5 frames."""
    media, run_folder = folder / "media", folder / "media.vitpose"
    media.mkdir()
    for video in (VIDEO, OTHER):
        make_video(media / video)
    with Run.open(run_folder, make_manifest(media)) as run:
        run.append(*labelled())
    return run_folder


def labelled() -> list[FrameRecord]:
    return [
        FrameRecord(FrameKey(video, index), SIZE_WH, index / 25, placed(), model="m1")
        for video in (VIDEO, OTHER)
        for index in range(5)
    ]


def placed() -> Instances:
    """Return the two people with keypoints in their boxes."""
    random = np.random.default_rng(1)
    share = random.uniform(0.1, 0.9, (17, 2)).astype(np.float32)
    low, high = PEOPLE.boxes[:, None, :2], PEOPLE.boxes[:, None, 2:]
    return replace(PEOPLE, keypoints=low + share * (high - low))


def name(index: int, video: str = VIDEO) -> str:
    return f"{video}/frame_{index:06d}.jpg"

"""Identities over the videos of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vitpose_cli.identities import with_track_ids
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.records.record import FrameRecord

SIGMAS = keypoint_set("coco").sigmas


def people(*lefts: float) -> Instances:
    """Return people who stand at these places, 50 px wide and 100 px high."""
    count = len(lefts)
    body = np.random.default_rng(0).uniform((0, 0), (50, 100), (17, 2))
    points = body[None] + np.array([(left, 0.0) for left in lefts]).reshape(count, 1, 2)
    return Instances(
        boxes=np.array([(left, 0, left + 50, 100) for left in lefts]).reshape(count, 4),
        box_scores=np.ones(count, np.float32),
        keypoints=points,
        keypoint_scores=np.ones((count, 17), np.float32),
        visibility=np.full((count, 17), 2, np.int8),
    )


def record(media: str, index: int, *lefts: float) -> FrameRecord:
    return FrameRecord(FrameKey(media, index), (640, 480), index / 30, people(*lefts))


def test_ids_follow_people_and_no_two_videos_share_any(tmp_path: Path) -> None:
    records = [
        record("a.mp4", 0, 100, 300),
        FrameRecord(FrameKey("a.mp4", 1), error="damaged"),
        record("a.mp4", 2, 303, 102),
        record("b.mp4", 0, 100),
        record("photo.jpg", -1, 100, 300),
    ]
    done = list(with_track_ids(iter(records), SIGMAS))
    ids = [None if each.instances is None else each.instances.track_ids for each in done]
    assert [None if each is None else each.tolist() for each in ids] == [
        [1, 2], None, [2, 1], [3], None,
    ]  # fmt: skip
    assert [each.key for each in done] == [each.key for each in records]
    assert done[0].uids == records[0].uids

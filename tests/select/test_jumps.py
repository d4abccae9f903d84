"""Jumps between the frames of a video."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from select_cases import make_people

from vitpose_cli.pose.instances import Instances
from vitpose_cli.select.jumps import JumpMeter


def person(x: float, track_id: int = 1) -> Instances:
    people = make_people(0.9, at=x)
    return replace(people, track_ids=np.array([track_id]))


def feed(meter: JumpMeter, frames: list[Instances], step_s: float = 0.04) -> dict[int, float]:
    jumps: dict[int, float] = {}
    for number, people in enumerate(frames):
        jumps |= dict(meter.update("clip.mp4", number * step_s, people, number))
    return jumps


def test_walking_straight_on_is_no_jump() -> None:
    jumps = feed(JumpMeter(), [person(10.0 * number) for number in range(5)])
    assert set(jumps) == {1, 2, 3}  # the first and the last frame have but one neighbour
    assert max(jumps.values()) == pytest.approx(0, abs=1e-6)


def test_a_keypoint_that_is_elsewhere_for_one_frame_is_found() -> None:
    frames = [person(0.0) for _ in range(5)]
    points = frames[2].keypoints.copy()
    points[0, 9] += (30, 40)
    frames[2] = replace(frames[2], keypoints=points)
    jumps = feed(JumpMeter(), frames)
    size = (40 * 80) ** 0.5
    assert jumps[2] == pytest.approx(50 / size, rel=1e-5)
    assert jumps[1] == jumps[3] == pytest.approx(25 / size, rel=1e-5)


def test_hidden_keypoints_do_not_jump() -> None:
    frames = [person(0.0) for _ in range(3)]
    points, seen = frames[1].keypoints.copy(), frames[1].visibility.copy()
    points[0, 9] += 100
    seen[0, 9] = 0
    frames[1] = replace(frames[1], keypoints=points, visibility=seen)
    assert feed(JumpMeter(), frames) == {1: 0.0}
    blind = [replace(each, visibility=np.zeros((1, 17), np.int8)) for each in frames]
    assert feed(JumpMeter(), blind) == {1: 0.0}


def test_nobody_is_followed_over_a_gap_or_into_another_video() -> None:
    assert feed(JumpMeter(), [person(0.0), person(90.0), person(0.0)], step_s=0.5) == {}
    meter = JumpMeter()
    for number, video in enumerate("aab"):
        assert meter.update(video, number * 0.04, person(50.0 * number), number) == []


def test_identities_tell_who_is_who() -> None:
    frames = [person(0.0, 1), person(90.0, 2), person(0.0, 1), person(90.0, 2), person(0.0, 1)]
    assert max(feed(JumpMeter(), frames).values()) == pytest.approx(0, abs=1e-6)

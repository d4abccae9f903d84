"""Varied choices within the limits of videos."""

from __future__ import annotations

import numpy as np
import pytest

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.select.likeness import Neighbourhood
from vitpose_cli.select.picking import VideoLimits, interleaved, pick_varied

FREE = VideoLimits(None, 0)


def neighbourhood(points: list[list[float]]) -> Neighbourhood:
    return Neighbourhood(np.array(points, np.float32), np.random.default_rng(0))


def test_without_diversity_the_order_is_that_of_doubt() -> None:
    doubts = np.array([0.1, 0.9, 0.5, 0.7], np.float32)
    keys = [FrameKey(name) for name in "abcd"]
    near = neighbourhood([[0.0], [0.0], [0.0], [9.0]])
    assert list(pick_varied(doubts, keys, near, FREE, 0.0)) == [1, 3, 2, 0]


def test_what_is_like_something_chosen_waits() -> None:
    doubts = np.array([0.90, 0.89, 0.80, 0.79], np.float32)
    keys = [FrameKey(name) for name in "abcd"]
    near = neighbourhood([[0.0, 0.0], [0.01, 0.0], [5.0, 5.0], [0.0, 9.0]])
    assert list(pick_varied(doubts, keys, near, FREE, 0.3)) == [0, 3, 2, 1]


def test_the_same_again_is_as_near_as_can_be() -> None:
    near = neighbourhood([[0.0], [0.0], [4.0]])
    assert near.nearness.tolist() == [0, 0, 0]
    near.choose(0)
    assert near.nearness[:2].tolist() == [1, 1]
    assert 0 < near.nearness[2] < 0.5
    assert neighbourhood([[1.0]]).nearness.tolist() == [0]


def test_videos_have_a_gap_and_an_end() -> None:
    keys = [FrameKey("v.mp4", index) for index in (100, 104, 95, 90, 110, 300)]
    keys += [FrameKey("w.mp4", 101), FrameKey("p.jpg"), FrameKey("q.jpg")]
    limits = VideoLimits(3, 10)
    assert list(limits.admitted(range(len(keys)), keys)) == [0, 3, 4, 6, 7, 8]


@pytest.mark.parametrize("gap", [0, 1, 7])
def test_no_two_frames_are_nearer_than_the_gap(gap: int) -> None:
    order = np.random.default_rng(gap).permutation(60).tolist()
    keys = [FrameKey("v.mp4", index) for index in range(60)]
    taken = sorted(VideoLimits(None, gap).admitted(order, keys))
    assert np.diff(taken).min() >= max(gap, 1)
    assert len(taken) >= 60 // max(1, 2 * gap)


def test_lists_are_spread_over_each_other() -> None:
    merged = interleaved(range(10), [100, 101], [200])
    assert sorted(merged) == [*range(10), 100, 101, 200]
    assert [each for each in merged if each < 100] == list(range(10))
    assert merged.index(100) < 4 < merged.index(200) < 9 < merged.index(101) + 2
    assert interleaved([], [7], []) == [7]

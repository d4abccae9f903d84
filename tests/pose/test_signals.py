"""Measures of doubt that follow from the poses of a frame."""

from __future__ import annotations

import numpy as np
import pytest

from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.pose.signals import SIGNALS, frame_signals

COCO = keypoint_set("coco")
FILLED_IN = {"value": 0.123, "agreement": 0.877}


def test_overlap_is_that_with_the_nearest_other_box() -> None:
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [100, 0, 110, 10]], np.float32)
    points = np.random.default_rng(0).uniform(0, 10, (3, 17, 2))
    found = frame_signals(boxes, points, COCO)
    np.testing.assert_allclose(found["overlap"], [1 / 3, 1 / 3, 0], atol=1e-6)
    assert found["implausibility"].dtype == np.float32


@pytest.mark.parametrize("count", [0, 1])
def test_those_who_are_alone_overlap_with_nobody(count: int) -> None:
    found = frame_signals(np.ones((count, 4)) * (0, 0, 9, 9), np.ones((count, 17, 2)), COCO)
    assert found["overlap"].tolist() == [0] * count
    assert found["implausibility"].shape == (count,)


def test_proportions_are_those_of_the_frame_as_it_is_shown() -> None:
    boxes = np.array([[0, 0, 40, 100]], np.float32)
    points = np.random.default_rng(0).uniform(0, 100, (1, 17, 2))
    expected = frame_signals(boxes, points, COCO)["implausibility"]
    squeezed = points * [0.75, 1]
    found = frame_signals(boxes, squeezed, COCO, pixel_aspect=4 / 3)["implausibility"]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert abs(frame_signals(boxes, squeezed, COCO)["implausibility"] - expected) > 0.01


def test_animals_have_no_implausibility() -> None:
    assert set(frame_signals(np.zeros((1, 4)), np.zeros((1, 17, 2)), keypoint_set("ap10k"))) == {
        "overlap"
    }


@pytest.mark.parametrize("name", SIGNALS)
def test_every_signal_can_be_told_in_words(name: str) -> None:
    signal = SIGNALS[name]
    words = signal.words.format(**FILLED_IN)
    assert "12" in words or "88" in words or "0.1" in words
    assert "{" not in words
    assert signal.unit
    assert signal.source
    assert signal.weight > 0


@pytest.mark.parametrize("name", ["mean_keypoint_score", "min_keypoint_score"])
def test_a_score_just_below_zero_has_no_sign(name: str) -> None:
    assert "only 0.00" in SIGNALS[name].words.format(value=-0.001)

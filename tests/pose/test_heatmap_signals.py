"""Measures of doubt that need the heatmaps."""

from __future__ import annotations

import pytest
import torch

from vitpose_cli.pose.heatmap_signals import (
    MAX_FLIP_DISTANCE,
    PEAK_SIGNALS,
    flip_disagreement,
    peak_signals,
)
from vitpose_cli.pose.heatmaps import HeatmapCodec

CODEC = HeatmapCodec((96, 128), (24, 32), "udp")


def test_a_sure_map_scores_better_by_every_measure() -> None:
    place = torch.tensor([[[48.0, 64.0]]])
    sure, _ = CODEC.encode(place, torch.ones(1, 1))
    rival, _ = CODEC.encode(torch.tensor([[[20.0, 20.0]]]), torch.ones(1, 1))
    unsure = 0.4 * sure + 0.3 * rival + 0.05
    rows = peak_signals(CODEC.decode(torch.cat([sure, unsure])))
    assert rows.shape == (2, len(PEAK_SIGNALS))
    by_name = dict(zip(PEAK_SIGNALS, rows.T.tolist(), strict=True))
    assert by_name["mean_keypoint_score"][0] > by_name["mean_keypoint_score"][1]
    assert by_name["min_keypoint_score"] == by_name["mean_keypoint_score"]  # of one keypoint
    assert by_name["second_peak_ratio"][0] < 0.1 < by_name["second_peak_ratio"][1] < 1
    assert by_name["peak_width"][0] == pytest.approx(2, abs=0.2)  # the blob's sigma
    assert by_name["peak_width"][1] > by_name["peak_width"][0]


def test_flip_disagreement_is_in_body_sizes() -> None:
    straight = torch.zeros(3, 4, 2)
    mirrored = torch.zeros(3, 4, 2)
    size = (96 * 128) ** 0.5 / 1.25
    mirrored[1, :, 0] = 0.1 * size
    mirrored[2, 0] = 1e6  # another limb, however far
    found = flip_disagreement(straight, mirrored, (96, 128))
    assert found.tolist() == pytest.approx([0, 0.1, MAX_FLIP_DISTANCE / 4], abs=1e-6)

"""Reasons in words."""

from __future__ import annotations

import numpy as np

from vitpose_cli.select.reasons import ALIKE, MISSED, reasons

SIGNALS = {
    "mean_keypoint_score": np.array([0.31, 0.9], np.float32),
    "overlap": np.array([0.4, 0.1], np.float32),
    "jump": np.array([np.nan, 0.5], np.float32),
    "peak_width": np.array([2.5, 2.0], np.float32),
}
RANKS = {
    "mean_keypoint_score": np.array([0.95, 0.2], np.float32),
    "overlap": np.array([0.9, 0.4], np.float32),
    "jump": np.array([np.nan, 0.6], np.float32),
    "peak_width": np.array([0.5, 0.1], np.float32),
}


def test_what_is_remarkable_is_told_most_remarkable_first() -> None:
    assert reasons(1, 3, SIGNALS, RANKS, 0) == [
        "Person 2 of 3: the keypoints score only 0.31 on average; "
        "more doubtful than 95 % of all people.",
        "Another person's box overlaps (IoU 0.40); more doubtful than 90 %.",
    ]


def test_there_is_always_a_reason() -> None:
    assert reasons(0, 1, SIGNALS, RANKS, 1) == [
        "A keypoint jumps between frames (0.50 body sizes); more doubtful than 60 % of all people."
    ]


def test_agreement_is_no_reason() -> None:
    signals = {"disagreement": np.array([0, 0.4], np.float32)}
    ranks = {"disagreement": np.array([0.25, 0.9], np.float32)}
    assert reasons(0, 1, signals, ranks, 0) == [ALIKE]
    assert "OKS 0.60" in reasons(0, 1, signals, ranks, 1)[0]


def test_nothing_may_be_known_of_anybody() -> None:
    unknown = {name: np.full(2, np.nan, np.float32) for name in SIGNALS}
    assert reasons(0, 1, SIGNALS, {}, 0) == [ALIKE]
    assert reasons(1, 2, unknown, unknown, 1) == [
        "Person 2 of 2: no measure tells this person from the others."
    ]


def test_whom_a_frame_lacks() -> None:
    assert reasons(2, 2, SIGNALS, RANKS, 0) == [MISSED]

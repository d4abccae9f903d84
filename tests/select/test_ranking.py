"""Ranks and what is made of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vitpose_cli.pose.signals import SIGNALS
from vitpose_cli.select.ranking import combined, frame_doubts, ranks, signal_ranks


def test_ranks_share_places_and_keep_the_unknown() -> None:
    found = ranks(np.array([3.0, np.nan, 1.0, 3.0, 7.0]))
    np.testing.assert_allclose(found, [0.5, np.nan, 0.125, 0.5, 0.875])


@given(arrays.arrays(np.float32, st.integers(0, 40), elements=st.floats(-5, 5, width=32)))
def test_ranks_follow_the_values(values: np.typing.NDArray[np.float32]) -> None:
    found = ranks(values)
    assert ((found > 0) & (found < 1)).all()
    order = np.argsort(values, kind="stable")
    assert (np.diff(found[order]) >= 0).all()
    if len(values):
        assert found.mean() == pytest.approx(0.5)


def test_doubtful_is_near_one_whatever_the_measure_counts() -> None:
    found = signal_ranks(
        {
            "mean_keypoint_score": np.array([0.9, 0.2], np.float32),
            "peak_width": np.array([2.0, 3.0], np.float32),
            "overlap": np.zeros(2, np.float32),  # says nothing
            "jump": np.full(2, np.nan, np.float32),  # unknown
        }
    )
    assert set(found) == {"mean_keypoint_score", "peak_width"}
    assert all(column[1] > column[0] for column in found.values())


def test_measures_count_by_their_weight_and_only_where_known() -> None:
    columns = {
        "mean_keypoint_score": np.array([0.1, 0.9, np.nan], np.float32),
        "overlap": np.array([0.9, np.nan, np.nan], np.float32),
    }
    heavy, light = SIGNALS["mean_keypoint_score"].weight, SIGNALS["overlap"].weight
    expected = (0.1 * heavy + 0.9 * light) / (heavy + light)
    np.testing.assert_allclose(combined(columns, 3), [expected, 0.9, 0.5], rtol=1e-6)


def test_one_very_doubtful_person_counts_more_than_a_crowd() -> None:
    people = np.array([0.95, 0.3, 0.3, 0.3, 0.3, 0.3, 0.9, 0.9], np.float32)
    assert frame_doubts(people, np.array([0, 1, 6])).argsort().tolist() == [1, 0, 2]
    assert frame_doubts(np.zeros(0, np.float32), np.zeros(0, np.int64)).shape == (0,)

"""Buckets: every crop once, few sizes, little padding."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vitpose_cli.errors import InputError
from vitpose_cli.models.batching import (
    LARGEST_BUCKET,
    SMALLEST_BUCKET,
    BatchLimit,
    largest_fitting,
    next_batch,
)


@given(num_crops=st.integers(1, 1000), largest=st.integers(1, 300))
def test_batches_cover_all_crops_in_few_sizes_with_little_padding(
    num_crops: int, largest: int
) -> None:
    left, buckets = num_crops, []
    while left:
        count, bucket = next_batch(left, largest)
        assert 1 <= count <= bucket <= largest
        if bucket > SMALLEST_BUCKET:
            assert bucket - count <= bucket // 8
        buckets.append(bucket)
        left -= count
    assert buckets == sorted(buckets, reverse=True)
    assert {bucket for bucket in buckets if bucket != largest} <= {8, 16, 32, 64, 128, 256}


@pytest.mark.parametrize(
    ("num_crops", "buckets"),
    [(1, [8]), (32, [32]), (96, [64, 32]), (100, [64, 32, 8]), (120, [128]), (320, [128, 128, 64])],
)
def test_usual_chunks(num_crops: int, buckets: list[int]) -> None:
    chosen = []
    while num_crops:
        count, bucket = next_batch(num_crops, LARGEST_BUCKET)
        chosen.append(bucket)
        num_crops -= count
    assert chosen == buckets


def test_the_largest_batch_that_fits_is_a_power_of_two() -> None:
    assert largest_fitting(1e6, 10**12) == LARGEST_BUCKET
    assert largest_fitting(1e6, 50 * 10**6) == 32  # 40 MB are its share
    assert largest_fitting(1e6, 0) == 1


def test_a_limit_is_halved_down_to_one_crop() -> None:
    limit = BatchLimit(64, "the device")
    limit.halve(16, torch.OutOfMemoryError())
    assert limit.size == 8
    with pytest.raises(InputError, match="One crop does not fit into the memory of the device"):
        limit.halve(1, torch.OutOfMemoryError())

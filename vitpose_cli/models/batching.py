"""How many crops run at once: batches of few sizes, and what to do when memory runs out.

Networks on a GPU are recorded and compiled for one batch size each, so batches come in few sizes,
their buckets. Which crops share a batch depends on their number and the limit alone.
"""

from __future__ import annotations

import logging

import torch

from vitpose_cli.errors import InputError

SMALLEST_BUCKET = 8
"""Fewer crops take about as long on a GPU."""

LARGEST_BUCKET = 128
"""More crops at once gain nothing on any GPU: the matrices are large enough."""

MEMORY_SHARE = 0.8
"""How much of the free memory a batch may take; the rest is for frames, crops and the detector."""

_log = logging.getLogger(__name__)


def next_batch(num_left: int, largest: int) -> tuple[int, int]:
    """Return how many crops to take next, and the bucket they are padded up to.

    Buckets are the powers of two from `SMALLEST_BUCKET` on below `largest`, and `largest`. Where
    more than an eighth of a bucket would be padding, the next smaller one is filled instead.

    Args:
        num_left: Crops still to do, at least 1.
        largest: The largest bucket.
    """
    bucket = min(largest, max(SMALLEST_BUCKET, 1 << (num_left - 1).bit_length()))
    if bucket > SMALLEST_BUCKET and bucket - num_left > bucket // 8:
        bucket = 1 << (num_left.bit_length() - 1)
    return min(num_left, bucket), bucket


def largest_fitting(bytes_per_crop: float, free_bytes: int) -> int:
    """Return the largest bucket, at least 1, whose crops fit into their share of free memory."""
    fitting = int(MEMORY_SHARE * free_bytes / max(bytes_per_crop, 1.0))
    return min(LARGEST_BUCKET, 1 << (max(fitting, 1).bit_length() - 1))


class BatchLimit:
    """The most crops in one forward pass, which shrinks when memory runs out.

    Attributes:
        size: The limit now.
    """

    def __init__(self, size: int, where: str) -> None:
        """Start with `size` crops; `where` names the device in errors."""
        self.size = size
        self._where = where

    def halve(self, failed: int, error: torch.OutOfMemoryError) -> None:
        """Take half of the batch size that has failed from now on.

        Raises:
            InputError: A single crop did not fit.
        """
        if failed <= 1:
            raise InputError(
                f"One crop does not fit into the memory of {self._where}.",
                "Take smaller weights, --precision bf16, or --device cpu.",
            ) from error
        self.size = failed // 2
        _log.warning(
            "%s has no memory for %d crops at once; going on with %d.",
            self._where, failed, self.size,
        )  # fmt: skip

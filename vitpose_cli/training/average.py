"""A moving average of a network's weights.

timm's `ModelEmaV3` computes the same; it gathers both state dicts anew at each step, which takes a
GPU's host longer than a small network's gradient. torch's `get_ema_multi_avg_fn` takes a number for
how far to go, and whether a step was skipped is known to the GPU alone.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor

from vitpose_cli.models.vitpose import ViTPose
from vitpose_cli.training.config import EmaOptions


class MovingAverage:
    """Follows a network.

    Attributes:
        model: The average, in evaluation mode.
    """

    def __init__(self, source: ViTPose, options: EmaOptions) -> None:
        """Start as a copy of `source`, on its device."""
        self.model = copy.deepcopy(source).eval().requires_grad_(False)
        self._options = options
        pairs = list(
            zip(self.model.state_dict().values(), source.state_dict().values(), strict=True)
        )
        self._pairs = [pair for pair in pairs if pair[0].is_floating_point()]
        self._counters = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def follow(self, step: int, taken: Tensor) -> None:
        """Move towards the network after step `step`, counted from 0, if it was `taken` (bool)."""
        averages, sources = (list(part) for part in zip(*self._pairs, strict=True))
        moves = torch._foreach_sub(sources, averages)
        torch._foreach_mul_(moves, (1 - self.decay(step)) * taken)
        torch._foreach_add_(averages, moves)
        for average, source in self._counters:
            average.copy_(source)

    def decay(self, step: int) -> float:
        """Return the share of the old average at step `step`.

        While warm-up lasts it is 1 - (1 + step)^(-2/3), Crowson's rule as in timm: the average
        reaches over a growing share of the past.
        """
        if not self._options.warmup:
            return self._options.decay
        return min(self._options.decay, 1 - math.pow(1 + step, -2 / 3))

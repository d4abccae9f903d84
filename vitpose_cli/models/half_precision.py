"""A part of a network in 16 bits, whose answers are float32 for what follows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class HalfPrecision(nn.Module):
    """A module whose products are computed in 16 bits, in a network that runs in float32.

    For networks that compute coordinates: 16 bits hold a feature well, and a pixel badly.
    """

    def __init__(self, module: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
        """Take a module.

        Args:
            module: In float32, on `device`.
            device: Where it runs.
            dtype: Number type of its products, such as `torch.float16`.
        """
        super().__init__()
        self._module = module
        self._device = device
        self._dtype = dtype

    def forward(self, *inputs: Any) -> Any:
        """Return what the module returns, every tensor of it in float32."""
        with torch.autocast(self._device.type, self._dtype):
            return _in_float32(self._module(*inputs))


def _in_float32(answer: Any) -> Any:
    """Return tensors in containers, with those of floating-point numbers in float32."""
    if isinstance(answer, Tensor):
        return answer.float() if answer.is_floating_point() else answer
    if isinstance(answer, Mapping):
        return {key: _in_float32(value) for key, value in answer.items()}
    return type(answer)(_in_float32(value) for value in answer)

"""How much memory a device has left, and how much a piece of work takes at its worst moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch


class Memory(Protocol):
    """The memory of a device."""

    def free_bytes(self) -> int:
        """Return how much can still be taken."""
        ...

    def peak_bytes(self, work: Callable[[], object]) -> int:
        """Do some work, and return how much more than before was taken at its worst moment."""
        ...


class CudaMemory:
    """The memory of a CUDA device, as PyTorch's allocator and the driver see it."""

    def __init__(self, device: torch.device) -> None:
        """Look at `device`."""
        self._device = device

    def free_bytes(self) -> int:
        """Return what the driver has left and what the allocator holds but does not use."""
        left, _ = torch.cuda.mem_get_info(self._device)
        held = torch.cuda.memory_reserved(self._device)
        return left + held - torch.cuda.memory_allocated(self._device)

    def peak_bytes(self, work: Callable[[], object]) -> int:
        """Do some work and return its peak; allocation is counted when work is queued."""
        before = torch.cuda.memory_allocated(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        work()
        return torch.cuda.max_memory_allocated(self._device) - before

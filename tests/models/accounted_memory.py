"""A limit on memory that a CPU has too: every tensor is counted, and too much is an error."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class AccountedMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While active, counts the bytes of tensors that operators make, until they are let go.

    Stands for the memory of a device: it has a size, and whoever takes more gets the error that
    CUDA's allocator raises.
    """

    def __init__(self, size: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.size = size
        self.taken = 0
        self.peak = 0
        self._owners: Counter[int] = Counter()

    def free_bytes(self) -> int:
        return self.size - self.taken

    def peak_bytes(self, work: Callable[[], object]) -> int:
        before = self.peak = self.taken
        work()
        return self.peak - before

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._take(tensor)
        return result

    def _take(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        number, num_bytes = storage._cdata, storage.nbytes()
        if not self._owners[number]:
            self.taken += num_bytes
            self.peak = max(self.peak, self.taken)
        self._owners[number] += 1
        weakref.finalize(tensor, self._let_go, number, num_bytes)
        if self.taken > self.size:
            raise torch.OutOfMemoryError(f"{self.taken} of {self.size} bytes")

    def _let_go(self, number: int, num_bytes: int) -> None:
        self._owners[number] -= 1
        if not self._owners[number]:
            self.taken -= num_bytes

"""CUDA graphs: a function of batches recorded once for each batch size, then only replayed.

A network of small kernels keeps the CPU busy with launching them; a replay is one launch. Sizes
that come only once are never recorded, so that a single photo does not wait for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vitpose_cli.errors import in_short

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Recording:
    """A recorded call: what it reads, what it writes, and how to run it again."""

    graph: torch.cuda.CUDAGraph
    inputs: Tensor
    outputs: Tensor


class BatchGraphs:
    """Runs a function of batches padded to given sizes, from recordings where there are any."""

    def __init__(self, function: Callable[[Tensor], Tensor], *, record: bool) -> None:
        """Run `function`.

        Args:
            function: From a batch on the device to one tensor with as many rows; it must never
                wait for the device, and each row must depend on its own crop alone.
            record: Whether to record CUDA graphs; without, every call runs the function.
        """
        self._function = function
        self._record = record
        self._met: set[int] = set()
        self._recordings: dict[int, _Recording] = {}

    def __call__(self, batch: Tensor, size: int) -> Tensor:
        """Return the function's rows for `batch`, run as a batch of `size`.

        The result is overwritten by the next call on the same CUDA stream.
        """
        recording = self._recordings.get(size)
        if recording is None:
            inputs = _padded(batch, size)
            # The first call of a size also sets up whatever must not happen while recording.
            if not self._record or size not in self._met:
                self._met.add(size)
                return self._function(inputs)[: len(batch)]
            recording = self._recorded(inputs)
            if recording is None:
                return self._function(inputs)[: len(batch)]
        else:
            recording.inputs[: len(batch)] = batch
        recording.graph.replay()
        return recording.outputs[: len(batch)]

    def forget(self) -> None:
        """Give back the memory that recordings hold."""
        self._recordings.clear()
        self._met.clear()

    def _recorded(self, inputs: Tensor) -> _Recording | None:
        """Record the function on these inputs; None, and never again, where that cannot be."""
        # Intermediate results of all sizes share memory: they never run at the same time.
        pool = next((each.graph.pool() for each in self._recordings.values()), None)
        graph = torch.cuda.CUDAGraph()
        # On a stream that is used for nothing else: another thread may let go of pinned memory
        # that was copied into on the current one, which marks that stream with an event, and an
        # event that is marked while its stream is recorded can never be asked for again.
        stream = torch.cuda.Stream(inputs.device)  # type: ignore[no-untyped-call]
        try:
            with torch.cuda.graph(
                graph, pool=pool, stream=stream, capture_error_mode="thread_local"
            ):
                outputs = self._function(inputs)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            _log.warning("The network runs without CUDA graphs: %s", in_short(error))
            self._record = False
            return None
        self._recordings[len(inputs)] = recording = _Recording(graph, inputs, outputs)
        return recording


def _padded(batch: Tensor, size: int) -> Tensor:
    """Return a copy of a batch with zeros after it."""
    padded = batch.new_zeros((size, *batch.shape[1:]))
    padded[: len(batch)] = batch
    return padded

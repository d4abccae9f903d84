"""Running the pose network on a GPU that never waits.

Frames are copied up once, crops are cut there, and batches of a few sizes are queued one after the
other on a stream of their own; numbers come back into pinned memory and are waited for when they
are wanted. Detection and cutting for later frames run beside on the caller's stream.

Padding adds rows that nobody reads: a crop's numbers depend on itself and the size of its batch.
Everything but the stream, the pinning and the graphs runs on a CPU too, where it is tested.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitpose_cli.media.crops import warp_crops
from vitpose_cli.media.device_crops import DeviceFrames
from vitpose_cli.models.batching import SMALLEST_BUCKET, BatchLimit, largest_fitting, next_batch
from vitpose_cli.models.engine import PendingValues
from vitpose_cli.models.graphs import BatchGraphs
from vitpose_cli.models.memory import Memory
from vitpose_cli.models.pose_network import PoseNetwork
from vitpose_cli.pose.geometry import CropTransforms

UPLOAD_PIXELS = 64_000_000
"""Frames are copied up together as long as they have no more pixels than this (192 MB)."""

PROBE_SIZE = 2 * SMALLEST_BUCKET
"""Crops of the batch whose memory is measured before a larger one is dared."""

_log = logging.getLogger(__name__)


class DeviceEngine:
    """Keeps a GPU busy: queues crops and batches ahead, and fetches numbers later."""

    chunks_ahead = 2

    def __init__(
        self,
        network: PoseNetwork,
        limit: BatchLimit,
        *,
        memory: Memory | None = None,
        record: bool = False,
    ) -> None:
        """Run a network on its device.

        Args:
            network: What to run.
            limit: The largest bucket.
            memory: Of the device, to lower the limit to what fits before the first large batch;
                None leaves it to running out of memory.
            record: Whether to record CUDA graphs.
        """
        self._network = network
        self._limit = limit
        self._unprobed = memory
        self._frames_fit = True
        self._mutex = Lock()  # as batches share what graphs read and write
        self._run = BatchGraphs(network, record=record)
        on_gpu = network.device.type == "cuda"
        self._stream = torch.cuda.Stream(network.device) if on_gpu else None  # type: ignore[no-untyped-call]

    @property
    def batch_size(self) -> int:
        """Most crops in one forward pass now."""
        return self._limit.size

    @torch.inference_mode()
    def start(self, crops: Tensor) -> PendingValues:
        """Queue everything; see `Engine`. May be called from several threads."""
        values = torch.empty((len(crops), self._network.num_values), pin_memory=crops.is_cuda)
        done: list[tuple[int, torch.cuda.Event | None]] = []
        if self._stream is not None:
            self._stream.wait_stream(torch.cuda.current_stream(self._network.device))
            crops.record_stream(self._stream)
        with self._mutex, self._on_stream():
            start = 0
            while start < len(crops):
                stop = self._queue(crops[start:], values[start:]) + start
                if stop > start:
                    done.append((stop, self._mark()))
                start = stop
        return PendingValues(values.numpy(), _waits(done))

    @torch.inference_mode()
    def cut(
        self, images: Sequence[NDArray[np.uint8]], transforms: Sequence[CropTransforms]
    ) -> Tensor:
        """Copy up the frames that have crops, and cut these; in groups, so that memory suffices."""
        width, height = self._network.input_wh
        crops = [torch.empty((0, height, width, 3), dtype=torch.uint8, device=self._network.device)]
        group: list[int] = []
        wanted = [place for place, each in enumerate(transforms) if len(each)]
        num_pixels = 0
        for place in wanted:
            group.append(place)
            num_pixels += images[place].shape[0] * images[place].shape[1]
            if num_pixels >= UPLOAD_PIXELS or place == wanted[-1]:
                crops += self._cut_group([images[n] for n in group], [transforms[n] for n in group])
                group, num_pixels = [], 0
        return torch.cat(crops)

    def _cut_group(
        self, images: Sequence[NDArray[np.uint8]], transforms: Sequence[CropTransforms]
    ) -> list[Tensor]:
        """Cut crops on the device; on the host once the device had no room for the frames."""
        device = self._network.device
        if self._frames_fit:
            try:
                return [DeviceFrames.upload(images, device).warp(transforms)]
            except torch.OutOfMemoryError:
                self._frames_fit = False
                _log.warning("%s has no memory for whole frames; OpenCV cuts the crops.", device)
        cut = [warp_crops(*each) for each in zip(images, transforms, strict=True)]
        return [torch.from_numpy(crops).to(device) for crops in cut]

    def _queue(self, crops: Tensor, values: Tensor) -> int:
        """Queue one batch from the front; return how many crops it took, 0 to try once more."""
        if self._unprobed is not None and len(crops) > PROBE_SIZE:
            self._probe(crops[:PROBE_SIZE], self._unprobed)
        count, bucket = next_batch(len(crops), self._limit.size)
        try:
            found = self._run(crops[:count], bucket)
        except torch.OutOfMemoryError as error:
            self._limit.halve(bucket, error)
            self._run.forget()
            return 0
        values[:count].copy_(found, non_blocking=True)
        return count

    def _probe(self, crops: Tensor, memory: Memory) -> None:
        """Lower the limit to the batch that fits, judged by a small one."""
        self._unprobed = None
        try:
            peak = memory.peak_bytes(lambda: self._network(crops))
        except torch.OutOfMemoryError:
            return  # the batch will tell
        fitting = largest_fitting(peak / len(crops), memory.free_bytes())
        self._limit.size = min(self._limit.size, fitting)

    def _on_stream(self) -> AbstractContextManager[object]:
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)

    def _mark(self) -> torch.cuda.Event | None:
        """Return an event that comes when all that is queued is done; None where that is now."""
        if self._stream is None:
            return None
        # Blocking: a thread that spins while it waits would take a core from the readers.
        event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        event.record()
        return event


def _waits(done: list[tuple[int, torch.cuda.Event | None]]) -> Iterator[int]:
    """Wait for event after event; yield how many rows are done."""
    for num_rows, event in done:
        if event is not None:
            event.synchronize()
        yield num_rows

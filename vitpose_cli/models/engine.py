"""Running the pose network over the crops of many frames: what is common, and the plain way.

The plain way serves CPUs: OpenCV cuts the crops in the caller's thread, and the network runs when
somebody asks for its numbers, batch by batch. GPUs are served by `device_engine`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitpose_cli.media.crops import warp_crops
from vitpose_cli.models.batching import BatchLimit
from vitpose_cli.models.pose_network import PoseNetwork
from vitpose_cli.pose.geometry import CropTransforms


class PendingValues:
    """The network's numbers for some crops, as they come.

    Attributes:
        values: (B, V) float32 on the host; only the rows that were waited for mean anything.
    """

    def __init__(self, values: NDArray[np.float32], finish: Iterator[int]) -> None:
        """Wait for rows.

        Args:
            values: Filled by whoever runs the network.
            finish: Each step finishes some more rows, and yields how many are done by then.
        """
        self.values = values
        self._finish = finish
        self._num_done = 0

    def wait(self, num_rows: int) -> int:
        """Return how many rows are done, once at least `num_rows` are."""
        while self._num_done < num_rows:
            self._num_done = next(self._finish)
        return self._num_done


class Engine(Protocol):
    """Who cuts crops and runs the network over them."""

    @property
    def batch_size(self) -> int:
        """Most crops in one forward pass now."""
        ...

    @property
    def chunks_ahead(self) -> int:
        """How many chunks of frames to start before the first is asked for, in another thread."""
        ...

    def cut(
        self, images: Sequence[NDArray[np.uint8]], transforms: Sequence[CropTransforms]
    ) -> Tensor:
        """Cut the crops of frames (H, W, 3), which may be let go then: (B, H, W, 3) uint8."""
        ...

    def start(self, crops: Tensor) -> PendingValues:
        """Start on crops; return their numbers."""
        ...


class HostEngine:
    """Cuts crops with OpenCV, and runs the network when its numbers are wanted."""

    def __init__(self, network: PoseNetwork, limit: BatchLimit) -> None:
        """Run `network` over at most `limit` crops at once."""
        self.chunks_ahead = 0 if network.device.type == "cpu" else 1
        self._network = network
        self._limit = limit

    @property
    def batch_size(self) -> int:
        """Most crops in one forward pass now."""
        return self._limit.size

    def cut(
        self, images: Sequence[NDArray[np.uint8]], transforms: Sequence[CropTransforms]
    ) -> Tensor:
        """Cut crops; see `Engine`."""
        width, height = self._network.input_wh
        ends = np.cumsum([len(each) for each in transforms], dtype=np.int64)
        crops = np.empty((int(ends[-1]) if len(ends) else 0, height, width, 3), np.uint8)
        for image, each, end in zip(images, transforms, ends, strict=True):
            warp_crops(image, each, out=crops[end - len(each) : end])
        return torch.from_numpy(crops)

    def start(self, crops: Tensor) -> PendingValues:
        """Wait until the numbers are wanted; see `Engine`."""
        values = np.empty((len(crops), self._network.num_values), np.float32)
        return PendingValues(values, self._finish(crops, values))

    def _finish(self, crops: Tensor, values: NDArray[np.float32]) -> Iterator[int]:
        """Run batch after batch; yield how many rows are done."""
        start = 0
        while start < len(crops):
            batch = crops[start : start + self._limit.size]
            try:
                found = self._network(batch.to(self._network.device))
            except torch.OutOfMemoryError as error:
                self._limit.halve(len(batch), error)
                continue
            values[start : start + len(batch)] = found.cpu().numpy()
            start += len(batch)
            yield start

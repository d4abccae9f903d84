"""Labelled people as a struct of arrays, and the order in which training meets them.

One `People` holds all that is known about instances of one keypoint set but their pixels. The
order is a function of seed and position, never a state: whoever knows the number of the step knows
the rows, so a resumed run and every process of a distributed one agree without being told.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import ceil, floor
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vitpose_cli.media.frames import FrameKey, FrameReader
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.records.stated_sizes import check_size


@dataclass(frozen=True, slots=True)
class People:
    """N labelled instances with K keypoints; points and boxes are px of their image.

    Attributes:
        keypoint_set: What the keypoints are.
        boxes: (N, 4) float32 xyxy.
        keypoints: (N, K, 2) float32 xy.
        weights: (N, K) float32 loss weights, 0 where a keypoint is not known.
        repeats: (N,) float32, how often an epoch shows each.
        images: (N,) int64, the number of its image: a frame, or its own crop.
        pixel_aspects: (N,) float32, the width of its image's pixels by their height; of crops 1.
    """

    keypoint_set: KeypointSet
    boxes: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    weights: NDArray[np.float32]
    repeats: NDArray[np.float32]
    images: NDArray[np.int64]
    pixel_aspects: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.boxes)

    def select(self, index: ArrayLike) -> People:
        """Return the instances at `index`, a boolean mask (N,) or integer positions, in order."""
        chosen = np.asarray(index)
        return People(self.keypoint_set, *(array[chosen] for array in self.arrays()))

    @classmethod
    def joined(cls, parts: Sequence[People]) -> People:
        """Return several groups of one keypoint set, at least one, as one, in order."""
        arrays = zip(*(part.arrays() for part in parts), strict=True)
        return cls(parts[0].keypoint_set, *map(np.concatenate, arrays))

    def arrays(self) -> list[NDArray[np.float32] | NDArray[np.int64]]:
        """Return all that is known of them, in the order of the attributes."""
        return [getattr(self, field.name) for field in fields(self)[1:]]


@dataclass(frozen=True, slots=True)
class LabelledFrames:
    """People and the frames they are in.

    Attributes:
        people: Sorted by frame; `images` are positions in `keys`. Points and boxes are frame px.
        keys: The frames' names.
        source: Where the frames come from, in the order of `keys`.
        identity: A text that changes whenever anything here would.
        labels: The file that the labels are from.
        sizes_wh: Width and height of each frame as the labels state them, px; None where they do
            not.
        pixel_aspects: Width of each frame's pixels by their height.
    """

    people: People
    keys: tuple[FrameKey, ...]
    source: FrameReader
    identity: str
    labels: Path
    sizes_wh: tuple[tuple[int, int] | None, ...]
    pixel_aspects: tuple[float, ...]

    def check_size(self, number: int, size_wh: tuple[int, int]) -> None:
        """Refuse a frame that was read with another size than its labels state.

        Raises:
            InputError: It has another.
        """
        check_size(self.keys[number], size_wh, self.sizes_wh[number], self.labels)


class EndlessOrder:
    """The rows of all epochs, one after the other: each a new shuffle of people by `repeats`.

    Batches run on over the end of an epoch, so that every epoch shows everybody, whatever the
    batch size. Where fractions do not add up to a whole number, epochs differ by one row, and all
    of them together have as many as the fractions say: a small `repeat` is rare, not never.
    """

    def __init__(self, repeats: NDArray[np.float32], seed: tuple[int, ...]) -> None:
        """Order people by `repeats` (N,): whole parts in every epoch, fractions at random."""
        self._whole = np.repeat(np.arange(len(repeats)), np.floor(repeats).astype(np.int64))
        self._fractions = repeats.astype(np.float64) % 1
        self._num_drawn = float(self._fractions.sum())
        self._seed = seed
        self._epoch = -1
        self._shuffled = self._whole

    @property
    def epoch_length(self) -> float:
        """How many rows an epoch has on average."""
        return len(self._whole) + self._num_drawn

    def rows(self, start: int, count: int) -> NDArray[np.int64]:
        """Return `count` rows from position `start` of the endless order on."""
        parts = []
        while count > 0:
            epoch = self._epoch_at(start)
            position = start - self._start(epoch)
            part = self._order(epoch)[position : position + count]
            parts.append(part)
            start += len(part)
            count -= len(part)
        return np.concatenate(parts)

    def _start(self, epoch: int) -> int:
        """Return at which position of the endless order an epoch begins."""
        return epoch * len(self._whole) + floor(epoch * self._num_drawn + 0.5)

    def _epoch_at(self, position: int) -> int:
        """Return the epoch that has a position; it is not empty."""
        about = position / self.epoch_length
        margin = 2 + 1 / self.epoch_length  # a rounded start is at most one row off
        epochs = range(max(0, floor(about - margin)), ceil(about + margin))
        return epochs[bisect_right(epochs, position, key=self._start) - 1]

    def _order(self, epoch: int) -> NDArray[np.int64]:
        if epoch != self._epoch:
            generator = np.random.default_rng((*self._seed, epoch))
            order = self._whole
            count = self._start(epoch + 1) - self._start(epoch) - len(order)
            if count:
                order = np.concatenate([order, self._draw(generator, count)])
            self._shuffled = generator.permutation(order)
            self._epoch = epoch
        return self._shuffled

    def _draw(self, generator: np.random.Generator, count: int) -> NDArray[np.int64]:
        """Draw people as often as their fractions say, by equal steps along a row of them all.

        `Generator.choice` without replacement would show those of large fractions too seldom.
        """
        row = generator.permutation(len(self._fractions))
        ends = np.cumsum(self._fractions[row])
        steps = (np.arange(count) + generator.random()) * (ends[-1] / count)
        drawn: NDArray[np.int64] = row[np.searchsorted(ends[:-1], steps, side="right")]
        return drawn

"""What a head learns from, and a step's share of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vitpose_cli.pose.geometry import Alignment
from vitpose_cli.pose.heatmaps import HeatmapCodec
from vitpose_cli.training.augment import CropPlan
from vitpose_cli.training.crops import Crops
from vitpose_cli.training.people import People


class Lessons(Protocol):
    """What another network knows of people; see `distill`."""

    def __call__(self, share: Share, crops: Tensor) -> Lesson:
        """Say what a student shall answer to a share's crops (B, 3, H, W)."""
        ...


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a teacher says about some crops, in the student's terms.

    Attributes:
        maps: (B, K, h, w) float32 heatmaps, as the student's lie and as wide.
        weights: (B, K) float32 loss weights.
    """

    maps: Tensor
    weights: Tensor


@dataclass(frozen=True, slots=True)
class Course:
    """What one head learns from.

    Attributes:
        head: The head's name.
        people: Labelled with its keypoint set.
        crops: Their pixels.
        codec: How its heatmaps are drawn.
        lessons: What a teacher says; None without one.
    """

    head: str
    people: People
    crops: Crops
    codec: HeatmapCodec
    lessons: Lessons | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """Some people of one course in one step, and what happens to them.

    Attributes:
        course: Whose people.
        rows: (B,) int64 which.
        plan: What is done to their crops.
        size: What their loss is divided by: that of the whole step.
        lesson_size: The same for the loss against a teacher's heatmaps.
        order: (B, N) int64 permutations of the patches, of which the last are hidden; None where
            heatmaps are learnt.
        covers: Whose crops show in theirs, one for each: who comes before them in the whole step,
            whoever makes it; None where nobody's do.
    """

    course: Course
    rows: NDArray[np.int64]
    plan: CropPlan
    size: float
    lesson_size: float = 1.0
    order: NDArray[np.int64] | None = None
    covers: Share | None = None

    def select(self, index: NDArray[np.int64]) -> Share:
        """Return the people at `index`, in order; the divisors stay."""
        return replace(
            self,
            rows=self.rows[index],
            plan=self.plan.select(index),
            order=None if self.order is None else self.order[index],
            covers=None if self.covers is None else self.covers.select(index),
        )

    def resized(self, size_wh: tuple[int, int], alignment: Alignment) -> Share:
        """Return the same people with crops of another size and alignment."""
        covers = None if self.covers is None else self.covers.resized(size_wh, alignment)
        return replace(self, plan=self.plan.resized(size_wh, alignment), covers=covers)

"""From people to the tensors of one step.

A step's people are drawn, and everything about them decided, for all processes together; each then
takes its share. So the sums that losses are divided by are known everywhere without talking, and a
step means the same on one GPU as on eight. On a GPU all of it is a few large kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitpose_cli.media.frames import prefetch
from vitpose_cli.runtime import Process
from vitpose_cli.training.augment import plan_crops
from vitpose_cli.training.config import StageOptions
from vitpose_cli.training.courses import Course, Lesson, Share
from vitpose_cli.training.crops import upload
from vitpose_cli.training.data_options import AugmentationOptions
from vitpose_cli.training.losses import heatmap_loss_size
from vitpose_cli.training.people import EndlessOrder
from vitpose_cli.training.pixels import make_crops

STEPS_AHEAD = 3

_Task = tuple[int, NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Targets:
    """What one head shall say about its part of a batch.

    Attributes:
        share: The people.
        maps: (B, K, h, w) float32 heatmaps.
        weights: (B, K) float32 loss weights.
        lesson: What a teacher says; None without one.
    """

    share: Share
    maps: Tensor
    weights: Tensor
    lesson: Lesson | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """The tensors of one pass, on the device.

    Attributes:
        crops: (B, 3, H, W) float32, normalised; the parts of the heads one after the other.
        targets: For each head that has people in it, in the same order.
        order: (B, N) int64, see `Share`; None where heatmaps are learnt.
    """

    crops: Tensor
    targets: tuple[Targets, ...]
    order: Tensor | None = None

    def tensors(self) -> Iterator[Tensor]:
        """Yield all tensors."""
        yield self.crops
        if self.order is not None:
            yield self.order
        for target in self.targets:
            yield from (target.maps, target.weights)
            if target.lesson is not None:
                yield from (target.lesson.maps, target.lesson.weights)


class Batches:
    """All batches of one stage, on this process's device."""

    def __init__(
        self,
        courses: Sequence[Course],
        stage: StageOptions,
        augmentation: AugmentationOptions,
        seed: tuple[int, ...],
        device: torch.device,
        *,
        num_patches: int = 0,
    ) -> None:
        """Take what is learnt, how, and the seed from which all chance follows.

        Args:
            courses: What each head learns from.
            stage: How many people at once, and which loss.
            augmentation: What happens to their crops.
            seed: Where all chance comes from.
            device: Where the batches are made.
            num_patches: Of a crop, where hidden patches are to be drawn instead of heatmaps.
        """
        self._courses = courses
        self._stage = stage
        self._augmentation = augmentation
        self._seed = seed
        self._device = device
        self._num_patches = num_patches
        self._starts = np.cumsum([0, *(len(course.people) for course in courses)])
        repeats = np.concatenate([course.people.repeats for course in courses])
        self._order = EndlessOrder(repeats, seed)

    @property
    def steps_per_epoch(self) -> float:
        """How many steps show everybody once (by their repeats)."""
        return self._order.epoch_length / self._stage.batch_size

    def ahead(self, start: int, stop: int, process: Process | None = None) -> Iterator[list[Batch]]:
        """Yield the passes of each step from `start` up to `stop`.

        For a GPU they are made ahead in a thread, and on a stream of their own, so that neither
        waits for a step to end. A CPU has nothing else to wait with: two pools of threads would
        only fight for its cores.

        Args:
            start: First step.
            stop: Behind the last.
            process: Whose share of each step; everything by default.
        """
        size = self._stage.batch_size
        mine = process or Process()

        def make(task: _Task) -> list[Batch]:
            return self._passes(self.shares(*task), mine)

        tasks = ((step, self._order.rows(step * size, size)) for step in range(start, stop))
        if self._device.type == "cuda":
            return self._beside(make, tasks)
        return map(make, tasks)

    def _beside(
        self, make: Callable[[_Task], list[Batch]], tasks: Iterable[_Task]
    ) -> Iterator[list[Batch]]:
        """Make batches on another stream of the GPU, and hand them over to the current one."""
        stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(self._device))

        def make_beside(task: _Task) -> tuple[list[Batch], torch.cuda.Event]:
            with torch.cuda.stream(stream):
                return make(task), stream.record_event()

        for passes, made in prefetch(make_beside, tasks, num_threads=1, ahead=STEPS_AHEAD):
            current = torch.cuda.current_stream(self._device)
            current.wait_event(made)
            for batch in passes:
                for tensor in batch.tensors():
                    tensor.record_stream(current)
            yield passes

    def shares(self, step: int, rows: NDArray[np.int64]) -> list[Share]:
        """Decide about all people of a step; no pixel is touched.

        Args:
            step: The step.
            rows: Its people, counted over all courses.
        """
        shares = []
        for number, course in enumerate(self._courses):
            low, high = self._starts[number : number + 2]
            own = rows[(rows >= low) & (rows < high)] - low
            if not len(own):
                continue
            generator = np.random.default_rng((*self._seed, step, number))
            plan = plan_crops(
                course.people.select(own),
                self._augmentation,
                self._stage.input_wh,
                course.codec.alignment,
                generator,
            )
            if self._stage.loss.kind == "cross_entropy":
                # Where else would a keypoint outside be but in the wrong place inside?
                plan = replace(plan, weights=plan.weights * plan.inside)
            map_w, map_h = course.codec.map_wh
            total = float(plan.weights.sum(dtype=np.float64))
            num_maps, loss = plan.weights.size, self._stage.loss
            size = heatmap_loss_size(num_maps, map_w * map_h, total, loss)
            lesson_size = heatmap_loss_size(num_maps, map_w * map_h, num_maps, loss)
            order = self._orders(len(own), generator) if self._num_patches else None
            share = Share(course, own, plan, size, lesson_size, order)
            if plan.borrows.any():
                share = replace(share, covers=share.select(np.arange(len(own)) - 1))
            shares.append(share)
        return shares

    def _orders(self, count: int, generator: np.random.Generator) -> NDArray[np.int64]:
        """Draw a permutation of the patches for each of `count` crops."""
        places = np.tile(np.arange(self._num_patches), (count, 1))
        return generator.permuted(places, axis=1)

    @torch.no_grad()
    def _passes(self, shares: Sequence[Share], process: Process) -> list[Batch]:
        """Make this process's passes of a step: every n-th person, counted over all shares."""
        passes = []
        every = process.world_size * self._stage.accumulate
        starts = np.cumsum([0, *(len(share.rows) for share in shares)])
        for turn in range(self._stage.accumulate):
            first = process.rank + process.world_size * turn
            parts = [
                share.select(np.arange((first - start) % every, len(share.rows), every))
                for share, start in zip(shares, starts, strict=False)
            ]
            passes.append(make_batch([part for part in parts if len(part.rows)], self._device))
        return passes


def make_batch(shares: Sequence[Share], device: torch.device) -> Batch:
    """Make the tensors of some shares, at least one."""
    crops = [make_crops(share, device) for share in shares]
    orders = [share.order for share in shares if share.order is not None]
    if orders:
        return Batch(torch.cat(crops), (), upload(np.concatenate(orders), device))
    targets = [_targets(share, own) for share, own in zip(shares, crops, strict=True)]
    return Batch(torch.cat(crops), tuple(targets))


def _targets(share: Share, crops: Tensor) -> Targets:
    """Draw the heatmaps of a share, and ask its teacher."""
    device, lessons = crops.device, share.course.lessons
    points = upload(share.plan.crop_keypoints, device)
    weights = upload(share.plan.weights, device)
    maps, drawn = share.course.codec.encode(points, weights > 0)
    lesson = None if lessons is None else lessons(share, crops)
    return Targets(share, maps, weights * drawn, lesson)

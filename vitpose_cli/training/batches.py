"""From people to the tensors of one step.

A step's people are drawn, and everything about them decided, for all processes together; each then
takes its share. So the sums that losses are divided by are known everywhere without talking, and a
step means the same on one GPU as on eight. On a GPU all of it is a few large kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitpose_cli.media.frames import prefetch
from vitpose_cli.models.normalisation import normalise
from vitpose_cli.pose.geometry import Alignment
from vitpose_cli.pose.heatmaps import HeatmapCodec
from vitpose_cli.runtime import Process
from vitpose_cli.training.augment import CropPlan, plan_crops
from vitpose_cli.training.config import StageOptions
from vitpose_cli.training.crops import Crops, upload
from vitpose_cli.training.data_options import AugmentationOptions
from vitpose_cli.training.losses import heatmap_loss_size
from vitpose_cli.training.people import EndlessOrder, People

STEPS_AHEAD = 3

_Task = tuple[int, NDArray[np.int64]]


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


def make_crops(share: Share, device: torch.device) -> Tensor:
    """Return the crops of a share, (B, 3, H, W) float32, normalised."""
    pixels = _uncovered(share, device)
    _cover(pixels, share)
    return normalise(pixels.permute(0, 2, 3, 1))


def _uncovered(share: Share, device: torch.device) -> Tensor:
    """Return the crops of a share, (B, 3, H, W) float32 in [0, 255], before any is covered."""
    course, plan = share.course, share.plan
    warped = course.crops.warp(course.people.images[share.rows], plan.transforms)
    # Planes of one colour each: mixing them is one product of matrices.
    pixels = _to(warped, device).permute(0, 3, 1, 2).contiguous().float()
    if plan.colours is not None:
        affines = upload(plan.colours, device)
        mixed = torch.baddbmm(affines[:, :, 3:], affines[:, :, :3], pixels.flatten(2))
        pixels = mixed.clamp_(0, 255).view_as(pixels)
    _hide_outside(pixels, plan)
    return pixels


def _to(tensor: Tensor, device: torch.device) -> Tensor:
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def _targets(share: Share, crops: Tensor) -> Targets:
    """Draw the heatmaps of a share, and ask its teacher."""
    device, lessons = crops.device, share.course.lessons
    points = upload(share.plan.crop_keypoints, device)
    weights = upload(share.plan.weights, device)
    maps, drawn = share.course.codec.encode(points, weights > 0)
    lesson = None if lessons is None else lessons(share, crops)
    return Targets(share, maps, weights * drawn, lesson)


def _hide_outside(pixels: Tensor, plan: CropPlan) -> None:
    """Blacken what (B, 3, H, W) shows outside the windows of cut photos, in place."""
    rows = np.flatnonzero(np.isfinite(plan.windows[:, 0]))
    if not len(rows):
        return
    width, height = plan.transforms.size_wh
    device = pixels.device
    inverse = upload(plan.transforms.inverses[rows].astype(np.float32), device)
    window = upload(plan.windows[rows], device)
    across = torch.arange(width, device=device, dtype=torch.float32)
    down = torch.arange(height, device=device, dtype=torch.float32)[:, None]
    shown = torch.ones((), dtype=torch.bool, device=device)
    for axis in (0, 1):
        part = inverse[:, axis, :, None, None]
        place = part[:, 0] * across + part[:, 1] * down + part[:, 2]
        low, high = window[:, axis, None, None], window[:, axis + 2, None, None]
        shown = shown & (place >= low) & (place <= high)
    index = upload(rows, device)
    pixels[index] = pixels[index] * shown[:, None]


def _cover(pixels: Tensor, share: Share) -> None:
    """Blend (B, 3, H, W) with other crops, then cover rectangles with colours or them, in place."""
    plan, device = share.plan, pixels.device
    wide = plan.erased[:, :, 2] > plan.erased[:, :, 0]
    mixed = wide & np.isnan(plan.fills[:, :, 0])
    borrowing = np.flatnonzero(plan.borrows)
    others = pixels[:0]
    if share.covers is not None and len(borrowing):
        others = _uncovered(share.covers.select(borrowing), device)
    if (plan.blends > 0).any():
        index = upload(borrowing, device)
        shares = upload(plan.blends[borrowing], device)[:, None, None, None]
        pixels[index] = torch.lerp(pixels[index], others, shares)
    for number in range(wide.shape[1]):
        for plain in (True, False):
            rows = np.flatnonzero(wide[:, number] & (mixed[:, number] != plain))
            if not len(rows):
                continue
            if plain:
                fill = upload(plan.fills[rows, number], device)[:, :, None, None]
            else:
                fill = others[upload(np.searchsorted(borrowing, rows), device)]
            covered = _inside(upload(plan.erased[rows, number], device), pixels)
            index = upload(rows, device)
            pixels[index] = torch.where(covered, fill, pixels[index])


def _inside(boxes: Tensor, pixels: Tensor) -> Tensor:
    """Return which of the pixels (..., H, W) lie in each of boxes (B, 4), (B, 1, H, W) bool."""
    height, width = pixels.shape[-2:]
    across = torch.arange(width, device=boxes.device)
    down = torch.arange(height, device=boxes.device)[:, None]
    x0, y0, x1, y1 = boxes[:, :, None, None, None].unbind(1)
    return (across >= x0) & (across <= x1) & (down >= y0) & (down <= y1)

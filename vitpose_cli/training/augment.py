"""What happens to each crop of a batch, decided in numpy before a pixel is touched.

A plan holds one affine for each crop, from its image straight to the network's input, so that
pixels of kept crops are resampled once; colours are an affine of RGB. Deciding on the host keeps
the random numbers the same on a CPU and a GPU, costs under a millisecond, and never makes a GPU
wait. Ready augmentation packages were refused: they work image by image, resample at every
operation, and cannot cut a body.

Geometry follows `TopDownHalfBodyTransform` and its neighbours in mmpose 0.24, which the original
ViTPose was trained with, but for two things: the centre is moved anew each time, which there is
done once for all epochs, and boxes are as wide as COCO says, where there a pixel is taken off.
Truncation is this project's answer to photos of body parts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vitpose_cli.pose.geometry import PADDING, Alignment, CropTransforms, growth_wh, reach_wh
from vitpose_cli.pose.parts import BODY_PARTS, inside, part_keypoints, part_windows
from vitpose_cli.training.data_options import AugmentationOptions
from vitpose_cli.training.people import People

HALF_BODY_PADDING = 1.5
HALF_BODY_UPPER = 0.69
"""P(upper half), from `randn() < 0.5` in the original code."""

CUT_MARGINS = (0.02, 0.2)
"""How far behind the last kept keypoint a photo is cut, in longer sides of the box."""

NUM_ERASED = 2
"""Rectangles that are tried on each crop."""

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


@dataclass(frozen=True, slots=True)
class CropPlan:
    """How B crops are made from their images.

    Attributes:
        transforms: Image px to crop px.
        crop_keypoints: (B, K, 2) float32 xy, crop px.
        weights: (B, K) float32 loss weights, 0 where a keypoint is not known or was cut off.
        windows: (B, 4) float32 xyxy, image px; outside is black. Infinite where nothing is cut.
        colours: (B, 3, 4) float32 affine of RGB in [0, 255], or None where none changes.
        erased: (B, R, 4) float32 xyxy, crop px; empty boxes cover nothing.
        fills: (B, R, 3) float32 their colours, in [0, 255]; NaN shows another crop.
        blends: (B,) float32 in [0, 1], how much of another crop shines through everywhere else.
    """

    transforms: CropTransforms
    crop_keypoints: NDArray[np.float32]
    weights: NDArray[np.float32]
    windows: NDArray[np.float32]
    colours: NDArray[np.float32] | None
    erased: NDArray[np.float32]
    fills: NDArray[np.float32]
    blends: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def inside(self) -> NDArray[np.bool_]:
        """(B, K), whether each keypoint lies in its crop."""
        far = np.array(self.transforms.size_wh, np.float32) - 1
        near = (self.crop_keypoints >= 0) & (self.crop_keypoints <= far)
        within: NDArray[np.bool_] = np.all(near, axis=-1)
        return within

    @property
    def borrows(self) -> NDArray[np.bool_]:
        """(B,), whether something of another crop is seen in each."""
        wide = self.erased[:, :, 2] > self.erased[:, :, 0]
        covered = (wide & np.isnan(self.fills[:, :, 0])).any(axis=1)
        borrowing: NDArray[np.bool_] = covered | (self.blends > 0)
        return borrowing

    def resized(self, size_wh: tuple[int, int], alignment: Alignment) -> CropPlan:
        """Return the same regions and changes as crops of another size and alignment.

        For another aspect the regions grow about their centres, in width or in height, so that
        people keep their proportions.
        """
        own, reach = self.transforms, reach_wh(size_wh, alignment)
        growth = growth_wh(own.size_wh, size_wh)
        scale = reach / reach_wh(own.size_wh, own.alignment) / growth
        margin = reach * (1 - 1 / growth) / 2
        matrices = own.matrices * scale[:, None]
        matrices[:, :, 2] += margin
        return replace(
            self,
            transforms=CropTransforms(matrices, size_wh, alignment),
            crop_keypoints=(self.crop_keypoints * scale + margin).astype(np.float32),
            erased=(self.erased * np.tile(scale, 2) + np.tile(margin, 2)).astype(np.float32),
        )

    def select(self, index: ArrayLike) -> CropPlan:
        """Return the crops at `index`, a boolean mask (B,) or integer positions, in order."""
        chosen = np.asarray(index)
        return CropPlan(
            self.transforms.select(chosen),
            self.crop_keypoints[chosen],
            self.weights[chosen],
            self.windows[chosen],
            None if self.colours is None else self.colours[chosen],
            self.erased[chosen],
            self.fills[chosen],
            self.blends[chosen],
        )


@dataclass(frozen=True, slots=True)
class _Regions:
    """What of each image is looked at: B centres and sizes, image px, not yet padded."""

    centres: NDArray[np.float64]
    sizes: NDArray[np.float64]
    paddings: NDArray[np.float64]

    @classmethod
    def of_boxes(cls, boxes: NDArray[np.float64]) -> _Regions:
        sizes = boxes[:, 2:] - boxes[:, :2]
        return cls(boxes[:, :2] + sizes / 2, sizes, np.full(len(boxes), PADDING))

    def boxes(self, scales: NDArray[np.float64]) -> NDArray[np.float64]:
        halves = self.sizes * (self.paddings * scales)[:, None] / 2
        return np.concatenate([self.centres - halves, self.centres + halves], axis=1)


def plan_crops(
    people: People,
    options: AugmentationOptions,
    input_wh: tuple[int, int],
    alignment: Alignment,
    generator: np.random.Generator,
) -> CropPlan:
    """Decide how the crops of `people` are changed.

    Args:
        people: B of them, as they lie in their images.
        options: How strongly.
        input_wh: Width and height of the crops, px.
        alignment: Of the head that learns from them.
        generator: Where chance comes from; the same state gives the same plan.
    """
    count = len(people)
    windows = _cut_windows(people, options, generator)
    cut: NDArray[np.bool_] = np.isfinite(windows[:, 0])
    regions = _Regions.of_boxes(np.where(cut[:, None], windows, people.boxes))
    moves = generator.uniform(-1, 1, (count, 2)) * options.shift_size
    moved = generator.random(count) < options.shift
    regions.centres[moved] += (moves * regions.sizes)[moved]
    _look_at_halves(regions, people, ~cut, options, generator)

    scales = 1 + options.scale_std * generator.standard_normal(count)
    angles = options.rotation_std_deg * generator.standard_normal(count)
    angles = angles.clip(-options.rotation_limit_deg, options.rotation_limit_deg)
    angles[generator.random(count) >= options.rotation] = 0
    flips = generator.random(count) < options.flip
    if not people.keypoint_set.mirrorable:
        flips &= ~(people.weights > 0).any(axis=1)
    transforms = CropTransforms.from_boxes(
        regions.boxes(scales.clip(*options.scale_limits)),
        input_wh,
        alignment=alignment,
        padding=1.0,
        pixel_aspects=people.pixel_aspects,
        rotations_deg=angles,
        flips=flips,
    )
    weights = np.where(inside(people.keypoints, windows), people.weights, 0)
    erased, fills = _rectangles(count, input_wh, options, generator)
    return CropPlan(
        transforms,
        *_flipped(transforms.to_crop(people.keypoints), weights, flips, people),
        windows.astype(np.float32),
        _colours(count, options, generator),
        erased,
        fills,
        _blends(count, options, generator),
    )


def plain_transforms(
    people: People, input_wh: tuple[int, int], alignment: Alignment
) -> CropTransforms:
    """Return where the crops of people lie that are changed in nothing."""
    return CropTransforms.from_boxes(
        people.boxes, input_wh, alignment=alignment, pixel_aspects=people.pixel_aspects
    )


def plan_plain_crops(people: People, input_wh: tuple[int, int], alignment: Alignment) -> CropPlan:
    """Plan crops that are changed in nothing."""
    count = len(people)
    transforms = plain_transforms(people, input_wh, alignment)
    return CropPlan(
        transforms,
        transforms.to_crop(people.keypoints).astype(np.float32),
        people.weights,
        _everywhere(count).astype(np.float32),
        None,
        np.zeros((count, 0, 4), np.float32),
        np.zeros((count, 0, 3), np.float32),
        np.zeros(count, np.float32),
    )


def _everywhere(count: int) -> NDArray[np.float64]:
    return np.tile([-np.inf, -np.inf, np.inf, np.inf], (count, 1))


def _cut_windows(
    people: People, options: AugmentationOptions, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Draw what truncated photos show of each person; everything for most."""
    count = len(people)
    chosen = generator.random(count) < options.truncation
    kinds = generator.integers(len(BODY_PARTS), size=count)
    draws = generator.random(count)
    margins = generator.uniform(*CUT_MARGINS, count)
    kept = np.zeros(people.weights.shape, bool)
    for kind, part in enumerate(BODY_PARTS):
        rows = np.flatnonzero(chosen & (kinds == kind))
        some = people.select(rows)
        kept[rows] = part_keypoints(
            part, some.keypoints, some.weights > 0, some.keypoint_set, draws[rows]
        )
    rows = np.flatnonzero(chosen)
    some = people.select(rows)
    found, real = part_windows(
        kept[rows], some.keypoints, some.weights > 0, some.boxes, margins[rows]
    )
    windows = _everywhere(count)
    windows[rows[real]] = found[real]
    return windows


def _look_at_halves(
    regions: _Regions,
    people: People,
    allowed: NDArray[np.bool_],
    options: AugmentationOptions,
    generator: np.random.Generator,
) -> None:
    """Move some regions to the upper or lower half of the body (`TopDownHalfBodyTransform`)."""
    count = len(people)
    labelled = people.weights > 0
    upper = np.isin(np.arange(labelled.shape[1]), people.keypoint_set.upper_body)
    chosen = generator.random(count) < options.half_body
    prefers_upper = generator.random(count) < HALF_BODY_UPPER
    num_upper, num_lower = (labelled & upper).sum(axis=1), (labelled & ~upper).sum(axis=1)
    takes_upper = (prefers_upper & (num_upper > 2)) | (num_lower <= 2)
    half = labelled & (takes_upper[:, None] == upper)
    enough = (half.sum(axis=1) >= 2) & (labelled.sum(axis=1) >= options.half_body_keypoints)
    rows = np.flatnonzero(chosen & allowed & enough)

    points = people.keypoints[rows].astype(np.float64)
    masked = np.where(half[rows, :, None], points, np.nan)
    sizes = np.nanmax(masked, axis=1) - np.nanmin(masked, axis=1) if len(rows) else points[:, 0]
    wide = (sizes > 1).any(axis=1)
    rows, masked, sizes = rows[wide], masked[wide], sizes[wide]
    if len(rows):
        regions.centres[rows] = np.nanmean(masked, axis=1)
        regions.sizes[rows] = sizes
        regions.paddings[rows] = HALF_BODY_PADDING


def _flipped(
    points: NDArray[np.float64],
    weights: NDArray[np.float32],
    flips: NDArray[np.bool_],
    people: People,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Rename the keypoints of mirrored crops: what was left is right, if there is a right one."""
    order = people.keypoint_set.flip_order
    renamed = np.where(flips[:, None, None], points[:, order], points)
    mirrored = weights[:, order]
    mirrored[:, people.keypoint_set.one_sided] = 0
    return renamed.astype(np.float32), np.where(flips[:, None], mirrored, weights)


def _colours(
    count: int, options: AugmentationOptions, generator: np.random.Generator
) -> NDArray[np.float32] | None:
    """Draw an affine of RGB for each crop: contrast round mid-grey, saturation, offsets."""
    brightness = 255 * options.brightness * generator.standard_normal(count)
    contrast = (1 + options.contrast * generator.standard_normal(count)).clip(0.2, 3)
    saturation = (1 + options.saturation * generator.standard_normal(count)).clip(0, 3)
    tint = 255 * options.tint * generator.standard_normal((count, 3))
    saturation[generator.random(count) < options.grey] = 0
    strengths = (options.brightness, options.contrast, options.saturation, options.tint)
    if not any((*strengths, options.grey)):
        return None
    mixing = saturation[:, None, None] * np.eye(3)
    mixing = mixing + (1 - saturation)[:, None, None] * np.tile(_LUMA, (3, 1))
    offsets = (127.5 * (1 - contrast) + brightness)[:, None] + tint
    affine = np.concatenate([contrast[:, None, None] * mixing, offsets[:, :, None]], axis=2)
    return affine.astype(np.float32)


def _rectangles(
    count: int,
    input_wh: tuple[int, int],
    options: AugmentationOptions,
    generator: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw what is covered: boxes (B, R, 4), crop px, and with what (B, R, 3)."""
    shape = (count, NUM_ERASED)
    side = np.array(input_wh)
    centres = generator.random((*shape, 2)) * side
    halves = generator.uniform(*options.erasing_size, (*shape, 2)) * side / 2
    fills = generator.random((*shape, 3)) * 255
    halves[generator.random(shape) >= options.erasing] = -1
    if options.erasing_mix > 0:
        mixed = generator.random(shape) < options.erasing_mix
        fills[mixed & (count > 1)] = np.nan  # else there is nobody else
    boxes = np.concatenate([centres - halves, centres + halves], axis=-1)
    return boxes.astype(np.float32), fills.astype(np.float32)


def _blends(
    count: int, options: AugmentationOptions, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Draw how much of another crop shines through each, (B,)."""
    if options.blend == 0 or count < 2:  # else there is nobody else
        return np.zeros(count, np.float32)
    blends = generator.uniform(0, options.blend_limit, count)
    blends[generator.random(count) >= options.blend] = 0
    return blends.astype(np.float32)

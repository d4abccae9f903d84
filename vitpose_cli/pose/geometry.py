"""Boxes, and the one affine between a frame and the crops a network sees.

Everything is a struct of arrays: all boxes of a batch at once, float64 inside. Pixel (0, 0) is the
centre of the top-left pixel. There is no affine for a single box, and no scale in units of 200 px
as in COCO tools of old: a list of one box costs nothing, and the region is kept in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vitpose_cli.errors import InputError

Alignment = Literal["udp", "classic"]
"""Which points of region and crop lie on each other, and so how heatmaps must be read.

`udp`: the first and last pixel centres, W - 1 steps (Huang et al., CVPR 2020, "The Devil Is in the
Details"); `classic`: W steps from the first pixel centre on, as in mmpose before UDP.
"""

Region = Literal["fitted", "square"]
"""What of a frame a crop shows: `fitted` keeps the frame's proportions; `square` is as high as wide
whatever the crop is, so that people in a 3:4 crop are narrower than they are, as MPII's in the
original repository.
"""

PADDING = 1.25
"""How much larger than the box the region is in every published ViTPose."""

FloatArray = NDArray[np.floating[Any]]


def xyxy_to_xywh(boxes: FloatArray) -> FloatArray:
    """Return boxes (N, 4) as COCO's left, top, width, height."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def xywh_to_xyxy(boxes: FloatArray) -> FloatArray:
    """Return COCO's boxes (N, 4) as left, top, right, bottom."""
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def clip_boxes(boxes: FloatArray, size_wh: tuple[int, int]) -> FloatArray:
    """Return xyxy boxes (N, 4) cut at the frame's edges, 0 to W and 0 to H as in COCO."""
    clipped: FloatArray = np.clip(boxes, 0, np.array(size_wh * 2, boxes.dtype))
    return clipped


def box_areas(boxes: FloatArray) -> NDArray[np.float64]:
    """Return the areas (N,) float64 of xyxy boxes (N, 4), each side at least 1, for OKS."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 1).astype(np.float64)
    areas: NDArray[np.float64] = sides.prod(axis=1)
    return areas


def box_iou(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the intersection over union (N, M) of xyxy boxes (N, 4) and (M, 4), in [0, 1].

    Empty boxes overlap with nothing.
    """
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=-1)
    areas_a, areas_b = (np.clip(box[:, 2:] - box[:, :2], 0, None).prod(axis=-1) for box in (a, b))
    union = areas_a[:, None] + areas_b[None, :] - shared
    iou: FloatArray = np.divide(shared, union, out=np.zeros_like(union), where=union > 0)
    return iou


@dataclass(frozen=True, slots=True)
class CropTransforms:
    """The affines of B crops: frame px to crop px.

    Attributes:
        matrices: (B, 2, 3) float64, each maps a frame point (x, y, 1) to a crop point.
        size_wh: Width and height of every crop, px.
        alignment: What the matrices were built for; heatmaps are encoded and decoded alike.
    """

    matrices: NDArray[np.float64]
    size_wh: tuple[int, int]
    alignment: Alignment

    def __post_init__(self) -> None:
        matrices = np.ascontiguousarray(self.matrices, np.float64)
        if matrices.ndim != 3 or matrices.shape[1:] != (2, 3):
            raise InputError(f"matrices has the shape {matrices.shape}, expected anyx2x3.")
        object.__setattr__(self, "matrices", matrices)

    @classmethod
    def from_boxes(
        cls,
        boxes: ArrayLike,
        size_wh: tuple[int, int],
        *,
        alignment: Alignment,
        region: Region = "fitted",
        padding: float = PADDING,
        pixel_aspects: ArrayLike = 1.0,
        rotations_deg: ArrayLike = 0.0,
        flips: ArrayLike = False,
    ) -> CropTransforms:
        """Fit a crop round every box: keep its centre, grow to the aspect, pad, turn, flip.

        The region may leave the frame. Turning is about its centre, clockwise in the picture for
        positive angles with either alignment (mmpose turns the classic one the other way; both
        are drawn symmetrically in training). A flip mirrors the region about its vertical centre
        line after turning; with `udp` that is the very crop reversed in x. Left and right
        keypoints are not swapped here.

        Source: `_xywh2cs`, `get_warp_matrix` and `get_affine_transform` of mmpose 0.24, which the
        original ViTPose is built on.

        Args:
            boxes: (B, 4) xyxy, frame px.
            size_wh: Width and height of the crops, px.
            alignment: How the network was trained.
            region: What of the frame it was shown.
            padding: Region size relative to the box, once that is grown to the region's aspect.
            pixel_aspects: Width of the frame's pixels by their height, one or one for each box
                (B,). Proportions and angles are those of the frame as it is shown.
            rotations_deg: One angle, or one for each box (B,), degrees.
            flips: One switch, or one for each box (B,).

        Raises:
            InputError: A box is not finite, inside out, or a single point.
        """
        corners = np.asarray(boxes, np.float64)
        _check_boxes(corners)
        crop_wh = np.array(size_wh, np.float64)
        stretches = np.ones((len(corners), 2))
        stretches[:, 0] = pixel_aspects
        corners = corners * np.tile(stretches, 2)
        sizes = corners[:, 2:] - corners[:, :2]
        centres = corners[:, :2] + sizes / 2
        aspect = crop_wh[0] / crop_wh[1] if region == "fitted" else 1.0
        widths = np.maximum(sizes[:, 0], sizes[:, 1] * aspect)
        regions_wh = np.stack([widths, widths / aspect], axis=1) * padding

        reach = reach_wh(size_wh, alignment)
        scales = reach / regions_wh
        scales[:, 0] *= np.where(np.broadcast_to(flips, len(corners)), -1.0, 1.0)
        angles = np.deg2rad(np.broadcast_to(rotations_deg, len(corners)).astype(np.float64))
        cosines, sines = np.cos(angles), np.sin(angles)
        turns = np.stack([cosines, -sines, sines, cosines], axis=1).reshape(-1, 2, 2)
        linear = scales[:, :, None] * turns
        offsets = reach / 2 - (linear @ centres[:, :, None])[:, :, 0]
        linear = linear * stretches[:, None]
        return cls(np.concatenate([linear, offsets[:, :, None]], axis=2), size_wh, alignment)

    def __len__(self) -> int:
        return len(self.matrices)

    def select(self, index: ArrayLike) -> CropTransforms:
        """Return the affines at `index`, a boolean mask (B,) or integer positions, in order."""
        return CropTransforms(self.matrices[np.asarray(index)], self.size_wh, self.alignment)

    @property
    def inverses(self) -> NDArray[np.float64]:
        """(B, 2, 3) float64 matrices from crop px to frame px."""
        linear = np.linalg.inv(self.matrices[:, :, :2])
        return np.concatenate([linear, -linear @ self.matrices[:, :, 2:]], axis=2)

    @property
    def region_areas(self) -> NDArray[np.float64]:
        """(B,) areas of the padded regions, frame px²; OKS-NMS takes these."""
        reach = reach_wh(self.size_wh, self.alignment)
        areas: NDArray[np.float64] = reach.prod() / np.abs(np.linalg.det(self.matrices[:, :, :2]))
        return areas

    def to_crop(self, points: FloatArray) -> NDArray[np.float64]:
        """Carry points (B, K, 2) from frame px to crop px, float64."""
        return _apply(self.matrices, points)

    def to_frame(self, points: FloatArray) -> NDArray[np.float64]:
        """Carry points (B, K, 2) from crop px to frame px, float64."""
        return _apply(self.inverses, points)


def end_gap(alignment: Alignment) -> int:
    """Return how many pixels less than its size a crop measures from end to end."""
    return 1 if alignment == "udp" else 0


def reach_wh(size_wh: tuple[int, int], alignment: Alignment) -> NDArray[np.float64]:
    """Return (2,) how far a crop or map of `size_wh` px reaches from end to end, in x and y, px."""
    return np.array(size_wh, np.float64) - end_gap(alignment)


def growth_wh(size_wh: tuple[int, int], other_wh: tuple[int, int]) -> NDArray[np.float64]:
    """Return (2,) how much wider and higher a region fitted to one size gets to fit another.

    It grows in one direction at most, so that nothing of it is lost; by exactly 1 where the two
    sizes have one aspect.
    """
    (width, height), (other_width, other_height) = size_wh, other_wh
    ratio = (other_width * height) / (other_height * width)
    return np.array([max(1.0, ratio), max(1.0, 1 / ratio)])


def _apply(matrices: NDArray[np.float64], points: FloatArray) -> NDArray[np.float64]:
    """Apply matrices (B, 2, 3) to points (B, K, 2)."""
    turned = points.astype(np.float64) @ matrices[:, :, :2].transpose(0, 2, 1)
    moved: NDArray[np.float64] = turned + matrices[:, None, :, 2]
    return moved


def _check_boxes(boxes: NDArray[np.float64]) -> None:
    """Refuse boxes round which no region can be fitted."""
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise InputError(f"boxes has the shape {boxes.shape}, expected anyx4.")
    sizes = boxes[:, 2:] - boxes[:, :2]
    good = np.isfinite(boxes).all(axis=1) & (sizes >= 0).all(axis=1) & (sizes > 0).any(axis=1)
    if not good.all():
        first = int(np.argmin(good))
        raise InputError(
            f"Box {first} of {len(boxes)} encloses nothing: {boxes[first].tolist()} (xyxy).",
            "Drop boxes that are empty, inside out or not finite before cropping.",
        )

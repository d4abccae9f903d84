"""What pose networks look at: crops of people, cut out of frames.

Where a crop lies is decided in `pose.geometry`; here pixels are moved, on the CPU; `device_crops`
cuts the same crops out of frames that lie on a device. Crops are uint8 until they are on the
network's device: a quarter of the bytes to copy, and the border is black before normalisation, as
in training. Crops are sampled bilinearly even where they shrink the frame; area averaging looks
better, but the published weights never saw it.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vitpose_cli.pose.geometry import CropTransforms

_MAX_SIDE = 32_766
"""The longest side that OpenCV 4 can warp from (SHRT_MAX - 1); version 5 knows no limit."""


def warp_crops(
    image: NDArray[np.uint8], transforms: CropTransforms, out: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """Cut the crops of one frame, black where they leave it, on the CPU.

    OpenCV 5 samples exactly; version 4 rounds positions to 1/32 px, which changes pixels at
    sharp edges by a few levels.

    Args:
        image: (H, W, 3) uint8, the frame.
        transforms: Where its B crops lie.
        out: (B, height, width, 3) uint8 to write into: a part of a batch made of many frames.

    Returns:
        The B crops: `out`, or a new array.
    """
    width, height = transforms.size_wh
    shape = (len(transforms), height, width, 3)
    if out is None:
        out = np.empty(shape, np.uint8)
    if out.shape != shape or out.dtype != np.uint8:
        raise ValueError(f"out is {out.dtype} {out.shape}, expected uint8 {shape}")
    for matrix, crop in zip(transforms.matrices, out, strict=True):
        part, part_matrix = _within_limits(image, matrix, transforms.size_wh)
        cv2.warpAffine(
            part,
            part_matrix,
            transforms.size_wh,
            dst=crop,
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=0,
        )
    return out


def _within_limits(
    image: NDArray[np.uint8], matrix: NDArray[np.float64], size_wh: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return the part of a giant frame that a crop shows, thinned if need be, and its matrix."""
    if max(image.shape[:2]) <= _MAX_SIDE:
        return image, matrix
    width, height = size_wh
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    corners = inverse @ np.array([[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]])
    limits_wh = np.array(image.shape[1::-1])
    first = np.clip(np.floor(corners[:2].min(axis=1)) - 2, 0, limits_wh - 1).astype(int)
    last = np.clip(np.ceil(corners[:2].max(axis=1)) + 2, first + 1, limits_wh).astype(int)
    steps = -(-(last - first) // _MAX_SIDE)
    part = image[first[1] : last[1] : steps[1], first[0] : last[0] : steps[0]]
    part_matrix = matrix.copy()
    part_matrix[:, 2] += matrix[:, :2] @ first
    part_matrix[:, :2] *= steps
    return np.ascontiguousarray(part), part_matrix

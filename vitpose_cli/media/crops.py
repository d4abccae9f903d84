"""What networks look at: crops of people, cut out of frames, and whole frames for detectors.

Where a crop lies is decided in `pose.geometry`; here pixels are moved, on the CPU; `device_crops`
cuts the same crops out of frames that lie on a device. Crops are uint8 until they are on the
network's device: a quarter of the bytes to copy, and the border is black before normalisation, as
in training. Crops are sampled bilinearly even where they shrink the frame; area averaging looks
better, but the published weights never saw it.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vitpose_cli.pose.geometry import CropTransforms

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Of RGB in [0, 1]; what every ViTPose was trained with."""

IMAGENET_STD = (0.229, 0.224, 0.225)

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


def normalise(crops: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Turn crops into the network's input on their device.

    Args:
        crops: (B, H, W, 3) uint8 RGB.
        dtype: Number type of the result; the arithmetic is done in float32.

    Returns:
        (B, 3, H, W), ImageNet's mean subtracted and divided by its deviation; in memory still
        channels last, which convolutions on a GPU like best.
    """
    scale, shift = _normalisation(crops.device)
    return torch.addcmul(shift, crops.permute(0, 3, 1, 2).float(), scale).to(dtype)


def resize_image(
    image: NDArray[np.uint8], size_wh: tuple[int, int], *, antialias: bool = True
) -> NDArray[np.uint8]:
    """Stretch a picture to another size, bilinearly.

    With `antialias`, shrinking averages over all pixels (a triangle as wide as the step), just as
    Pillow and torchvision do. OpenCV has no such filter: on photos shrunk to 320 px its
    INTER_AREA differs from it by 1.7 grey levels in the mean and its INTER_LINEAR by 2.1, and from
    1080p on torch's is faster than INTER_AREA. Where nothing shrinks, OpenCV's is the fastest and
    differs by 0.05.

    Args:
        image: (H, W, 3) uint8.
        size_wh: Wanted width and height, px.
        antialias: Average when shrinking; else take the nearest four pixels.
    """
    height, width = image.shape[:2]
    shrinks = size_wh[0] < width or size_wh[1] < height
    if not (antialias and shrinks):
        stretched: NDArray[np.uint8] = cv2.resize(image, size_wh, interpolation=cv2.INTER_LINEAR)
        return stretched
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
    size_hw = (size_wh[1], size_wh[0])
    resized = functional.interpolate(pixels, size=size_hw, mode="bilinear", antialias=True)
    return np.ascontiguousarray(resized[0].permute(1, 2, 0).numpy())


@cache
def _normalisation(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return factors and offsets (3, 1, 1) for uint8 RGB, kept: a copy to a GPU would wait."""
    mean, std = np.array(IMAGENET_MEAN), np.array(IMAGENET_STD)
    with torch.inference_mode(False):  # so that training may use what labelling has made
        scale = torch.tensor(1 / (255 * std), dtype=torch.float32, device=device)
        shift = torch.tensor(-mean / std, dtype=torch.float32, device=device)
        return scale[:, None, None], shift[:, None, None]


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

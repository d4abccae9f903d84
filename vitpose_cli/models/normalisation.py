"""Crops as numbers round zero, as every ViTPose was trained with."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Of RGB in [0, 1]."""

IMAGENET_STD = (0.229, 0.224, 0.225)


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


@cache
def _normalisation(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return factors and offsets (3, 1, 1) for uint8 RGB, kept: a copy to a GPU would wait."""
    mean, std = np.array(IMAGENET_MEAN), np.array(IMAGENET_STD)
    with torch.inference_mode(False):  # so that training may use what labelling has made
        scale = torch.tensor(1 / (255 * std), dtype=torch.float32, device=device)
        shift = torch.tensor(-mean / std, dtype=torch.float32, device=device)
        return scale[:, None, None], shift[:, None, None]

"""What training makes small: sums over a batch, and what they are divided by.

A term returns a sum, never a mean. The loop divides it by a number that belongs to the whole
step, over all passes and all processes, so that gradients do not depend on how the step's people
are spread. Means inside the terms would weigh a process with few labels like one with many.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vitpose_cli.training.config import LossOptions


def heatmap_loss(maps: Tensor, targets: Tensor, weights: Tensor, options: LossOptions) -> Tensor:
    """Return the loss of heatmaps as a sum; divide it by `heatmap_loss_size`.

    Args:
        maps: (B, K, H, W) what the network says, float32.
        targets: (B, K, H, W) what it should say.
        weights: (B, K), 0 where nobody knows.
        options: Which loss.
    """
    if options.kind == "cross_entropy":
        return options.weight * spatial_cross_entropy(maps, targets, weights)
    return options.weight * weighted_squares(maps, targets, weights, options.foreground)


def heatmap_loss_size(num_maps: int, num_pixels: int, total: float, options: LossOptions) -> float:
    """Return what `heatmap_loss` is divided by to become the mean over a step.

    Args:
        num_maps: B times K, of the whole step.
        num_pixels: H times W.
        total: The weights of the whole step's keypoints, summed.
        options: Which loss.
    """
    return max(total, 1.0) if options.kind == "cross_entropy" else float(num_maps * num_pixels)


def weighted_squares(maps: Tensor, targets: Tensor, weights: Tensor, foreground: float) -> Tensor:
    """Return the sum of weighted squared errors.

    Divided by the number of pixels of all maps, with weights 0 and 1 and no foreground, it is
    mmpose's `JointsMSELoss`, which ViTPose was trained with: the mean over keypoints of the mean
    over batch and pixels; no factor of one half. A weight multiplies the squared error.

    Args:
        maps: (B, K, H, W).
        targets: (B, K, H, W), drawn in [0, 1] or a teacher's, which may be a little below 0.
        weights: (B, K).
        foreground: A pixel counts 1 + this x its target, where that is above 0.
    """
    squares = (maps - targets) ** 2
    if foreground:
        squares = squares * (1 + foreground * targets.clamp_min(0))
    return (squares.sum(dim=(2, 3)) * weights).sum()


def spatial_cross_entropy(maps: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Return the sum of cross entropies, each map being one choice among its pixels.

    Args:
        maps: (B, K, H, W) logits.
        targets: (B, K, H, W), each scaled here to the sum 1; what is negative counts as 0.
        weights: (B, K).
    """
    shares = targets.flatten(2).clamp_min(0)
    shares = shares / shares.sum(dim=-1, keepdim=True).clamp_min(torch.finfo(shares.dtype).tiny)
    entropies = -(shares * F.log_softmax(maps.flatten(2), dim=-1)).sum(dim=-1)
    return (entropies * weights).sum()

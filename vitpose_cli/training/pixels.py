"""What becomes of crops: warped, recoloured, cut, blended and covered as their plan says."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vitpose_cli.models.normalisation import normalise
from vitpose_cli.training.augment import CropPlan
from vitpose_cli.training.courses import Share
from vitpose_cli.training.crops import to_device, upload


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
    pixels = to_device(warped, device).permute(0, 3, 1, 2).contiguous().float()
    if plan.colours is not None:
        affines = upload(plan.colours, device)
        mixed = torch.baddbmm(affines[:, :, 3:], affines[:, :, :3], pixels.flatten(2))
        pixels = mixed.clamp_(0, 255).view_as(pixels)
    _hide_outside(pixels, plan)
    return pixels


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

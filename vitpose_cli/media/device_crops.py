"""Crops cut where the network runs: frames go to the device once, crops are sampled there.

Frames of any sizes lie one after the other in one buffer, so that one copy carries many of them
and one series of kernels cuts all their crops. `grid_sample` was refused: it takes one picture at
a time, and as numbers of four bytes. Nothing here waits for the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitpose_cli.pose.geometry import CropTransforms

CROPS_AT_ONCE = 64
"""Crops sampled together; each takes about 2 MB of the device while it is."""


@dataclass(frozen=True, slots=True, eq=False)
class DeviceFrames:
    """Frames on a device, one after the other.

    Attributes:
        pixels: (P, 3) uint8 RGB, all rows of the first frame, then those of the next.
        sizes_wh: Width and height of each frame, px.
    """

    pixels: Tensor
    sizes_wh: tuple[tuple[int, int], ...]

    @classmethod
    def upload(cls, images: Sequence[NDArray[np.uint8]], device: torch.device) -> DeviceFrames:
        """Copy frames (H, W, 3) to a device in one go; to a GPU without waiting for it."""
        sizes_wh = tuple((image.shape[1], image.shape[0]) for image in images)
        num_pixels = sum(width * height for width, height in sizes_wh)
        pixels = torch.empty((num_pixels, 3), dtype=torch.uint8, pin_memory=device.type == "cuda")
        start = 0
        for image in images:
            rows = torch.from_numpy(np.ascontiguousarray(image)).view(-1, 3)
            pixels[start : start + len(rows)] = rows
            start += len(rows)
        return cls(pixels.to(device, non_blocking=True), sizes_wh)

    def warp(self, transforms: Sequence[CropTransforms]) -> Tensor:
        """Cut the crops of all frames, black where they leave them.

        Within 1 grey level of what `warp_crops` gives with OpenCV 5; a crop does not depend on
        those that are cut with it.

        Args:
            transforms: The crops of each frame, all of one size.

        Returns:
            (B, height, width, 3) uint8, frame after frame.
        """
        places = torch.from_numpy(self._places(transforms))
        if self.pixels.is_cuda:
            places = places.pin_memory()
        on_device = places.to(self.pixels.device, non_blocking=True)
        turned = bool(places[:, _TURNS].any())
        size_wh = transforms[0].size_wh
        parts = torch.split(on_device, CROPS_AT_ONCE)
        return torch.cat([_sample(self.pixels, part, size_wh, turned) for part in parts])

    def _places(self, transforms: Sequence[CropTransforms]) -> NDArray[np.float64]:
        """Return one row of `_sample` for each crop, computed in float64."""
        widths, heights = np.array(self.sizes_wh, np.int64).reshape(-1, 2).T
        starts = np.cumsum(widths * heights) - widths * heights
        frames = np.column_stack([widths, heights, starts])
        owners = np.repeat(np.arange(len(frames)), [len(each) for each in transforms])
        inverses = np.concatenate([each.inverses for each in transforms])
        corners = np.floor(inverses[:, :, 2])
        inverses[:, :, 2] -= corners
        return np.hstack([inverses.reshape(-1, 6), corners, frames[owners].astype(np.float64)])


_TURNS = [1, 3]
"""Columns of a place that are zero unless the crop is turned."""


def _sample(pixels: Tensor, places: Tensor, size_wh: tuple[int, int], turned: bool) -> Tensor:
    """Sample crops bilinearly.

    Args:
        pixels: (P, 3) uint8.
        places: (B, 11) float64: the matrix from crop to frame px, row by row, its offsets less the
            whole pixels that follow (float32 holds the rest exactly enough in frames of any
            size); width, height and first pixel of the frame.
        size_wh: Width and height of the crops.
        turned: Whether any crop is turned. Else x says nothing about rows and y nothing about
            columns, and everything but the four samples is done on a line.

    Returns:
        (B, height, width, 3) uint8.
    """
    matrices = places[:, :6].float()
    x_x, x_y, x_0, y_x, y_y, y_0 = matrices[:, :, None, None].unbind(dim=1)
    corner_x, corner_y, widths, heights, starts = (
        places[:, 6:].long()[:, :, None, None].unbind(dim=1)
    )
    columns = torch.arange(size_wh[0], device=pixels.device, dtype=torch.float32)
    rows = torch.arange(size_wh[1], device=pixels.device, dtype=torch.float32)[:, None]
    x, y = x_x * columns + x_0, y_y * rows + y_0
    if turned:
        x, y = x + x_y * rows, y + y_x * columns
    samples = torch.zeros((), device=pixels.device)
    for row, row_weight in _neighbours(y, corner_y, heights):
        for column, column_weight in _neighbours(x, corner_x, widths):
            found = pixels[starts + row * widths + column].float()
            samples = samples.addcmul(found, (row_weight * column_weight)[..., None])
    return samples.round_().to(torch.uint8)


def _neighbours(places: Tensor, corners: Tensor, sizes: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return the pixel before and the pixel after every place along one axis, with its weight.

    Outside the frame the weight is 0 and the pixel some pixel of the frame.
    """
    floors = places.floor()
    after_weight = places - floors
    before = floors.long() + corners
    return [
        (index.clamp(min=0).minimum(sizes - 1), weight * ((index >= 0) & (index < sizes)))
        for index, weight in ((before, 1 - after_weight), (before + 1, after_weight))
    ]

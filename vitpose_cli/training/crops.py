"""Where crops come from: people's own crops kept ready, or photos.

Three stores with one method. What `cache` has cut lies in memory or a mapped file and is resampled
on the CPU, or lies on a GPU and is resampled there, a whole batch at once; or photos are read anew.
A torch DataLoader was refused: its processes copy every batch between them, and a batch that is a
function of the step's number needs no loader's state.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from vitpose_cli.errors import InputError
from vitpose_cli.media.crops import warp_crops
from vitpose_cli.pose.geometry import CropTransforms
from vitpose_cli.training.memory import explained_memory
from vitpose_cli.training.people import LabelledFrames


class Crops(Protocol):
    """People's pixels, ready to be resampled."""

    def warp(self, images: NDArray[np.int64], transforms: CropTransforms) -> Tensor:
        """Return one crop of each image: (B, H, W, 3) uint8 RGB on the host, or float32 in
        [0, 255] on a device.
        """  # noqa: D205 - one sentence
        ...


@dataclass(frozen=True, slots=True)
class HostCrops:
    """Crops in memory or in a mapped file; resampled on the CPU.

    Attributes:
        pixels: (N, h, w, 3) uint8 RGB.
    """

    pixels: NDArray[np.uint8]

    def warp(self, images: NDArray[np.int64], transforms: CropTransforms) -> Tensor:
        """Return one crop of each image, (B, H, W, 3) uint8 RGB."""
        width, height = transforms.size_wh
        out = np.empty((len(images), height, width, 3), np.uint8)
        for row, image in enumerate(images):
            warp_crops(self.pixels[image], transforms.select([row]), out=out[row : row + 1])
        return torch.from_numpy(out)


class DeviceCrops:
    """Crops in the memory of a GPU, resampled there, all of a batch at once."""

    def __init__(self, pixels: NDArray[np.uint8], device: torch.device) -> None:
        """Copy crops (N, h, w, 3) uint8 RGB to `device`.

        Raises:
            InputError: They do not fit.
        """
        free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else pixels.nbytes
        too_large = InputError(
            f"{len(pixels)} crops need {pixels.nbytes >> 20} MiB, {device} has "
            f"{free >> 20} MiB free.",
            "Set data.cache: ram, or a smaller data.cache_wh.",
        )
        if pixels.nbytes > free:
            raise too_large
        count, height, width, _ = pixels.shape
        with explained_memory(too_large):  # the last megabytes cannot be had
            self.pixels = torch.empty((count, 3, height, width), dtype=torch.uint8, device=device)
            for start in range(0, count, 1024):
                part = torch.from_numpy(np.ascontiguousarray(pixels[start : start + 1024]))
                self.pixels[start : start + 1024] = part.to(device).permute(0, 3, 1, 2)

    def warp(self, images: NDArray[np.int64], transforms: CropTransforms) -> Tensor:
        """Return one crop of each image, (B, H, W, 3) float32 RGB in [0, 255] on the device."""
        height, width = self.pixels.shape[2:]
        theta = sampling_matrices(transforms, (width, height)).astype(np.float32)
        device = self.pixels.device
        size = [len(images), 3, transforms.size_wh[1], transforms.size_wh[0]]
        grid = F.affine_grid(upload(theta, device), size, align_corners=True)
        chosen = self.pixels[upload(images, device)].float()
        return F.grid_sample(chosen, grid, align_corners=True).permute(0, 2, 3, 1)


@dataclass(frozen=True, slots=True)
class FrameCrops:
    """Frames read anew for every crop.

    Attributes:
        frames: Where they come from.
        num_threads: Frames read at once.
    """

    frames: LabelledFrames
    num_threads: int

    def warp(self, images: NDArray[np.int64], transforms: CropTransforms) -> Tensor:
        """Return one crop of each image, (B, H, W, 3) uint8 RGB.

        Raises:
            InputError: A frame cannot be read, or has another size than its labels state.
        """
        width, height = transforms.size_wh
        out = np.empty((len(images), height, width, 3), np.uint8)

        def cut(row: int) -> None:
            number = int(images[row])
            frame = self.frames.source.read(self.frames.keys[number])
            self.frames.check_size(number, frame.size_wh)
            warp_crops(frame.image, transforms.select([row]), out=out[row : row + 1])

        with ThreadPoolExecutor(self.num_threads) as pool:
            list(pool.map(cut, range(len(images))))
        return torch.from_numpy(out)


@dataclass(frozen=True, slots=True)
class JoinedCrops:
    """Several stores as one, their images counted one after the other.

    Attributes:
        parts: The stores.
        starts: (P + 1,) the first image of each, and how many there are.
    """

    parts: Sequence[Crops]
    starts: NDArray[np.int64]

    def warp(self, images: NDArray[np.int64], transforms: CropTransforms) -> Tensor:
        """Return one crop of each image, as the stores give them."""
        owners = np.searchsorted(self.starts, images, side="right") - 1
        pieces: list[Tensor] = []
        places: list[NDArray[np.int64]] = []
        for owner in np.unique(owners):
            rows = np.flatnonzero(owners == owner)
            local = images[rows] - self.starts[owner]
            pieces.append(self.parts[owner].warp(local, transforms.select(rows)))
            places.append(rows)
        if len(pieces) == 1:
            return pieces[0]
        order = np.argsort(np.concatenate(places))
        return torch.cat(pieces)[upload(order, pieces[0].device)]


def sampling_matrices(transforms: CropTransforms, image_wh: tuple[int, int]) -> NDArray[np.float64]:
    """Return (B, 2, 3) matrices for torch's `affine_grid` with `align_corners=True`.

    They map crop points to image points, both counted from -1 at the first pixel centre to 1 at
    the last.
    """
    half_crop = (np.array(transforms.size_wh, np.float64) - 1) / 2
    half_image = (np.array(image_wh, np.float64) - 1) / 2
    inverses = transforms.inverses
    linear = inverses[:, :, :2] * half_crop / half_image[:, None]
    offsets = inverses[:, :, :2] @ half_crop + inverses[:, :, 2]
    return np.concatenate([linear, (offsets / half_image - 1)[:, :, None]], axis=2)


def upload(array: NDArray[np.generic], device: torch.device) -> Tensor:
    """Copy an array to `device` without waiting for it."""
    return to_device(torch.from_numpy(array), device)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on `device`; from the host it is copied without waiting for it."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)

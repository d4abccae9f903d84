"""The photos of a pack, decoded and kept on the device that trains.

They stay there as bytes at full, half and quarter size, each on a square of grey: a few gigabytes
at most, and no batch waits for a disk or a decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from pack import LabelledPhoto, decode_webp
from torch import Tensor
from torch.nn import functional

GREY = 114.0
"""What lies beside a photo, of 255."""

ABSENT = -1.0
"""Weight of a box that is not there: rows are as long as the longest."""

_NUM_SIZES = 3


@dataclass(frozen=True, slots=True)
class PhotoStore:
    """Photos and their boxes on a device.

    Attributes:
        sizes: The photos at full, half and quarter size, (N, 3, S, S) uint8 each, top left on grey.
        photo_wh: (N, 2) width and height, px of the full size.
        boxes: (N, G, 4) xyxy, px of the full size.
        weights: (N, G) trust in each box, 0 for regions to ignore, -1 for rows without a box.
        shares: (N,) how often each photo is drawn, relative to the others.
        cutouts: (M, 2) photo and row of the boxes that are fit for being pasted elsewhere.
    """

    sizes: list[Tensor]
    photo_wh: Tensor
    boxes: Tensor
    weights: Tensor
    shares: Tensor
    cutouts: Tensor

    @classmethod
    def load(
        cls,
        photos: Sequence[LabelledPhoto],
        canvas: int,
        device: torch.device,
        crop_share: float,
        num_threads: int,
    ) -> PhotoStore:
        """Decode photos.

        Args:
            photos: What to decode.
            canvas: Side of the square on which each lies, px; larger photos are shrunk.
            device: Where to keep them.
            crop_share: How often a crop is drawn, relative to a photo.
            num_threads: Threads that decode.
        """
        pixels = torch.full((len(photos), 3, canvas, canvas), int(GREY), dtype=torch.uint8)
        with ThreadPoolExecutor(num_threads) as pool:
            scales = list(pool.map(_decode_into, pixels, photos))
        photo_wh = torch.tensor([wh for _, wh in scales], dtype=torch.float32)
        longest = max(1, max(len(photo.boxes) for photo in photos))
        boxes = torch.zeros(len(photos), longest, 4)
        weights = torch.full((len(photos), longest), ABSENT)
        for index, (photo, (scale, _)) in enumerate(zip(photos, scales, strict=True)):
            boxes[index, : len(photo.boxes)] = torch.from_numpy(photo.boxes) * scale
            weights[index, : len(photo.boxes)] = torch.from_numpy(photo.weights)
        sides = (boxes[..., 2:] - boxes[..., :2]).amin(dim=-1)
        cutouts = torch.nonzero((weights > 0.7) & (sides > canvas / 16))
        shares = torch.tensor([crop_share if photo.is_crop else 1.0 for photo in photos])
        sizes = [pixels.to(device)]
        for _ in range(_NUM_SIZES - 1):
            sizes.append(_halve(sizes[-1]))
        rest = [tensor.to(device) for tensor in (photo_wh, boxes, weights, shares, cutouts)]
        return cls(sizes, *rest)


def _decode_into(canvas: Tensor, photo: LabelledPhoto) -> tuple[float, tuple[int, int]]:
    """Decode a photo into the corner of (3, S, S); return its scale and its width and height."""
    pixels = torch.from_numpy(decode_webp(photo.webp)).permute(2, 0, 1)
    side = canvas.shape[-1]
    scale = min(1.0, side / max(pixels.shape[1:]))
    pixels = resized(pixels, scale)
    canvas[:, : pixels.shape[1], : pixels.shape[2]] = pixels
    return scale, (pixels.shape[2], pixels.shape[1])


def resized(pixels: Tensor, scale: float) -> Tensor:
    """Return a photo (3, H, W) `scale` times as large."""
    if scale == 1:
        return pixels
    size_hw = [max(1, round(length * scale)) for length in pixels.shape[1:]]
    return functional.interpolate(pixels[None], size_hw, mode="bilinear", antialias=True)[0]


def _halve(photos: Tensor) -> Tensor:
    """Average every four pixels of (N, 3, S, S) uint8, some photos at a time."""
    parts = [functional.avg_pool2d(part.float(), 2) for part in torch.split(photos, 256)]
    return torch.cat([part.round().to(torch.uint8) for part in parts])

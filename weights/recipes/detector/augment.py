"""Training pictures made on the device, a whole batch at once.

Every picture is a stack of layers: a photo, or four of them around a point (mosaic), and now and
then a person cut out of another photo (copy-paste). A layer is a photo scaled, shifted, mirrored
and seen through a window, so one routine draws them all. Each layer reads the photo at the stored
size next above its own, since sampling a large photo sparsely shows the network a graininess that
averaged photos do not have.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from store import ABSENT, GREY, PhotoStore
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Batch:
    """Training pictures with their boxes.

    Attributes:
        images: (B, 3, S, S) in [0, 1].
        boxes: (B, P, 4) xyxy px; of people first, then of regions to ignore.
        weights: (B, P) as in `PhotoStore`.
    """

    images: Tensor
    boxes: Tensor
    weights: Tensor


@dataclass(frozen=True, slots=True)
class _Layers:
    """One layer of each picture of a batch; B rows.

    Attributes:
        photos: (B,) which photo.
        scales: (B, 2) picture px per photo px, along x and y.
        offsets: (B, 2) where the photo's corner comes to lie, picture px.
        flips: (B,) whether mirrored.
        windows: (B, 4) xyxy, picture px, beyond which nothing is drawn.
        rounds: (B,) whether the window is a soft ellipse rather than a rectangle.
    """

    photos: Tensor
    scales: Tensor
    offsets: Tensor
    flips: Tensor
    windows: Tensor
    rounds: Tensor


class Augmenter:
    """Makes training pictures out of a store, the same ones for the same seed and device."""

    def __init__(self, store: PhotoStore, seed: int) -> None:
        """Start the device's random numbers at `seed`."""
        self._store = store
        self._device = store.boxes.device
        self.generator = torch.Generator(self._device).manual_seed(seed)

    def make(self, num: int, side: int, *, mosaic: float, paste: float) -> Batch:
        """Make `num` square pictures.

        Args:
            num: How many.
            side: Of each, px.
            mosaic: Share of pictures that are made of four photos.
            paste: Share of pictures that get somebody from another photo.
        """
        pictures = torch.full((num, 3, side, side), 0.0, device=self._device)
        is_mosaic = self._uniform(num) < mosaic
        centre = side * (0.3 + 0.4 * self._uniform(num, 2))
        centre = torch.where(is_mosaic[:, None], centre, torch.full_like(centre, side))
        boxes, weights = [], []
        for quadrant in range(4):
            layers = self._photo_layers(quadrant, centre, is_mosaic, side)
            self._draw(pictures, layers)
            moved = self._to_picture(layers, self._store.boxes[layers.photos])
            placed, trust = _cut(moved, self._store.weights[layers.photos], layers.windows, side)
            boxes.append(placed)
            weights.append(trust)
        every_box, every_weight = torch.cat(boxes, dim=1), torch.cat(weights, dim=1)
        if len(self._store.cutouts):
            layers, own = self._person_layers(num, side, paste)
            self._draw(pictures, layers)
            every_weight = _hide(every_box, every_weight, own)
            placed, trust = _cut(own[0][:, None], own[1][:, None], layers.windows, side)
            every_box = torch.cat([every_box, placed], dim=1)
            every_weight = torch.cat([every_weight, trust], dim=1)
        images = self._recolour((pictures + GREY) / 255)
        order = every_weight.sort(dim=1, descending=True)
        most = int((order.values > ABSENT).sum(dim=1).max().clamp(min=1))
        kept = order.indices[:, :most]
        return Batch(
            images, every_box.gather(1, kept[..., None].expand(-1, -1, 4)), order.values[:, :most]
        )

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self.generator, device=self._device)

    def _between(self, low: Tensor | float, high: Tensor | float, *shape: int) -> Tensor:
        return low + (high - low) * self._uniform(*shape)

    def _photo_layers(self, quadrant: int, centre: Tensor, is_mosaic: Tensor, side: int) -> _Layers:
        """Choose and place the photo of one quadrant; of a plain picture the first is all of it."""
        num, store = len(centre), self._store
        right, low = quadrant % 2, quadrant // 2
        edges = torch.stack([torch.zeros_like(centre), centre, torch.full_like(centre, side)], 1)
        windows = torch.cat([edges[:, [right], 0], edges[:, [low], 1],
                             edges[:, [right + 1], 0], edges[:, [low + 1], 1]], dim=1)  # fmt: skip
        photos = torch.multinomial(store.shares, num, True, generator=self.generator)
        photo_wh = store.photo_wh[photos]
        fit = side / photo_wh.amax(dim=1)
        spread = torch.where(is_mosaic, 0.0, 1.0)
        zoom = self._between(math.log(0.4) - spread * 0.3, math.log(1.0) + spread * 0.7, num).exp()
        as_is = (self._uniform(num) < 0.35) & ~is_mosaic
        zoom = torch.where(as_is, torch.ones_like(zoom), zoom)
        aspect = self._between(-0.15, 0.15, num).exp()
        scales = (fit * zoom)[:, None] * torch.stack([aspect, 1 / aspect], dim=1)
        spare = windows[:, 2:] - windows[:, :2] - photo_wh * scales
        offsets = windows[:, :2] + spare * self._uniform(num, 2)
        flips = self._uniform(num) < 0.5
        rounds = torch.zeros(num, dtype=torch.bool, device=self._device)
        return _Layers(photos, scales, offsets, flips, windows, rounds)

    def _person_layers(
        self, num: int, side: int, paste: float
    ) -> tuple[_Layers, tuple[Tensor, Tensor]]:
        """Choose and place somebody; return also the box (B, 4) in the picture and its weight."""
        store = self._store
        drawn = torch.randint(len(store.cutouts), (num,), generator=self.generator,
                              device=self._device)  # fmt: skip
        photos, rows = store.cutouts[drawn].T
        boxes, weights = store.boxes[photos, rows], store.weights[photos, rows]
        size_wh = boxes[:, 2:] - boxes[:, :2]
        height = side * self._between(math.log(0.12), math.log(0.8), num).exp()
        scale = (height / size_wh.amax(dim=1))[:, None]
        corner = self._uniform(num, 2) * (side - size_wh * scale * 0.8) - size_wh * scale * 0.1
        placed = torch.cat([corner, corner + size_wh * scale], dim=1)
        flips = self._uniform(num) < 0.5
        left = torch.where(flips, store.photo_wh[photos, 0] - boxes[:, 2], boxes[:, 0])
        offsets = corner - torch.stack([left, boxes[:, 1]], dim=1) * scale
        margin = size_wh * scale * 0.12
        windows = torch.cat([placed[:, :2] - margin, placed[:, 2:] + margin], dim=1)
        absent = self._uniform(num) >= paste
        windows = torch.where(absent[:, None], torch.zeros_like(windows), windows)
        weights = torch.where(absent, torch.full_like(weights, ABSENT), weights)
        layers = _Layers(photos, scale.expand(-1, 2), offsets, flips, windows, ~absent)
        return layers, (placed, weights)

    def _draw(self, pictures: Tensor, layers: _Layers) -> None:
        """Draw one layer onto the pictures (B, 3, S, S), grey being 0."""
        side, store = pictures.shape[-1], self._store
        solid = (layers.windows[:, 2:] > layers.windows[:, :2]).all(dim=1)
        shrink = (1 / layers.scales.amax(dim=1).clamp(max=1)).log2().floor().long()
        shrink = shrink.clamp(max=len(store.sizes) - 1)
        places = torch.arange(side, device=self._device) + 0.5
        for level, photos in enumerate(store.sizes):
            rows = torch.nonzero(solid & (shrink == level))[:, 0]
            if not len(rows):
                continue
            source = (places[None, :, None] - layers.offsets[rows, None]) / layers.scales[
                rows, None
            ]
            chosen = layers.photos[rows]
            mirrored = store.photo_wh[chosen, None, 0] - source[..., 0]
            x = torch.where(layers.flips[rows, None], mirrored, source[..., 0])
            grid = torch.stack([x[:, None, :].expand(-1, side, -1),
                                source[:, :, None, 1].expand(-1, -1, side)], dim=-1)  # fmt: skip
            grid = grid * (2 / (photos.shape[-1] * 2**level)) - 1
            drawn = functional.grid_sample(
                photos[chosen].float() - GREY, grid, mode="bilinear", align_corners=False
            )
            mask = _window_mask(layers.windows[rows], layers.rounds[rows], places)
            pictures[rows] = torch.lerp(pictures[rows], drawn, mask)

    def _to_picture(self, layers: _Layers, boxes: Tensor) -> Tensor:
        """Move boxes (B, G, 4) from photo px to picture px."""
        width = self._store.photo_wh[layers.photos, 0][:, None]
        mirrored = torch.stack(
            [width - boxes[..., 2], boxes[..., 1], width - boxes[..., 0], boxes[..., 3]], dim=-1
        )
        turned = torch.where(layers.flips[:, None, None], mirrored, boxes)
        moved: Tensor = (
            turned * layers.scales.repeat(1, 2)[:, None] + layers.offsets.repeat(1, 2)[:, None]
        )
        return moved

    def _recolour(self, images: Tensor) -> Tensor:
        """Vary light, contrast, saturation, tint, sharpness and noise of (B, 3, S, S) pictures."""
        num = len(images)
        images = images.clamp(0, 1) ** self._between(-0.4, 0.4, num, 1, 1, 1).exp()
        images = images * self._between(0.7, 1.3, num, 1, 1, 1)
        images = images * self._between(0.9, 1.1, num, 3, 1, 1)
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        images = torch.lerp(mean, images, self._between(0.7, 1.3, num, 1, 1, 1))
        grey = images.mean(dim=1, keepdim=True)
        saturation = self._between(0.5, 1.5, num, 1, 1, 1)
        saturation = saturation * (self._uniform(num, 1, 1, 1) > 0.1)
        images = torch.lerp(grey, images, saturation)
        blurred = torch.nonzero(self._uniform(num) < 0.1)[:, 0]
        if len(blurred):
            images[blurred] = functional.avg_pool2d(images[blurred], 3, 1, 1)
        noise = torch.randn(images.shape, generator=self.generator, device=self._device)
        strength = 0.06 * self._uniform(num, 1, 1, 1) * (self._uniform(num, 1, 1, 1) < 0.2)
        return (images + noise * strength).clamp(0, 1)


def _window_mask(windows: Tensor, rounds: Tensor, places: Tensor) -> Tensor:
    """Return how much of a layer is seen at each place, (B, 1, S, S) in [0, 1]."""
    centre, half = (windows[:, :2] + windows[:, 2:]) / 2, (windows[:, 2:] - windows[:, :2]) / 2
    away = (places[None, :, None] - centre[:, None]).abs() / half[:, None].clamp(min=1e-3)
    inside = (away <= 1).float()
    square = inside[:, None, :, 1, None] * inside[:, None, None, :, 0]
    steep = away**4
    radius = steep[:, None, :, 1, None] + steep[:, None, None, :, 0]
    return torch.where(rounds[:, None, None, None], ((1 - radius) * 3).clamp(0, 1), square)


def _cut(boxes: Tensor, weights: Tensor, windows: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Cut boxes at the windows through which they are seen.

    Somebody of whom little is left is a region to ignore, and of whom nothing is left is absent.

    Args:
        boxes: (B, G, 4) picture px.
        weights: (B, G).
        windows: (B, 4) picture px.
        side: Of the picture, px.
    """
    low = torch.maximum(boxes[..., :2], windows[:, None, :2]).clamp(min=0)
    high = torch.minimum(boxes[..., 2:], windows[:, None, 2:]).clamp(max=side)
    seen_wh = (high - low).clamp(min=0)
    seen = seen_wh.prod(dim=-1) / (boxes[..., 2:] - boxes[..., :2]).prod(dim=-1).clamp(min=1)
    unclear = (seen < 0.3) | (seen_wh.amin(dim=-1) < 5)
    weights = torch.where(unclear & (weights > 0), torch.zeros_like(weights), weights)
    weights = torch.where(seen < 0.03, torch.full_like(weights, ABSENT), weights)
    return torch.cat([low, high], dim=-1), weights


def _hide(boxes: Tensor, weights: Tensor, over: tuple[Tensor, Tensor]) -> Tensor:
    """Return the weights of boxes (B, P, 4) after one box (B, 4) was drawn over them."""
    top, top_weight = over
    low = torch.maximum(boxes[..., :2], top[:, None, :2])
    high = torch.minimum(boxes[..., 2:], top[:, None, 2:])
    covered = (high - low).clamp(min=0).prod(dim=-1)
    share = covered / (boxes[..., 2:] - boxes[..., :2]).prod(dim=-1).clamp(min=1)
    hidden = (share > 0.6) & (top_weight[:, None] > ABSENT) & (weights > 0)
    return torch.where(hidden, torch.zeros_like(weights), weights)

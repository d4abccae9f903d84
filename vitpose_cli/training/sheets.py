"""Sheets of pictures: what the network is shown and asked for, and where it is worst.

Mistakes of data and augmentation are seen at a glance and found nowhere else: a swapped pair of
sides, a crop that misses the person, a target beside its joint.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from vitpose_cli.media.drawing import DrawStyle, draw_instances
from vitpose_cli.models.masked import MaskedAutoencoder
from vitpose_cli.models.normalisation import IMAGENET_MEAN, IMAGENET_STD
from vitpose_cli.models.vitpose import ViTPose
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.training.batches import Batch, Targets

TILE_HEIGHT = 256
COLUMNS = 8
MAX_CROPS = 16
"""How many crops are on a sheet, at most."""

_HEAT = np.array([255, 140, 0], np.float32)

Image = NDArray[np.uint8]


def batch_sheet(batch: Batch, model: ViTPose) -> Image:
    """Draw what a network is shown, and in pre-training what it makes of it.

    Args:
        batch: A batch; of its crops the first are drawn.
        model: The network.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    if isinstance(model, MaskedAutoencoder):
        return _hidden_sheet(batch, model)
    return _sample_sheet(batch)


def _sample_sheet(batch: Batch) -> Image:
    """Draw crops as the network sees them, each beside its target heatmaps."""
    tiles: list[Image] = []
    first = 0
    for target in batch.targets:
        size = min(len(target.weights), MAX_CROPS - len(tiles) // 2)
        for row in range(size):
            tiles += _sample_tiles(batch.crops[first + row], target, row)
        first += len(target.weights)
    return tile_sheet(tiles)


@torch.no_grad()
def _hidden_sheet(batch: Batch, model: MaskedAutoencoder) -> Image:
    """Draw crops, each beside what is left of it and what the network makes of that."""
    if batch.order is None:
        raise ValueError("the batch hides no patches")
    crops, order = batch.crops[:MAX_CROPS], batch.order[:MAX_CROPS]
    num_shown = order.shape[1] - model.num_hidden
    grid_w, grid_h = model.config.grid_wh
    shown = torch.zeros(order.shape, device=order.device).scatter(1, order[:, :num_shown], 1.0)
    seen = F.interpolate(shown.view(-1, 1, grid_h, grid_w), size=crops.shape[2:])
    drawn = model.draw(crops, order)
    tiles = []
    for three in zip(crops, crops * seen, drawn, strict=True):
        tiles += [_large(_picture(one)) for one in three]
    return tile_sheet(tiles, columns=6)


def keypoint_tile(
    crop: Image,
    points: NDArray[np.floating],
    visibility: NDArray[np.integer],
    keypoint_set: KeypointSet,
) -> Image:
    """Draw the keypoints of one person (K, 2), crop px, onto their crop, scaled to a tile."""
    height, width = crop.shape[:2]
    large = _large(crop)
    scale = large.shape[0] // height
    person = Instances(
        np.array([[0, 0, width * scale, height * scale]], np.float32),
        np.ones(1, np.float32),
        (points[None] * scale).astype(np.float32),
        np.ones((1, len(points)), np.float32),
        visibility[None].astype(np.int8),
    )
    style = DrawStyle(boxes=False, scores=False, line_scale=0.7)
    return draw_instances(large, person, keypoint_set, style)


def tile_sheet(tiles: Sequence[Image], columns: int = COLUMNS) -> Image:
    """Lay tiles of any sizes out in rows of `columns` on white."""
    if not tiles:
        return np.full((TILE_HEIGHT, TILE_HEIGHT, 3), 255, np.uint8)
    height = max(tile.shape[0] for tile in tiles) + 4
    width = max(tile.shape[1] for tile in tiles) + 4
    rows = -(-len(tiles) // columns)
    canvas = np.full((rows * height, min(len(tiles), columns) * width, 3), 255, np.uint8)
    for number, tile in enumerate(tiles):
        top, left = number // columns * height + 2, number % columns * width + 2
        canvas[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return canvas


def _picture(crop: torch.Tensor) -> Image:
    """Return a normalised crop (3, H, W) as it is seen, (H, W, 3) uint8."""
    std, mean = np.array(IMAGENET_STD, np.float32), np.array(IMAGENET_MEAN, np.float32)
    pixels = crop.permute(1, 2, 0).float().cpu().numpy() * std + mean
    picture: Image = (pixels * 255).round().clip(0, 255).astype(np.uint8)
    return picture


def _large(crop: Image) -> Image:
    """Scale a crop to a tile, pixel by pixel."""
    scale = max(1, round(TILE_HEIGHT / crop.shape[0]))
    return crop.repeat(scale, axis=0).repeat(scale, axis=1)


def _sample_tiles(crop: torch.Tensor, target: Targets, row: int) -> list[Image]:
    """Return a crop with its keypoints, and with its heatmaps laid over it."""
    picture = _picture(crop)
    weights = target.weights[row].cpu().numpy()
    keypoints = keypoint_tile(
        picture,
        target.share.plan.crop_keypoints[row],
        np.where(weights > 0, 2, 0),
        target.share.course.people.keypoint_set,
    )
    heat = (target.maps[row] * target.weights[row, :, None, None].clamp(max=1)).amax(dim=0)
    size = keypoints.shape[:2]
    large = F.interpolate(heat[None, None], size=size, mode="bilinear")[0, 0].cpu().numpy()
    glowing = 0.6 * _large(picture) * (1 - large[..., None]) + _HEAT * large[..., None]
    return [keypoints, glowing.round().astype(np.uint8)]

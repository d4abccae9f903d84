"""Heatmaps: how keypoints become maps to train on, and how maps become keypoints again.

The only heatmap code. It is batched torch, runs where the maps are, and never waits for the
device; only a few numbers a keypoint leave a GPU. Blurring whole maps before decoding, as the
original does, was refused: 3 x 3 blurred pixels are needed, and 13 x 13 give exactly those.

Map px count cells, (0, 0) is the centre of the first; crop px are those of `CropTransforms`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vitpose_cli.errors import InputError
from vitpose_cli.pose.geometry import Alignment, end_gap

_LOG_RANGE = (0.001, 50.0)
_EPSILON = torch.finfo(torch.float32).eps
_BLOCK = 4
_REACH = 6
"""How far round a peak its width is measured, cells; no blur needs more."""


@dataclass(frozen=True, slots=True)
class PeakStatistics:
    """How sure the maps are of their highest peak, for choosing what a person should look at.

    Attributes:
        second_peak_ratio: (B, K) height of the second peak over that of the first, in [0, 1]; 1
            where nothing is above zero. A peak is the maximum of a block of 4 x 4 cells if no
            block next to it is higher; so peaks up to 4 cells apart are one, from 8 on they are
            two. Source: the multiple peak entropy of Liu & Ferrari, ICCV 2017 ("Active
            Learning for Human Pose Estimation"), cut down to the two peaks that compete.
        width: (B, K) standard deviation of the peak, map px: of the positive values as far as
            the blur reaches and a cell more, the mean of x and y. A blob as encoded has about
            `blob_sigma`, a flat map 3.7. DARK (Zhang et al., CVPR 2020) takes the peak for a
            Gaussian, whose curvature would say the same; the moment tells wrong keypoints apart
            better, since it sees flanks and neighbours, too.
    """

    second_peak_ratio: Tensor
    width: Tensor


@dataclass(frozen=True, slots=True)
class DecodedMaps:
    """What a batch of maps says.

    Attributes:
        crop_keypoints: (B, K, 2) float32 xy, crop px.
        scores: (B, K) float32 highest value of each map, as it is: about [0, 1].
        peaks: How sure the maps are.
    """

    crop_keypoints: Tensor
    scores: Tensor
    peaks: PeakStatistics

    def rows(self, start: int, stop: int) -> DecodedMaps:
        """Return what some of the maps say."""
        part = slice(start, stop)
        peaks = PeakStatistics(self.peaks.second_peak_ratio[part], self.peaks.width[part])
        return DecodedMaps(self.crop_keypoints[part], self.scores[part], peaks)


@dataclass(frozen=True, slots=True)
class HeatmapCodec:
    """Encodes keypoints as Gaussian blobs and decodes maps to sub-pixel keypoints.

    A network must be decoded with the alignment it was trained with; mixing them up costs up to
    4 crop px at the far edge.

    Attributes:
        input_wh: Width and height of the crop, px.
        map_wh: Width and height of the maps, multiples of 4.
        alignment: As in the `CropTransforms` that made the crops.
        blob_sigma: Standard deviation of the encoded blob, map px.
    """

    input_wh: tuple[int, int]
    map_wh: tuple[int, int]
    alignment: Alignment
    blob_sigma: float = 2.0

    def __post_init__(self) -> None:
        if any(side < _BLOCK or side % _BLOCK for side in self.map_wh):
            raise InputError(f"map_wh is {self.map_wh}, expected multiples of {_BLOCK}.")

    @property
    def blur_kernel(self) -> int:
        """Side of the Gaussian that `udp` maps are blurred with before the Taylor step, odd.

        Its sigma is that of OpenCV's formula, 2.0 for 11, which mmpose has for maps of 64 rows.
        Maps of fewer rows get theirs in proportion, since a blur of 11 cells would reach from the
        border, where it mirrors, to heads and feet.
        """
        return min(11, max(5, 2 * (11 * self.map_wh[1] // 128) + 1))

    @property
    def stride_wh(self) -> tuple[float, float]:
        """Crop px per map px, in x and y."""
        gap = end_gap(self.alignment)
        (crop_w, crop_h), (map_w, map_h) = self.input_wh, self.map_wh
        return (crop_w - gap) / (map_w - gap), (crop_h - gap) / (map_h - gap)

    def encode(self, crop_keypoints: Tensor, visibility: Tensor) -> tuple[Tensor, Tensor]:
        """Draw a blob of height 1 for every keypoint that is labelled.

        With `udp` the blob is centred between the cells, with `classic` on the nearest cell.
        Either ends 3 sigma from the nearest cell.

        Source: `TopDownGenerateTarget` of mmpose 0.24, methods UDP (Huang et al., CVPR 2020) and
        MSRA (Xiao et al., ECCV 2018).

        Args:
            crop_keypoints: (B, K, 2) xy, crop px.
            visibility: (B, K), COCO's 0, 1, 2; only 0 is left out.

        Returns:
            Maps (B, K, H, W) float32 in [0, 1], and weights (B, K) float32: 0 where the keypoint
            is not labelled or no cell of the map is within reach of it, else 1.
        """
        labelled = visibility > 0
        points = crop_keypoints.float().masked_fill(~labelled[..., None], 0.0)
        columns, rows = (self._profile(points[..., axis], axis) for axis in range(2))
        weights = labelled & columns.any(dim=-1) & rows.any(dim=-1)
        rows = rows * weights[..., None]
        return rows[..., :, None] * columns[..., None, :], weights.float()

    def decode(self, maps: Tensor) -> DecodedMaps:
        """Find the highest peak of every map, between the cells.

        `udp`: one Newton step on the logarithm of the blurred map, DARK (Zhang et al., CVPR
        2020) as in mmpose 0.24, `post_dark_udp`. `classic`: a quarter of a cell towards the
        higher neighbour, as in `keypoints_from_heatmaps`. `udp` is up to 1.5 cells off within 5
        cells of the border, since the blur mirrors the map there; so is the original.

        Where the original leaves the map, this stays sane: a map without a positive value gives
        its highest cell and its score says that it means nothing (there: x = y = -1), and no
        step is longer than the blur reaches.

        Args:
            maps: (B, K, H, W) of any floating type; decoded in float32.

        Raises:
            InputError: The maps are not of this codec's size.
        """
        width, height = self.map_wh
        if maps.ndim != 4 or maps.shape[2:] != (height, width):
            raise InputError(
                f"maps has the shape {tuple(maps.shape)}, expected anyxanyx{height}x{width}."
            )
        maps = maps.float().contiguous()
        scores, second_peak_ratio, cells = _find_peaks(maps)
        patches = _patches(maps, cells, _REACH)
        step = self._dark_step if self.alignment == "udp" else self._quarter_step
        offsets = step(patches, cells) * (scores > 0)[..., None]
        x, y = (cells + offsets).unbind(dim=-1)
        stride_x, stride_y = self.stride_wh
        return DecodedMaps(
            crop_keypoints=torch.stack([x * stride_x, y * stride_y], dim=-1),
            scores=scores,
            peaks=PeakStatistics(second_peak_ratio, _width(patches)),
        )

    def merge_flipped(self, maps: Tensor, flipped_maps: Tensor, flip_order: Tensor) -> Tensor:
        """Average the maps of crops with those of the same crops reversed in x.

        Args:
            maps: (B, K, H, W) of any floating type.
            flipped_maps: (B, K, H, W), what the network says of `crops.flip(-1)`.
            flip_order: (K,) int64 of the keypoint set, on the maps' device.

        Returns:
            (B, K, H, W) float32.
        """
        return (maps.float() + self.turn_back(flipped_maps, flip_order)) / 2

    def turn_back(self, flipped_maps: Tensor, flip_order: Tensor) -> Tensor:
        """Return the maps of reversed crops as maps of the crops, (B, K, H, W) float32.

        Pairs are swapped, columns reversed and, for `classic`, moved right by one column as the
        original does, since reversing a crop moves its cells by three quarters of one.

        Args:
            flipped_maps: (B, K, H, W), what the network says of `crops.flip(-1)`.
            flip_order: (K,) int64 of the keypoint set, on the maps' device.
        """
        back = flipped_maps.float().index_select(1, flip_order).flip(-1)
        if self.alignment == "classic":
            back = torch.cat([back[..., :1], back[..., :-1]], dim=-1)
        return back

    def _profile(self, places: Tensor, axis: int) -> Tensor:
        """Return the blob's heights (B, K, size) along one axis for places (B, K), crop px."""
        centres = places / self.stride_wh[axis]
        cells = torch.trunc(centres + 0.5)
        if self.alignment == "classic":
            centres = cells
        steps = torch.arange(self.map_wh[axis], device=places.device)
        distances = (steps - centres[..., None]) / self.blob_sigma
        near = (steps - cells[..., None]).abs() <= int(3 * self.blob_sigma)
        return torch.exp(-0.5 * distances.square()) * near

    def _dark_step(self, patches: Tensor, cells: Tensor) -> Tensor:
        """Return (B, K, 2) from the highest cells to the peaks of the blurred maps, map px."""
        radius = self.blur_kernel // 2
        taps = _blur_taps(self.blur_kernel, patches.device)
        unseen = patches.shape[-1] // 2 - radius - 1
        seen = slice(unseen, patches.shape[-1] - unseen)
        smooth = (patches[..., seen, seen].unfold(-2, self.blur_kernel, 1) * taps).sum(dim=-1)
        smooth = (smooth.unfold(-1, self.blur_kernel, 1) * taps).sum(dim=-1)
        logs = smooth.clamp(*_LOG_RANGE).log()

        # Beyond the border the original repeats the blurred map's last row and column.
        around = torch.arange(-1, 2, device=cells.device)
        columns, rows = (
            (cell[..., None] + around).clamp(0, size - 1) - cell[..., None] + 1
            for cell, size in zip(cells.unbind(dim=-1), self.map_wh, strict=True)
        )
        logs = logs.gather(-2, rows[..., :, None].expand_as(logs))
        logs = logs.gather(-1, columns[..., None, :].expand_as(logs))

        (up_left, up, _), (left, centre, right), (_, down, down_right) = (
            row.unbind(dim=-1) for row in logs.unbind(dim=-2)
        )
        dx, dy = (right - left) / 2, (down - up) / 2
        dxx = right - 2 * centre + left + _EPSILON
        dyy = down - 2 * centre + up + _EPSILON
        dxy = (down_right - right - down + 2 * centre - left - up + up_left) / 2
        determinant = dxx * dyy - dxy.square()
        newton = torch.stack([dxy * dy - dyy * dx, dxy * dx - dxx * dy], dim=-1)
        steps = newton / determinant[..., None]
        return steps.where(determinant[..., None] != 0, 0.0).clamp(-radius, radius)

    def _quarter_step(self, patches: Tensor, cells: Tensor) -> Tensor:
        """Return (B, K, 2) a quarter of a cell to the higher neighbours, none near the border."""
        middle = patches.shape[-1] // 2
        row, column = patches[..., middle, :], patches[..., :, middle]
        slopes = torch.stack(
            [line[..., middle + 1] - line[..., middle - 1] for line in (row, column)], dim=-1
        )
        (x, y), (width, height) = cells.unbind(dim=-1), self.map_wh
        inner = (x > 1) & (x < width - 1) & (y > 1) & (y < height - 1)
        return slopes.sign() / 4 * inner[..., None]


def _find_peaks(maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the peaks' heights (B, K), second peak ratios (B, K) and cells (B, K, 2) xy, int64.

    The maps are read once, to the maxima of blocks; all else is found among those.
    """
    batch, number, height, width = maps.shape
    tops = maps.view(batch, number, height // _BLOCK, _BLOCK, width).amax(dim=3)
    tops = tops.view(batch, number, height // _BLOCK, width // _BLOCK, _BLOCK).amax(dim=4)
    scores, block = tops.flatten(2).max(dim=2)
    block_x, block_y = block % tops.shape[3], block // tops.shape[3]

    steps = torch.arange(_BLOCK, device=maps.device)
    xs, ys = block_x[..., None] * _BLOCK + steps, block_y[..., None] * _BLOCK + steps
    places = (ys[..., :, None] * width + xs[..., None, :]).flatten(2)
    place = places.gather(2, maps.flatten(2).gather(2, places).argmax(dim=2, keepdim=True))
    cells = torch.cat([place % width, place // width], dim=2)

    columns = torch.arange(tops.shape[3], device=maps.device)
    rows = torch.arange(tops.shape[2], device=maps.device)
    near_x = (columns - block_x[..., None]).abs() <= 1
    near_y = (rows - block_y[..., None]).abs() <= 1
    near = near_y[..., :, None] & near_x[..., None, :]
    rivals = tops.where((tops >= _highest_around(tops)) & ~near, 0.0)
    ratios = rivals.flatten(2).amax(dim=2) / scores
    return scores, ratios.where(scores > 0, 1.0), cells


def _highest_around(values: Tensor) -> Tensor:
    """Return the maximum of each 3 x 3; `max_pool2d` is thirty times slower on a CPU."""
    padded = functional.pad(values, (1, 1, 1, 1), value=-torch.inf)
    lines = padded[..., :-2, :].maximum(padded[..., 1:-1, :]).maximum(padded[..., 2:, :])
    return lines[..., :-2].maximum(lines[..., 1:-1]).maximum(lines[..., 2:])


def _patches(maps: Tensor, cells: Tensor, radius: int) -> Tensor:
    """Return the squares (B, K, S, S) round cells, mirrored at the border without repeating it."""
    height, width = maps.shape[2:]
    columns = _mirrored(cells[..., 0], width, radius)
    rows = _mirrored(cells[..., 1], height, radius)
    index = rows[..., :, None] * width + columns[..., None, :]
    return maps.flatten(2).gather(2, index.flatten(2)).view(index.shape)


def _mirrored(cells: Tensor, size: int, radius: int) -> Tensor:
    """Return the cells (B, K, S) within a radius along one axis, 0 1 2 mirrored to 2 1 0 1 2."""
    period = 2 * size - 2
    steps = torch.arange(-radius, radius + 1, device=cells.device)
    places = (cells[..., None] + steps).remainder(period)
    return places.minimum(period - places)


def _width(patches: Tensor) -> Tensor:
    """Return the standard deviation (B, K) of the positive values in squares (B, K, S, S)."""
    heights = patches.clamp(min=_EPSILON)
    lines = torch.stack([heights.sum(dim=-2), heights.sum(dim=-1)], dim=-2)
    lines = lines / lines.sum(dim=-1, keepdim=True)
    steps = torch.arange(patches.shape[-1], device=patches.device) - patches.shape[-1] // 2
    variances = (lines * steps.square()).sum(dim=-1) - (lines * steps).sum(dim=-1).square()
    return variances.mean(dim=-1).clamp(min=0).sqrt()


def _blur_taps(size: int, device: torch.device) -> Tensor:
    """Return the Gaussian (size,) of the deviation that OpenCV's formula gives for the size."""
    sigma = 0.3 * ((size - 1) / 2 - 1) + 0.8
    steps = torch.arange(size, device=device) - size // 2
    taps = torch.exp(-0.5 * (steps / sigma).square())
    return taps / taps.sum()

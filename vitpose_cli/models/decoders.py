"""The decoders of ViTPose: from features on the patch grid to heatmaps at a quarter of the input.

Only the modules; which decoder a network has is decided in `vitpose`, how heatmaps become keypoints
in `pose.heatmaps`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MAP_STRIDE = 4
"""Input pixels per heatmap cell; the same in every ViTPose."""

_DECONV_DIM = 256


class ClassicHead(nn.Module):
    """Deconvolutions to stride 4, each doubling the map, then a 1x1 convolution.

    Two as in the paper (section 3.1) on the 1/16 grid. On the 1/8 grid, for which no decoder was
    published, one: the map keeps its size and the `deconv1` of a stride-16 head still fits.
    """

    def __init__(self, num_keypoints: int, *, embed_dim: int, stride: int) -> None:
        super().__init__()
        self.num_deconvs = (stride // MAP_STRIDE).bit_length() - 1
        for index in range(1, self.num_deconvs + 1):
            in_dim = embed_dim if index == 1 else _DECONV_DIM
            deconv = nn.ConvTranspose2d(in_dim, _DECONV_DIM, 4, stride=2, padding=1, bias=False)
            _draw(deconv.weight)
            self.add_module(f"deconv{index}", deconv)
            self.add_module(f"bn{index}", nn.BatchNorm2d(_DECONV_DIM))
        self.final = _final_convolution(_DECONV_DIM, num_keypoints, kernel_size=1)

    def forward(self, features: Tensor) -> Tensor:
        """Turn features (B, D, h, w) into heatmaps (B, K, H/4, W/4)."""
        for index in range(1, self.num_deconvs + 1):
            features = self.get_submodule(f"deconv{index}")(features)
            features = F.relu(self.get_submodule(f"bn{index}")(features), inplace=True)
        return self.final(features)  # type: ignore[no-any-return]


class SimpleHead(nn.Module):
    """Rectify, upsample bilinearly to stride 4, then one 3x3 convolution.

    In this order: the paper's equation 3 and all published weights; its figure 2 shows another.
    """

    def __init__(self, num_keypoints: int, *, embed_dim: int, stride: int) -> None:
        super().__init__()
        self.scale = stride // MAP_STRIDE
        self.final = _final_convolution(embed_dim, num_keypoints, kernel_size=3)

    def forward(self, features: Tensor) -> Tensor:
        """Turn features (B, D, h, w) into heatmaps (B, K, H/4, W/4).

        Upsampling and convolution are linear and mix different axes, so they are exchanged: the
        nine taps of the convolution are taken on the coarse grid, and one product of matrices for
        each axis upsamples, shifts and adds them. The same maps with a tenth of the arithmetic.
        """
        kernel = self.final.weight
        batch, _, height, width = features.shape
        taps = kernel.permute(2, 0, 3, 1).flatten(0, 2) @ F.relu(features).flatten(2)
        taps = taps.reshape(batch, 3, -1, 3, height, width).permute(0, 2, 1, 4, 3, 5)
        taps = taps.reshape(batch, -1, 3 * height, 3 * width)
        rows = _shifted_upsampling(height, self.scale, taps.device).to(taps.dtype)
        columns = _shifted_upsampling(width, self.scale, taps.device).to(taps.dtype)
        maps = rows @ (taps @ columns.T)
        return maps + self.final.bias[:, None, None]  # type: ignore[index]


def _shifted_upsampling(size: int, scale: int, device: torch.device) -> Tensor:
    """Return what upsamples an axis by `scale` and adds three taps of a convolution.

    Made on the device, as nothing may be copied to it while a CUDA graph is recorded.

    Returns:
        (size * scale, 3 * size) float32: side by side the matrices of bilinear upsampling as the
        first, second and third tap see it, with zeros outside.
    """
    places = torch.eye(size, device=device)[None]
    upsampling = F.interpolate(places, scale_factor=scale, mode="linear", align_corners=False)
    padded = F.pad(upsampling[0].T, (0, 0, 1, 1))
    return torch.cat([padded[tap : tap + size * scale] for tap in range(3)], dim=1)


def _final_convolution(in_dim: int, num_keypoints: int, *, kernel_size: int) -> nn.Conv2d:
    """Make the last layer with the released initialisation."""
    convolution = nn.Conv2d(in_dim, num_keypoints, kernel_size, padding=kernel_size // 2)
    _draw(convolution.weight)
    nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
    return convolution


def _draw(weight: Tensor) -> None:
    """Draw weights; not where there are no values: PyTorch would load its compiler to do it."""
    if not weight.is_meta:
        nn.init.normal_(weight, std=0.001)

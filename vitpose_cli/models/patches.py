"""From pixels to tokens: the patch projection, and how its weights follow another input.

What an encoder trained at one size needs to start at another lives here too: the position table
resampled to another grid, the patch kernel grown to 16 px. timm's `PatchEmbed` was refused because
it knows neither overlapping patches nor the shift of the published weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PATCH_SIZE = 16
"""Side of a patch, px; the same in every ViTPose."""


class PatchEmbedding(nn.Module):
    """Project every 16 x 16 patch of an image to a token.

    The constructor takes what timm's `VisionTransformer` passes to its `embed_layer`.

    Attributes:
        grid_size: Rows and columns of the patch grid (timm's name).
        num_patches: Their product.
    """

    def __init__(
        self,
        *,
        img_size: tuple[int, int],
        patch_size: int,
        in_chans: int,
        embed_dim: int,
        stride: int,
        shifted: bool,
        **_of_timm: object,
    ) -> None:
        """Project images of height and width `img_size`, a patch every `stride` px.

        Patches are centred on their grid cells by a zero border of (16 - stride) / 2 px: none at
        stride 16, 4 px at stride 8. `shifted` adds the 2 px by which the published stride-16
        weights see every patch further up and left, so that the last 2 rows and columns of the
        image are never read (padding 4 + 2 * (ratio // 2 - 1) in the original `vit.py`).
        """
        super().__init__()
        self.img_size = img_size
        self.grid_size = (img_size[0] // stride, img_size[1] // stride)
        self.num_patches = self.grid_size[0] * self.grid_size[1]
        padding = (patch_size - stride) // 2 + (2 if shifted else 0)
        self.proj = nn.Conv2d(in_chans, embed_dim, patch_size, stride, padding)

    def forward(self, images: Tensor) -> Tensor:
        """Turn images (B, C, H, W) into tokens (B, num_patches, D), row-major on the grid."""
        if images.shape[-2:] != self.img_size:
            height, width = self.img_size
            raise ValueError(
                f"the network reads {width} x {height} px, not "
                f"{images.shape[-1]} x {images.shape[-2]}"
            )
        tokens: Tensor = self.proj(images)
        return tokens.flatten(2).transpose(1, 2)


def resize_position_table(
    table: Tensor, from_grid_wh: tuple[int, int], to_grid_wh: tuple[int, int]
) -> Tensor:
    """Resample a position table (1, N, D) without class slot to another patch grid.

    Bicubic with `align_corners=False`, as the original loader resamples MAE's table; the table
    itself where the grids are equal.
    """
    if from_grid_wh == to_grid_wh:
        return table
    grid_w, grid_h = from_grid_wh
    grid = table.reshape(1, grid_h, grid_w, -1).permute(0, 3, 1, 2)
    resized = F.interpolate(grid.float(), to_grid_wh[::-1], mode="bicubic", align_corners=False)
    return resized.flatten(2).transpose(1, 2).to(table.dtype).contiguous()


def sine_cosine_table(grid_wh: tuple[int, int], dim: int) -> Tensor:
    """Return a position table (1, N, dim) of waves in x and y, values in [-1, 1]."""
    rows, columns = torch.meshgrid(
        *(torch.arange(side, dtype=torch.float32) for side in reversed(grid_wh)), indexing="ij"
    )
    waves = torch.pow(100.0, -torch.arange(dim // 4) / (dim // 4))
    angles = [place.flatten()[:, None] * waves for place in (columns, rows)]
    parts = [wave(angle) for angle in angles for wave in (torch.sin, torch.cos)]
    return torch.cat(parts, dim=1)[None]


def grow_patch_kernel(kernel: Tensor) -> Tensor:
    """Grow a patch kernel (D, C, k, k), k even and at most 16, to 16 px by a border of zeros.

    So the original loader adapts the 14 px kernel of MAE's ViT-H: the response stays the same.
    """
    border = (PATCH_SIZE - kernel.shape[-1]) // 2
    return F.pad(kernel, (border, border, border, border))

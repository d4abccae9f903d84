"""Which tokens of the patch grid attend to which: full, window, shifted and pooled attention.

The kinds are those of the ViTPose paper, Table 5 (arXiv 2204.12484): windows make attention cheap
on the fine 1/8 grid, shifting (Swin) and pooled context tokens carry information between windows.
No kind has parameters of its own, so weights move freely between them. Full attention is timm's
own module, untouched; window attention takes over the projections of such a module.

Relative position tables were refused: they would add parameters that no published weights have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitpose_cli.errors import ConfigError

AttentionPattern = Literal[
    "full",
    "window",
    "window+shift",
    "window+pool",
    "window+shift+pool",
    "full-every-quarter+window",
]


@dataclass(frozen=True, slots=True)
class AttentionConfig:
    """The attention of every block of an encoder.

    Attributes:
        pattern: "full" everywhere; "window" everywhere, where "shift" moves the windows of every
            second block by half a window and "pool" lets every window also see one mean token per
            window; or windows with full attention in the last block of every quarter (ViTDet).
        window_wh: Window width and height in patches; clipped to the grid.
    """

    pattern: AttentionPattern = "full"
    window_wh: tuple[int, int] = (8, 8)

    def __post_init__(self) -> None:
        if min(self.window_wh) < 1:
            raise ConfigError(
                f"attention.window_wh is {self.window_wh}, which holds no patch.",
                "Give a width and a height of at least 1 patch, for example (8, 8).",
            )

    def build(self, full: Any, *, block: int, depth: int, grid_wh: tuple[int, int]) -> Any:
        """Return the attention module of one block.

        Args:
            full: The block's timm `Attention`; returned as it is where attention is full, else
                its projections are taken over.
            block: The block's index in [0, depth).
            depth: The number of blocks.
            grid_wh: Width and height of the patch grid.
        """
        parts = self.pattern.split("+")
        ends_quarter = (block + 1) % max(depth // 4, 1) == 0
        if "full" in parts or ("full-every-quarter" in parts and ends_quarter):
            return full
        return WindowAttention(
            full,
            grid_wh=grid_wh,
            window_wh=self.window_wh,
            shifted="shift" in parts and block % 2 == 1,
            pooled="pool" in parts,
        )


class WindowAttention(nn.Module):
    """Multi-head attention inside the windows of a patch grid.

    A grid that the window does not divide is padded at the right and bottom; padding is masked, so
    the last windows simply are smaller. Shifted windows follow Swin (arXiv 2103.14030, section
    3.2): the grid is rolled by half a window, and tokens that only became neighbours by the roll do
    not see each other. Pooled context is the mean key and value of every unshifted window (the
    projection being linear, that is the projection of the mean token), seen by all windows.
    """

    mask: Tensor | None

    def __init__(
        self,
        full: Any,
        *,
        grid_wh: tuple[int, int],
        window_wh: tuple[int, int],
        shifted: bool = False,
        pooled: bool = False,
    ) -> None:
        """Take over the projections of `full`, a timm `Attention`, for a grid of `grid_wh`."""
        super().__init__()
        self.qkv: nn.Linear = full.qkv
        self.proj: nn.Linear = full.proj
        self.num_heads: int = full.num_heads
        self.pooled = pooled
        self.grid_hw = grid_wh[::-1]
        window_h, window_w = (
            min(window, grid) for window, grid in zip(window_wh[::-1], self.grid_hw, strict=True)
        )
        self.window_hw = (window_h, window_w)
        self.padding_hw = (-self.grid_hw[0] % window_h, -self.grid_hw[1] % window_w)
        # An axis with a single window has no neighbour to exchange tokens with.
        self.shift_hw = (
            window_h // 2 if shifted and window_h < self.grid_hw[0] else 0,
            window_w // 2 if shifted and window_w < self.grid_hw[1] else 0,
        )
        self.register_buffer("mask", self._mask(), persistent=False)

    def forward(
        self, tokens: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        """Attend over tokens (B, H*W, D), row-major on the grid, and return the same shape.

        `attn_mask` and `is_causal` are what timm's block passes; neither has a meaning here.
        """
        batch, _, dim = tokens.shape
        grid = self.qkv(tokens).reshape(batch, *self.grid_hw, 3 * dim)
        context = self._pool(grid[..., dim:]) if self.pooled else None
        padding_h, padding_w = self.padding_hw
        if padding_h or padding_w:
            grid = F.pad(grid, (0, 0, 0, padding_w, 0, padding_h))
        if any(self.shift_hw):
            grid = grid.roll((-self.shift_hw[0], -self.shift_hw[1]), (1, 2))
        query, key, value = self._split(grid)
        if context is not None:
            query = query.clone()  # a view would keep the unpooled keys and values alive, too
            context_key, context_value = context.expand(-1, len(query), -1, -1, -1)
            key = torch.cat([key, context_key], 2)
            value = torch.cat([value, context_value], 2)
        # The batch travels with the heads, so that one mask per window serves all of it.
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=self.mask)
        return self.proj(self._join(out, batch))  # type: ignore[no-any-return]

    def _pool(self, grid: Tensor) -> Tensor:
        """Average keys and values (B, H, W, 2D) per window: (2, 1, B*heads, windows, D/heads)."""
        means = F.avg_pool2d(grid.permute(0, 3, 1, 2), self.window_hw, ceil_mode=True)
        num_windows = means.shape[2] * means.shape[3]
        means = means.reshape(grid.shape[0], 2, self.num_heads, -1, num_windows)
        return means.permute(1, 0, 2, 4, 3).flatten(1, 2).unsqueeze(1)

    def _split(self, grid: Tensor) -> Tensor:
        """Cut a padded grid (B, H', W', 3D) into windows: (3, windows, B*heads, T, D/heads)."""
        batch, grid_h, grid_w, channels = grid.shape
        window_h, window_w = self.window_hw
        down, across = grid_h // window_h, grid_w // window_w
        head_dim = channels // (3 * self.num_heads)
        grid = grid.reshape(batch, down, window_h, across, window_w, 3, self.num_heads, head_dim)
        windows = grid.permute(5, 1, 3, 0, 6, 2, 4, 7)
        return windows.reshape(
            3, down * across, batch * self.num_heads, window_h * window_w, head_dim
        )

    def _join(self, windows: Tensor, batch: int) -> Tensor:
        """Put windows (windows, B*heads, T, D/heads) back on the grid: (B, H*W, D)."""
        grid_h, grid_w = self.grid_hw
        padded_h, padded_w = grid_h + self.padding_hw[0], grid_w + self.padding_hw[1]
        window_h, window_w = self.window_hw
        down, across = padded_h // window_h, padded_w // window_w
        windows = windows.reshape(down, across, batch, self.num_heads, window_h, window_w, -1)
        grid = windows.permute(2, 0, 4, 1, 5, 3, 6).reshape(batch, padded_h, padded_w, -1)
        if any(self.shift_hw):
            grid = grid.roll(self.shift_hw, (1, 2))
        return grid[:, :grid_h, :grid_w].flatten(1, 2)

    def _mask(self) -> Tensor | None:
        """Return which tokens see which, (windows, 1, T, T + context) bool, None where all do.

        Tokens see each other where the roll carried both or neither over the border of an axis.
        Padding is a region of its own: it sees itself, so that no row of the softmax is empty.
        """
        if not any(self.shift_hw) and not any(self.padding_hw):
            return None
        # The device is explicit because a network may be built on the meta device.
        over: list[Tensor] = []
        real: list[Tensor] = []
        for size, padding, shift in zip(self.grid_hw, self.padding_hw, self.shift_hw, strict=True):
            rolled = torch.arange(size + padding, device="cpu") + shift
            over.append(rolled >= size + padding)
            real.append(rolled % (size + padding) < size)
        regions = 1 + over[0].long()[:, None] * 2 + over[1].long()
        regions = regions * (real[0][:, None] & real[1])
        window_h, window_w = self.window_hw
        down, across = len(regions) // window_h, regions.shape[1] // window_w
        regions = regions.reshape(down, window_h, across, window_w).transpose(1, 2)
        tokens = regions.reshape(down * across, window_h * window_w)
        mask = tokens[:, :, None] == tokens[:, None, :]
        if self.pooled:
            mask = F.pad(mask, (0, len(tokens)), value=True)
        return mask.unsqueeze(1)

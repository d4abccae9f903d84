"""Masked autoencoding: an encoder learns from people nobody has labelled (ViTPose, section 3.3).

He et al., "Masked Autoencoders Are Scalable Vision Learners" (arXiv 2111.06377): most patches of a
crop are taken away, the encoder sees the rest, and a light decoder draws what was hidden. Only the
encoder is kept. The decoder is here because it is timm's blocks on our encoder's tokens; which
patches are hidden is decided by whoever trains. A network of its own was refused: the encoder must
be the very one that poses are learnt with, patch embedding and position table included.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import vitpose_cli.models.without_compiler  # noqa: F401 - first, so that it has an effect

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional as F

from vitpose_cli.errors import ConfigError
from vitpose_cli.models.patches import PATCH_SIZE, sine_cosine_table
from vitpose_cli.models.vitpose import ViTPose, ViTPoseConfig

_HEAD_DIM = 32
"""Channels of a head of the decoder's attention, as in MAE."""


@dataclass(frozen=True, slots=True)
class PixelDecoderConfig:
    """The part that is thrown away, and what it is asked.

    Attributes:
        masked: Share of the patches that are hidden.
        dim: Channels of its tokens; None for two thirds of the encoder's, as in MAE's ViT-B.
        depth: Its blocks; hardly matters to what the encoder learns (MAE, table 1a).
        normalise: Whether the pixels of each patch are brought to mean 0 and deviation 1.
    """

    masked: float = 0.75
    dim: int | None = None
    depth: int = 2
    normalise: bool = True


class MaskedAutoencoder(ViTPose):
    """A ViTPose without heads that draws the patches it is not shown.

    Attributes:
        pixels: What its decoder is, and what it is asked.
        decoder: The decoder.
    """

    def __init__(self, config: ViTPoseConfig, pixels: PixelDecoderConfig) -> None:
        super().__init__(config)
        if config.attention.pattern != "full" or config.stride != PATCH_SIZE or config.num_experts:
            raise ConfigError(
                "Pre-training hides patches, which needs full attention, stride 16 and no experts.",
                "Leave these to the run that starts from its backbone: none of them has "
                "weights of its own that could be pre-trained.",
            )
        self.pixels = pixels
        if not 0 < self.num_hidden < self.encoder.patch_embed.num_patches:
            raise ConfigError(
                f"A share of {pixels.masked:g} hides {self.num_hidden} of "
                f"{self.encoder.patch_embed.num_patches} patches, and some must be hidden, some "
                "shown.",
                "Give pretrain.masked another value, or stages a larger input.",
            )
        self.decoder = PixelDecoder(config, pixels)

    @property
    def num_hidden(self) -> int:
        """How many patches of each crop are hidden."""
        num_patches: int = self.encoder.patch_embed.num_patches
        return num_patches - int(num_patches * (1 - self.pixels.masked))

    def forward(  # type: ignore[override]  # another question to the same network
        self, images: Tensor, order: Tensor
    ) -> Tensor:
        """Return how wrong each hidden patch is drawn.

        Args:
            images: (B, 3, H, W) normalised RGB crops of `config.input_wh`.
            order: (B, N) int64 permutations of the N patches; the last `num_hidden` are hidden.

        Returns:
            (B, num_hidden) float32, mean squared errors over the pixels of each.
        """
        drawn = self._drawn(images, order)
        wanted = _pick(self.patches(images), order[:, -self.num_hidden :])
        if self.pixels.normalise:
            means, deviations = _statistics(wanted)
            wanted = (wanted - means) / deviations
        return (drawn - wanted).square().mean(dim=-1)

    def draw(self, images: Tensor, order: Tensor) -> Tensor:
        """Return images (B, 3, H, W) with their hidden patches as the network draws them.

        Where patches are normalised, which says nothing of it, with their true mean and deviation.
        """
        patches, hidden = self.patches(images), order[:, -self.num_hidden :]
        drawn = self._drawn(images, order)
        if self.pixels.normalise:
            means, deviations = _statistics(_pick(patches, hidden))
            drawn = drawn * deviations + means
        places = hidden[..., None].expand(-1, -1, patches.shape[-1])
        whole = patches.scatter(1, places, drawn).transpose(1, 2)
        return F.fold(whole, images.shape[2:], PATCH_SIZE, stride=PATCH_SIZE)

    def patches(self, images: Tensor) -> Tensor:
        """Cut images (B, 3, H, W) into patches (B, N, 768), float32, just as they are embedded."""
        if self.config.patch_shift:
            images = F.pad(images, (2, -2, 2, -2))
        return F.unfold(images.float(), PATCH_SIZE, stride=PATCH_SIZE).transpose(1, 2)

    def _drawn(self, images: Tensor, order: Tensor) -> Tensor:
        """Return the pixels (B, num_hidden, 768), float32, that the decoder makes of the rest."""
        shown = _pick(self.embed(images), order[:, : -self.num_hidden])
        pixels: Tensor = self.decoder(self.encode(shown), order)
        return pixels.float()


class PixelDecoder(nn.Module):
    """A few blocks from the encoder's tokens to pixels."""

    table: Tensor

    def __init__(self, config: ViTPoseConfig, pixels: PixelDecoderConfig) -> None:
        super().__init__()
        width = config.variant.embed_dim
        dim = pixels.dim or max(1, round(width * 2 / 3 / _HEAD_DIM)) * _HEAD_DIM
        if dim % _HEAD_DIM:
            raise ConfigError(f"pretrain.decoder_dim is {dim}; give a multiple of {_HEAD_DIM}.")
        self.embed = nn.Linear(width, dim)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, dim))
        nn.init.normal_(self.mask_token, std=0.02)
        table = sine_cosine_table(config.grid_wh, dim)
        self.register_buffer("table", table, persistent=False)
        norm = partial(nn.LayerNorm, eps=config.layer_norm_eps)
        self.blocks = nn.Sequential(
            *(
                Block(dim, dim // _HEAD_DIM, qkv_bias=True, norm_layer=norm)
                for _ in range(pixels.depth)
            )
        )
        self.norm = norm(dim)
        self.final = nn.Linear(dim, 3 * PATCH_SIZE**2)

    def forward(self, shown: Tensor, order: Tensor) -> Tensor:
        """Draw the hidden patches.

        Args:
            shown: (B, M, D) encoded tokens of the first M patches of `order`.
            order: (B, N) int64 permutations of the patches.

        Returns:
            (B, N - M, 768) pixels of the others, in their order.
        """
        tokens = self.embed(shown)
        count, num_shown = tokens.shape[:2]
        blanks = self.mask_token.to(tokens.dtype)
        blanks = blanks.expand(count, order.shape[1] - num_shown, -1)
        places = _pick(self.table.to(tokens.dtype).expand(count, -1, -1), order)
        tokens = self.blocks(torch.cat([tokens, blanks], dim=1) + places)
        pixels: Tensor = self.final(self.norm(tokens[:, num_shown:]))
        return pixels


def _statistics(patches: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and deviation (B, N, 1) of each patch, as MAE takes them."""
    deviations = (patches.var(dim=-1, keepdim=True) + 1e-6).sqrt()
    return patches.mean(dim=-1, keepdim=True), deviations


def _pick(tokens: Tensor, index: Tensor) -> Tensor:
    """Return the tokens (B, M, D) of (B, N, D) at (B, M) positions."""
    return tokens.gather(1, index[..., None].expand(-1, -1, tokens.shape[-1]))

"""How an encoder starts that has no weights to start from.

timm draws every matrix alike. That is what MAE pre-training expects, but a network that is to
learn poses from thousands of people, not millions of photos, starts better with a hint.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vitpose_cli.models.patches import sine_cosine_table
from vitpose_cli.models.vitpose import ViTPose


@torch.no_grad()
def draw_mimetic(model: ViTPose) -> None:
    """Draw an encoder that begins like a trained one.

    Queries and keys such that a token attends to what is like it, values and projections such
    that it takes away some of itself (Trockman and Kolter, "Mimetic Initialization of
    Self-Attention Layers", ICML 2023, with its constants 0.7 and 0.4), and a sine-cosine position
    table, half as high as usual, so that from the
    start it attends to its neighbours.
    """
    encoder = model.encoder
    for block in encoder.blocks:
        attention = block.attn
        dim, heads = attention.proj.in_features, attention.num_heads
        width = dim // heads
        queries, keys = [], []
        for _ in range(heads):
            left, sizes, right = torch.linalg.svd(_near_identity(dim, 0.7, 0.7))
            roots = sizes[:width].sqrt()
            queries.append((left[:, :width] * roots).T)
            keys.append(right[:width] * roots[:, None])
        left, sizes, right = torch.linalg.svd(_near_identity(dim, 0.4, -0.4))
        roots = sizes.sqrt()
        attention.qkv.weight.copy_(torch.cat([*queries, *keys, right * roots[:, None]]))
        attention.qkv.bias.zero_()
        attention.proj.weight.copy_(left * roots)
        attention.proj.bias.zero_()
    encoder.pos_embed.copy_(0.5 * sine_cosine_table(model.config.grid_wh, encoder.embed_dim))


def _near_identity(dim: int, noise: float, identity: float) -> Tensor:
    matrix: Tensor = noise * torch.randn(dim, dim) / dim**0.5 + identity * torch.eye(dim)
    return matrix

"""The ViTPose network: a plain vision transformer and a small decoder per keypoint set.

The sizes, the configuration and the whole module; not the weights (`checkpoint`), not the layouts
of others (`key_maps`). The transformer is timm's, so that its speed and its pretrained
weights come for free; what ViTPose changes in it (attention, experts) is put in after it is built,
because timm's constructor has no place for it.

Sources: arXiv 2204.12484 (ViTPose), arXiv 2212.04246 (ViTPose+), and the released configurations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import vitpose_cli.models.without_compiler  # noqa: F401 - first, so that it has an effect

import torch
from timm.models import checkpoint_seq
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from vitpose_cli.errors import ConfigError
from vitpose_cli.models.attention import AttentionConfig
from vitpose_cli.models.decoders import MAP_STRIDE, ClassicHead, SimpleHead
from vitpose_cli.models.experts import ExpertMlp
from vitpose_cli.models.patches import PATCH_SIZE, PatchEmbedding

HeadKind = Literal["classic", "simple"]

ExpertRuns = Sequence[tuple[int, int]]
"""Which expert sees how many consecutive samples of a batch."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A size of the network and how it is trained.

    Attributes:
        name: What it is called on the command line.
        embed_dim: Channels of a token.
        depth: Number of blocks.
        num_heads: Attention heads of a block.
        drop_path: Stochastic depth rate of the last block in training.
        layer_decay: Learning rate factor from one block to the block before it in training.
    """

    name: str
    embed_dim: int
    depth: int
    num_heads: int
    drop_path: float
    layer_decay: float

    @property
    def expert_dim(self) -> int:
        """Output channels of an expert: a quarter of the token (the ratio of ViTPose+)."""
        return self.embed_dim // 4


VARIANTS: Mapping[str, Variant] = {
    variant.name: variant
    for variant in (
        Variant("tiny-test", 64, 4, 4, drop_path=0.0, layer_decay=1.0),
        Variant("tiny", 192, 12, 3, drop_path=0.0, layer_decay=0.8),
        # timm's own ViT-S has 6 heads, ViTPose's has 12; 6 would load and be wrong.
        Variant("small", 384, 12, 12, drop_path=0.1, layer_decay=0.8),
        Variant("base", 768, 12, 12, drop_path=0.3, layer_decay=0.75),
        Variant("large", 1024, 24, 16, drop_path=0.5, layer_decay=0.8),
        Variant("huge", 1280, 32, 16, drop_path=0.55, layer_decay=0.85),
    )
}
"""The sizes by name, smallest first. tiny and tiny-test are this project's own."""


@dataclass(frozen=True, slots=True)
class HeadConfig:
    """The decoder of one keypoint set.

    Attributes:
        kind: "classic" (deconvolutions) or "simple" (bilinear upsampling and one convolution).
        num_keypoints: Heatmaps it makes.
        expert: The expert that this head's data set trained, where the encoder has experts.
    """

    kind: HeadKind
    num_keypoints: int
    expert: int = 0


@dataclass(frozen=True, slots=True)
class ViTPoseConfig:
    """Everything that decides which network is built.

    Attributes:
        variant: The size.
        heads: Decoders by the name of their keypoint set; none for a backbone to start from.
        input_wh: Width and height of the crops, px, multiples of 16.
        patch_shift: Whether patches sit 2 px further up and left, as in all published weights.
        stride: Input pixels per token: 16, or 8 for overlapping patches on a grid twice as fine.
        layer_norm_eps: 1e-6 in the original, 1e-12 in the weights that transformers runs.
        attention: Which tokens attend to which.
        num_experts: Experts of every feed-forward layer (ViTPose+); 0 for a plain encoder.
        drop_path: Stochastic depth rate of the last block; for training alone.
        knowledge_token: Whether a token that a teacher has learnt stands beside the patches.
    """

    variant: Variant
    heads: Mapping[str, HeadConfig]
    input_wh: tuple[int, int] = (192, 256)
    patch_shift: bool = False
    stride: Literal[16, 8] = 16
    layer_norm_eps: float = 1e-6
    attention: AttentionConfig = field(default_factory=AttentionConfig)
    num_experts: int = 0
    drop_path: float = 0.0
    knowledge_token: bool = False

    def __post_init__(self) -> None:
        if min(self.input_wh) < PATCH_SIZE or any(size % PATCH_SIZE for size in self.input_wh):
            raise ConfigError(
                f"input_wh is {self.input_wh}, but both must be multiples of {PATCH_SIZE} px.",
                "For example (192, 256).",
            )
        if self.patch_shift and self.stride != PATCH_SIZE:
            raise ConfigError(
                f"patch_shift is set with stride {self.stride}, where patches are centred anyway.",
                "Leave patch_shift off, or use stride 16.",
            )
        if self.knowledge_token and self.attention.pattern != "full":
            raise ConfigError(
                f"A knowledge token has no place in {self.attention.pattern} attention.",
                "Use attention.pattern full.",
            )
        for name, head in self.heads.items():
            if not is_head_name(name):
                raise ConfigError(
                    f"{name!r} cannot be the name of a head: it is empty, has a dot, or is a word "
                    "of PyTorch's own.",
                    "Call the keypoint set otherwise.",
                )
            if self.num_experts and not 0 <= head.expert < self.num_experts:
                raise ConfigError(
                    f"Head {name!r} uses expert {head.expert}, but there are {self.num_experts}.",
                    f"Experts count from 0 to {self.num_experts - 1}.",
                )

    @property
    def grid_wh(self) -> tuple[int, int]:
        """Width and height of the patch grid."""
        return self.input_wh[0] // self.stride, self.input_wh[1] // self.stride

    @property
    def map_wh(self) -> tuple[int, int]:
        """Width and height of the heatmaps."""
        return self.input_wh[0] // MAP_STRIDE, self.input_wh[1] // MAP_STRIDE


def is_head_name(name: str) -> bool:
    """Return whether a head can be called so: PyTorch refuses dots, and what a module has."""
    return bool(name) and "." not in name and not hasattr(nn.ModuleDict(), name)


class ViTPose(nn.Module):
    """Heatmaps of keypoints from crops of people or animals.

    Attributes:
        config: What it was built from.
        encoder: timm's `VisionTransformer`.
        heads: One decoder per keypoint set.
    """

    def __init__(self, config: ViTPoseConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder: Any = _encoder(config)
        kinds = {"classic": ClassicHead, "simple": SimpleHead}
        self.heads = nn.ModuleDict(
            {
                name: kinds[head.kind](
                    head.num_keypoints, embed_dim=config.variant.embed_dim, stride=config.stride
                )
                for name, head in config.heads.items()
            }
        )

    def forward(self, images: Tensor, head: str | None = None) -> Tensor:
        """Estimate heatmaps.

        Args:
            images: (B, 3, H, W) normalised RGB crops of `config.input_wh`.
            head: The keypoint set; may be left out where there is one.

        Returns:
            (B, K, H/4, W/4), values around [0, 1] when trained, without an activation.
        """
        if head is None:
            if len(self.heads) != 1:
                raise ValueError(f"name one of the heads: {', '.join(self.heads)}")
            head = next(iter(self.heads))
        features = self.features(images, expert=self.config.heads[head].expert)
        return self.heads[head](features)  # type: ignore[no-any-return]

    def features(self, images: Tensor, *, expert: int | ExpertRuns = 0) -> Tensor:
        """Encode images (B, 3, H, W) to features (B, D, h, w) on the patch grid.

        Args:
            images: Normalised RGB crops of `config.input_wh`.
            expert: The expert for all samples, or those of runs of samples; a plain encoder has
                none and ignores it.
        """
        return self.to_grid(self.encode(self.embed(images), expert=expert))

    def embed(self, images: Tensor) -> Tensor:
        """Turn images (B, 3, H, W) into patch tokens with their positions (B, N, D)."""
        tokens: Tensor = self.encoder.patch_embed(images) + self.encoder.pos_embed
        return tokens

    def encode(self, tokens: Tensor, *, expert: int | ExpertRuns = 0) -> Tensor:
        """Run the blocks and the last norm on tokens (B, N, D); see `features` for `expert`."""
        num_experts = self.config.num_experts
        if not num_experts:
            return self._run_blocks(tokens)
        runs = [(expert, len(tokens))] if isinstance(expert, int) else expert
        # Sorted once here, the samples of an expert lie side by side in every block. All of it is
        # done in numbers of the host, and counts stay what they are where an expert has one run:
        # so torch.compile has one graph for all counts, also where blocks are recomputed.
        order = sorted(range(len(runs)), key=lambda run: runs[run][0])
        sizes: dict[int, int] = {}
        for number, count in runs:
            sizes[number] = sizes[number] + count if number in sizes else count
        batch_sizes = [sizes.get(number, 0) for number in range(num_experts)]
        for block in self.encoder.blocks:
            block.mlp.batch_sizes = batch_sizes
        encoded = self._run_blocks(_in_order(tokens, [count for _, count in runs], order))
        back = [order.index(run) for run in range(len(runs))]
        return _in_order(encoded, [runs[run][1] for run in order], back)

    def to_grid(self, tokens: Tensor) -> Tensor:
        """Lay tokens (B, N, D) out on the patch grid: (B, D, h, w)."""
        grid_w, grid_h = self.config.grid_wh
        # `len` would fix the batch in an exported network.
        return tokens.transpose(1, 2).reshape(tokens.shape[0], -1, grid_h, grid_w)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Trade compute for memory in training: recompute the blocks in the backward pass."""
        self.encoder.set_grad_checkpointing(enable)

    def _run_blocks(self, tokens: Tensor) -> Tensor:
        blocks = self.encoder.blocks
        if self.config.knowledge_token:
            token = self.encoder.knowledge_token.expand(tokens.shape[0], -1, -1)
            tokens = torch.cat([token.to(tokens.dtype), tokens], dim=1)
        if self.encoder.grad_checkpointing and torch.is_grad_enabled():
            tokens = checkpoint_seq(blocks, tokens)
        else:
            tokens = blocks(tokens)
        if self.config.knowledge_token:
            tokens = tokens[:, 1:]
        return self.encoder.norm(tokens)  # type: ignore[no-any-return]


def _in_order(samples: Tensor, counts: Sequence[int], order: Sequence[int]) -> Tensor:
    """Return runs of samples (B, ...), so many in each, in an order of runs."""
    if all(run == place for place, run in enumerate(order)):
        return samples
    runs = torch.split(samples, list(counts))
    return torch.cat([runs[run] for run in order])


def _encoder(config: ViTPoseConfig) -> Any:
    """Build timm's transformer and put in what the configuration changes."""
    variant = config.variant
    # Values that there are none of are not drawn: PyTorch would load its compiler to do it.
    without_values = torch.get_default_device().type == "meta"
    encoder: Any = VisionTransformer(
        img_size=config.input_wh[::-1],
        patch_size=PATCH_SIZE,
        embed_dim=variant.embed_dim,
        depth=variant.depth,
        num_heads=variant.num_heads,
        class_token=False,
        global_pool="",
        num_classes=0,
        drop_path_rate=config.drop_path,
        norm_layer=partial(nn.LayerNorm, eps=config.layer_norm_eps),
        embed_layer=partial(PatchEmbedding, stride=config.stride, shifted=config.patch_shift),
        weight_init="skip" if without_values else "",
    )
    if config.knowledge_token:
        token = nn.Parameter(torch.zeros(1, 1, variant.embed_dim), requires_grad=False)
        encoder.register_parameter("knowledge_token", token)
    for index, block in enumerate(encoder.blocks):
        block.attn = config.attention.build(
            block.attn, block=index, depth=variant.depth, grid_wh=config.grid_wh
        )
        if config.num_experts:
            block.mlp = ExpertMlp(
                block.mlp, num_experts=config.num_experts, expert_dim=variant.expert_dim
            )
    return encoder

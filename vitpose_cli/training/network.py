"""A network in training, together with what its weights files say of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from vitpose_cli.models.checkpoint import CheckpointHeader
from vitpose_cli.models.masked import MaskedAutoencoder
from vitpose_cli.models.vitpose import ViTPose, ViTPoseConfig
from vitpose_cli.pose.heatmaps import HeatmapCodec
from vitpose_cli.pose.keypoints import KeypointSet

FEW_TOKENS = 400
"""Up to here torch's fused attention (2.14) takes longer than products of matrices, in 16 bits on a
CPU with gradients: 4.8 times with 48 tokens, 2.3 with 192, 1.04 with 432."""


@dataclass(frozen=True, slots=True)
class Network:
    """A network in training.

    Attributes:
        model: The module, in training mode.
        header: What its weights files say.
        drawn_heads: Heads that start from random numbers, wholly or in part, and why; of the
            network that a run begins with.
        notes: Sentences on what it has taken from the weights that it starts from.
    """

    model: ViTPose
    header: CheckpointHeader
    drawn_heads: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def num_patches(self) -> int:
        """How many patches it cuts a crop into."""
        width, height = self.model.config.grid_wh
        return width * height

    @property
    def weights(self) -> dict[str, Tensor]:
        """The tensors of its weights file: all but the decoder of pre-training."""
        state = self.model.state_dict()
        return {key: value for key, value in state.items() if not key.startswith("decoder.")}

    def codec(self, head: str) -> HeatmapCodec:
        """Return how the heatmaps of a head are drawn and read."""
        shape, own = self.model.config, self.header.heads.get(head)
        if own is None:  # in pre-training, which draws no heatmaps
            return HeatmapCodec(shape.input_wh, shape.map_wh, "udp")
        return HeatmapCodec(shape.input_wh, shape.map_wh, own.alignment, own.blob_sigma)


def with_blobs(network: Network, heads: Collection[str], sigma: float) -> Network:
    """Return the network with headers saying which blobs some of its heads are taught to draw."""
    told = {
        name: replace(head, blob_sigma=sigma) if name in heads else head
        for name, head in network.header.heads.items()
    }
    return replace(network, header=replace(network.header, heads=told))


def with_head_names(
    network: Network, names: Mapping[str, str], sets: Mapping[str, KeypointSet]
) -> Network:
    """Return the network with some of its heads as those of other sets, which may rename them.

    Args:
        network: The network.
        names: What a head is called now, by the name that it gets.
        sets: The keypoint sets of the new names, which show the same.
    """
    old = network.header.heads
    heads = {new: replace(old[name], keypoint_set=sets[new]) for new, name in names.items()}
    if all(new == name for new, name in names.items()):
        return replace(network, header=replace(network.header, heads={**old, **heads}))
    state = network.model.state_dict()
    others = old.keys() - names.values() - heads.keys()
    heads |= {name: head for name, head in old.items() if name in others}
    header = replace(network.header, heads=heads)
    model = same_network(network.model, replace(network.model.config, heads=header.config().heads))
    moved = {key: value for key, value in state.items() if not key.startswith("heads.")}
    for name in heads:
        moved |= head_tensors(state, names.get(name, name), name)
    model.load_state_dict(moved)
    return replace(network, model=model.train(network.model.training), header=header)


def head_tensors(state: Mapping[str, Tensor], head: str, name: str) -> dict[str, Tensor]:
    """Return the tensors of a head of `state`, as those of a head called `name`."""
    start = f"heads.{head}."
    return {
        f"heads.{name}.{key.removeprefix(start)}": value
        for key, value in state.items()
        if key.startswith(start)
    }


def same_network(model: ViTPose, config: ViTPoseConfig) -> ViTPose:
    """Build a network of the kind of `model`, with weights of its own."""
    if isinstance(model, MaskedAutoencoder):
        return MaskedAutoencoder(config, model.pixels)
    return ViTPose(config)


def choose_attention(model: ViTPose, device: torch.device, dtype: torch.dtype) -> None:
    """Let full attention be computed in the way that learns fastest, in place.

    That is torch's fused kernel; in 16 bits on a CPU, where tokens are few, products of matrices.
    """
    width, height = model.config.grid_wh
    if device.type == "cpu" and dtype != torch.float32 and width * height <= FEW_TOKENS:
        for block in model.encoder.blocks:
            if hasattr(block.attn, "fused_attn"):
                block.attn.fused_attn = False

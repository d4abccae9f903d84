"""Experts of ViTPose+: a feed-forward layer whose last channels belong to one data set each.

Only the second linear layer is split (arXiv 2212.04246): its first rows are shared,
its last rows exist once per expert. With the expert fixed that is a plain layer, so a network that
serves one data set is folded and pays nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

_EXPERT_KEY = re.compile(r"(?P<layer>.+\.mlp\.)experts\.(?P<expert>\d+)\.(?P<kind>weight|bias)")
_OUTPUT_KEY = re.compile(r"(?P<layer>encoder\.blocks\.\d+\.mlp\.)fc2\.(?P<kind>weight|bias)")


class ExpertMlp(nn.Module):
    """A feed-forward layer with shared and per-expert output channels.

    Attributes:
        batch_sizes: How many consecutive samples of the batch go to each expert. The encoder sets
            it before it runs its blocks, because timm's block passes tokens alone.
    """

    batch_sizes: Sequence[int]

    def __init__(self, plain: Any, *, num_experts: int, expert_dim: int) -> None:
        """Split `plain`, a timm `Mlp`; every expert starts as a copy of its last rows.

        Args:
            plain: The layer to take over.
            num_experts: Number of experts.
            expert_dim: Output channels that belong to an expert.
        """
        super().__init__()
        hidden_dim, out_dim = plain.fc2.in_features, plain.fc2.out_features
        self.fc1: nn.Linear = plain.fc1
        self.act: nn.Module = plain.act
        self.fc2 = nn.Linear(hidden_dim, out_dim - expert_dim)
        self.experts = nn.ModuleList(nn.Linear(hidden_dim, expert_dim) for _ in range(num_experts))
        self.batch_sizes = ()
        shared, own = slice(None, -expert_dim), slice(-expert_dim, None)
        for layer, rows in [(self.fc2, shared), *((expert, own) for expert in self.experts)]:
            layer.load_state_dict({key: v[rows] for key, v in plain.fc2.state_dict().items()})

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, N, D) to the same shape.

        Every expert runs, be it on no sample, so that each has a gradient in distributed training.
        """
        hidden = self.act(self.fc1(tokens))
        parts = hidden.split(list(self.batch_sizes))
        own = [expert(part) for expert, part in zip(self.experts, parts, strict=True)]
        return torch.cat([self.fc2(hidden), torch.cat(own)], dim=-1)


def fold_experts(state: Mapping[str, Tensor], expert: int | None) -> dict[str, Tensor]:
    """Return the weights of the plain network that one expert amounts to.

    Args:
        state: Weights with `...mlp.fc2.*` (shared rows) and `...mlp.experts.<j>.*`, any prefix.
        expert: Index of the expert to keep; the others are dropped. None drops all, where one is
            folded in already.
    """
    folded = {key: value for key, value in state.items() if not _EXPERT_KEY.fullmatch(key)}
    for key, value in state.items():
        match = _EXPERT_KEY.fullmatch(key)
        if match and int(match["expert"]) == expert:
            output = f"{match['layer']}fc2.{match['kind']}"
            folded[output] = torch.cat([state[output], value])
    return folded


def pick_experts(state: Mapping[str, Tensor], experts: Sequence[int]) -> dict[str, Tensor]:
    """Return the tensors of experts alone, in a new order; one may come several times.

    Args:
        state: Weights with `...mlp.experts.<j>.*`, any prefix.
        experts: Which becomes number 0, 1 and so on.
    """
    picked = {}
    for key, value in state.items():
        match = _EXPERT_KEY.fullmatch(key)
        if match:
            for number, expert in enumerate(experts):
                if expert == int(match["expert"]):
                    picked[f"{match['layer']}experts.{number}.{match['kind']}"] = value
    return picked


def spread_experts(
    state: Mapping[str, Tensor], *, num_experts: int, expert_dim: int
) -> dict[str, Tensor]:
    """Return weights with experts from those of a plain network, each a copy of its last rows.

    So ViTPose+ starts from plain pretrained weights.

    Args:
        state: Weights of a plain network, in our layout.
        num_experts: Number of experts to make.
        expert_dim: Rows of `fc2` that belong to an expert.
    """
    spread = dict(state)
    for key, value in state.items():
        match = _OUTPUT_KEY.fullmatch(key)
        if match:
            spread[key] = value[:-expert_dim].clone()
            for expert in range(num_experts):
                own = f"{match['layer']}experts.{expert}.{match['kind']}"
                spread[own] = value[-expert_dim:].clone()
    return spread

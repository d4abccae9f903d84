"""How weights change: what is frozen, parameter groups, the learning rate over time.

AdamW is torch's. Groups are built here and not by timm's `param_groups_layer_decay`,
whose layer ids count from timm's own names and put the last norm elsewhere; the published weights
were made with the ids below (`mmcv_custom/layer_decay_optimizer_constructor.py` of the original).
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from vitpose_cli.models.vitpose import ViTPose
from vitpose_cli.training.config import FreezeOptions, OptimizerOptions, StageOptions, TrainConfig
from vitpose_cli.training.knowledge import learn_token_alone
from vitpose_cli.training.muon import Muon

_BLOCK = re.compile(r"encoder\.blocks\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class ParameterGroup:
    """Parameters that share a rate and a weight decay.

    Attributes:
        layer: Layer id: 0 for the embeddings, i + 1 for block i, depth + 1 for the rest.
        rate_scale: Factor of the learning rate.
        weight_decay: AdamW's weight decay.
        orthogonal: Whether Muon changes them.
        names: The parameters' names.
        parameters: The parameters.
    """

    layer: int
    rate_scale: float
    weight_decay: float
    orthogonal: bool
    names: list[str]
    parameters: list[nn.Parameter]


def parameter_groups(model: ViTPose, options: OptimizerOptions) -> list[ParameterGroup]:
    """Split the trainable parameters of `model` by layer, weight decay and optimiser.

    The rate of layer i is `layer_decay ** (depth + 1 - i)` times the rate of the heads.
    """
    depth = model.config.variant.depth
    decay = options.layer_decay or model.config.variant.layer_decay
    groups: dict[tuple[int, float, bool], ParameterGroup] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        layer = layer_id(name, depth)
        plain = parameter.ndim == 1 or name.endswith((".bias", "pos_embed", "knowledge_token"))
        weight_decay = 0.0 if plain else options.weight_decay
        orthogonal = options.kind == "muon" and 1 <= layer <= depth and parameter.ndim == 2
        group = groups.setdefault(
            (layer, weight_decay, orthogonal),
            ParameterGroup(layer, decay ** (depth + 1 - layer), weight_decay, orthogonal, [], []),
        )
        group.names.append(name)
        group.parameters.append(parameter)
    return list(groups.values())


def layer_id(name: str, depth: int) -> int:
    """Return the layer a parameter belongs to, 0 (embeddings) to depth + 1 (norm and heads)."""
    if name.startswith(("encoder.patch_embed.", "encoder.pos_embed")):
        return 0
    block = _BLOCK.match(name)
    return int(block[1]) + 1 if block else depth + 1


def build_optimizer(
    groups: Sequence[ParameterGroup], options: OptimizerOptions, device: torch.device
) -> Optimizer:
    """Return what changes the parameters of `groups`; rates are set at each step.

    AdamW is fused into one kernel on a GPU.
    """
    turned = [group for group in groups if group.orthogonal]
    adamw = torch.optim.AdamW(
        [_options(group) for group in groups if not group.orthogonal],
        lr=options.lr,
        betas=options.betas,
        fused=device.type == "cuda",
    )
    return (
        JoinedOptimizer([adamw, Muon([_options(group) for group in turned])]) if turned else adamw
    )


def _options(group: ParameterGroup) -> dict[str, Any]:
    return {
        "params": group.parameters,
        "weight_decay": group.weight_decay,
        "rate_scale": group.rate_scale,
    }


class JoinedOptimizer:
    """Optimisers of parts of a network that are stepped, skipped and saved as one."""

    def __init__(self, parts: Sequence[torch.optim.Optimizer | Muon]) -> None:
        self._parts = parts
        # As of each: torch's scaler then says what it found, instead of waiting for it.
        self._step_supports_amp_scaling = all(
            getattr(part, "_step_supports_amp_scaling", False) for part in parts
        )

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of all of them."""
        return [group for part in self._parts for group in part.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients."""
        for part in self._parts:
            part.zero_grad(set_to_none)

    def step(self) -> None:
        """Change all parameters."""
        names = [name for name in ("grad_scale", "found_inf") if hasattr(self, name)]
        for part in self._parts:
            for name in names:
                setattr(part, name, getattr(self, name))
            part.step()
            for name in names:
                delattr(part, name)

    def state_dict(self) -> dict[str, Any]:
        """Return what all of them remember."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        for part, own in zip(self._parts, state["parts"], strict=True):
            restore(part, own)


Optimizer = torch.optim.Optimizer | JoinedOptimizer
"""What changes a network's weights."""


def restore(optimizer: Optimizer | Muon, state: dict[str, Any]) -> None:
    """Take up what the `state_dict` of such an optimiser returned, maybe on another device.

    Moments and counts of steps are taken; how a step is computed, as fused into one kernel, is for
    this device to say.
    """
    if isinstance(optimizer, torch.optim.Optimizer):
        state = state | {"param_groups": optimizer.state_dict()["param_groups"]}
    optimizer.load_state_dict(state)


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Give every group its share of the learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate_scale"]


_PAPERS_MILESTONES, _PAPERS_EPOCHS = (170, 200), 210


@dataclass(frozen=True, slots=True)
class Schedule:
    """The learning rate of each step of one stage.

    Attributes:
        peak: The highest rate.
        num_steps: Length of the stage.
        steps_per_unit: Steps in what milestones count: those of an epoch, or 1.
        options: Warm-up and shape.
    """

    peak: float
    num_steps: int
    steps_per_unit: float
    options: OptimizerOptions

    @classmethod
    def of_stage(
        cls, stage: StageOptions, options: OptimizerOptions, steps_per_epoch: float
    ) -> Schedule:
        """Return the schedule of a stage whose epochs have so many steps."""
        if stage.steps is not None:
            return cls(stage.lr or options.lr, stage.steps, 1.0, options)
        steps = max(1, round((stage.epochs or 0) * steps_per_epoch))
        return cls(stage.lr or options.lr, steps, steps_per_epoch, options)

    def rate(self, step: int) -> float:
        """Return the rate of step `step`, counted from 0.

        The warm-up multiplies the shape, as mmcv's does: at step i of n it is
        1 - (1 - i / n) (1 - ratio).
        """
        options = self.options
        factor = 1.0
        if step < self.warmup_steps:
            factor = 1 - (1 - step / self.warmup_steps) * (1 - options.warmup_ratio)
        if options.schedule == "step":
            factor *= options.gamma ** sum(step >= mark for mark in self._falls())
        elif options.schedule == "cosine":
            share = 0.5 * (1 + math.cos(math.pi * step / self.num_steps))
            factor *= options.final_ratio + (1 - options.final_ratio) * share
        return self.peak * factor

    @property
    def warmup_steps(self) -> int:
        """Length of the warm-up: as asked for, and at most a fifth of the stage."""
        return min(self.options.warmup_steps, self.num_steps // 5)

    @property
    def highest(self) -> float:
        """The highest rate of all steps: `peak`, or where it falls while it warms up, less."""
        return max(self.rate(step) for step in range(self.warmup_steps + 1))

    def _falls(self) -> list[float]:
        """Return the steps at which the rate falls."""
        marks = self.options.milestones
        if marks is None:
            return [mark * self.num_steps / _PAPERS_EPOCHS for mark in _PAPERS_MILESTONES]
        return [mark * self.steps_per_unit for mark in marks]


def hold_still(
    model: ViTPose, config: TrainConfig, learnt: Collection[str] | None = None
) -> list[nn.Module]:
    """Freeze what a run's task and options want frozen, see `freeze`, and experts of nobody.

    Args:
        model: The network.
        config: The run.
        learnt: The heads that there is somebody to learn from for; all by default.
    """
    if config.task == "token":
        return learn_token_alone(model)
    heads = model.config.heads
    return freeze(model, config.freeze) + _freeze_experts(
        model, heads if learnt is None else learnt
    )


def _freeze_experts(model: ViTPose, learnt: Collection[str]) -> list[nn.Module]:
    """Freeze the experts of all other heads, and return them.

    An expert has a gradient even of nobody, see there, and weight decay would wear it down.
    """
    used = {head.expert for name, head in model.config.heads.items() if name in learnt}
    idle: list[nn.Module] = [
        expert
        for block in (model.encoder.blocks if model.config.num_experts else ())
        for number, expert in enumerate(block.mlp.experts)
        if number not in used
    ]
    for expert in idle:
        expert.requires_grad_(False)
    return idle


def freeze(model: ViTPose, options: FreezeOptions) -> list[nn.Module]:
    """Stop gradients of what shall not learn, and return the modules that hold it.

    They must also be kept in evaluation mode, as stochastic depth lives in the blocks.
    """
    encoder = model.encoder
    embeddings = [encoder.patch_embed]
    modules: list[Any] = []
    if options.encoder:
        modules += [encoder]
    if options.blocks:
        modules += [*embeddings, *encoder.blocks[: options.blocks]]
    for block in encoder.blocks:
        if options.attention:
            modules += [block.norm1, block.attn]
        if options.ffn:
            modules += [block.norm2, block.mlp]
    if options.ffn:
        modules += embeddings
    for module in modules:
        module.requires_grad_(False)
    if options.encoder or options.blocks or options.ffn:
        encoder.pos_embed.requires_grad_(False)
    return modules


def trainable_size(model: nn.Module) -> tuple[int, int]:
    """Return how many parameters learn, and how many there are."""
    every = list(model.parameters())
    return sum(one.numel() for one in every if one.requires_grad), sum(one.numel() for one in every)

"""One stage of training: the network, the optimiser, and a step.

The mathematics of a step and nothing else: no files, no clocks, no terminal. Chance within the
network (stochastic depth) is seeded at each step from the step's number, so that a stage that was
interrupted goes on with the same bits. A step whose gradient is not finite changes nothing, in any
number format, and no GPU waits to learn of it: torch's scaler leaves the weights alone; batch
statistics, which are changed on the way forward, are put back; and the average does not move.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from vitpose_cli.errors import ConfigError
from vitpose_cli.models.masked import MaskedAutoencoder
from vitpose_cli.models.vitpose import ViTPose
from vitpose_cli.training.average import MovingAverage
from vitpose_cli.training.batches import Batch, Targets
from vitpose_cli.training.config import DistillOptions, StageOptions, TrainConfig
from vitpose_cli.training.losses import heatmap_loss
from vitpose_cli.training.network import Network, choose_attention
from vitpose_cli.training.optim import (
    Schedule,
    build_optimizer,
    hold_still,
    parameter_groups,
    restore,
    set_rate,
)
from vitpose_cli.training.process import Placement

_SCALER_CONSTANTS = ("growth_factor", "backoff_factor", "growth_interval")
"""What tells the scaler of one number format from that of another, in its state."""

Parts = tuple[tuple[str, int], ...]
"""Which head reads how many consecutive crops of a batch."""


class HeadRouter(nn.Module):
    """A network whose heads, and experts if it has some, each see their own part of a batch."""

    def __init__(self, model: ViTPose) -> None:
        super().__init__()
        self.model = model

    def forward(self, crops: Tensor, parts: Parts) -> list[Tensor]:
        """Return the heatmaps (B_i, K_i, h, w) of each part of crops (B, 3, H, W)."""
        heads = self.model.config.heads
        runs = [(heads[head].expert, count) for head, count in parts]
        features = self.model.features(crops, expert=runs)
        own = torch.split(features, [count for _, count in parts])
        return [self.model.heads[head](part) for (head, _), part in zip(parts, own, strict=True)]


class Stage:
    """A network learning.

    Attributes:
        model: The network.
        options: The stage's part of the configuration.
        schedule: The learning rate.
    """

    def __init__(
        self,
        network: Network,
        config: TrainConfig,
        number: int,
        schedule: Schedule,
        placement: Placement,
        learnt: Collection[str] | None = None,
    ) -> None:
        """Make a network ready to learn.

        Args:
            network: The network; it is moved to the device.
            config: The run's configuration.
            number: Which stage, from 0.
            schedule: Its learning rate.
            placement: Where it learns.
            learnt: The heads that there is somebody for; all by default.
        """
        model, self._header = network.model, network.header
        self._device, self._dtype = placement.device, placement.dtype
        self._process = placement.process
        self.options: StageOptions = config.stages[number]
        self.schedule = schedule
        self._distill = config.distill or DistillOptions()
        self._clip_norm = config.optimizer.clip_norm
        self._seed = (config.seed, number, self._process.rank)
        self.model = model.to(self._device)
        choose_attention(self.model, self._device, self._dtype)
        self._frozen = hold_still(model, config, learnt)
        groups = parameter_groups(model, config.optimizer)
        self._parameters = [one for group in groups for one in group.parameters]
        self._optimizer: Any = build_optimizer(groups, config.optimizer, self._device)
        self._scaler = _scaler(self._device, self._dtype)
        self._average = None if config.ema is None else MovingAverage(model, config.ema)
        router: nn.Module = model if isinstance(model, MaskedAutoencoder) else HeadRouter(model)
        if config.compile:
            router.compile()
        if self._process.world_size > 1:
            devices = [self._device] if self._device.type == "cuda" else None
            several = len(model.heads) > 1  # a pass may have nobody for a head
            router = DistributedDataParallel(
                router, device_ids=devices, find_unused_parameters=several
            )
        self._router = router
        self.learning()

    def step(self, number: int, passes: Sequence[Batch]) -> tuple[Tensor, Tensor]:
        """Learn from one step's people.

        Args:
            number: The step, from 0.
            passes: This process's part of them.

        Returns:
            This process's share of the loss, and the length of the gradient of all; both on the
            device.
        """
        set_rate(self._optimizer, self.schedule.rate(number))
        seeds = np.random.SeedSequence((*self._seed, number))
        torch.manual_seed(int(seeds.generate_state(1, np.uint64)[0] >> np.uint64(1)))
        self._optimizer.zero_grad(set_to_none=True)
        before = [buffer.clone() for buffer in self.model.buffers()]
        total = torch.zeros((), device=self._device)
        for turn, batch in enumerate(passes):
            with self._together(turn == len(passes) - 1):
                loss = self._loss(batch)
                # Gradients of processes are averaged; the loss is a share of a sum.
                scaled = self._scaler.scale(loss * self._process.world_size)
                torch.autograd.backward(scaled)
            total += loss.detach()
        norm = self._gradient_norm()
        taken = torch.isfinite(norm)
        # The scaler looks at elements, whose norm may be infinite though they are not.
        asked = torch.where(taken, norm, torch.nan)
        nn.utils.clip_grads_with_norm_(self._parameters, self._clip_norm, asked)
        self._scaler.unscale_(self._optimizer)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        for buffer, old in zip(self.model.buffers(), before, strict=True):
            buffer.copy_(torch.where(taken, buffer, old))
        if self._average is not None:
            self._average.follow(number, taken)
        return total, norm

    def check_finite(self) -> None:
        """Refuse to let a network be saved that can be of no use.

        Raises:
            ConfigError: It has numbers that are not finite.
        """
        networks = [self.model] if self._average is None else [self.model, self._average.model]
        tensors = [pair for network in networks for pair in network.state_dict().items()]
        finite = torch.stack([torch.isfinite(value).all() for _, value in tensors]).tolist()
        lost = [name for (name, _), each in zip(tensors, finite, strict=True) if not each]
        if lost:
            raise ConfigError(
                f"The network has numbers that are not finite, as in {lost[0]}: it has diverged, "
                "and is not saved.",
                "Lower the learning rate, in another folder; what was saved in this one before "
                "stays as it was.",
            )

    @property
    def network(self) -> Network:
        """The network to measure, save and go on from: the moving average where there is one."""
        chosen = self.model if self._average is None else self._average.model
        return Network(chosen, self._header)

    def evaluating(self) -> ViTPose:
        """Return the module of `network` in evaluation mode; `learning` goes back."""
        return self.network.model.eval()

    def learning(self) -> None:
        """Go to training mode, at first and after `evaluating`; what is frozen stays as it is."""
        self.model.train()
        for module in self._frozen:
            module.eval()

    def state_dict(self) -> dict[str, Any]:
        """Return all that a step depends on."""
        return {
            "model": self.model.state_dict(),
            "average": None if self._average is None else self._average.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` returned, on this or another device or number format."""
        self.model.load_state_dict(state["model"])
        if self._average is not None:
            self._average.model.load_state_dict(state["average"])
        restore(self._optimizer, state["optimizer"])
        own, theirs = self._scaler.state_dict(), state["scaler"]
        if all(own.get(name) == theirs.get(name) for name in _SCALER_CONSTANTS):
            self._scaler.load_state_dict(theirs)

    def _loss(self, batch: Batch) -> Tensor:
        """Return this pass's share of the step's loss: over heads, the sum of their means."""
        if batch.order is not None:
            with self._autocast():
                errors: Tensor = self._router(batch.crops, batch.order)
            return errors.sum() / (self.options.batch_size * errors.shape[1])
        parts = tuple((one.share.course.head, len(one.weights)) for one in batch.targets)
        with self._autocast():
            maps = self._router(batch.crops, parts)
        losses = [
            self._head_loss(own.float(), target)
            for own, target in zip(maps, batch.targets, strict=True)
        ]
        return torch.stack(losses).sum()

    def _head_loss(self, maps: Tensor, target: Targets) -> Tensor:
        """Return what one head's maps are wrong by, against the labels and against a teacher."""
        options, share, lesson = self.options.loss, target.share, target.lesson
        loss = heatmap_loss(maps, target.maps, target.weights, options) / share.size
        if lesson is None:
            return loss
        weights = lesson.weights
        if options.kind == "cross_entropy":  # which cannot see that a teacher sees nothing
            weights = weights * lesson.maps.amax(dim=(2, 3)).clamp(0, 1)
        taught = heatmap_loss(maps, lesson.maps, weights, options) / share.lesson_size
        return self._distill.truth * loss + self._distill.weight * taught

    def _gradient_norm(self) -> Tensor:
        """Return the length of the gradient, no longer scaled."""
        gradients = [one.grad for one in self._parameters if one.grad is not None]
        scale = self._scaler.scale(torch.ones((), device=self._device))
        norm: Tensor = nn.utils.get_total_norm(gradients) / scale
        return norm

    def _autocast(self) -> torch.autocast:
        """Compute products in the run's number format."""
        return torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32)

    def _together(self, last: bool) -> Any:
        """Talk to the other processes in the last pass of a step only."""
        if isinstance(self._router, DistributedDataParallel) and not last:
            return self._router.no_sync()
        return nullcontext()


def _scaler(device: torch.device, dtype: torch.dtype) -> torch.amp.GradScaler:
    """Return what keeps fp16 gradients in range, and skips steps that are not finite."""
    if dtype == torch.float16:
        return torch.amp.GradScaler(device.type)
    # Scale 1 for ever: only the check is wanted.
    scaler = torch.amp.GradScaler(
        device.type, init_scale=1.0, growth_interval=2**31 - 1, enabled=device.type != "mps"
    )
    scaler.set_backoff_factor(1.0)
    return scaler

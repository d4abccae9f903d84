"""Three steps of training against the same steps by hand, in float64 and with no code of ours.

What the parts' own tests hold one by one is held here together: attention in windows, experts, both
decoders, both losses, a teacher's maps, what is frozen, several passes, a cut gradient, AdamW with
a rate for each layer, and the moving average.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from training_cases import small_run, some_people

from vitpose_cli.config import parse_config
from vitpose_cli.pose.heatmaps import HeatmapCodec
from vitpose_cli.pose.keypoints import KEYPOINT_SETS
from vitpose_cli.training.batches import Batch, Batches
from vitpose_cli.training.config import TrainConfig
from vitpose_cli.training.courses import Course, Lesson, Share
from vitpose_cli.training.crops import HostCrops
from vitpose_cli.training.optim import Schedule
from vitpose_cli.training.process import Placement
from vitpose_cli.training.stage import Stage
from vitpose_cli.training.start import build_network

WIDTH, HEIGHT, STEPS = 64, 80, 3
DIM, DEPTH, HEADS = 64, 4, 4
RATE, DECAY, LAYER_DECAY, CLIP, EMA = 2e-3, 0.2, 0.7, 0.5, 0.9
WEIGHT, FOREGROUND, TRUTH, TAUGHT = 50.0, 3.0, 1.3, 0.7
WINDOW_WH = (3, 2)


@dataclass(frozen=True)
class Case:
    head: str
    stride: int = 16
    pattern: str = "full"
    frozen: str = ""
    names: tuple[str, ...] = ("coco", "mpii")
    kind: str = "mse"
    passes: int = 1

    def config(self) -> TrainConfig:
        mse = {"weight": WEIGHT, "foreground": FOREGROUND}
        stage = {
            "input_wh": [WIDTH, HEIGHT], "steps": 5, "batch_size": 8, "accumulate": self.passes,
            "loss": {"kind": self.kind, **(mse if self.kind == "mse" else {})},
        }  # fmt: skip
        model = {
            "variant": "tiny-test", "head": self.head, "drop_path": 0.0, "stride": self.stride,
            "experts": len(self.names) > 1,
            "attention": {"pattern": self.pattern, "window_wh": list(WINDOW_WH)},
        }  # fmt: skip
        optimizer = {
            "lr": RATE, "warmup_steps": 2, "schedule": "cosine", "layer_decay": LAYER_DECAY,
            "clip_norm": CLIP, "weight_decay": DECAY,
        }  # fmt: skip
        values = small_run(
            Path(), model=model, optimizer=optimizer, ema={"decay": EMA},
            stages=[stage, {"input_wh": [WIDTH, HEIGHT], "steps": 1}],
            freeze={self.frozen: True} if self.frozen else {},
            distill={"teacher": "somebody", "weight": TAUGHT, "truth": TRUTH},
        )  # fmt: skip
        return parse_config(TrainConfig, values)

    def learns(self, name: str) -> bool:
        parts = {
            "attention": (".norm1.", ".attn."),
            "ffn": (".norm2.", ".mlp.", "patch_embed", "pos_embed"),
        }
        return not any(part in name for part in parts.get(self.frozen, ()))


def says(share: Share, crops: Tensor) -> Lesson:
    """Say anything about people, the same of the same."""
    generator = torch.Generator().manual_seed(int(share.rows.sum()))
    shape = (len(share.rows), share.course.people.keypoint_set.num_keypoints)
    maps = torch.rand((*shape, HEIGHT // 4, WIDTH // 4), generator=generator) - 0.1
    return Lesson(maps, (torch.rand(shape, generator=generator) > 0.3).float())


def opened(case: Case) -> tuple[Stage, Batches]:
    config = case.config()
    sets = {name: KEYPOINT_SETS[name] for name in case.names}
    torch.manual_seed(0)
    network = build_network(config.model, sets, (WIDTH, HEIGHT))
    with torch.no_grad():  # no bias is 0, no norm is 1, no experts are alike
        for value in network.model.parameters():
            value.add_(0.05 * torch.randn(value.shape))
    codec = HeatmapCodec((WIDTH, HEIGHT), (WIDTH // 4, HEIGHT // 4), "udp")
    courses = []
    for name, keypoint_set in sets.items():
        people, pictures = some_people(8)
        count = keypoint_set.num_keypoints
        own = replace(
            people,
            keypoint_set=keypoint_set,
            keypoints=people.keypoints[:, :count],
            weights=people.weights[:, :count],
            repeats=np.ones(8, np.float32),
        )
        courses.append(Course(name, own, HostCrops(pictures), codec, says))
    cpu = torch.device("cpu")
    batches = Batches(courses, config.stages[0], config.augmentation, (0,), cpu)
    schedule = Schedule.of_stage(config.stages[0], config.optimizer, batches.steps_per_epoch)
    return Stage(network, config, 0, schedule, Placement(cpu)), batches


@dataclass
class ByHand:
    """The network, the optimiser and the average, written once more."""

    case: Case
    values: dict[str, Tensor]
    average: dict[str, Tensor]
    moments: dict[str, tuple[Tensor, Tensor]]
    buffers: dict[str, Tensor] = field(default_factory=dict)

    def step(self, number: int, passes: Sequence[Batch]) -> tuple[float, float]:
        """Take a step; return its loss and the length of its gradient."""
        self.leaves = {
            name: value.clone().requires_grad_(name in self.moments)
            for name, value in self.values.items()
        }
        self.buffers = {name: v for name, v in self.values.items() if "running" in name}
        loss = self._loss(passes)
        torch.autograd.backward(loss)
        gradients = {
            name: torch.zeros_like(self.values[name]) if leaf.grad is None else leaf.grad
            for name, leaf in self.leaves.items()
            if name in self.moments
        }
        norm = math.sqrt(sum(float(one.square().sum()) for one in gradients.values()))
        rate = RATE * (0.01 + 0.99 * (1 + math.cos(math.pi * number / 5)) / 2)
        rate *= 0.001 if number == 0 else 1  # warms up for a fifth of five steps
        for name, gradient in gradients.items():
            self._change(name, gradient * min(1.0, CLIP / norm), rate, number + 1)
        self.values |= self.buffers
        keep = min(EMA, 1 - (1 + number) ** (-2 / 3))
        for name, mean in self.average.items():
            self.average[name] = keep * mean + (1 - keep) * self.values[name]
        return float(loss.detach()), norm

    def _change(self, name: str, gradient: Tensor, rate: float, count: int) -> None:
        """AdamW, with a rate for each layer."""
        if name.startswith(("encoder.patch_embed", "encoder.pos_embed")):
            layer = 0
        else:
            layer = int(name.split(".")[2]) + 1 if ".blocks." in name else DEPTH + 1
        rate *= LAYER_DECAY ** (DEPTH + 1 - layer)
        value, (first, second) = self.values[name], self.moments[name]
        first.lerp_(gradient, 0.1)
        second.lerp_(gradient.square(), 0.001)
        scale = (second / (1 - 0.999**count)).sqrt() + 1e-8
        plain = value.ndim == 1 or name.endswith("pos_embed")
        worn = value * (1 - rate * (0 if plain else DECAY))
        self.values[name] = worn - rate * first / (1 - 0.9**count) / scale

    def _loss(self, passes: Sequence[Batch]) -> Tensor:
        """Over heads the sum of means over all people of the step, against both truths."""
        targets = [target for batch in passes for target in batch.targets]
        loss = torch.zeros((), dtype=torch.float64)
        maps = [found for batch in passes for found in self._maps(batch)]
        for found, target in zip(maps, targets, strict=True):
            alike = [one for one in targets if one.share.course.head == target.share.course.head]
            count = sum(one.weights.numel() for one in alike)
            known = max(1.0, sum(float(one.weights.sum()) for one in alike))
            lesson = target.lesson
            assert lesson is not None
            if self.case.kind == "mse":
                sizes = [count * found[0, 0].numel()] * 2
                own = _squares(found, target.maps, target.weights) / sizes[0]
                taught = _squares(found, lesson.maps, lesson.weights) / sizes[1]
            else:
                own = _entropy(found, target.maps, target.weights) / known
                heights = lesson.maps.amax(dim=(2, 3)).clamp(0, 1)
                taught = _entropy(found, lesson.maps, lesson.weights * heights) / count
            loss = loss + TRUTH * own + TAUGHT * taught
        return loss

    def _linear(self, tokens: Tensor, name: str) -> Tensor:
        return tokens @ self.leaves[f"{name}.weight"].T + self.leaves[f"{name}.bias"]

    def _norm(self, tokens: Tensor, name: str) -> Tensor:
        apart = tokens - tokens.mean(dim=-1, keepdim=True)
        deviation = (apart.square().mean(dim=-1, keepdim=True) + 1e-6).sqrt()
        return apart / deviation * self.leaves[f"{name}.weight"] + self.leaves[f"{name}.bias"]

    def _maps(self, batch: Batch) -> Iterator[Tensor]:
        stride = self.case.stride
        tokens = F.conv2d(
            batch.crops.double(),
            self.leaves["encoder.patch_embed.proj.weight"],
            self.leaves["encoder.patch_embed.proj.bias"],
            stride=stride,
            padding=4 if stride == 8 else 0,
        )
        tokens = tokens.flatten(2).transpose(1, 2) + self.leaves["encoder.pos_embed"]
        heads = [one.share.course.head for one in batch.targets for _ in one.weights]
        for number in range(DEPTH):
            block = f"encoder.blocks.{number}"
            tokens = tokens + self._attention(self._norm(tokens, f"{block}.norm1"), number)
            hidden = self._linear(self._norm(tokens, f"{block}.norm2"), f"{block}.mlp.fc1")
            hidden = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2
            change = self._linear(hidden, f"{block}.mlp.fc2")
            if len(self.case.names) > 1:
                experts = [f"{block}.mlp.experts.{self.case.names.index(name)}" for name in heads]
                own = [self._linear(*pair) for pair in zip(hidden, experts, strict=True)]
                change = torch.cat([change, torch.stack(own)], dim=-1)
            tokens = tokens + change
        grid = self._norm(tokens, "encoder.norm").transpose(1, 2)
        grid = grid.reshape(len(tokens), DIM, HEIGHT // stride, WIDTH // stride)
        parts = torch.split(grid, [len(one.weights) for one in batch.targets])
        for part, one in zip(parts, batch.targets, strict=True):
            yield self._decoded(part, f"heads.{one.share.course.head}")

    def _decoded(self, grid: Tensor, head: str) -> Tensor:
        final = (self.leaves[f"{head}.final.weight"], self.leaves[f"{head}.final.bias"])
        if self.case.head == "simple":
            scale = self.case.stride // 4
            return F.conv2d(
                F.interpolate(grid.relu(), scale_factor=scale, mode="bilinear"), *final, padding=1
            )
        for number in range(1, 3 if self.case.stride == 16 else 2):
            kernel, norm = self.leaves[f"{head}.deconv{number}.weight"], f"{head}.bn{number}"
            grid = F.conv_transpose2d(grid, kernel, stride=2, padding=1)
            mean, spread = grid.mean(dim=(0, 2, 3)), grid.var(dim=(0, 2, 3), correction=0)
            count = grid.numel() / grid.shape[1]
            for name, value in (("mean", mean), ("var", spread * count / (count - 1))):
                old = self.buffers[f"{norm}.running_{name}"]
                self.buffers[f"{norm}.running_{name}"] = 0.9 * old + 0.1 * value.detach()
            grid = (grid - mean[:, None, None]) / (spread[:, None, None] + 1e-5).sqrt()
            weight, bias = (
                self.leaves[f"{norm}.{one}"][:, None, None] for one in ("weight", "bias")
            )
            grid = (grid * weight + bias).relu()
        return F.conv2d(grid, *final)

    def _attention(self, tokens: Tensor, block: int) -> Tensor:
        name = f"encoder.blocks.{block}.attn"
        seen, pools = self._sight(block)
        context = [tokens[:, pool].mean(dim=1, keepdim=True) for pool in pools]
        asked = self._linear(tokens, f"{name}.qkv")
        known = self._linear(torch.cat([tokens, *context], dim=1), f"{name}.qkv")
        found = []
        for head in range(HEADS):
            query, key, value = (
                one[..., part * DIM + head * 16 : part * DIM + head * 16 + 16]
                for part, one in enumerate((asked, known, known))
            )
            product = (query @ key.mT / 4).masked_fill(~seen, -math.inf)
            found.append(product.softmax(dim=-1) @ value)
        return self._linear(torch.cat(found, dim=-1), f"{name}.proj")

    def _sight(self, block: int) -> tuple[Tensor, list[list[int]]]:
        """Return which token sees which token and mean, and of which tokens these are the mean."""
        pattern, side = self.case.pattern, self.case.stride
        across, down = WIDTH // side, HEIGHT // side
        places = [(index % across, index // across) for index in range(across * down)]
        if pattern == "full":
            return torch.ones(len(places), len(places), dtype=torch.bool), []
        wide, high = WINDOW_WH
        right, low = (wide // 2, high // 2) if "shift" in pattern and block % 2 else (0, 0)
        whole_x, whole_y = math.ceil(across / wide) * wide, math.ceil(down / high) * high
        windows = [
            ((x - right) % whole_x // wide, (y - low) % whole_y // high, x < right, y < low)
            for x, y in places
        ]
        seen = torch.tensor([[one == other for other in windows] for one in windows])
        pools: dict[tuple[int, int], list[int]] = {}
        for index, (x, y) in enumerate(places if "pool" in pattern else ()):
            pools.setdefault((y // high, x // wide), []).append(index)
        return F.pad(seen, (0, len(pools)), value=True), list(pools.values())


def _squares(found: Tensor, wanted: Tensor, weights: Tensor) -> Tensor:
    wanted = wanted.double()
    squares = (found - wanted).square() * (1 + FOREGROUND * wanted.clamp(min=0))
    return WEIGHT * (squares.sum(dim=(2, 3)) * weights.double()).sum()


def _entropy(found: Tensor, wanted: Tensor, weights: Tensor) -> Tensor:
    shares = wanted.double().clamp(min=0).flatten(2)
    shares = (shares / shares.sum(dim=-1, keepdim=True)).nan_to_num()
    chances = found.flatten(2) - found.flatten(2).logsumexp(dim=-1, keepdim=True)
    return -((shares * chances).sum(dim=-1) * weights.double()).sum()


def doubled(state: dict[str, Any]) -> dict[str, Tensor]:
    return {
        name: value.detach().double().clone()
        for name, value in state.items()
        if value.is_floating_point()
    }


@pytest.mark.parametrize(
    "case",
    [
        Case("simple", frozen="attention", passes=2),
        Case("classic", frozen="ffn", names=("coco",)),
        Case("classic", stride=8, pattern="window+shift+pool"),
        Case("simple", stride=8, pattern="window+shift", kind="cross_entropy", names=("coco",)),
        Case("simple", stride=8, pattern="window+pool", kind="cross_entropy", passes=2),
    ],
    ids=lambda case: f"{case.head}-{case.pattern}-{case.kind}",
)
def test_steps_are_those_of_plain_torch(case: Case) -> None:
    stage, batches = opened(case)
    before = doubled(stage.model.state_dict())
    learning = {name for name, value in stage.model.named_parameters() if value.requires_grad}
    assert learning == {name for name, _ in stage.model.named_parameters() if case.learns(name)}
    moments = {name: (torch.zeros_like(before[name]),) * 2 for name in learning}
    moments = {name: (first, second.clone()) for name, (first, second) in moments.items()}
    own = ByHand(case, dict(before), dict(before), moments)
    for number, passes in enumerate(batches.ahead(0, STEPS)):
        loss, norm = own.step(number, passes)
        found, length = stage.step(number, passes)
        assert float(found) == pytest.approx(loss, rel=2e-5)
        assert float(length) == pytest.approx(norm, rel=1e-3)
    for state, expected in (
        (stage.model.state_dict(), own.values),
        (stage.network.weights, own.average),
    ):
        for name, value in expected.items():
            moved = float((value - before[name]).norm())
            if moved < 1e-7 and name in learning:
                continue  # a choice among pixels does not see a bias: its gradient is rounding
            error = float((state[name].double() - value).norm())
            assert error <= 1e-2 * moved + 1e-6, (name, error, moved)

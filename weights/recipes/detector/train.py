"""Train a person detector from scratch on a pack of `prepare_data.py`, on a GPU or a CPU.

    python train.py pack.npz --out run/ --minutes 9

The same command goes on where an earlier one stopped. The rate follows the share of the time (or
steps) that is over, so a run uses exactly what it is given on any machine. Needs torch,
torchvision, numpy, OpenCV and safetensors, and of the project a checkout, not an installation.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from augment import Augmenter
from distillation import DenseTeacher, StemReader, hint_loss
from findings import find_in_photos, summary
from loss import Places, detection_loss
from measure import match
from pack import read_pack
from safetensors.torch import load_file
from store import PhotoStore
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from vitpose_cli.models.person_fcos import PERSON_FCOS, STRIDES, build_person_fcos
from vitpose_cli.runtime import has_fast

_WARM_UP, _CALM = 0.02, 0.85
"""Shares of the run: until the rate is full, and from which on pictures are nearly plain photos."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train; the arguments of the command line, whose help says what each means."""

    pack: Path
    out: Path
    network: str
    start: Path | None
    teacher: Path | None
    stem_weight: float
    side: int
    canvas: int
    batch: int
    minutes: float
    call_minutes: float
    steps: int
    rate: float
    decay: float
    ema: float
    mosaic: float
    paste: float
    crop_share: float
    seed: int
    threads: int
    check_minutes: float
    compile: bool
    device: str


class Trainer:
    """A network on its way: weights, their moving average, the optimiser, and how far it is."""

    def __init__(self, plan: Plan) -> None:
        """Build everything anew, then take up an earlier run's state if there is one."""
        torch.manual_seed(plan.seed)
        self.plan, self.device = plan, torch.device(plan.device)
        photos = read_pack(plan.pack)
        trained = [photo for photo in photos if not photo.held_out]
        self.held_out = [photo for photo in photos if photo.held_out]
        self.store = PhotoStore.load(
            trained, plan.canvas, self.device, plan.crop_share, plan.threads
        )
        self.augmenter = Augmenter(self.store, plan.seed)
        network: Any = start_network(plan.network)
        if plan.start is not None:
            network.load_state_dict(load_file(plan.start))
        # On the CPU torch's backward pass of this layout crashed (2.15), and it is no faster there.
        cuda = self.device.type == "cuda"
        self._layout = torch.channels_last if cuda else torch.contiguous_format
        self.network: Any = network.to(self.device, memory_format=self._layout)
        self.average: Any = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.teacher = DenseTeacher(plan.teacher, plan.threads) if plan.teacher else None
        self.reader = StemReader(PERSON_FCOS[plan.network].pyramid_width).to(self.device)
        learning = nn.ModuleList([self.network, self.reader])
        self.optimizer = torch.optim.AdamW(parameter_groups(learning, plan.decay), lr=plan.rate)
        self.step, self.elapsed_s = 0, 0.0
        # One graph for each of the three sides: a graph for all of them is several times slower.
        compiled = torch.compile(self._eager_answer, dynamic=False) if plan.compile else None
        self._answer = compiled or self._eager_answer
        self._places: dict[int, Places] = {}
        if self.checkpoint_path.is_file():
            self._resume()

    @property
    def checkpoint_path(self) -> Path:
        """Where the state is kept."""
        return self.plan.out / "checkpoint.pt"

    @property
    def progress(self) -> float:
        """Share of the run that is over, [0, 1]."""
        if self.plan.steps:
            return min(1.0, self.step / self.plan.steps)
        return min(1.0, self.elapsed_s / (self.plan.minutes * 60))

    def train(self) -> None:
        """Train to the end, and check and save now and then."""
        last = started = time.monotonic()
        checked_s, done_s, losses = 0.0, self.elapsed_s, []
        call_s = 60 * (self.plan.call_minutes or math.inf)
        while self.progress < 1 and time.monotonic() - started < call_s:
            losses.append(self.take_step())
            now = time.monotonic()
            self.elapsed_s = done_s + now - started
            if self.step % 50 == 0:
                self._log_pace(losses, now - last)
                last, losses = now, []
            if now - started - checked_s > self.plan.check_minutes * 60:
                self.check_and_save()
                checked_s = time.monotonic() - started
        self.check_and_save()

    def _log_pace(self, losses: Sequence[dict[str, Tensor]], taken_s: float) -> None:
        """Log the mean losses of some steps and how fast they were."""
        mean = {key: float(torch.stack([loss[key] for loss in losses]).mean()) for key in losses[0]}
        line = {
            "step": self.step,
            "progress": round(self.progress, 4),
            "pictures_per_s": round(len(losses) * self.plan.batch / taken_s, 1),
            **{key: round(value, 4) for key, value in mean.items()},
        }
        self._log(line)

    def take_step(self) -> dict[str, Tensor]:
        """Train on one batch; return the parts of its loss."""
        plan, progress = self.plan, self.progress
        warm = min(1.0, progress / _WARM_UP, (self.step + 1) / 100)
        rate = plan.rate * warm * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        calm = progress >= _CALM
        step_px = STRIDES[-1]
        steps = torch.randint(-1, 2, (), generator=torch.Generator().manual_seed(self.step))
        side = max(step_px * 2, plan.side + step_px * int(steps) * (plan.side >= 320))
        with torch.no_grad():
            batch = self.augmenter.make(
                plan.batch,
                side,
                mosaic=plan.mosaic * (0.2 if calm else 1),
                paste=plan.paste * (0.3 if calm else 1),
            )
        images = self._normalise(batch.images)
        with self._precision():
            features, answers = self._answer(images)
        places = self._places_of(images, features)
        parts = detection_loss(answers, places, batch.boxes, batch.weights)
        if self.teacher is not None:
            hints = self.teacher.look_at(batch.images, places)
            parts |= hint_loss(answers, places, hints)
            parts["hint_stem"] = plan.stem_weight * self.reader(features, hints.stems)
        loss: Any = torch.stack(list(parts.values())).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        self.step += 1
        self._average_weights()
        return {key: value.detach() for key, value in parts.items()}

    def check_and_save(self) -> None:
        """Measure the averaged weights on the held-out photos and save everything."""
        found = find_in_photos(self.average, self.held_out, self.plan.side, self.device)
        measured = match(found)
        pairs = zip(found, self.held_out, strict=True)
        true = match([result for result, photo in pairs if photo.is_true] or found)
        self._log(
            {
                "step": self.step,
                "minutes": round(self.elapsed_s / 60, 2),
                "held_out": summary(measured),
                "held_out_true_boxes": summary(true),
            }
        )
        self.plan.out.mkdir(parents=True, exist_ok=True)
        temporary = self.checkpoint_path.with_suffix(".part")
        state = {
            "network_name": self.plan.network,
            "side": self.plan.side,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "reader": self.reader.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": self.augmenter.generator.get_state(),
            "step": self.step,
            "elapsed_s": self.elapsed_s,
        }
        torch.save(state, temporary)
        temporary.replace(self.checkpoint_path)
        small = {key: state[key] for key in ("network_name", "side", "average")}
        torch.save(small, self.plan.out / "average.pt")

    def _resume(self) -> None:
        # On a GPU AdamW's count of steps would be waited for, twice for each parameter and step.
        state = torch.load(self.checkpoint_path, map_location="cpu", weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.reader.load_state_dict(state["reader"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.augmenter.generator.set_state(state["random"])
        self.step, self.elapsed_s = state["step"], state["elapsed_s"]

    def _eager_answer(self, images: Tensor) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Return the features of the levels, and what the heads make of them."""
        features = list(self.network.backbone(images).values())
        return features, self.network.head(features)

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        if not has_fast(torch.bfloat16, self.device):
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def _normalise(self, images: Tensor) -> Tensor:
        transform = self.network.transform
        mean, std = (torch.tensor(values, device=self.device)[None, :, None, None]
                     for values in (transform.image_mean, transform.image_std))  # fmt: skip
        return ((images - mean) / std).contiguous(memory_format=self._layout)

    def _places_of(self, images: Tensor, features: list[Tensor]) -> Places:
        """Return where the network answers, by the very anchors of its inference."""
        side = images.shape[-1]
        if side not in self._places:
            listed = ImageList(images[:1], [(side, side)])
            # Anchors come in the type of the features, and bfloat16 counts in steps of 2 px.
            full = [feature.detach().float() for feature in features]
            [anchors] = self.network.anchor_generator(listed, full)
            self._places[side] = Places.of_anchors(anchors)
        return self._places[side]

    def _average_weights(self) -> None:
        """Move the averaged weights a little, at first faster, towards the present ones."""
        keep = min(self.plan.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, now in zip(
                self.average.state_dict().values(), self.network.state_dict().values(), strict=True
            ):
                if mean.is_floating_point():
                    mean.lerp_(now, 1 - keep)
                else:
                    mean.copy_(now)

    def _log(self, line: dict[str, Any]) -> None:
        self.plan.out.mkdir(parents=True, exist_ok=True)
        print(json.dumps(line), flush=True)
        with (self.plan.out / "log.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")


def start_network(name: str) -> nn.Module:
    """Build a network whose first answers are boxes of four strides and no people.

    torchvision counts the background as a class with an output of its own; it is shut off here.
    """
    network: Any = build_person_fcos(PERSON_FCOS[name], num_classes=2)
    for module in network.backbone.body.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    for module in network.head.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
    last = network.head.classification_head.cls_logits
    regression = network.head.regression_head
    for module in (last, regression.bbox_reg, regression.bbox_ctrness):
        nn.init.normal_(module.weight, std=0.01)
    nn.init.constant_(regression.bbox_reg.bias, 3.0)
    nn.init.constant_(last.bias, -4.0)
    with torch.no_grad():
        last.weight[0], last.bias[0] = 0.0, -30.0
    trained: nn.Module = network
    return trained


def parameter_groups(network: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Return the parameters for an optimiser: only matrices and kernels decay."""
    parameters = [value for value in network.parameters() if value.requires_grad]
    return [
        {"params": [value for value in parameters if value.ndim > 1], "weight_decay": decay},
        {"params": [value for value in parameters if value.ndim <= 1], "weight_decay": 0.0},
    ]


def read_plan(arguments: Sequence[str] | None = None) -> Plan:
    """Read the command line."""
    cuda = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("pack", type=Path)
    add("--out", type=Path, required=True, help="folder of the run")
    add("--network", choices=sorted(PERSON_FCOS), default="person_fcos_small")
    add("--start", type=Path, help="weights file of this network to start from")
    add("--teacher", type=Path, help="YOLOX-nano as .onnx, to be shown every picture")
    add("--stem-weight", type=float, default=4.0, help="of learning what goes into its heads")
    add("--side", type=int, default=448, help="of the pictures, px; a multiple of 64")
    add("--canvas", type=int, default=448, help="px up to which photos are kept")
    add("--batch", type=int, default=128)
    add("--minutes", type=float, default=9.0, help="length of the run, earlier parts included")
    add("--call-minutes", type=float, default=0.0, help="stop earlier, to be gone on with later")
    add("--steps", type=int, default=0, help="length in steps instead")
    add("--rate", type=float, default=2e-3, help="highest learning rate")
    add("--decay", type=float, default=0.05, help="weight decay")
    add("--ema", type=float, default=0.999, help="inertia of the averaged weights")
    add("--mosaic", type=float, default=0.6, help="share of pictures made of four photos")
    add("--paste", type=float, default=0.4, help="share of pictures with a pasted person")
    add("--crop-share", type=float, default=0.25, help="how often a crop is drawn, photo = 1")
    add("--seed", type=int, default=0)
    add("--threads", type=int, default=16, help="that decode photos")
    add("--check-minutes", type=float, default=2.0, help="between measurements")
    add("--compile", action="store_true", help="let torch.compile fuse the network")
    add("--device", default="cuda" if cuda else "cpu")
    return Plan(**vars(parser.parse_args(arguments)))


def main(arguments: Sequence[str] | None = None) -> float:
    """Run the command line; return the share of the run that is over, 1 at its end."""
    torch.backends.cudnn.benchmark = True
    trainer = Trainer(read_plan(arguments))
    trainer.train()
    return trainer.progress


if __name__ == "__main__":
    main()

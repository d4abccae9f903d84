"""How fast training is: `vitpose train`, and the same network in a plain loop.

    python benchmarks/train_speed.py --annotations FILE --images FOLDER [--variant tiny]
        [--input 192x256] [--batch-size 32] [--steps 20] [--device auto]

The plain loop is how ViTPose was trained: a torch DataLoader whose workers read each photo, mirror
it, warp it once more and draw targets in numpy, keypoint by keypoint. Both see the same people with
the same augmentation of geometry; network, optimiser and number format are the same. Each runs in a
process of its own and prints a line of JSON: people a second, the share of the time spent waiting
for data, peak memory (of a GPU, or of the process and its workers), processor time, and how much of
the device's measured rate of matrix products the network's own arithmetic comes to.
On a GPU: --variant base --batch-size 256 --steps 50 --cache device --workers 8.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from vitpose_cli.config import parse_config
from vitpose_cli.models.normalisation import IMAGENET_MEAN, IMAGENET_STD
from vitpose_cli.models.vitpose import ViTPose
from vitpose_cli.pose.heatmaps import HeatmapCodec
from vitpose_cli.pose.keypoints import KEYPOINT_SETS
from vitpose_cli.training.batches import Batches
from vitpose_cli.training.config import TrainConfig
from vitpose_cli.training.courses import Course
from vitpose_cli.training.data import load_material, open_data
from vitpose_cli.training.data_options import CocoSource
from vitpose_cli.training.losses import weighted_squares
from vitpose_cli.training.metrics import peak_memory_mib
from vitpose_cli.training.optim import Schedule, build_optimizer, parameter_groups, set_rate
from vitpose_cli.training.people import People
from vitpose_cli.training.process import Placement
from vitpose_cli.training.sources import open_data_source
from vitpose_cli.training.stage import Stage
from vitpose_cli.training.start import build_network

WARM_UP = 3
"""Steps that are not measured."""


class PlainDataset(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """People read, mirrored and warped one by one, as mmpose 0.24 does."""

    def __init__(self, people: People, photos: list[Path], input_wh: tuple[int, int]) -> None:
        self.people, self.photos, self.input_wh = people, photos, input_wh

    def __len__(self) -> int:
        return 1 << 20

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        row = index % len(self.people)
        people, (width, height) = self.people, self.input_wh
        random = np.random.default_rng(index)
        image = cv2.imread(str(self.photos[people.images[row]]))
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        x0, y0, x1, y1 = people.boxes[row].astype(np.float64)
        points, seen = people.keypoints[row].astype(np.float64), people.weights[row] > 0
        centre, size = np.array([x0 + x1, y0 + y1]) / 2, np.array([x1 - x0, y1 - y0])
        if random.random() < 0.5:
            image = image[:, ::-1]
            centre[0] = image.shape[1] - 1 - centre[0]
            points[:, 0] = image.shape[1] - 1 - points[:, 0]
            order = people.keypoint_set.flip_order
            points, seen = points[order], seen[order]
        wide = max(size[0], size[1] * width / height)
        region = np.array([wide, wide * height / width]) * 1.25
        region *= np.clip(1 + 0.5 * random.standard_normal(), 0.5, 1.5)
        angle = np.clip(40 * random.standard_normal(), -80, 80) * (random.random() < 0.6)
        cosine, sine = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
        far = np.array([width - 1, height - 1])
        linear = (far / region)[:, None] * np.array([[cosine, -sine], [sine, cosine]])
        matrix = np.concatenate([linear, (far / 2 - linear @ centre)[:, None]], axis=1)
        crop = cv2.warpAffine(image, matrix, self.input_wh, flags=cv2.INTER_LINEAR)
        pixels = (crop / 255 - IMAGENET_MEAN) / IMAGENET_STD
        placed = points @ linear.T + matrix[:, 2]
        targets, weights = self._targets(placed, seen)
        return torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1), targets, weights

    def _targets(self, points: Any, seen: Any) -> tuple[Tensor, Tensor]:
        width, height = self.input_wh[0] // 4, self.input_wh[1] // 4
        targets = np.zeros((len(points), height, width), np.float32)
        columns, rows = np.arange(width), np.arange(height)[:, None]
        for number, (x, y) in enumerate(points):
            x *= (width - 1) / (self.input_wh[0] - 1)
            y *= (height - 1) / (self.input_wh[1] - 1)
            if seen[number] and -7 < x < width + 6 and -7 < y < height + 6:
                targets[number] = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8)
        return torch.from_numpy(targets), torch.from_numpy(seen.astype(np.float32))


def configuration(options: argparse.Namespace) -> TrainConfig:
    """Return the run that is measured."""
    source = {
        "kind": "coco",
        "annotations": str(options.annotations),
        "images": str(options.images),
    }
    return parse_config(
        TrainConfig,
        {
            "device": options.device,
            "model": {"variant": options.variant, "head": "simple", "drop_path": 0.0},
            "data": {"train": [source], "cache": options.cache},
            "augmentation": {"half_body": 0, "shift": 0},
            "stages": [
                {
                    "input_wh": [int(side) for side in options.input.split("x")],
                    "steps": options.steps + WARM_UP,
                    "batch_size": options.batch_size,
                }
            ],
        },
    )


def opened_stage(config: TrainConfig, placement: Placement) -> Stage:
    """Return the network and its optimiser."""
    torch.manual_seed(0)
    options = config.stages[0]
    network = build_network(config.model, {"coco": KEYPOINT_SETS["coco"]}, options.input_wh)
    return Stage(network, config, 0, Schedule.of_stage(options, config.optimizer, 1.0), placement)


def ours(config: TrainConfig, placement: Placement) -> Iterator[tuple[float, float]]:
    """Yield seconds waited and seconds in all of each step of `vitpose train`."""
    options = config.stages[0]
    stage = opened_stage(config, placement)
    material = load_material(open_data(config.data), [options.input_wh], placement.device, Path())
    (own,) = material.values()
    width, height = options.input_wh
    codec = HeatmapCodec(options.input_wh, (width // 4, height // 4), "udp")
    course = Course("coco", own.people, own.crops, codec)
    batches = Batches([course], options, config.augmentation, (0,), placement.device)
    ahead = iter(batches.ahead(0, options.steps or 0))
    for number in range(options.steps or 0):
        start_s = time.perf_counter()
        passes = next(ahead)
        wait_s = time.perf_counter() - start_s
        stage.step(number, passes)
        _finish(placement.device)
        yield wait_s, time.perf_counter() - start_s


def plain(config: TrainConfig, placement: Placement, workers: int) -> Iterator[tuple[float, float]]:
    """Yield the same of a plain loop."""
    source, options = config.data.train[0], config.stages[0]
    assert isinstance(source, CocoSource)
    frames = open_data_source(source).frames
    photos = [source.images / key.media for key in frames.keys]
    dataset = PlainDataset(frames.people, photos, options.input_wh)
    device, dtype = placement.device, placement.dtype
    pinned = device.type == "cuda"
    loader = DataLoader(dataset, options.batch_size, num_workers=workers, pin_memory=pinned)
    ahead = iter(loader)
    model = opened_stage(config, placement).model
    groups = parameter_groups(model, config.optimizer)
    optimizer = build_optimizer(groups, config.optimizer, device)
    set_rate(optimizer, 1e-4)
    for _ in range(options.steps or 0):
        start_s = time.perf_counter()
        images, targets, weights = (part.to(device, non_blocking=True) for part in next(ahead))
        wait_s = time.perf_counter() - start_s
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            maps = model(images)
        loss = weighted_squares(maps.float(), targets, weights, 0.0) / targets.numel()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        _finish(device)
        yield wait_s, time.perf_counter() - start_s
    del ahead  # ends the workers, so that they can be counted


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matrix_rate(placement: Placement) -> float:
    """Return the operations a second of one large matrix product, in training's format."""
    size = 8192 if placement.device.type == "cuda" else 1024
    left = torch.randn(size, size, device=placement.device, dtype=placement.dtype)
    times = []
    for _ in range(6):
        start_s = time.perf_counter()
        left @ left
        _finish(placement.device)
        times.append(time.perf_counter() - start_s)
    return 2 * size**3 / min(times)


def operations_per_person(config: TrainConfig) -> float:
    """Return the operations of one crop's way forth and back, by torch's own count."""
    model = opened_stage(config, Placement(torch.device("cpu"))).model
    copy = ViTPose(model.config).to("meta")
    width, height = model.config.input_wh
    with FlopCounterMode(display=False) as counter:
        torch.autograd.backward(copy(torch.empty(2, 3, height, width, device="meta")).sum())
    return float(counter.get_total_flops()) / 2


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one of the loops and return its numbers."""
    config = configuration(options)
    placement = Placement.of(config)
    loop = (
        ours(config, placement) if name == "vitpose" else plain(config, placement, options.workers)
    )
    taken = list(loop)[WARM_UP:]
    waits, totals = (sum(column) for column in zip(*taken, strict=True))
    people_per_s = len(taken) * options.batch_size / totals
    memory = peak_memory_mib(placement.device)
    workers = resource.getrusage(resource.RUSAGE_CHILDREN)
    if placement.device.type == "cpu" and name == "plain":
        memory += options.workers * (workers.ru_maxrss >> 10)  # the largest of them, each
    rate = operations_per_person(config) * people_per_s
    return {
        "loop": name,
        "device": str(placement.device),
        "dtype": str(placement.dtype).removeprefix("torch."),
        "people_per_s": round(people_per_s, 2),
        "wait_share": round(waits / totals, 4),
        "peak_memory_mib": memory,
        "cpu_s": round(time.process_time() + workers.ru_utime + workers.ru_stime, 1),
        "tera_operations_per_s": round(rate / 1e12, 3),
        "share_of_matrix_rate": round(rate / matrix_rate(placement), 3),
    }


def main() -> None:
    """Measure both and print a line of JSON for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--variant", default="tiny")
    parser.add_argument("--input", default="192x256")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--cache", default="ram", choices=("none", "ram", "device"))
    parser.add_argument("--workers", type=int, default=2, help="of the plain loop's DataLoader")
    options = parser.parse_args()
    for name in ("vitpose", "plain"):
        # A fresh process each, since the peak of a process never falls.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, context) as pool:
            print(json.dumps(pool.submit(measure, name, options).result()), flush=True)


if __name__ == "__main__":
    main()

"""Small labelled pictures and configurations for the tests of training."""

import json
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from launcher import Fork, shared_launcher
from numpy.typing import NDArray

from vitpose_cli.config import parse_config
from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.media.images import ImageSink
from vitpose_cli.models.checkpoint import save_checkpoint
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.runtime import Process
from vitpose_cli.training.batches import Batches
from vitpose_cli.training.config import ModelOptions, TrainConfig
from vitpose_cli.training.knowledge import with_token
from vitpose_cli.training.metrics import Silence, read_metrics
from vitpose_cli.training.people import People
from vitpose_cli.training.stage import Stage
from vitpose_cli.training.start import build_network

COCO = keypoint_set("coco")
SIZE_WH = (120, 160)
HEIGHTS = np.array([180, *([240, 110] * 8)])
"""How red each keypoint is drawn: the left ones more than the right ones."""

# Standing, seen from the front: x, y as shares of the box.
_POSE = np.array(
    [
        *((0.50, 0.06), (0.53, 0.04), (0.47, 0.04), (0.57, 0.06), (0.43, 0.06)),
        *((0.66, 0.20), (0.34, 0.20), (0.78, 0.36), (0.22, 0.36), (0.84, 0.50), (0.16, 0.50)),
        *((0.60, 0.52), (0.40, 0.52), (0.61, 0.74), (0.39, 0.74), (0.62, 0.95), (0.38, 0.95)),
    ]
)


def pose_in(box: tuple[float, float, float, float]) -> NDArray[np.float64]:
    """Return 17 keypoints (17, 2) in an xyxy box."""
    low, high = np.array(box[:2]), np.array(box[2:])
    points: NDArray[np.float64] = low + _POSE * (high - low)
    return points


def picture_of(points: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Draw each keypoint as a soft red blob, `HEIGHTS` high."""
    width, height = SIZE_WH
    rows, columns = np.mgrid[:height, :width]
    red = np.zeros((height, width))
    for number, (x, y) in enumerate(points):
        blob = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 2.5**2))
        red = np.maximum(red, blob * HEIGHTS[number])
    green = 40 + 30 * np.sin(columns / 9) * np.cos(rows / 7)
    return np.stack([red, green, np.full_like(red, 20)], axis=-1).round().astype(np.uint8)


def boxes(count: int, seed: int = 0) -> list[tuple[float, float, float, float]]:
    """Return boxes of people inside a picture."""
    random = np.random.default_rng(seed)
    lows = random.uniform(5, 25, (count, 2))
    highs = np.array(SIZE_WH) - random.uniform(5, 25, (count, 2))
    return [tuple(np.concatenate(pair).tolist()) for pair in zip(lows, highs, strict=True)]


def some_people(count: int = 8) -> tuple[People, NDArray[np.uint8]]:
    """Return people, each in a picture of their own, and the pictures (N, 160, 120, 3)."""
    chosen = boxes(count)
    points = np.stack([pose_in(box) for box in chosen])
    people = People(
        COCO,
        np.array(chosen, np.float32),
        points.astype(np.float32),
        np.ones((count, 17), np.float32),
        np.ones(count, np.float32),
        np.arange(count),
        np.ones(count, np.float32),
    )
    return people, np.stack([picture_of(one) for one in points])


def annotation(number: int, box: tuple[float, float, float, float], **extra: Any) -> dict[str, Any]:
    """Return a COCO annotation of a person with all keypoints, on image `number`."""
    flat = np.concatenate([pose_in(box), np.full((17, 1), 2)], axis=1).ravel().tolist()
    x0, y0, x1, y1 = box
    return {
        "id": number,
        "image_id": number,
        "category_id": 1,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": (x1 - x0) * (y1 - y0) * 0.53,
        "iscrowd": 0,
        "keypoints": flat,
        "num_keypoints": 17,
        **extra,
    }


def write_coco(folder: Path, count: int = 8, **extra: Any) -> Path:
    """Write pictures and their COCO file into `folder`; return the file."""
    sink = ImageSink(folder / "images")
    images, annotations = [], []
    for number, box in enumerate(boxes(count), start=1):
        name = f"{number:03d}.png"
        sink.write(Frame(FrameKey(name), picture_of(pose_in(box))))
        images.append({"id": number, "file_name": name, "width": 120, "height": 160})
        annotations.append(annotation(number, box, **extra))
    return write_document(folder, images, annotations)


def turn_keypoints(path: Path) -> Path:
    """List the keypoints of a file the other way round, and spell them otherwise."""
    document = json.loads(path.read_text())
    (category,) = document["categories"]
    count = len(category["keypoints"])
    category["keypoints"] = [
        one.capitalize().replace("_", " ") for one in reversed(category["keypoints"])
    ]
    bones = category.get("skeleton", [])
    category["skeleton"] = [[count + 1 - one for one in bone] for bone in bones]
    for one in document["annotations"]:
        triples = zip(*[iter(one["keypoints"])] * 3, strict=True)
        one["keypoints"] = [value for triple in [*triples][::-1] for value in triple]
    path.write_text(json.dumps(document))
    return path


def write_document(
    folder: Path,
    images: list[dict[str, Any]],
    annotations: list[dict[str, Any]],
    name: str = "people.json",
) -> Path:
    """Write a COCO file into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    document = {
        "images": images,
        "annotations": annotations,
        "categories": [COCO.to_category()],
    }
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def small_teacher(
    folder: Path, input_wh: tuple[int, int] = (96, 128), *, token: bool = False
) -> Path:
    """Write a tiny ViTPose whose heatmaps are noise, with a knowledge token; return the file."""
    torch.manual_seed(1)
    options = ModelOptions(variant="tiny-test", head="classic")
    network = build_network(options, {"coco": COCO}, input_wh)
    for parameter in network.model.heads.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    if token:
        network = with_token(network, torch.randn(1, 1, 64))
    path = folder / f"teacher{'-token' * token}.safetensors"
    save_checkpoint(path, network.model.state_dict(), network.header)
    return path


def small_source(folder: Path) -> dict[str, Any]:
    """Return the pictures in `folder` as a source of people."""
    return {
        "kind": "coco",
        "annotations": str(folder / "people.json"),
        "images": str(folder / "images"),
    }


class Stopping(Silence):
    """An observer in whose run Ctrl-C is pressed after so many lines."""

    def __init__(self, after: int) -> None:
        self._left = after

    def line(self, line: Mapping[str, Any]) -> None:
        """Count a line."""
        self._left -= 1
        if self._left == 0:
            signal.raise_signal(signal.SIGINT)


def losses(folder: Path) -> list[float]:
    """Return the losses of a run, line by line."""
    return [one["loss"] for one in read_metrics(folder / "metrics.jsonl") if "loss" in one]


def small_run(folder: Path, **changes: Any) -> dict[str, Any]:
    """Return the configuration of a run of seconds on the pictures in `folder`, as in YAML."""
    source = small_source(folder)
    values: dict[str, Any] = {
        "device": "cpu",
        "precision": "fp32",
        "model": {"variant": "tiny-test", "head": "simple", "drop_path": 0.2},
        "data": {"train": [source], "validation": [source], "threads": 1},
        "augmentation": {"truncation": 0.3, "brightness": 0.1, "erasing": 0.3},
        "optimizer": {"lr": 1e-3, "warmup_steps": 2, "schedule": "cosine"},
        "ema": {"decay": 0.9},
        "stages": [
            {"input_wh": [32, 48], "steps": 3, "batch_size": 4},
            {"input_wh": [48, 64], "steps": 3, "batch_size": 4},
        ],
        "validation": {"every_steps": 3},
        "log_every": 1,
        "checkpoint_every": 1,
    }
    return values | changes


_PROCESS = """
import importlib, sys
sys.path[:0] = {paths!r}
import torch
from torch import distributed
from vitpose_cli.runtime import Process

torch.set_num_threads(1)
distributed.init_process_group("gloo")
process = Process.from_environment()
gradient = importlib.import_module({module!r}).gradient(process)
torch.save(gradient, {out!r} + str(process.rank))
distributed.destroy_process_group()
"""


def gradients_of_two(folder: Path, file: str) -> list[torch.Tensor]:
    """Return what `gradient(process)` of a test file says in each of two processes."""
    script, out = folder / "process.py", str(folder / "gradient")
    path = Path(file)
    paths = [str(path.parents[1]), str(path.parent)]
    script.write_text(_PROCESS.format(paths=paths, module=path.stem, out=out))
    for code, said in ended(start_together([], [], script=script)):
        assert code == 0, said
    return [torch.load(out + str(rank), weights_only=True) for rank in range(2)]


def start_together(*commands: Sequence[str | Path], script: Path | None = None) -> list[Fork]:
    """Start `vitpose` as the processes of one training, as torchrun and srun do; return them.

    Args:
        commands: The arguments of each.
        script: The program to start instead.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(len(commands))}
    return [
        shared_launcher().start(
            *command,
            environment=place | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            script=script,
        )
        for rank, command in enumerate(commands)
    ]


def ended(processes: Sequence[Fork]) -> list[tuple[int, str]]:
    """Wait for processes, and return the exit code of each and what it has said."""
    try:
        codes = [process.wait(240) for process in processes]
    finally:
        for process in processes:
            process.kill()
    said = [process.stdout + process.stderr for process in processes]
    return list(zip(codes, said, strict=True))


def first_gradient(stage: Stage, batches: Batches, process: Process) -> torch.Tensor:
    """Return the gradient of this process's part of a stage's first step."""
    stage.step(0, next(iter(batches.ahead(0, 1, process))))
    return torch.cat([p.grad.flatten() for p in stage.model.parameters() if p.grad is not None])


def distilling(folder: Path, teacher: Path, **changes: Any) -> TrainConfig:
    """Return a small run that learns from a teacher."""
    distill = {"teacher": str(teacher), "weight": 0.5, "truth": 2.0} | changes
    stages = [{"input_wh": [48, 64], "steps": 3, "batch_size": 6}]
    return parse_config(TrainConfig, small_run(folder, distill=distill, stages=stages, ema=None))

"""Whole runs of training in small, and what they tell, for the tests of training."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from launcher import Fork, shared_launcher
from training_cases import Stopping, small_run, write_coco

from vitpose_cli.config import parse_config
from vitpose_cli.training.config import TrainConfig
from vitpose_cli.training.loop import train
from vitpose_cli.training.metrics import Silence, read_metrics


class Listener:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.lines: list[Mapping[str, Any]] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def prepare(self, done: int, total: int) -> None:
        assert done <= total

    def line(self, line: Mapping[str, Any]) -> None:
        self.lines.append(line)


def run(folder: Path, **changes: Any) -> Listener:
    listener = Listener()
    config = parse_config(TrainConfig, small_run(folder, **changes))
    train(config, folder / "run", listener)
    return listener


def losses(path: Path) -> list[tuple[int, int, float]]:
    lines = read_metrics(path / "metrics.jsonl")
    return [(one["stage"], one["step"], one["loss"]) for one in lines if one["kind"] == "train"]


def one_stage(folder: Path, **data: Any) -> TrainConfig:
    """Return a run of six steps without measurements, with other options of its data."""
    stage = {"input_wh": [32, 48], "steps": 6, "batch_size": 2}
    values = small_run(folder)["data"] | {"validation": []} | data
    return parse_config(TrainConfig, small_run(folder, data=values, stages=[stage], ema=None))


def stopped(config: TrainConfig, output: Path, after: int = 3) -> None:
    """Stop a run after so many steps."""
    with pytest.raises(KeyboardInterrupt):
        train(config, output, Stopping(after))


def started(config: Path, output: Path, *options: str, fault: str | None = None) -> Fork:
    return shared_launcher().start("train", "-c", config, "-o", output, *options, fault=fault)


def small_source(folder: Path, source: dict[str, Any]) -> dict[str, Any]:
    """Return a small source in place of one of an example: people of COCO, or others."""
    name = "people" if "coco" in source.get("annotations", "coco") else "robots"
    return {
        "kind": "coco",
        "annotations": str(folder / name / "people.json"),
        "images": str(folder / name / "images"),
    }


def write_people_and_robots(tmp_path: Path) -> None:
    """Write two small data sets with keypoints of two kinds."""
    write_coco(tmp_path / "people", 4)
    path = write_coco(tmp_path / "robots", 4)
    document = json.loads(path.read_text())
    document["categories"] = [{"id": 1, "name": "robot", "keypoints": ["left_arm", "right_arm"]}]
    for one in document["annotations"]:
        one["keypoints"] = one["keypoints"][15:21]
    path.write_text(json.dumps(document))


def goes_on_with_the_same_bits(config: TrainConfig, folder: Path, after: int) -> None:
    """Compare a run that was stopped after so many lines, in `cut`, with `whole`."""
    train(config, folder / "whole", Silence())
    stopped(config, folder / "cut", after)
    assert len(losses(folder / "cut")) == after
    train(config, folder / "cut", Silence())
    assert losses(folder / "cut") == losses(folder / "whole")
    ours, theirs = (folder / name / "last.safetensors" for name in ("cut", "whole"))
    assert ours.read_bytes() == theirs.read_bytes()

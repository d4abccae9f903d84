"""Run every stage of the pose weights, from packs of person crops to the file that ships.

    python recipe.py DATA WORK vitpose-tiny.safetensors [--config tiny.yaml] [--minutes 9]

DATA holds packs/people_a.npz and packs/people_b.npz, and, for the last stage, coco_val/ (images/,
person_keypoints.json). Stages: a short run that finds how many steps fit into the minutes,
`vitpose train`, export at half precision, and `vitpose evaluate` of the new file and the old
one. The old file is replaced only by a better one. Everything in WORK is gone on with: the same
command again does what is missing. Without --minutes the steps of the configuration are taken.
Further options go to `vitpose train`: --set data.cache=ram on a machine without a GPU.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from vitpose_cli.config import load_config
from vitpose_cli.models.checkpoint import read_header, save_checkpoint
from vitpose_cli.models.tensor_files import read_state
from vitpose_cli.training.config import TrainConfig

HERE = Path(__file__).parent
SOURCE = "trained from scratch by weights/recipes/pose of the vitpose project"

STAGE_SHARES = (0.35, 0.65)
"""Of the minutes, by stage: the small crops, the real ones."""

CALIBRATION_STEPS = 40
"""Steps of each stage in the run that measures the speed; the first half warms up."""


def vitpose(*arguments: str) -> str:
    """Run the command line; return what it prints on stdout."""
    command = [sys.executable, "-m", "vitpose_cli", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def data_options(data: Path, config: TrainConfig) -> list[str]:
    """Return the options that tell a configuration where its packs are."""
    options: list[str] = []
    for part in ("train", "validation"):
        for number, source in enumerate(getattr(config.data, part)):
            path = data / "packs" / Path(source.path).name
            options += ["--set", f"data.{part}.{number}.path={path}"]
    return options


def steps_for(minutes: float, config: Path, work: Path, options: Sequence[str]) -> list[str]:
    """Measure how fast each stage is here; return the options that fill the minutes."""
    stored = work / "steps.json"
    if not stored.is_file():
        stages = load_config(TrainConfig, config).stages
        short = [f"stages.{number}.steps={CALIBRATION_STEPS}" for number in range(len(stages))]
        chosen = [word for each in [*short, "log_every=10"] for word in ("--set", each)]
        vitpose("train", "-c", str(config), "-o", str(work / "calibration"), *options, *chosen)
        lines = (work / "calibration" / "metrics.jsonl").read_text().splitlines()
        rows = [row for row in map(json.loads, lines) if "people_per_s" in row]
        steps = []
        for number, stage in enumerate(stages):
            speeds = [row["people_per_s"] for row in rows if row["stage"] == number]
            seconds = 60 * minutes * STAGE_SHARES[number]
            steps.append(max(CALIBRATION_STEPS, int(seconds * speeds[-1] / stage.batch_size)))
        stored.write_text(json.dumps(steps))
    chosen_steps = json.loads(stored.read_text())
    return [
        word
        for number, count in enumerate(chosen_steps)
        for word in ("--set", f"stages.{number}.steps={count}")
    ]


def export(trained: Path, out: Path) -> None:
    """Write trained weights at half precision, with where they come from."""
    header = replace(read_header(trained), source=SOURCE, licence="Apache-2.0")
    save_checkpoint(out, read_state(trained), header, dtype=torch.float16)


def average_precision(weights: Path, data: Path) -> float:
    """Return COCO AP on DATA/coco_val with the boxes of the ground truth and flip test."""
    truth = data / "coco_val" / "person_keypoints.json"
    printed = vitpose(
        "evaluate", "-a", str(truth), "-i", str(truth.parent / "images"),
        "--gt-boxes", "-w", str(weights), "--json",
    )  # fmt: skip
    return float(json.loads(printed)["coco"]["AP"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path, help="folder for the runs")
    parser.add_argument("out", type=Path, help="the weights file")
    parser.add_argument("--config", type=Path, default=HERE / "tiny.yaml")
    parser.add_argument("--minutes", type=float, help="length of the whole training")
    options, train_options = parser.parse_known_args(arguments)
    options.work.mkdir(parents=True, exist_ok=True)

    settings = data_options(options.data, load_config(TrainConfig, options.config))
    settings += train_options
    if options.minutes is not None:
        settings += steps_for(options.minutes, options.config, options.work, settings)
    run = options.work / "run"
    vitpose("train", "-c", str(options.config), "-o", str(run), *settings)
    candidate = options.work / options.out.name
    export(run / "best.safetensors", candidate)
    if not (options.data / "coco_val").is_dir():
        print(f"{candidate} is ready; coco_val is not here, so nothing was measured or replaced.")
        return
    new = average_precision(candidate, options.data)
    old = average_precision(options.out, options.data) if options.out.is_file() else 0.0
    print(f"AP on coco_val, ground-truth boxes, flip test: {new:.4f}; the file before: {old:.4f}")
    if new > old:
        shutil.copyfile(candidate, options.out)
        print(f"{options.out} replaced.")


if __name__ == "__main__":
    main()

"""Run every stage of the pose weights, from packs of person crops to the file that ships.

    python recipe.py DATA WORK vitpose-tiny.safetensors [--variant tiny|small] [--minutes 12]

DATA holds packs/people_a.npz, people_b.npz and people_c.npz (without the last, `more_people.py`
makes it of people/ in WORK); teachers/tinypose_256x192.param and .bin, to learn from its heatmaps
(where they are missing, the teacher's keypoints in the packs do); and, for the last
stage, coco_val/ (images/, person_keypoints.json). Runs of `vitpose train`: pretrain, distil,
finetune, each from what the one before has made; before each a short run that finds how many steps
fit into its share of the minutes. What finds poses is exported at half precision as soon as it is
there: WORK/distil.safetensors, then WORK/finetune.safetensors. In the end comes `vitpose evaluate`
of the last one and of the old file, which is replaced only by a better one, or by the same network
with another gain. Everything in WORK is gone on with: the same command again does what is missing.
Without --minutes the steps of the configurations are taken. Further options go to every
`vitpose train`: --set data.cache=ram on a machine without a GPU.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tables import measure

from vitpose_cli.config import load_config
from vitpose_cli.models.checkpoint import read_header, save_checkpoint
from vitpose_cli.models.tensor_files import read_state
from vitpose_cli.training.config import TrainConfig

HERE = Path(__file__).parent
SOURCE = "trained from scratch by weights/recipes/pose of the vitpose project"

SHARES = {"pretrain": (0.15,), "distil": (0.3, 0.35), "finetune": (0.2,)}
"""The runs in their order, and what share of the minutes each of their stages has."""

FURTHER = "people_c.npz"
"""The pack that `more_people.py` makes."""

PARTS = ("weight", "bias")
"""Of the layer that draws the heatmaps."""

CALIBRATION_STEPS = 400 if torch.cuda.is_available() else 40
"""Steps of each stage in the run that measures the speed, on its last quarter. Some batches of it
are made before it begins: on a GPU, where a step takes milliseconds, few steps would look fast."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What was asked for.

    Attributes:
        data: Folder of the packs, the teacher and the photos to measure on.
        work: Folder for the runs.
        variant: Size of the network.
        minutes: Length of the training; None for the steps of the configurations.
        further: Options for every run.
    """

    data: Path
    work: Path
    variant: str
    minutes: float | None
    further: tuple[str, ...]

    def run(self, name: str) -> Path:
        """Train one run to its end, unless it is done; return the weights to go on with."""
        folder = self.work / name
        if not (folder / "report.html").is_file():
            options = self.options(name)
            if self.minutes is not None:
                options += self.steps(name, options)
            vitpose("train", "-c", str(HERE / f"{name}.yaml"), "-o", str(folder), *options)
        best = folder / "best.safetensors"
        return best if best.is_file() else folder / "last.safetensors"

    def options(self, name: str) -> list[str]:
        """Return what a configuration leaves open: paths, size, and the run before."""
        config = load_config(TrainConfig, HERE / f"{name}.yaml")
        chosen: list[str] = []
        for part in ("train", "validation"):
            for number, source in enumerate(getattr(config.data, part)):
                chosen.append(f"data.{part}.{number}.path={self.pack(Path(source.path).name)}")
        runs = list(SHARES)
        before = runs[: runs.index(name)]
        if before:
            chosen.append(f"model.weights={self.run(before[-1])}")
        else:
            chosen.append(f"model.variant={self.variant}")
        if config.distill is not None:
            chosen += self.teacher()
        return [*(word for each in chosen for word in ("--set", each)), *self.further]

    def pack(self, name: str) -> Path:
        """Return where a pack is; the one of further people is made where it is missing."""
        path = self.data / "packs" / name
        if path.is_file() or name != FURTHER:
            return path
        made = self.work / name
        if not made.is_file():
            command = [sys.executable, HERE / "more_people.py", self.data, "--out", made]
            subprocess.run([*map(str, command)], check=True)
        return made

    def teacher(self) -> list[str]:
        """Return where the teacher is, or that there is none."""
        path = self.data / "teachers" / "tinypose_256x192.param"
        if path.is_file():
            return [f"distill.teacher.ncnn={path}"]
        print("The teacher is not here: its keypoints in the packs are learnt from instead.")
        return ["distill=null"]

    def steps(self, name: str, options: Sequence[str]) -> list[str]:
        """Measure how fast the stages of a run are here; return the options that fill its time."""
        stored = self.work / f"steps-{name}.json"
        stages = load_config(TrainConfig, HERE / f"{name}.yaml").stages
        if not stored.is_file():
            chosen = [f"stages.{number}.steps={CALIBRATION_STEPS}" for number in range(len(stages))]
            chosen += [f"log_every={CALIBRATION_STEPS // 4}", "data.validation=[]"]
            short = [word for each in chosen for word in ("--set", each)]
            folder = self.work / f"calibration-{name}"
            vitpose("train", "-c", str(HERE / f"{name}.yaml"), "-o", str(folder), *options, *short)
            lines = (folder / "metrics.jsonl").read_text().splitlines()
            rows = [row for row in map(json.loads, lines) if "people_per_s" in row]
            counts = []
            for number, (stage, share) in enumerate(zip(stages, SHARES[name], strict=True)):
                speed = [row["people_per_s"] for row in rows if row["stage"] == number][-1]
                seconds = 60 * (self.minutes or 0) * share
                counts.append(max(1, int(seconds * speed / stage.batch_size)))
            stored.write_text(json.dumps(counts))
        counts = json.loads(stored.read_text())
        chosen = [f"stages.{number}.steps={count}" for number, count in enumerate(counts)]
        return [word for each in chosen for word in ("--set", each)]


def vitpose(*arguments: str) -> str:
    """Run the command line; return what it prints on stdout."""
    command = [sys.executable, "-m", "vitpose_cli", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def export(trained: Path, out: Path, gain: float = 1.0) -> None:
    """Write trained weights at half precision, with where they come from.

    Args:
        trained: The weights.
        out: The file.
        gain: Factor of the heatmaps, which makes their peaks a probability; see `calibration.py`.
    """
    header = replace(read_header(trained), source=SOURCE, licence="Apache-2.0")
    state, last = read_state(trained), scaled_tensors(trained)
    scaled = {key: value * gain if key in last else value for key, value in state.items()}
    save_checkpoint(out, scaled, header, dtype=torch.float16)


def scaled_tensors(weights: Path) -> set[str]:
    """Return the names of the tensors of a weights file that a gain is multiplied with."""
    return {f"heads.{name}.final.{part}" for name in read_header(weights).heads for part in PARTS}


def differ_by_gain(one: Path, other: Path) -> bool:
    """Return whether two exported files are one network with two gains, or the same one."""
    states, last = (read_state(one), read_state(other)), scaled_tensors(one)
    first, second = states
    return first.keys() == second.keys() and all(
        torch.equal(value, second[key]) for key, value in first.items() if key not in last
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path, help="folder for the runs")
    parser.add_argument("out", type=Path, help="the weights file")
    parser.add_argument("--variant", default="tiny", help="size of the network")
    parser.add_argument("--minutes", type=float, help="length of the whole training")
    parser.add_argument("--gain", type=float, default=1.0, help="what `calibration.py` says")
    options, further = parser.parse_known_args(arguments)
    options.work.mkdir(parents=True, exist_ok=True)

    recipe = Recipe(options.data, options.work, options.variant, options.minutes, tuple(further))
    for name in list(SHARES)[1:]:
        candidate = options.work / f"{name}.safetensors"
        export(recipe.run(name), candidate, options.gain)
        print(f"{candidate} is ready.", flush=True)
    if not (options.data / "coco_val").is_dir():
        print("coco_val is not here, so nothing was measured or replaced.")
        return
    photos = options.data / "coco_val"
    new = measure(photos, candidate, "--gt-boxes")["coco"]["AP"]
    old = 0.0
    if options.out.is_file():
        old = measure(photos, options.out, "--gt-boxes")["coco"]["AP"]
    print(f"AP on coco_val, ground-truth boxes, flip test: {new:.4f}; the file before: {old:.4f}")
    if new > old or (options.out.is_file() and differ_by_gain(candidate, options.out)):
        shutil.copyfile(candidate, options.out)
        print(f"{options.out} replaced.")


if __name__ == "__main__":
    main()

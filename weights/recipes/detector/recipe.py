"""Run every stage of the person detector, from raw photos to the file that ships.

    python recipe.py DATA WORK person-detector.safetensors --minutes 9

Stages: `prepare_data.py` (where WORK holds no pack yet), `train.py` (goes on where an earlier run
in WORK stopped; it takes all further options), `export.py`, `evaluate.py` on DATA/coco_val. To
train on another machine, take WORK/pack.npz there, run `train.py` alone, and bring back WORK/run.
Needs the project.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import evaluate
import export
import prepare_data
import train


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path, help="folder for the pack and the run")
    parser.add_argument("out", type=Path, help="the weights file")
    parser.add_argument("--crops", default="2500", help="person crops in the pack, at most")
    options, train_options = parser.parse_known_args(arguments)
    pack, run = options.work / "pack.npz", options.work / "run"
    if not pack.is_file():
        prepare_data.main([str(options.data), "--out", str(pack), "--crops", options.crops])
    if train.main([str(pack), "--out", str(run), *train_options]) < 1:
        print("The training is not at its end, so nothing is exported: the same command goes on.")
        return
    export.main([str(pack), str(run), str(options.out)])
    teacher = options.data / "teachers" / "yolox_nano.onnx"
    compared = ["--teacher", str(teacher)] if teacher.is_file() else []
    evaluate.main([str(options.data / "coco_val"), str(options.out), *compared])


if __name__ == "__main__":
    main()

"""Print what a pose file is worth: the tables of `weights/README.md`, on photos with ground truth.

    python tables.py DATA/coco_val weights/vitpose-tiny.safetensors [--detector FILE]

The folder holds person_keypoints.json and images/. Runs `vitpose evaluate` with the boxes of the
ground truth, with a detector's own (the one that ships if none is given), and on cuts that leave a
part of the body, always with the flip test, and prints Markdown. Needs the project.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CUTS = ("upper", "lower", "left", "right", "limb")
FIGURES = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR")


def measure(folder: Path, weights: Path, *options: str) -> dict[str, Any]:
    """Return what `vitpose evaluate --json` measures."""
    command = [
        sys.executable, "-m", "vitpose_cli", "evaluate",
        "-a", str(folder / "person_keypoints.json"), "-i", str(folder / "images"),
        "-w", str(weights), "--json", *options,
    ]  # fmt: skip
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    measured: dict[str, Any] = json.loads(printed)
    return measured


def number(value: float | None) -> str:
    """Return a number for a table; a dash where nothing was measured."""
    return "-" if value is None else f"{value:.3f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="with person_keypoints.json and images/")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--detector", help="instead of the one that ships")
    options = parser.parse_args(arguments)

    own = ["--detector", options.detector] if options.detector else []
    true = measure(options.folder, options.weights, "--gt-boxes")
    cases = {
        "boxes of the ground truth": true,
        "own boxes": measure(options.folder, options.weights, *own),
    }
    for cut in CUTS:
        name = f"cut to {cut}, boxes of the ground truth"
        cases[name] = measure(options.folder, options.weights, "--truncate", cut)
    rows = [
        [name, *(number(case["coco"][figure]) for figure in FIGURES)]
        for name, case in cases.items()
    ]
    print(table(["people", *FIGURES], rows), end="\n\n")
    print(
        table(
            ["keypoint", "labelled", "OKS", "PCK@0.05", "PCK@0.1", "PCK@0.2"],
            [
                [
                    row["name"].replace("_", " "),
                    str(row["count"]),
                    *map(number, (row["oks"], *row["pck"].values())),
                ]
                for row in true["keypoints"]
            ],
        )
    )


if __name__ == "__main__":
    main()

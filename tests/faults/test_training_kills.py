"""Killed at any write, a training goes on to the bytes of one that nobody stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from launcher import Launcher
from training_cases import small_run, write_coco

from vitpose_cli.training.metrics import read_metrics

_WEIGHTS = ("last.safetensors", "best.safetensors")
_OPERATIONS = 44
"""More than a run has left to do that was killed at each seventh before."""

_CLOCKS = ("people_per_s", "left_s", "data_share", "memory_mib")


def test_killed_at_file_operations(
    launcher: Launcher, tmp_path: Path, num_tries: tuple[int, int]
) -> None:
    write_coco(tmp_path, 4)
    values = small_run(tmp_path)
    values["data"]["cache"] = "disk"
    config, whole, cut = tmp_path / "train.yaml", tmp_path / "whole", tmp_path / "cut"
    config.write_text(yaml.safe_dump(values))
    done = launcher.run("train", "-c", config, "-o", whole)
    assert done.returncode == 0, done.stderr
    for number in range(1, _OPERATIONS, max(1, 28 // num_tries[1])):
        process = launcher.run(
            *("train", "-c", config, "-o", cut),
            environment={"KILLED_AT": str(number)},
            fault="killed_at_a_file_operation",
        )
        assert process.returncode in (0, -9), process.stderr
    done = launcher.run("train", "-c", config, "-o", cut)
    assert done.returncode == 0, done.stderr
    assert _numbers(cut) == _numbers(whole)
    for name in _WEIGHTS:
        assert (cut / name).read_bytes() == (whole / name).read_bytes()
    assert _names(cut) == _names(whole)


def _numbers(run: Path) -> list[dict[str, Any]]:
    """Return the metrics of a run that no clock has a part in."""
    lines = read_metrics(run / "metrics.jsonl")
    return [{key: line[key] for key in line.keys() - set(_CLOCKS)} for line in lines]


def _names(run: Path) -> set[str]:
    return {str(path.relative_to(run)) for path in run.rglob("*")}

"""The script for a night: it tries again what another attempt may mend."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from runs import EXAMPLES, environment, save_weights, wait_until

BATCH = Path(__file__).parents[2] / "examples" / "batch.sh"


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """Have `vitpose` of this environment in front, and pauses of a second."""
    commands = tmp_path / "commands"
    commands.mkdir()
    (commands / "vitpose").write_text(f'#!/bin/sh\nexec {sys.executable} -m vitpose_cli "$@"\n')
    (commands / "vitpose").chmod(0o755)
    path = f"{commands}{os.pathsep}{os.environ['PATH']}"
    return {**environment(), "PATH": path, "PAUSE_S": "1"}


def test_photos_that_were_away_for_a_while_are_labelled(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    photos, run, log = tmp_path / "photos", tmp_path / "run", tmp_path / "log"
    weights = save_weights(tmp_path / "weights.safetensors")
    with log.open("w") as stream:
        script = subprocess.Popen(
            [BATCH, photos, run, "--weights", weights, "--detector", "whole-image"],
            env=variables, stdout=subprocess.DEVNULL, stderr=stream,
        )  # fmt: skip
        wait_until(lambda: "attempt 1 ended with 3" in log.read_text(), script)
        photos.mkdir()
        for photo in EXAMPLES.glob("*.jpg"):
            shutil.copyfile(photo, photos / photo.name)
        assert script.wait(120) == 0, log.read_text()
    labelled = json.loads((run / "annotations.json").read_bytes())["images"]
    assert len(labelled) == len(list(EXAMPLES.glob("*.jpg")))


def test_a_third_word_that_is_no_option_is_not_taken_for_photos(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    done = subprocess.run(
        [BATCH, EXAMPLES, tmp_path / "run", "0,1"],
        env=variables, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (2, "0,1 is no option: devices are --devices 0,1\n")


def test_what_no_attempt_mends_is_tried_once(tmp_path: Path, variables: dict[str, str]) -> None:
    done = subprocess.run(
        [BATCH, EXAMPLES, tmp_path / "run", "--fps", "-1"],
        env=variables, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "attempt" not in done.stderr

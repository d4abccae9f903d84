"""What tests of whole runs need: small weights, photos with boxes, and the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from launcher import BESIDE_OTHERS, shared_launcher

from vitpose_cli.models.checkpoint import CheckpointHeader, HeadHeader, save_checkpoint
from vitpose_cli.models.vitpose import ViTPose
from vitpose_cli.pose.keypoints import keypoint_set

EXAMPLES = Path(__file__).parent.parent / "examples" / "photos"

ASTRONAUT_CUT = 340
"""Height of the astronaut's photo that is cut above her elbows, px."""


def vitpose(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, which has loaded its libraries before."""
    done = shared_launcher().run(*arguments, cwd=cwd)
    return subprocess.CompletedProcess(command(*arguments), done.wait(), done.stdout, done.stderr)


def program(
    script: Path, *arguments: str | Path, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `python SCRIPT ARGUMENTS` in such a process."""
    done = shared_launcher().run(*arguments, cwd=cwd, script=script)
    words = [sys.executable, str(script), *map(str, arguments)]
    return subprocess.CompletedProcess(words, done.wait(300), done.stdout, done.stderr)


def command(*arguments: str | Path) -> list[str]:
    """Return how the command line is started."""
    return [sys.executable, "-m", "vitpose_cli", *map(str, arguments)]


def environment() -> dict[str, str]:
    """Return an environment in which a test's process shares the machine with others."""
    return os.environ | BESIDE_OTHERS


class Running(Protocol):
    """A process that was started."""

    def poll(self) -> int | None:
        """Return the exit code; None while it runs."""


def wait_until(
    has_come: Callable[[], bool], process: Running | None = None, within_s: float = 240
) -> None:
    """Wait for what is soon the case, while the process that brings it about is running.

    What takes its time is looked for less often: to look costs a processor that others share.
    """
    began_s = time.monotonic()
    while not has_come():
        assert process is None or process.poll() is None
        waited_s = time.monotonic() - began_s
        assert waited_s < within_s, "it has not come"
        time.sleep(min(0.002 + waited_s / 500, 0.02))


def wait_for_lines(journal: Path, process: Running, count: int) -> None:
    """Wait until a process has written so many whole lines."""
    wait_until(lambda: journal.exists() and journal.read_bytes().count(b"\n") >= count, process)


def save_weights(path: Path, names: str = "coco", seed: int = 0) -> Path:
    """Write random weights of the smallest network, loud enough that keypoints get scores."""
    header = CheckpointHeader(
        variant="tiny-test",
        heads={"main": HeadHeader("simple", keypoint_set(names), "udp")},
        input_wh=(96, 128),
        source="random, for tests",
        licence="Apache-2.0",
    )
    torch.manual_seed(seed)
    model = ViTPose(header.config())
    with torch.no_grad():
        for parameter in model.heads.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.2)
    save_checkpoint(path, model.state_dict(), header)
    return path


def save_photos(folder: Path, count: int, size_wh: tuple[int, int] = (120, 90)) -> list[str]:
    """Write photos of noise over shapes, in two folders; return their names in order."""
    generator = np.random.default_rng(0)
    names = [f"{'a' if number % 2 else 'b'}/photo {number}.jpg" for number in range(count)]
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = generator.integers(0, 255, (size_wh[1] // 8, size_wh[0] // 8, 3), np.uint8)
        cv2.imwrite(str(path), cv2.resize(image, size_wh, interpolation=cv2.INTER_CUBIC))
    return sorted(names)


def cut_astronaut(folder: Path) -> Path:
    """Save the photo of the astronaut cut above her elbows, whose place can still be guessed."""
    path = folder / "astronaut.png"
    whole = np.array(cv2.imread(str(EXAMPLES / "astronaut.jpg")))
    cv2.imwrite(str(path), whole[:ASTRONAUT_CUT])
    return path


def save_boxes(path: Path, names: list[str], people: int = 2) -> Path:
    """Write a results file with `people` boxes a photo; every fifth photo has none."""
    generator = np.random.default_rng(1)
    results: list[dict[str, Any]] = []
    for number, name in enumerate(names):
        for _ in range(0 if number % 5 == 4 else people):
            x, y = generator.uniform(0, 40, 2).round(2)
            width, height = generator.uniform(20, 45, 2).round(2)
            box = [float(x), float(y), float(width), float(height)]
            results.append({"file_name": name, "category_id": 1, "bbox": box, "score": 0.9})
    path.write_text(json.dumps(results))
    return path

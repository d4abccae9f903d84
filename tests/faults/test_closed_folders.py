"""Folders that may not be entered, as those of other people on a shared disk."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from label_cases import make_record, make_run
from runs import command, environment

_LEFT_OUT = "-dac_override,-dac_read_search"  # by which root enters every folder
_AS_OTHERS = ["setpriv", f"--inh-caps={_LEFT_OUT}", f"--bounding-set={_LEFT_OUT}"]

pytestmark = pytest.mark.skipif(
    os.name == "nt" or (os.geteuid() == 0 and shutil.which("setpriv") is None),
    reason="whoever runs this may enter every folder",
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Return a folder with a run, the run's photos, and two folders that may not be entered."""
    names = ["a.jpg", "sub/b.jpg"]
    for name in names:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.zeros((48, 64, 3), np.uint8))
    make_run(tmp_path / "run", map(make_record, names), sources=(str(tmp_path / "photos"),))
    (tmp_path / "closed").mkdir()
    shutil.copy(tmp_path / "run" / "annotations.json", tmp_path / "closed" / "labels.json")
    closed = [tmp_path / "closed", tmp_path / "photos" / "sub"]
    for each in closed:
        each.chmod(0)
    yield tmp_path
    for each in closed:
        each.chmod(0o755)


@pytest.mark.parametrize(
    "words",
    [
        "select run -i photos -n 1",
        "evaluate -a run/annotations.json -i photos",
        "export run -f yolo -i photos -o out",
        "export run -f fiftyone -i photos -o out",
        "export run -f coco -o closed/labels.json",
        "export run -f cvat -o closed/task",
        "validate closed/labels.json",
        "evaluate -a closed/labels.json -i photos",
        "merge run run -o closed/labels.json",
        "split run -o closed/parts",
        "review run -q closed/queue.json",
        "annotate photos/a.jpg -o other --extract-frames closed/frames",
        "annotate photos/a.jpg -o other --weights closed/weights.safetensors",
    ],
)
def test_what_may_not_be_looked_at_is_named(folder: Path, words: str) -> None:
    program = command(*words.split())
    done = subprocess.run(
        (_AS_OTHERS if os.geteuid() == 0 else []) + program,
        cwd=folder, capture_output=True, text=True, timeout=120, check=False, env=environment(),
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "Cannot read" in done.stderr
    assert ("closed/" if "closed" in words else "photos/sub/b.jpg") in done.stderr
    assert "Permission denied" in done.stderr

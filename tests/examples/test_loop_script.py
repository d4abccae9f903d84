"""The loop as a script: label, choose, correct, learn, label again; from any folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from runs import EXAMPLES, environment, save_weights
from shared_data import SHARED_DATA

from vitpose_cli.media.images import decode_image
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.records.run import Run

LOOP = Path(__file__).parents[2] / "examples" / "loop.sh"
NUM_PHOTOS = 4


def loop(*arguments: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the script with `vitpose` and `python3` of this environment in front."""
    commands = cwd / "commands"
    commands.mkdir(exist_ok=True)
    programs = {"vitpose": f"{sys.executable} -m vitpose_cli", "python3": sys.executable}
    for name, program in programs.items():
        (commands / name).write_text(f'#!/bin/sh\nexec {program} "$@"\n')
        (commands / name).chmod(0o755)
    path = f"{commands}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [LOOP, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=600,
        check=False, env={**environment(), "PATH": path, **variables},
    )  # fmt: skip


def some_truth(folder: Path) -> tuple[Path, Path]:
    """Write a few photos and their truth; return the file and the folder of the photos."""
    real = SHARED_DATA / "coco_train"
    if real.is_dir():
        truth: dict[str, Any] = json.loads((real / "person_keypoints.json").read_text())
        truth["images"] = truth["images"][:NUM_PHOTOS]
        shown = {image["id"] for image in truth["images"]}
        truth["annotations"] = [one for one in truth["annotations"] if one["image_id"] in shown]
        photos = [real / "images" / image["file_name"] for image in truth["images"]]
    else:
        photos = sorted(EXAMPLES.glob("*.jpg"))
        truth = invented(photos)
    images = folder / "photos"
    images.mkdir()
    for photo in photos:
        shutil.copyfile(photo, images / photo.name)
    path = folder / "truth.json"
    path.write_text(json.dumps(truth))
    return path, images


def invented(photos: list[Path]) -> dict[str, Any]:
    """Return a person for each photo, whose keypoints lie on its diagonal."""
    truth: dict[str, Any] = {"images": [], "annotations": []}
    truth["categories"] = [keypoint_set("coco").to_category()]
    for number, photo in enumerate(photos, start=1):
        height, width = decode_image(photo.read_bytes()).shape[:2]
        points = [[width * place / 19, height * place / 19, 2] for place in range(1, 18)]
        truth["images"].append(
            {"id": number, "file_name": photo.name, "width": width, "height": height}
        )
        truth["annotations"].append(
            {
                "id": number, "image_id": number, "category_id": 1, "iscrowd": 0,
                "bbox": [1, 1, width - 2, height - 2], "area": width * height * 0.5,
                "keypoints": list(chain.from_iterable(points)), "num_keypoints": 17,
            }
        )  # fmt: skip
    return truth


@pytest.mark.skipif(os.name == "nt", reason="a script for bash")
def test_ap_is_told_of_every_round_and_human_work_is_kept(tmp_path: Path) -> None:
    truth, images = some_truth(tmp_path)
    weights = save_weights(tmp_path / "tiny.safetensors")
    done = loop(
        "truth.json", images, truth, images, "out folder", "--no-flip-test",
        cwd=tmp_path, WEIGHTS=str(weights), ROUNDS="1", BUDGET="1", EPOCHS="1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines == (tmp_path / "out folder/report.tsv").read_text().splitlines()
    assert [line.split("\t")[:2] for line in lines[1:]] == [["0", "0"], ["1", "1"]]
    assert all(re.fullmatch(r"\d\t\d(\t[01]\.\d{3}){2}", line) for line in lines[1:])
    labels = [float(line.split("\t")[2]) for line in lines[1:]]
    assert labels[0] < labels[-1]  # what was corrected is right now
    with Run.read(tmp_path / "out folder/labels.vitpose") as run:
        assert len(run.reviewed()) == 1
        assert run.manifest.generation == 2


def test_without_arguments_it_says_what_it_wants(tmp_path: Path) -> None:
    done = loop(cwd=tmp_path)
    assert done.returncode == 2
    assert "TRUTH IMAGES VAL_TRUTH VAL_IMAGES OUT" in done.stdout
    assert "set -e" not in done.stdout

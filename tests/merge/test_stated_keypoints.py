"""What files state of their keypoints, beside the names: in what is made of them, and merged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from runs import vitpose

from vitpose_cli.records.run import Run
from vitpose_cli.records.shards import ANNOTATIONS
from vitpose_cli.review.coco_file import import_file

ARM = {"name": "arm", "keypoints": ["kp0", "kp1"], "skeleton": [[1, 2]]}
PAIRS: dict[str, Any] = {"flip_pairs": [["kp0", "kp1"]]}
SIGMAS: dict[str, Any] = {"sigmas": [0.02, 0.2]}


def write_arm(path: Path, *stated: dict[str, Any]) -> Path:
    """Write a file of one photo with an arm, and a category for each of what they state."""
    arm = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [20, 20, 80, 80], "area": 6400,
           "iscrowd": 0, "keypoints": [30, 30, 2] * 2, "num_keypoints": 2}  # fmt: skip
    image = {"id": 1, "file_name": f"{path.stem}.jpg", "width": 200, "height": 200}
    kinds = ("arm", "leg")
    categories = [
        {**ARM, "id": number, "name": kinds[number - 1], **each}
        for number, each in enumerate(stated, 1)
    ]
    path.write_text(json.dumps({"images": [image], "annotations": [arm], "categories": categories}))
    return path


@pytest.mark.parametrize("output", ["out.json", "out"])
def test_what_any_input_states_of_keypoints_counts_for_all(tmp_path: Path, output: str) -> None:
    write_arm(tmp_path / "a.json", {})
    write_arm(tmp_path / "b.json", SIGMAS)
    write_arm(tmp_path / "c.json", {}, PAIRS)
    inputs = ("a.json", "b.json", "c.json")
    done = vitpose("merge", *inputs, "-o", output, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    written = tmp_path / output
    document = json.loads((written if written.is_file() else written / ANNOTATIONS).read_bytes())
    assert [each["name"] for each in document["categories"]] == (
        ["arm", "leg"] if written.is_file() else ["arm"]
    )
    for category in document["categories"]:
        assert {name: category.get(name) for name in (*PAIRS, *SIGMAS)} == PAIRS | SIGMAS
    if written.is_dir():
        with Run.read(written) as run:
            assert run.manifest.keypoint_set == document["categories"][0]


@pytest.mark.parametrize(
    ("what", "one", "other"),
    [
        ("sigmas", SIGMAS, {"sigmas": [0.1, 0.2]}),
        ("flip_pairs", PAIRS, {"flip_pairs": []}),
    ],
)
def test_inputs_that_state_different_things_are_refused(
    tmp_path: Path, what: str, one: dict[str, Any], other: dict[str, Any]
) -> None:
    write_arm(tmp_path / "a.json", one)
    write_arm(tmp_path / "b.json", {})
    write_arm(tmp_path / "c.json", other)
    done = vitpose("merge", "b.json", "a.json", "c.json", "-o", "out.json", cwd=tmp_path)
    assert done.returncode == 3
    said = " ".join(done.stderr.split())
    assert f"a.json and c.json state different `{what}` of 'arm': " in said
    assert not (tmp_path / "out.json").exists()


def make_photo_of(path: Path) -> None:
    """Write the photo of a file of `write_arm`."""
    assert cv2.imwrite(str(path.with_suffix(".jpg")), np.zeros((200, 200, 3), np.uint8))


def test_what_a_later_category_states_counts_in_all_that_is_made_of_a_file(tmp_path: Path) -> None:
    path = write_arm(tmp_path / "a.json", {}, PAIRS | SIGMAS)
    make_photo_of(path)
    done = vitpose("export", path, "--format", "yolo", "-o", tmp_path / "yolo")
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load((tmp_path / "yolo" / "data.yaml").read_text())["flip_idx"] == [1, 0]
    with Run.read(import_file(path, None).run) as run:
        assert run.manifest.keypoint_set.items() >= (PAIRS | SIGMAS).items()


@pytest.mark.parametrize(
    ("as_names_say", "other"),
    [({"sigmas": [0.067, 0.067]}, SIGMAS), ({"flip_pairs": []}, PAIRS)],
)
def test_a_run_states_what_its_file_states_though_names_say_the_same(
    tmp_path: Path, as_names_say: dict[str, Any], other: dict[str, Any]
) -> None:
    path = write_arm(tmp_path / "a.json", as_names_say)
    make_photo_of(path)
    run = import_file(path, None).run
    (category,) = json.loads((run / ANNOTATIONS).read_bytes())["categories"]
    assert category.items() >= as_names_say.items()
    write_arm(tmp_path / "b.json", other)
    done = vitpose("merge", run, tmp_path / "b.json", "-o", tmp_path / "out.json")
    assert done.returncode == 3
    assert f"state different `{next(iter(other))}` of 'arm'" in " ".join(done.stderr.split())


def test_other_keypoints_are_refused(tmp_path: Path) -> None:
    for name, said in (("a.json", {}), ("b.json", {"keypoints": ["x", "y"]})):
        write_arm(tmp_path / name, said)
    for command in (["diff"], ["merge", "-o", "out.json"]):
        done = vitpose(*command, "a.json", "b.json", cwd=tmp_path)
        assert done.returncode == 3
        assert "a.json and b.json have different keypoints." in " ".join(done.stderr.split())

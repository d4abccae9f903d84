"""What inputs state of their keypoints, beside the names, when they are merged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from runs import vitpose

from vitpose_cli.records.run import Run
from vitpose_cli.records.shards import ANNOTATIONS

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

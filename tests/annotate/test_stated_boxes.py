"""Boxes of a file that scores none: somebody says that each holds a body, and none is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from launcher import Launcher
from runs import save_photos, save_weights

ALIKE = ([20, 10, 70, 70], [20.01, 10, 70, 70])
"""Two boxes (xywh, px) in which a network sees the same pose."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_weights(tmp_path_factory.mktemp("weights") / "weights.safetensors")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    save_photos(tmp_path / "photos", 1)
    return tmp_path / "photos"


def boxes_file(path: Path, scores: tuple[float | None, float | None] | None) -> Path:
    """Write a results file with `scores` None, else an annotation file with those there are."""
    people: list[dict[str, Any]] = [
        {"id": number, "image_id": 1, "category_id": 1, "bbox": box, "area": 4900, "iscrowd": 0}
        for number, box in enumerate(ALIKE, 1)
    ]
    content: Any = [{**person, "file_name": "b/photo 0.jpg", "score": 1} for person in people]
    if scores is not None:
        given = zip(people, scores, strict=True)
        content = {
            "images": [{"id": 1, "file_name": "b/photo 0.jpg", "width": 120, "height": 90}],
            "categories": [{"id": 1, "name": "person"}],
            "annotations": [
                person if score is None else {**person, "score": score} for person, score in given
            ],
        }
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("scores", "num_people"),
    [((None, None), 2), (None, 1), ((0.9, 0.8), 1), ((None, 0.8), 1)],
)
def test_boxes_are_suppressed_only_where_a_file_scores_them(
    launcher: Launcher,
    photos: Path,
    weights: Path,
    tmp_path: Path,
    scores: tuple[float | None, float | None] | None,
    num_people: int,
) -> None:
    boxes = boxes_file(tmp_path / "boxes.json", scores)
    done = launcher.run(
        "annotate", photos, "-o", tmp_path / "run", "-w", weights, "--boxes", boxes,
        "--no-flip-test", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["num_people"] == num_people


def test_evaluate_suppresses_as_published_results_do(
    launcher: Launcher, photos: Path, weights: Path, tmp_path: Path
) -> None:
    stated = boxes_file(tmp_path / "boxes.json", (None, None))
    how = ("-w", weights, "--no-flip-test", "--keypoint-threshold", "0.01")
    run = tmp_path / "run"
    done = launcher.run("annotate", photos, "-o", run, *how, "--boxes", stated)
    assert done.returncode == 0, done.stderr
    for boxes in (("--boxes", stated), ("--gt-boxes",)):
        done = launcher.run(
            "evaluate", "-a", run / "annotations.json", "-i", photos, *how[:3], *boxes, "--json"
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["coco"]["AR"] == pytest.approx(0.5)

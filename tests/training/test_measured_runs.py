"""What a run is measured on, and when."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from training_cases import small_run, write_coco
from training_runs import Listener, losses, run, started

from vitpose_cli.config import parse_config
from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.training.checkpoints import RunFolder
from vitpose_cli.training.config import TrainConfig
from vitpose_cli.training.loop import train
from vitpose_cli.training.measurement import comparison
from vitpose_cli.training.metrics import read_metrics
from vitpose_cli.training.plan import plan_training


def test_a_detectors_boxes_are_measured_with(tmp_path: Path) -> None:
    path = write_coco(tmp_path, 4)
    document = json.loads(path.read_text())
    results = [
        {"image_id": one["image_id"], "category_id": 1, "bbox": one["bbox"], "score": 0.5}
        for one in document["annotations"][:3]
    ]
    results += results[:1]
    (tmp_path / "boxes.json").write_text(json.dumps(results))
    data = small_run(tmp_path)["data"]
    boxed = data["validation"][0] | {"boxes": str(tmp_path / "boxes.json")}
    stage = {"input_wh": [48, 64], "steps": 1, "batch_size": 2}
    listener = run(
        tmp_path, data=data | {"validation": [boxed, *data["validation"]]}, stages=[stage]
    )
    assert list(listener.lines[-1]["sources"]) == ["1 people", "2 people"]
    pictures = {path.name for path in (tmp_path / "run" / "pictures").iterdir()}
    assert {"worst-1.jpg", "worst-2.jpg"} <= pictures


def test_where_nobody_has_a_size_there_is_no_number(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)  # in photos of 120 x 160 px
    stage = {"input_wh": [32, 48], "steps": 1, "batch_size": 2}
    listener = run(tmp_path, stages=[stage])
    (line,) = (one for one in read_metrics(tmp_path / "run" / "metrics.jsonl") if "AP" in one)
    assert line == listener.lines[-1]
    small = line["sources"]["1 people"]
    assert [name for name, value in small.items() if value is None] == ["AP_L", "AR_L"]
    page = (tmp_path / "run" / "report.html").read_text()
    assert page.count("<td>-</td>") == 2
    assert "-1.000" not in page


def test_boxes_of_other_photos_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)
    box = {"image_id": 77, "category_id": 1, "bbox": [1, 2, 30, 40], "score": 0.5}
    (tmp_path / "boxes.json").write_text(json.dumps([box]))
    data = small_run(tmp_path)["data"]
    data["validation"] = [data["validation"][0] | {"boxes": str(tmp_path / "boxes.json")}]
    said = (
        r"boxes.json names none of the photos to measure on: not '001.png', but '000000000077.jpg'"
    )
    with pytest.raises(InputError, match=said):
        run(tmp_path, data=data)
    assert not list((tmp_path / "run").glob("*.pt"))
    config = tmp_path / "train.yaml"
    config.write_text(yaml.safe_dump(small_run(tmp_path, data=data)))
    process = started(config, tmp_path / "dry", "--dry-run")
    assert process.wait() == 3
    assert "names none of the photos to measure on" in process.stderr


def test_photos_to_measure_on_that_cannot_be_read_are_said(tmp_path: Path) -> None:
    for name in ("train", "val"):
        write_coco(tmp_path / name, 4)
    (tmp_path / "val" / "images" / "003.png").write_bytes(b"no picture")
    train_, val = (small_run(tmp_path / name)["data"]["train"] for name in ("train", "val"))
    data = {"train": train_, "validation": val, "threads": 1}
    stage = {"input_wh": [32, 48], "steps": 1, "batch_size": 2}
    with pytest.raises(InputError, match=r"1 of 4 photos are missing or unreadable \(003.png: "):
        run(tmp_path, data=data, stages=[stage])
    listener = run(tmp_path, data=data | {"allow_missing": True}, stages=[stage])
    said = "people.json: black stands for 1 photo that cannot be read (003.png: "
    assert any(f"{tmp_path / 'val'}/{said}" in note for note in listener.notes)


class Obstacle(Listener):
    """An observer in whose run the place of a picture is taken after so many steps."""

    def __init__(self, place: Path, after: int) -> None:
        super().__init__()
        self._place, self._after = place, after

    def line(self, line: Mapping[str, Any]) -> None:
        super().line(line)
        if line["kind"] == "train" and line["step"] == self._after:
            self._place.mkdir()


@pytest.mark.parametrize("after", [3, 4])  # within a stage, and at its end
def test_a_measurement_that_fails_takes_no_step_away(tmp_path: Path, after: int) -> None:
    write_coco(tmp_path, 4)
    stage = {"input_wh": [32, 48], "steps": 4, "batch_size": 2}
    values = small_run(tmp_path, stages=[stage], validation={"every_steps": after})
    config = parse_config(TrainConfig, values | {"checkpoint_every": 100})
    train(config, tmp_path / "whole", Listener())
    place = tmp_path / "run" / "pictures" / "worst-1.jpg"
    with pytest.raises(InputError, match="Cannot write"):
        train(config, tmp_path / "run", Obstacle(place, after))
    place.rmdir()
    listener = Listener()
    outcome = train(config, tmp_path / "run", listener)
    assert f"Going on with stage 1, after step {after}." in listener.notes
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")
    measured = [
        [one for one in read_metrics(tmp_path / name / "metrics.jsonl") if "AP" in one]
        for name in ("run", "whole")
    ]
    assert measured[0] == measured[1]
    assert [one["step"] for one in measured[0]] == sorted({after, 4})
    assert outcome.best is not None
    again = Listener()
    train(config, tmp_path / "run", again)  # nothing is left to do, nor to measure
    assert not again.lines


@pytest.mark.parametrize("steps", [3, 15, 39])
def test_a_stage_is_measured_at_most_ten_times(tmp_path: Path, steps: int) -> None:
    write_coco(tmp_path, 4)
    stage = {"input_wh": [32, 48], "steps": steps, "batch_size": 1}
    quiet = {"log_every": 100, "checkpoint_every": 100}
    lines = run(tmp_path, stages=[stage], validation={}, **quiet).lines
    expected = {3: [1, 2, 3], 15: [*range(2, 15, 2), 15], 39: [*range(4, 39, 4), 39]}
    assert [one["step"] for one in lines if "AP" in one] == expected[steps]


def test_weights_are_measured_before_they_learn(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)
    stage = {"input_wh": [32, 48], "steps": 2, "batch_size": 2}
    made = run(tmp_path, stages=[stage], validation={"every_steps": 2})
    assert [one["step"] for one in made.lines if "AP" in one] == [2]
    (tmp_path / "run").rename(tmp_path / "made")
    model = {"weights": str(tmp_path / "made" / "last.safetensors")}
    listener = run(tmp_path, model=model, stages=[stage, stage], validation={"every_steps": 2})
    measured = [one for one in listener.lines if "AP" in one]
    assert [(one["stage"], one["step"]) for one in measured] == [(0, 0), (0, 2), (1, 2)]
    assert measured[0]["sources"] == made.lines[-1]["sources"]


class Full(Listener):
    """An observer in whose run memory runs out in the first step."""

    def line(self, line: Mapping[str, Any]) -> None:
        super().line(line)
        if line["kind"] == "train":
            raise torch.OutOfMemoryError("CUDA out of memory.")


def test_a_run_whose_first_step_does_not_fit_may_begin_anew_with_other_options(
    tmp_path: Path,
) -> None:
    write_coco(tmp_path, 4)
    stage = {"input_wh": [32, 48], "steps": 2, "batch_size": 4}
    run(tmp_path, stages=[stage])
    model = {"weights": str(tmp_path / "run" / "last.safetensors")}
    config, smaller = (
        parse_config(TrainConfig, small_run(tmp_path, model=model, stages=[stage | changes]))
        for changes in ({}, {"batch_size": 2})
    )
    train(smaller, tmp_path / "whole", Listener())
    with pytest.raises(torch.OutOfMemoryError):
        train(config, tmp_path / "other", Full())
    saved = RunFolder(tmp_path / "other").load_state()
    assert saved is not None
    assert (saved.position.stage, saved.position.step) == (0, 0)
    plan_training(smaller, tmp_path / "other")
    train(smaller, tmp_path / "other", Listener())
    assert losses(tmp_path / "other") == losses(tmp_path / "whole")
    for name in ("best.safetensors", "last.safetensors"):
        assert (tmp_path / "other" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    with pytest.raises(ConfigError, match=r"stages\.0\.batch_size: 2 there, 4 now"):
        train(config, tmp_path / "other", Listener())


def test_a_run_says_that_it_made_nothing_better() -> None:
    lines = [{"kind": "validation", "step": step, "AP": ap} for step, ap in ((0, 0.5), (5, 0.25))]
    said = ["No step made the weights better: AP was 0.500 before the first one, and 0.250 at most"]
    assert [one.split(" after")[0] for one in comparison(lines, 0.5)] == said
    assert not [*comparison(lines[1:], 0.25)]
    assert not [*comparison([*lines, lines[0] | {"step": 9}], 0.5)]


def test_of_two_that_are_equally_good_the_later_weights_are_the_best(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)
    stage = {"input_wh": [32, 48], "steps": 4, "batch_size": 2}
    slow = {"lr": 1e-7, "schedule": "constant"}
    listener = run(tmp_path, stages=[stage], validation={"every_steps": 2}, optimizer=slow)
    first, second = (one["AP"] for one in listener.lines if "AP" in one)
    assert first == second
    best, last = (tmp_path / "run" / f"{name}.safetensors" for name in ("best", "last"))
    assert best.read_bytes() == last.read_bytes()
    assert "after step 4" in (tmp_path / "run" / "report.html").read_text()

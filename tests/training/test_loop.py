"""Whole runs of seconds: what they leave behind, and that a kill costs nothing."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from training_cases import Stopping, small_run, small_teacher, write_coco

from vitpose_cli.config import load_config, parse_config
from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.models.checkpoint import load_model, read_header
from vitpose_cli.models.tensor_files import read_state
from vitpose_cli.training.checkpoints import RunFolder
from vitpose_cli.training.config import TrainConfig
from vitpose_cli.training.loop import train
from vitpose_cli.training.metrics import read_metrics
from vitpose_cli.training.plan import plan_training


class Listener:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.lines: list[Mapping[str, Any]] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def prepare(self, done: int, total: int) -> None:
        assert done <= total

    def line(self, line: Mapping[str, Any]) -> None:
        self.lines.append(line)


def run(folder: Path, **changes: Any) -> Listener:
    listener = Listener()
    config = parse_config(TrainConfig, small_run(folder, **changes))
    train(config, folder / "run", listener)
    return listener


def losses(path: Path) -> list[tuple[int, int, float]]:
    lines = read_metrics(path / "metrics.jsonl")
    return [(one["stage"], one["step"], one["loss"]) for one in lines if one["kind"] == "train"]


def test_a_run_leaves_weights_metrics_pictures_and_a_report(tmp_path: Path) -> None:
    write_coco(tmp_path)
    listener = run(tmp_path)
    folder = tmp_path / "run"
    assert losses(folder) == [
        (one["stage"], one["step"], one["loss"]) for one in listener.lines if "loss" in one
    ]
    assert [place[:2] for place in losses(folder)] == [(s, n) for s in (0, 1) for n in (1, 2, 3)]
    measured = [one for one in listener.lines if one["kind"] == "validation"]
    assert [(one["stage"], one["step"]) for one in measured] == [(0, 3), (1, 3)]
    assert set(measured[0]["sources"]["1 people"]) >= {"AP", "AP50", "AR"}
    for name in ("last", "best"):
        header = read_header(folder / f"{name}.safetensors")
        assert header.variant == "tiny-test"
    assert read_header(folder / "last.safetensors").input_wh == (48, 64)
    model = load_model(folder / "last.safetensors")
    assert model(torch.zeros(1, 3, 64, 48)).shape == (1, 17, 16, 12)
    resolved = yaml.safe_load((folder / "config.yaml").read_text())
    assert resolved["optimizer"]["clip_norm"] == 1.0
    pictures = {path.name for path in (folder / "pictures").iterdir()}
    assert pictures == {"samples-1.jpg", "samples-2.jpg", "worst-1.jpg"}
    page = (folder / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 3
    assert "<svg" in page
    # It opens without a network: nothing is fetched, and the only address names SVG's own language.
    assert set(re.findall(r"https?://[^\s\"'<]+", page)) == {"http://www.w3.org/2000/svg"}
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:)""", page)


def test_a_finished_run_does_nothing_more_and_other_options_are_refused(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)
    run(tmp_path, data=small_run(tmp_path)["data"] | {"validation": []})
    before = (tmp_path / "run" / "last.safetensors").read_bytes()
    again = run(tmp_path, data=small_run(tmp_path)["data"] | {"validation": []})
    assert not again.lines
    assert "Going on with stage 2, after step 3." in again.notes
    assert (tmp_path / "run" / "last.safetensors").read_bytes() == before
    with pytest.raises(ConfigError, match=r"optimizer.lr: 0.001 there, 0.5 now"):
        run(
            tmp_path,
            data=small_run(tmp_path)["data"] | {"validation": []},
            optimizer=small_run(tmp_path)["optimizer"] | {"lr": 0.5},
        )


@pytest.mark.parametrize("milestones", [[170, 200], [1]])
def test_a_run_of_an_earlier_version_goes_on_as_it_began(
    tmp_path: Path, milestones: list[int]
) -> None:
    write_coco(tmp_path, 4)
    stage = {"input_wh": [32, 48], "steps": 6, "batch_size": 2}
    optimizer = {"lr": 1e-3, "warmup_steps": 0}
    data = small_run(tmp_path)["data"] | {"validation": []}
    values = small_run(tmp_path, stages=[stage], optimizer=optimizer, data=data)
    earlier = values | {"optimizer": optimizer | {"milestones": milestones}}
    with pytest.raises(KeyboardInterrupt):
        train(parse_config(TrainConfig, earlier), tmp_path / "run", Stopping(2))
    config = parse_config(TrainConfig, values)
    if milestones == [1]:
        with pytest.raises(ConfigError, match="holds a run with other options"):
            train(config, tmp_path / "run", Listener())
        return
    train(config, tmp_path / "run", Listener())
    rates = [one["lr"] for one in read_metrics(tmp_path / "run" / "metrics.jsonl")]
    assert rates == [1e-3] * 6  # the new default would have lowered the last
    assert load_config(TrainConfig, tmp_path / "run" / "config.yaml").optimizer.milestones == (
        170,
        200,
    )


def test_a_folder_of_something_else_is_not_touched(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "precious.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        run(tmp_path)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["precious.txt"]


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
    assert b"names none of the photos to measure on" in process.communicate()[1]
    assert process.returncode == 3


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
    said = f"{tmp_path / 'val' / 'people.json'}: 1 photos cannot be read and are measured as black"
    assert any(note.startswith(said) for note in listener.notes)


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


def test_a_network_that_diverges_is_stopped(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)
    stage = {"input_wh": [32, 48], "steps": 25, "batch_size": 2, "loss": {"weight": 1e38}}
    with pytest.raises(ConfigError, match="diverged"):
        run(tmp_path, stages=[stage], validation={"every_steps": 100}, checkpoint_every=100)


def test_a_network_that_diverges_leaves_no_rubbish(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)
    stage = {"input_wh": [32, 48], "steps": 60, "batch_size": 2}
    optimizer = {"lr": 1e30, "warmup_steps": 0, "schedule": "constant"}
    changes = {"stages": [stage], "optimizer": optimizer, "checkpoint_every": 5}
    with pytest.raises(ConfigError, match="The last 29 steps had no finite gradient"):
        run(tmp_path, **changes, validation={"every_steps": 10}, log_every=30)
    folder = tmp_path / "run"
    assert not [path.name for path in folder.iterdir() if path.suffix in (".pt", ".safetensors")]
    (line,) = (folder / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line, parse_constant=pytest.fail)["loss"] is None
    assert math.isnan(read_metrics(folder / "metrics.jsonl")[0]["loss"])


@pytest.mark.parametrize("steps", [3, 15, 39])
def test_a_stage_is_measured_at_most_ten_times(tmp_path: Path, steps: int) -> None:
    write_coco(tmp_path, 4)
    stage = {"input_wh": [32, 48], "steps": steps, "batch_size": 1}
    quiet = {"log_every": 100, "checkpoint_every": 100}
    lines = run(tmp_path, stages=[stage], validation={}, **quiet).lines
    expected = {3: [1, 2, 3], 15: [*range(2, 15, 2), 15], 39: [*range(4, 39, 4), 39]}
    assert [one["step"] for one in lines if "AP" in one] == expected[steps]


def test_a_run_says_what_it_begins_with(tmp_path: Path) -> None:
    path = write_coco(tmp_path, 4)
    document = json.loads(path.read_text())
    document["categories"] = [{"id": 1, "name": "robot", "keypoints": ["kp0", "kp1"]}]
    for one in document["annotations"]:
        one["keypoints"] = one["keypoints"][:6]
    path.write_text(json.dumps(document))
    teacher = small_teacher(tmp_path)
    stage = {"input_wh": [32, 48], "steps": 1, "batch_size": 2}
    values = small_run(tmp_path, stages=[stage], model={"weights": str(teacher)})
    listener = run(tmp_path, stages=[stage], model=values["model"])
    said = [
        f"The head robot starts anew: {teacher} has no head of this name.",
        "The keypoints of robot have no names of left and right: no crop is mirrored, and there "
        "is no flip test.",
    ]
    assert set(said) <= set(listener.notes)
    assert set(said) <= set(plan_training(parse_config(TrainConfig, values)).notes)


@pytest.mark.parametrize("cache", ["none", "disk", "device"])
def test_every_cache_trains_alike(tmp_path: Path, cache: str) -> None:
    write_coco(tmp_path, 4)
    data = small_run(tmp_path)["data"] | {"validation": [], "cache": cache}
    stage = {"input_wh": [32, 48], "steps": 2, "batch_size": 4}
    listener = run(tmp_path, data=data, stages=[stage], ema=None)
    found = [one["loss"] for one in listener.lines]
    reference = Listener()
    config = parse_config(
        TrainConfig, small_run(tmp_path, data=data | {"cache": "ram"}, stages=[stage], ema=None)
    )
    train(config, tmp_path / "reference", reference)
    # Photos are resampled once, kept crops twice; a GPU's warp rounds differently.
    assert found == pytest.approx([one["loss"] for one in reference.lines], rel=0.02)


def one_stage(folder: Path, **data: Any) -> TrainConfig:
    """Return a run of six steps without measurements, with other options of its data."""
    stage = {"input_wh": [32, 48], "steps": 6, "batch_size": 2}
    values = small_run(folder)["data"] | {"validation": []} | data
    return parse_config(TrainConfig, small_run(folder, data=values, stages=[stage], ema=None))


def stopped(config: TrainConfig, output: Path, after: int = 3) -> None:
    """Stop a run after so many steps."""
    with pytest.raises(KeyboardInterrupt):
        train(config, output, Stopping(after))


@pytest.mark.parametrize("finished", [False, True])
def test_a_run_does_not_go_on_with_other_labels(tmp_path: Path, finished: bool) -> None:
    path = write_coco(tmp_path, 5)
    config = one_stage(tmp_path)
    if finished:
        train(config, tmp_path / "run", Listener())
    else:
        stopped(config, tmp_path / "run")
    document = json.loads(path.read_text())
    document["info"] = {"description": "The same people, written once more"}
    path.write_text(json.dumps(document))
    if not finished:
        stopped(config, tmp_path / "run", after=1)
    state = (tmp_path / "run" / "state.pt").read_bytes()
    document["annotations"][0]["keypoints"][0] += 9
    path.write_text(json.dumps(document))
    said = re.escape(f"other labels:\n  {path}: 5 people in 5 photos then, 5 in 5 now")
    for missing in (False, True):
        other = one_stage(tmp_path, allow_missing=missing)
        with pytest.raises(ConfigError, match=said) as caught:
            train(other, tmp_path / "run", Listener())
        assert "--output" in caught.value.hint
    assert (tmp_path / "run" / "state.pt").read_bytes() == state
    saved = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    del saved["data"]  # as of an earlier version
    torch.save(saved, tmp_path / "run" / "state.pt")
    train(config, tmp_path / "run", Listener())


@pytest.mark.parametrize("cache", ["ram", "disk", "none"])
@pytest.mark.parametrize("broken", [False, True])
def test_a_run_goes_on_without_a_photo_only_if_that_is_allowed(
    tmp_path: Path, cache: str, broken: bool
) -> None:
    write_coco(tmp_path, 120)
    photo = tmp_path / "images" / "001.png"
    config = one_stage(tmp_path, cache=cache)
    stopped(config, tmp_path / "run")
    whole = photo.read_bytes()
    photo.write_bytes(b"no photo") if broken else photo.unlink()
    with pytest.raises(ConfigError, match=r"photos have come or gone") as caught:
        train(config, tmp_path / "run", Listener())
    assert "--allow-missing" in caught.value.hint
    stopped(one_stage(tmp_path, cache=cache, allow_missing=True), tmp_path / "run", after=1)
    photo.write_bytes(whole)
    train(one_stage(tmp_path, cache=cache, allow_missing=True), tmp_path / "run", Listener())
    assert [place[1] for place in losses(tmp_path / "run")] == [1, 2, 3, 4, 5, 6]


def test_a_photo_that_cannot_be_read_is_left_out_without_a_cache_too(tmp_path: Path) -> None:
    write_coco(tmp_path, 5)
    (tmp_path / "images" / "002.png").write_bytes(b"no photo")
    with pytest.raises(InputError, match=r"1 of 5 photos are missing or unreadable \(002.png: "):
        train(one_stage(tmp_path, cache="none"), tmp_path / "run", Listener())
    listener = Listener()
    train(one_stage(tmp_path, cache="none", allow_missing=True), tmp_path / "run", listener)
    assert any("left out 1 photo that cannot be read" in note for note in listener.notes)
    cached = Listener()
    train(one_stage(tmp_path, allow_missing=True), tmp_path / "cached", cached)
    # The same people, step for step; photos are resampled once, kept crops twice.
    expected = [one["loss"] for one in cached.lines]
    assert [one["loss"] for one in listener.lines] == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("cache", ["none", "ram"])
def test_a_source_of_which_no_photo_can_be_read_is_refused(tmp_path: Path, cache: str) -> None:
    write_coco(tmp_path, 2)
    for photo in (tmp_path / "images").iterdir():
        photo.write_bytes(b"no photo")
    with pytest.raises(InputError, match=r"None of the 2 photos of .* can be read \(001.png: "):
        train(one_stage(tmp_path, cache=cache, allow_missing=True), tmp_path / "run", Listener())


def started(config: Path, output: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "vitpose_cli", "train", "-c", str(config), "-o", str(output)]
    return subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for_lines(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if (folder / "metrics.jsonl").exists() and len(losses(folder)) >= count:
            return
        time.sleep(0.01)
    raise TimeoutError


def test_killed_and_interrupted_runs_go_on_with_the_same_bits(tmp_path: Path) -> None:
    write_coco(tmp_path, 6)
    values = small_run(tmp_path, data=small_run(tmp_path)["data"] | {"validation": []})
    values["stages"][1] |= {"steps": 12}
    config = tmp_path / "train.yaml"
    config.write_text(yaml.safe_dump(values))
    whole, cut = tmp_path / "whole", tmp_path / "cut"

    process = started(config, cut)
    wait_for_lines(cut, 5)  # in the second stage
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    process = started(config, cut)
    wait_for_lines(cut, 9)
    os.kill(process.pid, signal.SIGTERM)
    assert b"interrupted" in process.communicate()[1]
    assert process.returncode == 130
    assert 9 <= len(losses(cut)) < 15
    for folder in (cut, whole):
        train(parse_config(TrainConfig, values), folder, Listener())
    assert losses(cut) == losses(whole)
    assert len(losses(cut)) == 15
    ours, theirs = (read_state(folder / "last.safetensors") for folder in (cut, whole))
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())


def test_a_measurement_that_is_interrupted_is_left_off_and_made_again(tmp_path: Path) -> None:
    write_coco(tmp_path, 6)
    stage = {"input_wh": [32, 48], "steps": 3, "batch_size": 2}
    values = small_run(
        tmp_path, stages=[stage], validation={"every_steps": 2, "batch_size": 1}, log_every=2
    )
    config = parse_config(TrainConfig, values)
    train(config, tmp_path / "whole", Listener())
    # The line of step 2 is the last thing before the measurement: its signal comes in time.
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", Stopping(1))
    assert not [one for one in read_metrics(tmp_path / "run" / "metrics.jsonl") if "AP" in one]
    saved = RunFolder(tmp_path / "run").load_state()
    assert saved is not None
    assert (saved.position.step, saved.position.measured) == (2, False)
    train(config, tmp_path / "run", Listener())
    measured = [
        [one for one in read_metrics(tmp_path / name / "metrics.jsonl") if "AP" in one]
        for name in ("run", "whole")
    ]
    assert measured[0] == measured[1]


@pytest.mark.parametrize("task", ["pretrain", "distill"])
def test_other_tasks_that_were_killed_go_on_with_the_same_bits(tmp_path: Path, task: str) -> None:
    write_coco(tmp_path, 6)
    teaching = {"teacher": str(small_teacher(tmp_path)), "looks": "once", "keep": "disk"}
    values = small_run(
        tmp_path,
        data=small_run(tmp_path)["data"] | {"validation": []},
        stages=[{"input_wh": [48, 64], "steps": 20, "batch_size": 4}],
        **({"task": "pretrain"} if task == "pretrain" else {"distill": teaching}),
    )
    config = tmp_path / "train.yaml"
    config.write_text(yaml.safe_dump(values))
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    process = started(config, cut)
    wait_for_lines(cut, 3)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    for folder in (cut, whole):
        train(parse_config(TrainConfig, values), folder, Listener())
    assert len(losses(cut)) == 20
    assert losses(cut) == losses(whole)
    ours, theirs = (read_state(folder / "last.safetensors") for folder in (cut, whole))
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())


EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "train").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_runs_in_small(tmp_path: Path, path: Path) -> None:
    write_people_and_robots(tmp_path)
    values = yaml.safe_load(path.read_text())
    sources = [small_source(tmp_path, one) for one in values["data"]["train"]]
    changes = [
        "device=cpu",
        "compile=false",
        "model.variant=tiny-test",
        "model.weights=null",
        f"data.train={json.dumps(sources)}",
        f"data.validation={json.dumps(sources[:1])}",
        "data.cache=ram",
    ]
    if values.get("task") == "pretrain":
        changes.append("data.validation=[]")
    if values.get("task") == "token":
        changes.append(f"model.weights={small_teacher(tmp_path)}")
    if "teacher" in values.get("distill", {}):
        changes.append(f"distill.teacher={small_teacher(tmp_path)}")
    if "token" in values.get("distill", {}):
        changes.append(f"distill.token={small_teacher(tmp_path, token=True)}")
    for number in range(len(values["stages"])):
        place = f"stages.{number}"
        changes += [f"{place}.{rest}" for rest in ("epochs=null", "steps=1", "batch_size=4")]
        changes.append(f"{place}.input_wh=[48, 64]")
    outcome = train(load_config(TrainConfig, path, changes), tmp_path / "run", Listener())
    assert outcome.report.exists()
    header = read_header(outcome.weights, backbone=values.get("task") == "pretrain")
    assert header.stride == values["model"].get("stride", 16)
    assert header.num_experts == (len(header.heads) if values["model"].get("experts") else 0)


def small_source(folder: Path, source: dict[str, Any]) -> dict[str, Any]:
    """Return a small source in place of one of an example: people of COCO, or others."""
    name = "people" if "coco" in source.get("annotations", "coco") else "robots"
    return {
        "kind": "coco",
        "annotations": str(folder / name / "people.json"),
        "images": str(folder / name / "images"),
    }


def write_people_and_robots(tmp_path: Path) -> None:
    """Write two small data sets with keypoints of two kinds."""
    write_coco(tmp_path / "people", 4)
    path = write_coco(tmp_path / "robots", 4)
    document = json.loads(path.read_text())
    document["categories"] = [{"id": 1, "name": "robot", "keypoints": ["left_arm", "right_arm"]}]
    for one in document["annotations"]:
        one["keypoints"] = one["keypoints"][15:21]
    path.write_text(json.dumps(document))


def test_a_run_says_what_it_cannot_read_and_what_does_nothing(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)
    source = small_run(tmp_path)["data"]["train"][0]
    photo = sorted(Path(source["images"]).iterdir())[0]
    photo.write_bytes(b"no photo")
    listener = run(
        tmp_path,
        data={"train": [source], "allow_missing": True},
        optimizer={"schedule": "constant", "gamma": 0.5},
        stages=[{"input_wh": [48, 64], "steps": 1, "batch_size": 2}],
    )
    said = f"{source['annotations']}: left out 1 photo that cannot be read ({photo.name}: "
    assert [note for note in listener.notes if note.startswith(said)]
    assert "optimizer.gamma does nothing with schedule: constant." in listener.notes


def test_a_run_says_how_much_learns(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)
    stage = {"input_wh": [48, 64], "steps": 1, "batch_size": 2}
    listener = run(tmp_path, freeze={"encoder": True}, stages=[stage])
    model = load_model(tmp_path / "run" / "last.safetensors")
    sizes = [sum(p.numel() for p in one.parameters()) for one in (model.heads, model)]
    assert "Stage 1: {:,} of {:,} parameters learn.".format(*sizes) in listener.notes
    (line,) = (one for one in listener.lines if one["kind"] == "train")
    assert line["memory_mib"] > 0


def test_two_keypoint_sets_train_two_heads(tmp_path: Path) -> None:
    write_people_and_robots(tmp_path)
    sources = [small_source(tmp_path, {"annotations": name}) for name in ("coco", "robots")]
    stage = {"input_wh": [48, 64], "steps": 3, "batch_size": 6}
    listener = run(tmp_path, data={"train": sources, "validation": sources}, stages=[stage])
    said = "The files list different keypoints; each list gets a head: coco (17), robot (2)."
    assert said in listener.notes
    header = read_header(tmp_path / "run" / "last.safetensors")
    assert {name: head.keypoint_set.num_keypoints for name, head in header.heads.items()} == {
        "coco": 17,
        "robot": 2,
    }
    assert list(listener.lines[-1]["sources"]) == ["1 people", "2 people"]
    learnt = read_state(tmp_path / "run" / "last.safetensors")
    assert learnt["heads.robot.final.bias"].abs().max() > 0
    assert learnt["heads.coco.final.bias"].abs().max() > 0

"""A run that is killed, interrupted or changed: it goes on as if nothing had been, or says no."""

import gc
import json
import re
import shutil
import signal
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from runs import wait_for_lines, wait_until
from training_cases import Stopping, small_run, small_source, write_coco
from training_runs import Listener, losses, one_stage, run, started, stopped

from vitpose_cli.config import parse_config
from vitpose_cli.errors import ConfigError
from vitpose_cli.models.tensor_files import read_state
from vitpose_cli.training.checkpoints import RunFolder
from vitpose_cli.training.config import TrainConfig
from vitpose_cli.training.loop import train
from vitpose_cli.training.metrics import read_metrics
from vitpose_cli.training.plan import plan_training

SHIPPED = Path(__file__).parents[2] / "weights" / "vitpose-tiny.safetensors"


def test_a_finished_run_does_nothing_more_and_other_options_are_refused(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)
    run(tmp_path, data=small_run(tmp_path)["data"] | {"validation": []})
    before = (tmp_path / "run" / "last.safetensors").read_bytes()
    again = run(tmp_path, data=small_run(tmp_path)["data"] | {"validation": []})
    assert not again.lines
    assert "All steps of this run are done: nothing is left to learn." in again.notes
    assert not [text for text in again.notes if "Going on" in text]
    assert (tmp_path / "run" / "last.safetensors").read_bytes() == before
    with pytest.raises(ConfigError, match=r"optimizer.lr: 0.001 there, 0.5 now"):
        run(
            tmp_path,
            data=small_run(tmp_path)["data"] | {"validation": []},
            optimizer=small_run(tmp_path)["optimizer"] | {"lr": 0.5},
        )


class States(Listener):
    """An observer that counts the saved states in memory at each line."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: list[int] = []

    def line(self, line: Mapping[str, Any]) -> None:
        super().line(line)
        parts = {"model", "optimizer", "scaler"}
        found = [each for each in gc.get_objects() if type(each) is dict and parts <= each.keys()]
        self.counts.append(len(found))


def test_a_run_that_goes_on_does_not_keep_what_it_has_read(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)
    config = one_stage(tmp_path)
    stopped(config, tmp_path / "run")
    states = States()
    train(config, tmp_path / "run", states)
    assert states.counts
    assert not any(states.counts)


def test_heads_that_start_anew_are_the_same_where_a_run_goes_on(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)
    stages = [
        {"input_wh": [32, 48], "steps": 2, "batch_size": 2, "loss": {"kind": kind}}
        for kind in ("cross_entropy", "mse")
    ]
    config = parse_config(TrainConfig, small_run(tmp_path, stages=stages))
    train(config, tmp_path / "whole", Listener())
    stopped(config, tmp_path / "run", 2)  # between the two
    train(config, tmp_path / "run", Listener())
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")


def test_a_run_does_not_go_on_from_other_weights(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)
    first, weights = tmp_path / "first", tmp_path / "w.safetensors"
    train(one_stage(tmp_path), first, Listener())
    shutil.copy(first / "last.safetensors", weights)
    values = one_stage(tmp_path).model_dump(mode="json") | {"model": {"weights": str(weights)}}
    config = parse_config(TrainConfig, values)
    stopped(config, tmp_path / "run")
    shutil.copy(SHIPPED, weights)
    for again in (
        lambda: plan_training(config, tmp_path / "run"),
        lambda: train(config, tmp_path / "run", Listener()),
    ):
        with pytest.raises(ConfigError, match=r"model\.weights is another network") as caught:
            again()
        assert "--output" in caught.value.hint
    shutil.copy(first / "last.safetensors", weights)
    train(config, tmp_path / "run", Listener())


def test_a_run_does_not_go_on_with_flip_pairs_of_another_file(tmp_path: Path) -> None:
    path = write_coco(tmp_path, 4)
    measured = write_coco(tmp_path / "measured", 2)
    data = small_run(tmp_path)["data"]
    data |= {"validation": [small_source(tmp_path / "measured")]}
    run(tmp_path, data=data)
    document = json.loads(measured.read_text())
    document["categories"][0]["flip_pairs"] = []
    measured.write_text(json.dumps(document))
    said = re.escape(f"other labels:\n  {path}: 4 people in 4 photos, as many")
    with pytest.raises(ConfigError, match=said):
        run(tmp_path, data=data)


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
    said = re.escape(f"other labels:\n  {path}: 5 people in 5 photos, as many as then, but")
    for missing in (False, True):
        other = one_stage(tmp_path, allow_missing=missing)
        with pytest.raises(ConfigError, match=said) as caught:
            train(other, tmp_path / "run", Listener())
        assert "--output" in caught.value.hint
    assert (tmp_path / "run" / "state.pt").read_bytes() == state


def measured(folder: Path, count: int, **data: Any) -> TrainConfig:
    """Return a run of four steps that is measured after each other, on people of its own."""
    if not (folder / "measured").exists():
        write_coco(folder / "measured", count)
    stage = {"input_wh": [32, 48], "steps": 4, "batch_size": 2}
    values = small_run(folder)["data"] | {"validation": [small_source(folder / "measured")]} | data
    return parse_config(
        TrainConfig,
        small_run(folder, data=values, stages=[stage], ema=None, validation={"every_steps": 2}),
    )


@pytest.mark.parametrize("field", ["keypoints", "area", "iscrowd"])
def test_a_run_is_not_measured_on_other_labels(tmp_path: Path, field: str) -> None:
    write_coco(tmp_path, 5)
    config = measured(tmp_path, 4)
    stopped(config, tmp_path / "run", after=3)  # two steps and a measurement
    path = tmp_path / "measured" / "people.json"
    document = json.loads(path.read_text())
    document["info"] = {"description": "The same people, written once more"}
    path.write_text(json.dumps(document))
    stopped(config, tmp_path / "run", after=1)
    best = (tmp_path / "run" / "best.safetensors").read_bytes()
    person = document["annotations"][0]
    others = {"keypoints": [9, *person["keypoints"][1:]], "area": 5.0, "iscrowd": 1}
    person[field] = others[field]
    path.write_text(json.dumps(document))
    for missing in (False, True):
        with pytest.raises(ConfigError, match=re.escape(f"other labels:\n  {path}: 4 people in 4")):
            train(measured(tmp_path, 4, allow_missing=missing), tmp_path / "run", Listener())
    assert (tmp_path / "run" / "best.safetensors").read_bytes() == best


def test_a_run_is_not_measured_with_other_boxes(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)
    boxes = [{"image_id": 1, "category_id": 1, "bbox": [9, 9, 90, 140], "score": 0.9}]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    source = small_source(tmp_path) | {"boxes": str(tmp_path / "boxes.json")}
    config = measured(tmp_path, 4, validation=[source])
    stopped(config, tmp_path / "run", after=3)
    boxes[0]["bbox"] = [9, 9, 80, 140]
    assert plan_training(config, tmp_path / "run").stages
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    with pytest.raises(ConfigError, match="The run was begun with other labels"):
        plan_training(config, tmp_path / "run")
    with pytest.raises(ConfigError, match="The run was begun with other labels"):
        train(config, tmp_path / "run", Listener())


def test_aps_of_different_photos_are_not_compared(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)
    stopped(measured(tmp_path, 4), tmp_path / "run", after=3)
    saved = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    saved["position"]["best"] = 2.0  # no AP is better
    torch.save(saved, tmp_path / "run" / "state.pt")
    photos = tmp_path / "measured" / "images"
    (photos / "003.png").write_bytes((photos / "001.png").read_bytes())
    with pytest.raises(ConfigError, match="photos have come or gone"):
        train(measured(tmp_path, 4), tmp_path / "run", Listener())
    listener = Listener()
    allowed = measured(tmp_path, 4, allow_missing=True)
    outcome = train(allowed, tmp_path / "run", listener)
    said = "No later AP is compared with the best so far, which is of other photos."
    assert said in listener.notes
    last = read_metrics(tmp_path / "run" / "metrics.jsonl")[-1]
    assert outcome.best == last["AP"]
    written = (tmp_path / "run" / name for name in ("best.safetensors", "last.safetensors"))
    assert len({path.read_bytes() for path in written}) == 1
    again = Listener()
    train(allowed, tmp_path / "run", again)
    assert said not in again.notes


def test_a_run_says_nothing_of_weights_that_are_gone(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)
    config, folder = measured(tmp_path, 4), RunFolder(tmp_path / "run")
    whole = train(config, folder.path, Listener())
    assert whole.best is not None
    last = folder.last.read_bytes()
    for path in (folder.best, folder.last):
        path.unlink()
    listener = Listener()
    again = train(config, folder.path, listener)
    assert (again.weights, again.best) == (folder.last, None)
    assert folder.last.read_bytes() == last
    assert f"{folder.best} is gone, and with it the best AP so far." in listener.notes
    assert "best AP" not in folder.report.read_text()


def test_the_best_of_a_run_that_has_lost_it_is_the_next(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)
    config, folder = measured(tmp_path, 4), RunFolder(tmp_path / "run")
    stopped(config, folder.path, after=3)
    folder.best.unlink()
    outcome = train(config, folder.path, Listener())
    assert outcome.weights == folder.best
    assert outcome.best == read_metrics(folder.metrics)[-1]["AP"]
    assert folder.best.read_bytes() == folder.last.read_bytes()
    assert f"best AP {outcome.best:.3f} after step 4" in folder.report.read_text()


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


def test_killed_and_interrupted_runs_go_on_with_the_same_bits(tmp_path: Path) -> None:
    write_coco(tmp_path, 6)
    values = small_run(tmp_path, data=small_run(tmp_path)["data"] | {"validation": []})
    values["stages"][1] |= {"steps": 12}
    config = tmp_path / "train.yaml"
    config.write_text(yaml.safe_dump(values))
    whole, cut = tmp_path / "whole", tmp_path / "cut"

    process = started(config, cut, fault="steps_take_their_time")
    wait_for_lines(cut / "metrics.jsonl", process, 5)  # in the second stage
    process.kill()
    assert process.returncode == -signal.SIGKILL
    process = started(config, cut, fault="steps_take_their_time")
    wait_for_lines(cut / "metrics.jsonl", process, 9)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 130
    assert "interrupted" in process.stderr
    assert 9 <= len(losses(cut)) < 15
    for folder in (cut, whole):
        train(parse_config(TrainConfig, values), folder, Listener())
    assert losses(cut) == losses(whole)
    assert len(losses(cut)) == 15
    ours, theirs = (read_state(folder / "last.safetensors") for folder in (cut, whole))
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())


def is_cutting(run: Path, pid: int) -> bool:
    return any(run.glob(f"cache/.crops-*.{pid}.vitpose-tmp"))


def test_runs_that_are_killed_while_they_cut_crops_leave_nothing(tmp_path: Path) -> None:
    write_coco(tmp_path, 60)
    values = small_run(tmp_path, stages=[{"input_wh": [32, 48], "steps": 1, "batch_size": 4}])
    source = values["data"]["train"]
    kept = {"cache": "disk", "cache_wh": [960, 1280]}
    values["data"] = {"train": source, "validation": [], "threads": 1} | kept
    config, run = tmp_path / "train.yaml", tmp_path / "run"
    config.write_text(yaml.safe_dump(values))
    for _ in range(2):
        process = started(config, run)
        wait_until(partial(is_cutting, run, process.pid), process)
        process.kill()
        left = {path.suffix for path in (run / "cache").iterdir()}
        assert left == {".lock", ".vitpose-tmp"}
        assert len(list((run / "cache").iterdir())) == 2  # what the one before left is gone
    (run / ".state.pt.999999999.vitpose-tmp").touch()
    (run / ".last.safetensors.999999999.vitpose-tmp").mkdir()
    (run / ".last.safetensors.999999999.vitpose-tmp" / ".tmpAbCdEf").touch()
    train(parse_config(TrainConfig, values), run, Listener())
    assert not [path for path in run.rglob("*") if path.name.startswith(".")]
    assert len(list((run / "cache").iterdir())) == 2  # crops, and which photos failed


def test_an_interruption_at_the_end_of_a_stage_ends_the_run(tmp_path: Path) -> None:
    """While its last step is measured and saved; nothing of the next stage is learnt."""
    write_coco(tmp_path, 4)
    config = parse_config(TrainConfig, small_run(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", Stopping(4))  # three steps and a measurement
    lines = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert [(one["stage"], one["step"]) for one in lines] == [(0, 1), (0, 2), (0, 3), (0, 3)]
    saved = RunFolder(tmp_path / "run").load_state()
    assert saved is not None
    assert (saved.position.step, saved.position.measured) == (3, True)


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
        train(config, tmp_path / "run", Stopping(2))
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

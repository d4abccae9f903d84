"""Whole runs of seconds: what they leave behind, and what they say."""

import json
import math
import re
from pathlib import Path

import pytest
import torch
import yaml
from training_cases import small_run, small_teacher, write_coco
from training_runs import Listener, losses, one_stage, run, small_source, write_people_and_robots

from vitpose_cli.config import parse_config
from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.models.checkpoint import load_model, read_header
from vitpose_cli.models.tensor_files import read_state
from vitpose_cli.plurals import counted
from vitpose_cli.training.checkpoints import RunFolder
from vitpose_cli.training.config import TrainConfig
from vitpose_cli.training.loop import train
from vitpose_cli.training.metrics import read_metrics
from vitpose_cli.training.plan import plan_training


def test_a_run_leaves_weights_metrics_pictures_and_a_report(tmp_path: Path) -> None:
    write_coco(tmp_path)
    listener = run(tmp_path)
    folder = tmp_path / "run"
    assert losses(folder) == [
        (one["stage"], one["step"], one["loss"]) for one in listener.lines if "loss" in one
    ]
    assert [place[:2] for place in losses(folder)] == [(s, n) for s in (0, 1) for n in (1, 2, 3)]
    assert torch.backends.cudnn.benchmark, "all batches of a stage are of one size"
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


def test_a_folder_of_something_else_is_not_touched(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "precious.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        run(tmp_path)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["precious.txt"]


def test_a_network_that_diverges_is_stopped(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)
    stage = {"input_wh": [32, 48], "steps": 25, "batch_size": 2, "loss": {"weight": 1e38}}
    with pytest.raises(ConfigError, match="diverged"):
        run(tmp_path, stages=[stage], validation={"every_steps": 100}, checkpoint_every=100)


@pytest.mark.parametrize("steps", [1, 8])
def test_a_short_stage_that_learns_nothing_ends_no_run(tmp_path: Path, steps: int) -> None:
    write_coco(tmp_path, 4)
    stage = {"input_wh": [32, 48], "steps": steps, "batch_size": 2, "loss": {"weight": 1e38}}
    with pytest.raises(ConfigError, match=rf"The last {counted(steps, 'step')} had no finite grad"):
        run(tmp_path, stages=[stage])
    assert not [*(tmp_path / "run").glob("*.safetensors")]


def test_a_network_that_diverges_leaves_no_rubbish(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)
    stage = {"input_wh": [32, 48], "steps": 60, "batch_size": 2}
    optimizer = {"lr": 1, "weight_decay": 1e37, "warmup_steps": 0, "schedule": "constant"}
    changes = {"stages": [stage], "optimizer": optimizer, "checkpoint_every": 5}
    with pytest.raises(ConfigError, match="The last 29 steps had no finite gradient"):
        run(tmp_path, **changes, validation={"every_steps": 10}, log_every=30)
    folder = tmp_path / "run"
    assert not [path.name for path in folder.iterdir() if path.suffix in (".pt", ".safetensors")]
    _, line = (folder / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line, parse_constant=pytest.fail)["loss"] is None
    assert math.isnan(read_metrics(folder / "metrics.jsonl")[1]["loss"])


def test_a_network_that_is_not_finite_any_more_is_not_saved(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)
    stage = {"input_wh": [32, 48], "steps": 5, "batch_size": 2}
    # Its gradient is finite, and the second step goes beyond the largest number of float32.
    optimizer = {"lr": 10, "weight_decay": 3.4e38, "schedule": "constant"}
    optimizer |= {"warmup_steps": 1, "warmup_ratio": 1e-45}
    changes = {"stages": [stage], "optimizer": optimizer, "checkpoint_every": 1}
    with pytest.raises(ConfigError, match=r"not finite, as in .*: it has diverged, and is not"):
        run(tmp_path, **changes, validation={"every_steps": 1})
    folder = tmp_path / "run"
    saved = RunFolder(folder).load_state()
    assert saved is not None
    assert saved.position.step == 1
    for name in ("last", "best"):
        state = read_state(folder / f"{name}.safetensors")
        assert all(torch.isfinite(value).all() for value in state.values())


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
        f"The head robot starts anew: {teacher} has none of its keypoints.",
        "The keypoints of robot have no names of left and right: no crop is mirrored, and there "
        "is no flip test. Where that is wrong, list the pairs as `flip_pairs` of the category in "
        "the COCO file.",
    ]
    assert set(said) <= set(listener.notes)
    assert set(said) <= set(plan_training(parse_config(TrainConfig, values)).notes)
    document["categories"][0]["flip_pairs"] = []
    path.write_text(json.dumps(document))
    stated = (
        "The keypoints of robot have no `flip_pairs`: no crop is mirrored, and there is no flip "
        "test."
    )
    assert stated in plan_training(parse_config(TrainConfig, values)).notes


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
    assert "Stage 1: {:,} of {:,} parameters learn, in 1 step.".format(*sizes) in listener.notes
    (line,) = (one for one in listener.lines if one["kind"] == "train")
    assert line["memory_mib"] > 0


def test_two_keypoint_sets_train_two_heads(tmp_path: Path) -> None:
    write_people_and_robots(tmp_path)
    sources = [small_source(tmp_path, {"annotations": name}) for name in ("coco", "robots")]
    stage = {"input_wh": [48, 64], "steps": 3, "batch_size": 6}
    listener = run(tmp_path, data={"train": sources, "validation": sources}, stages=[stage])
    said = "The files have several lists of keypoints; each gets a head: coco (17), robot (2)."
    assert said in listener.notes
    assert not torch.backends.cudnn.benchmark, "heads see parts of ever other sizes"
    header = read_header(tmp_path / "run" / "last.safetensors")
    assert {name: head.keypoint_set.num_keypoints for name, head in header.heads.items()} == {
        "coco": 17,
        "robot": 2,
    }
    assert list(listener.lines[-1]["sources"]) == ["1 people", "2 people"]
    learnt = read_state(tmp_path / "run" / "last.safetensors")
    assert learnt["heads.robot.final.bias"].abs().max() > 0
    assert learnt["heads.coco.final.bias"].abs().max() > 0

"""The pose weights' recipe: all of its runs in small, one after the other, and once more."""

import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from runs import program, save_weights
from training_cases import boxes, picture_of, pose_in, write_coco

from vitpose_cli.config import load_config
from vitpose_cli.models.checkpoint import load_model
from vitpose_cli.training.config import TrainConfig

RECIPE = Path(__file__).parents[2] / "weights" / "recipes" / "pose"

CUTS = ("upper", "lower", "left", "right", "limb")


def write_pack(path: Path, count: int) -> None:
    """Write a pack of drawn people; each stands in the middle of their crop."""
    pictures, points = [], []
    for box in boxes(count):
        placed = pose_in(box)
        pictures.append(cv2.imencode(".webp", picture_of(placed)[..., ::-1])[1])
        points.append(np.concatenate([placed, np.tile([2.0, 1.0], (17, 1))], axis=1))
    sizes = [len(one) for one in pictures]
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        blob=np.concatenate(pictures),
        offsets=np.cumsum([0, *sizes]),
        keypoints=np.stack(points).astype(np.float32),
        source=np.zeros(count, np.int64),
    )


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """Return a recipe of seconds: the files as they are, with less to do."""
    folder = tmp_path / "recipe"
    shutil.copytree(RECIPE, folder)
    for path in folder.glob("*.yaml"):
        text = re.sub(r"\bsteps: \d+", "steps: 2", path.read_text())
        text = re.sub(r"batch_size: \d+", "batch_size: 4", text)
        for large, small in (
            ("[240, 320]", "[64, 80]"),
            ("[192, 256]", "[64, 80]"),
            ("[96, 128]", "[48, 64]"),
        ):
            text = text.replace(large, small)
        text = text.replace("[0.03, 1.0]", "[0.3, 1.0]").replace("[0.0, 0.03]", "[0.0, 0.3]")
        path.write_text(text.replace("cache: device", "cache: ram"))
    return folder


def test_all_runs_follow_one_another_and_are_done_once(recipe: Path, tmp_path: Path) -> None:
    for name in ("people_a", "people_b", "people_c"):
        write_pack(tmp_path / "data" / "packs" / f"{name}.npz", 16)
    out, work = tmp_path / "weights.safetensors", tmp_path / "work"
    command = [recipe / "recipe.py", tmp_path / "data", work, out]
    options = ["--variant", "tiny-test", "--set", "compile=false", "--set", "device=cpu"]
    done = program(*command, *options)
    assert done.returncode == 0, done.stderr
    assert "The teacher is not here" in done.stdout
    assert "nothing was measured or replaced" in done.stdout
    for name in ("distil", "finetune"):  # the first is there before the second begins
        model = load_model(work / f"{name}.safetensors")
        assert (model.header.variant, model.header.input_wh) == ("tiny-test", (64, 80))
    for before, after in (("pretrain", "distil"), ("distil", "finetune")):
        config = load_config(TrainConfig, work / after / "config.yaml")
        assert Path(config.model.weights or "").parent == work / before
    stamps = {path: path.stat().st_mtime_ns for path in work.glob("*/*.safetensors")}
    assert program(*command, *options).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps

    write_coco(tmp_path / "data" / "coco_val", 2).rename(
        tmp_path / "data" / "coco_val" / "person_keypoints.json"
    )
    plain = (work / "finetune.safetensors").read_bytes()
    for old, replaced in ((plain, True), (save_weights(tmp_path / "o").read_bytes(), False)):
        out.write_bytes(old)  # at AP 0, and no gain makes more of a network of two steps
        done = program(*command, *options, "--gain", "1.5")
        assert done.returncode == 0, done.stderr
        assert ("replaced." in done.stdout) == replaced
        louder = (work / "finetune.safetensors").read_bytes()
        assert louder != plain
        assert out.read_bytes() == (louder if replaced else old)


def test_the_recipe_means_what_its_readme_says() -> None:
    pretrain, distil, finetune = (
        load_config(TrainConfig, RECIPE / f"{name}.yaml")
        for name in ("pretrain", "distil", "finetune")
    )
    assert pretrain.task == "pretrain"
    assert distil.distill is not None
    assert distil.distill.looks == "each"
    assert [stage.input_wh for stage in distil.stages] == [(96, 128), (192, 256)]
    assert finetune.distill is None
    assert finetune.augmentation.truncation == 0.3
    assert {config.data.cache for config in (pretrain, distil, finetune)} == {"device"}


def test_the_tables_of_a_file_cover_every_case(tmp_path: Path) -> None:
    write_coco(tmp_path, 2).rename(tmp_path / "person_keypoints.json")
    weights = save_weights(tmp_path / "random.safetensors")
    done = program(RECIPE / "tables.py", tmp_path, weights, "--detector", "whole-image")
    assert done.returncode == 0, done.stderr
    cases, keypoints = done.stdout.strip().split("\n\n")
    assert [line.split(" | ")[0] for line in cases.splitlines()[2:]] == [
        "| boxes of the ground truth",
        "| own boxes",
        *(f"| cut to {cut}, boxes of the ground truth" for cut in CUTS),
    ]
    assert len(keypoints.splitlines()) == 2 + 17 + 1


def test_peaks_are_held_against_labels_and_brought_to_what_they_mean(tmp_path: Path) -> None:
    write_pack(tmp_path / "people_a.npz", 120)
    weights = save_weights(tmp_path / "random.safetensors")
    done = program(RECIPE / "calibration.py", weights, tmp_path / "people_a.npz")
    assert done.returncode == 0, done.stderr
    first, *lines = done.stdout.splitlines()
    count = int(re.match(r"(\d+) keypoints, 0\.\d{3} of them right", first)[1])  # type: ignore[index]
    assert count % 17 == 0  # of whole people, about 3 of a hundred
    assert 1 <= count // 17 <= 10
    assert [line.split(":")[0] for line in lines] == [
        f"gain {gain}" for gain in (1.0, 1.2, 1.35, 1.5, 1.7)
    ]

    louden, out = tmp_path / "louden.py", tmp_path / "louder.safetensors"
    louden.write_text(
        f"import sys\nsys.path.insert(0, {str(RECIPE)!r})\n"
        "from pathlib import Path\nimport recipe\n"
        "recipe.export(Path(sys.argv[1]), Path(sys.argv[2]), gain=1.5)\n"
    )
    assert program(louden, weights, out).returncode == 0
    crops = torch.randn(2, 3, 128, 96)
    with torch.no_grad():
        plain, louder = (load_model(path).eval()(crops) for path in (weights, out))
    torch.testing.assert_close(louder, 1.5 * plain, rtol=0.02, atol=0.02)  # half precision


def test_what_the_shipped_file_learnt_from_stands_written() -> None:
    names = {path.stem for path in (RECIPE / "processor").glob("*.yaml")}
    told = (RECIPE.parent / "README.md").read_text()
    assert names == set(re.findall(r"pose/processor/(\w+)\.yaml", told))
    sizes = {"learn": (192, 256), "settle": (192, 256), "larger": (240, 320)}
    assert names == sizes.keys()
    for name, size in sizes.items():
        config = load_config(TrainConfig, RECIPE / "processor" / f"{name}.yaml")
        assert {stage.input_wh for stage in config.stages} == {size}


def test_two_files_of_one_network_are_averaged_and_others_are_not(tmp_path: Path) -> None:
    one, other = (save_weights(tmp_path / f"{seed}.safetensors", seed=seed) for seed in (0, 1))
    out = tmp_path / "between.safetensors"
    assert program(RECIPE / "average.py", one, other, "0.25", out).returncode == 0
    states = [load_model(path).state_dict() for path in (one, other, out)]
    for first, second, mean in zip(*(state.values() for state in states), strict=True):
        torch.testing.assert_close(mean, 0.75 * first + 0.25 * second)
    assert load_model(out).header == load_model(one).header

    another = save_weights(tmp_path / "mpii.safetensors", names="mpii")
    refused = program(RECIPE / "average.py", one, another, "0.25", out)
    assert "are not of one network" in refused.stderr

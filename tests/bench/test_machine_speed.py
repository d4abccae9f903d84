"""The speed of this machine: numbers that fit together, whatever they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from runs import EXAMPLES, save_photos, save_weights, vitpose

from vitpose_cli.assembly import LabelerOptions
from vitpose_cli.bench.machine_speed import BenchOptions, bench
from vitpose_cli.models.speed import calls_per_s, gflop_per_crop
from vitpose_cli.models.vitpose import VARIANTS, HeadConfig, ViTPoseConfig


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_weights(tmp_path_factory.mktemp("weights") / "weights.safetensors")


def test_it_says_what_limits_and_what_other_sizes_would_do(weights: Path) -> None:
    done = vitpose("bench", "--weights", weights, "--device", "cpu", "--no-flip-test", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["people_per_photo"] == 3
    assert found["limit"] == min(found["stages"], key=found["stages"].__getitem__)
    assert [each["batch"] for each in found["batches"]] == [1, 4, 8, 16]
    for each in found["batches"]:
        reached = each["crops_per_s"] * found["gflop_per_crop"] / 1e3 / found["matrix_tflops"]
        assert each["matrix_share"] == pytest.approx(reached)
    sizes = found["sizes"]
    assert list(sizes) == ["tiny-test", "tiny", "small", "base", "large", "huge"]
    assert sizes["small"] > sizes["base"] > sizes["large"] > sizes["huge"] > 0


def test_the_users_own_photos_give_a_table(weights: Path) -> None:
    done = vitpose("bench", "--weights", weights, "--detector", "whole-image", "--source", EXAMPLES)
    assert done.returncode == 0, done.stderr
    for word in ("crops/s", "of the matrix rate", "decode", "(slowest)", "all together", "huge"):
        assert word in done.stdout
    assert "2 photos, 1.0 people in each" in done.stdout


def measured(weights: Path, folder: Path, num_people: int) -> dict[str, Any]:
    """Return what `bench` says of ten photos with boxes for some people in the last."""
    photos = save_photos(folder / "photos", 10)
    box = {"file_name": photos[-1], "bbox": [10, 10, 60, 70], "score": 0.9}
    (folder / "boxes.json").write_text(json.dumps([box] * num_people))
    labeler = LabelerOptions(str(weights), detector=str(folder / "boxes.json"), device="cpu")
    options = BenchOptions(labeler, (str(folder / "photos"),), seconds=0.02)
    return bench(options, say=print).as_dict()


def test_photos_without_people_say_nothing_of_other_sizes(weights: Path, tmp_path: Path) -> None:
    found = measured(weights, tmp_path, 0)
    assert found["crops_per_photo"] == 0
    assert found["sizes"] == {}
    assert list(found["stages"]) == ["decode", "detect"]
    assert found["limit"] in ("decode", "detect")
    batches, why = found["advice"]
    assert "as fast as any" in batches
    assert "Nobody was found" in why
    done = vitpose(
        "bench", "--weights", weights, "--source", tmp_path / "photos",
        "--detector", tmp_path / "boxes.json", "--device", "cpu",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Nobody was found" in done.stdout
    assert "huge" not in done.stdout


def test_few_people_are_reckoned_by_crops(weights: Path, tmp_path: Path) -> None:
    found = measured(weights, tmp_path, 1)
    assert found["crops_per_photo"] == pytest.approx(0.1)
    network_s = 0.1 / max(each["crops_per_s"] for each in found["batches"])
    huge = ViTPoseConfig(VARIANTS["huge"], {"main": HeadConfig("classic", 17)})
    huge_s = network_s * gflop_per_crop(huge) / found["gflop_per_crop"]
    rest_s = max(1 / found["photos_per_s"] - network_s, 0.0)
    assert found["sizes"]["huge"] == pytest.approx(1 / (rest_s + huge_s))


def test_operations_are_counted_as_in_the_paper() -> None:
    base = ViTPoseConfig(VARIANTS["base"], {"main": HeadConfig("classic", 17)})
    # 17.1 G multiply-adds in the paper (arXiv 2204.12484), without attention's own products
    assert gflop_per_crop(base) == pytest.approx(37.0, abs=0.1)


def test_work_is_repeated_until_the_time_is_over() -> None:
    calls: list[int] = []
    rate = calls_per_s(lambda: calls.append(1), torch.device("cpu"), 0.01)
    assert rate > 100
    assert len(calls) > 3

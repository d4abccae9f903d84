"""`task: pretrain`: whole runs of seconds, and what starts from them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_cases import (
    COCO,
    first_gradient,
    gradients_of_two,
    losses,
    small_run,
    small_source,
    some_people,
    write_coco,
)
from training_runs import goes_on_with_the_same_bits

from vitpose_cli.cli.app import run as command_line
from vitpose_cli.config import parse_config
from vitpose_cli.errors import ConfigError, ExitCode, WeightsError
from vitpose_cli.models.checkpoint import load_model, read_header
from vitpose_cli.models.tensor_files import read_state
from vitpose_cli.pose.heatmaps import HeatmapCodec
from vitpose_cli.runtime import Process
from vitpose_cli.training.batches import Batches
from vitpose_cli.training.config import ModelOptions, StageOptions, TrainConfig
from vitpose_cli.training.courses import Course
from vitpose_cli.training.crops import HostCrops
from vitpose_cli.training.data_options import AugmentationOptions
from vitpose_cli.training.loop import train
from vitpose_cli.training.metrics import Silence
from vitpose_cli.training.optim import Schedule
from vitpose_cli.training.plan import plan_training
from vitpose_cli.training.process import Placement
from vitpose_cli.training.stage import Stage
from vitpose_cli.training.start import build_network, first_network


def pretraining(folder: Path, **changes: Any) -> TrainConfig:
    data = {"train": [small_source(folder)], "threads": 1}
    values = {"task": "pretrain", "data": data, "model": {"variant": "tiny-test"}} | changes
    return parse_config(TrainConfig, small_run(folder, **values))


def test_a_run_leaves_a_backbone_that_training_starts_from(tmp_path: Path) -> None:
    write_coco(tmp_path, 6)
    outcome = train(pretraining(tmp_path), tmp_path / "run", Silence())
    assert outcome.best is None
    assert outcome.weights.name == "last.safetensors"
    assert "data:image" in outcome.report.read_text()
    header = read_header(outcome.weights, backbone=True)
    assert (header.heads, header.input_wh) == ({}, (48, 64))
    stored = read_state(outcome.weights)
    assert {key.split(".")[0] for key in stored} == {"encoder"}
    options = ModelOptions(weights=str(outcome.weights), head="simple")
    network = build_network(options, {"coco": COCO}, (48, 64))
    for key, value in network.model.encoder.state_dict().items():
        assert torch.equal(value, stored[f"encoder.{key}"])
    larger = build_network(options, {"coco": COCO}, (96, 128)).model
    assert larger.encoder.pos_embed.shape == (1, 48, 64)


def test_people_without_keypoints_will_do(tmp_path: Path) -> None:
    path = write_coco(tmp_path, 4)
    document = json.loads(path.read_text())
    document["categories"] = [{"id": 1, "name": "person"}]
    for one in document["annotations"]:
        del one["keypoints"]
    path.write_text(json.dumps(document))
    stage = {"input_wh": [48, 64], "steps": 2, "batch_size": 4}
    config = pretraining(tmp_path, stages=[stage])
    assert plan_training(config).sources[0]["people"] == 4
    assert train(config, tmp_path / "run", Silence()).weights.exists()


def test_a_run_that_was_stopped_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    write_coco(tmp_path, 6)
    config = pretraining(tmp_path)
    goes_on_with_the_same_bits(config, tmp_path, 4)


def test_it_learns(tmp_path: Path) -> None:
    write_coco(tmp_path, 6)
    stage = {"input_wh": [48, 64], "steps": 60, "batch_size": 12, "lr": 3e-3}
    calm = {"flip": 0, "rotation": 0, "scale_std": 0, "shift": 0, "half_body": 0}
    config = pretraining(tmp_path, stages=[stage], augmentation=calm, ema=None)
    train(config, tmp_path / "run", Silence())
    found = losses(tmp_path / "run")
    assert np.mean(found[-5:]) < 0.85 * np.mean(found[:5])


def test_what_is_hidden_is_a_function_of_the_step_and_shared_out_among_processes() -> None:
    people, pictures = some_people(8)
    course = Course("coco", people, HostCrops(pictures), HeatmapCodec((48, 64), (12, 16), "udp"))
    stage = StageOptions(input_wh=(48, 64), steps=1, batch_size=8)

    def orders(process: Process | None = None, step: int = 0) -> torch.Tensor:
        made = Batches(
            [course], stage, AugmentationOptions(), (0,), torch.device("cpu"), num_patches=12
        )
        (batch,) = next(iter(made.ahead(step, step + 1, process)))
        assert batch.order is not None
        assert not batch.targets
        return batch.order

    whole = orders()
    assert torch.equal(orders(), whole)
    assert not torch.equal(orders(step=1), whole)
    assert torch.equal(whole.sort(dim=1).values, torch.arange(12).expand(8, -1))
    assert len({tuple(one) for one in whole.tolist()}) == 8
    parts = [orders(Process(rank=rank, world_size=2)) for rank in range(2)]
    assert torch.equal(torch.stack(parts, dim=1).flatten(0, 1), whole)


def gradient(process: Process) -> torch.Tensor:
    """Return the gradient of the first step of a pre-training."""
    config = pretraining(Path(), stages=[{"input_wh": [48, 64], "steps": 4, "batch_size": 6}])
    torch.manual_seed(0)
    network = first_network(config, {})
    people, pictures = some_people(8)
    course = Course("coco", people, HostCrops(pictures), HeatmapCodec((48, 64), (12, 16), "udp"))
    device = torch.device("cpu")
    batches = Batches([course], config.stages[0], config.augmentation, (0,), device, num_patches=12)
    schedule = Schedule.of_stage(config.stages[0], config.optimizer, batches.steps_per_epoch)
    stage = Stage(network, config, 0, schedule, Placement(device, process=process))
    return first_gradient(stage, batches, process)


def test_two_processes_have_the_gradient_of_one(tmp_path: Path) -> None:
    for together in gradients_of_two(tmp_path, __file__):
        # Sums in another order differ in the last bits.
        torch.testing.assert_close(together, gradient(Process()), atol=1e-6, rtol=1e-4)


def test_a_backbone_finds_no_keypoints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_coco(tmp_path, 4)
    stage = {"input_wh": [48, 64], "steps": 1, "batch_size": 4}
    weights = train(pretraining(tmp_path, stages=[stage]), tmp_path / "run", Silence()).weights
    with pytest.raises(WeightsError, match="has no head"):
        load_model(weights)
    command = ["annotate", str(tmp_path / "images"), "-o", str(tmp_path / "out")]
    assert command_line([*command, "-w", str(weights)]) == ExitCode.WEIGHTS
    assert "Train from it" in capsys.readouterr().err


def test_what_it_cannot_measure_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="measures no poses"):
        parse_config(TrainConfig, small_run(tmp_path, task="pretrain"))

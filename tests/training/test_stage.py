"""What one step does, alone and among several processes."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_cases import first_gradient, gradients_of_two, small_run, some_people

from vitpose_cli.config import parse_config
from vitpose_cli.errors import ConfigError
from vitpose_cli.pose.heatmaps import HeatmapCodec
from vitpose_cli.pose.keypoints import KEYPOINT_SETS
from vitpose_cli.runtime import Process
from vitpose_cli.training.batches import Batch, Batches
from vitpose_cli.training.config import TrainConfig
from vitpose_cli.training.courses import Course
from vitpose_cli.training.crops import HostCrops
from vitpose_cli.training.optim import Schedule
from vitpose_cli.training.process import Placement
from vitpose_cli.training.stage import Stage
from vitpose_cli.training.start import build_network

CPU = torch.device("cpu")
PLAIN: dict[str, Any] = {
    "model": {"variant": "tiny-test", "head": "simple", "drop_path": 0.0},
    "optimizer": {"lr": 1e-3, "warmup_steps": 0, "schedule": "constant"},
    "ema": None,
}
OPTIMIZERS = pytest.mark.parametrize("kind", ["adamw", "muon"])


def config(**changes: Any) -> TrainConfig:
    stage = {"input_wh": [48, 64], "steps": 4, "batch_size": 6} | changes.pop("stage", {})
    values = small_run(Path(), **(PLAIN | changes))
    return parse_config(TrainConfig, values | {"stages": [stage]})


def opened(chosen: TrainConfig, process: Process | None = None) -> tuple[Stage, Batches]:
    torch.manual_seed(0)
    network = build_network(chosen.model, {"coco": KEYPOINT_SETS["coco"]}, (48, 64))
    people, pictures = some_people(8)
    course = Course("coco", people, HostCrops(pictures), HeatmapCodec((48, 64), (12, 16), "udp"))
    batches = Batches([course], chosen.stages[0], chosen.augmentation, (0,), CPU)
    schedule = Schedule.of_stage(chosen.stages[0], chosen.optimizer, batches.steps_per_epoch)
    placement = Placement(CPU, process=process or Process())
    return Stage(network, chosen, 0, schedule, placement), batches


def steps(stage: Stage, batches: Batches, start: int = 0, stop: int = 4) -> list[float]:
    taken = enumerate(batches.ahead(start, stop), start)
    return [float(stage.step(number, passes)[0]) for number, passes in taken]


def weights(stage: Stage) -> torch.Tensor:
    return torch.cat([value.flatten() for value in stage.model.state_dict().values()])


def averaged(stage: Stage) -> torch.Tensor:
    return torch.cat([value.flatten() for value in stage.network.model.state_dict().values()])


def test_a_network_learns() -> None:
    calm = {"flip": 0, "rotation": 0, "scale_std": 0, "shift": 0, "half_body": 0}
    stage, batches = opened(config(stage={"steps": 30}, augmentation=calm))
    losses = steps(stage, batches, 0, 30)
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


def test_each_step_drops_other_paths_and_the_same_step_the_same() -> None:
    model = {"variant": "tiny-test", "head": "simple", "drop_path": 0.5}
    optimizer = {"lr": 1e-20, "warmup_steps": 0, "schedule": "constant"}
    stage, batches = opened(config(model=model, optimizer=optimizer))
    (passes,) = batches.ahead(0, 1)
    first, again, other = (float(stage.step(number, passes)[0]) for number in (0, 0, 1))
    assert first == again
    assert first != other


def test_passes_of_a_step_add_up() -> None:
    whole, parts = (opened(config(stage={"accumulate": accumulate})) for accumulate in (1, 3))
    losses = steps(*whole), steps(*parts)
    # Adam's first steps are signs of gradients: sums in another order may differ in the last bits.
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    torch.testing.assert_close(weights(whole[0]), weights(parts[0]), atol=2e-4, rtol=0)


@OPTIMIZERS
def test_a_taken_up_state_gives_the_same_bits(kind: str) -> None:
    changes: dict[str, Any] = {"ema": {"decay": 0.9}, "model": PLAIN["model"] | {"drop_path": 0.5}}
    changes["optimizer"] = PLAIN["optimizer"] | {"kind": kind}
    stage, batches = opened(config(**changes))
    expected = steps(stage, batches)
    first, batches = opened(config(**changes))
    losses = steps(first, batches, 0, 2)
    state = first.state_dict()
    second, batches = opened(config(**changes))
    second.load_state_dict(state)
    torch.manual_seed(99)  # whatever happened meanwhile
    losses += steps(second, batches, 2, 4)
    assert losses == expected
    assert torch.equal(weights(stage), weights(second))
    for key, value in stage.network.model.state_dict().items():
        assert torch.equal(second.network.model.state_dict()[key], value)


@OPTIMIZERS
@pytest.mark.parametrize("head", ["simple", "classic"])  # which has batch statistics
def test_a_step_without_finite_gradient_changes_nothing(kind: str, head: str) -> None:
    changes: dict[str, Any] = {"optimizer": PLAIN["optimizer"] | {"kind": kind}}
    changes |= {"model": PLAIN["model"] | {"head": head}, "ema": {"decay": 0.9}}
    stage, batches = opened(config(**changes))
    steps(stage, batches, 0, 2)
    before = weights(stage).clone(), averaged(stage).clone()
    (batch,) = next(iter(batches.ahead(2, 3)))
    for lost in (float("nan"), float("inf")):
        poisoned = batch.crops.clone()
        poisoned[0, 0, 0, 0] = lost
        _, norm = stage.step(2, [Batch(batch.crops, batch.targets), Batch(poisoned, batch.targets)])
        assert not torch.isfinite(norm)
        assert torch.equal(weights(stage), before[0])
        assert torch.equal(averaged(stage), before[1])
    steps(stage, batches, 2, 4)
    for now, then in zip((weights(stage), averaged(stage)), before, strict=True):
        assert torch.isfinite(now).all()
        assert not torch.equal(now, then)
    stage.check_finite()


@OPTIMIZERS
def test_a_step_whose_gradient_has_no_finite_length_changes_nothing(kind: str) -> None:
    """Though each of its elements is finite."""
    changes: dict[str, Any] = {"optimizer": PLAIN["optimizer"] | {"kind": kind}}
    stage, batches = opened(config(**changes, stage={"loss": {"weight": 1e24}}))
    before = weights(stage).clone()
    (batch,) = next(iter(batches.ahead(0, 1)))
    _, norm = stage.step(0, [batch])
    assert torch.isinf(norm)
    assert torch.equal(weights(stage), before)


def test_a_gradient_is_cut_at_its_own_length_whatever_it_is_scaled_by() -> None:
    plain, batches = opened(config())
    scaled, _ = opened(config())
    scaled._scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    for number, passes in enumerate(batches.ahead(0, 3)):
        assert torch.equal(plain.step(number, passes)[1], scaled.step(number, passes)[1])
    assert torch.equal(weights(plain), weights(scaled))


def test_a_network_with_numbers_that_are_not_finite_is_not_saved() -> None:
    stage, batches = opened(config(ema={"decay": 0.9}))
    steps(stage, batches, 0, 1)
    stage.check_finite()
    with torch.no_grad():
        stage.network.model.state_dict()["heads.coco.final.bias"][3] = float("inf")
    with pytest.raises(
        ConfigError, match=r"not finite, as in heads\.coco\.final\.bias: it has div"
    ):
        stage.check_finite()


def fused(stage: Stage) -> Stage:
    """Let a stage step as on a GPU."""
    names = ("params", "weight_decay", "rate_scale")
    groups = [{name: group[name] for name in names} for group in stage._optimizer.param_groups]
    stage._optimizer = torch.optim.AdamW(groups, fused=True)
    return stage


def test_a_state_of_another_device_is_taken_up() -> None:
    stage, batches = opened(config())
    steps(stage, batches, 0, 2)
    second, batches = opened(config())
    fused(second).load_state_dict(copy.deepcopy(stage.state_dict()))
    steps(stage, batches, 2, 4)
    steps(second, batches, 2, 4)
    assert all(group["fused"] for group in second._optimizer.param_groups)
    # A fused step rounds otherwise.
    torch.testing.assert_close(weights(stage), weights(second), atol=1e-5, rtol=0)
    third, batches = opened(config())
    third.load_state_dict(second.state_dict())
    steps(third, batches, 4, 5)
    assert not any(group["fused"] for group in third._optimizer.param_groups)


def test_a_scale_is_taken_up_where_it_is_of_the_same_number_format() -> None:
    stage, batches = opened(config())
    steps(stage, batches, 0, 1)
    plain = stage.state_dict()
    half = torch.amp.GradScaler("cpu")
    earlier = torch.amp.GradScaler("cpu", init_scale=2**-30, growth_interval=2**31 - 1)
    for scaler in (earlier, torch.amp.GradScaler("cpu", enabled=False), half):
        stage.load_state_dict(plain | {"scaler": scaler.state_dict()})
        assert stage._scaler.get_scale() == 1.0
    stage._scaler = half
    stage.load_state_dict(plain)
    assert half.get_scale() == 2**16
    assert half.get_growth_interval() == 2000
    found = half.state_dict() | {"scale": 2.0**9, "_growth_tracker": 7}
    stage.load_state_dict(plain | {"scaler": found})
    assert half.state_dict() == found


def test_steps_that_are_skipped_leave_the_scale_as_it_is() -> None:
    stage, batches = opened(config())
    (batch,) = next(iter(batches.ahead(0, 1)))
    for number in range(3):
        stage.step(number, [Batch(batch.crops * float("nan"), batch.targets)])
    assert stage._scaler.get_scale() == 1.0


def test_frozen_parts_stay_and_the_average_follows() -> None:
    stage, batches = opened(config(freeze={"encoder": True}, ema={"decay": 0.5, "warmup": False}))
    encoder = {key: value.clone() for key, value in stage.model.encoder.state_dict().items()}
    head = stage.model.heads["coco"].state_dict()["final.weight"].clone()
    steps(stage, batches)
    for key, value in stage.model.encoder.state_dict().items():
        assert torch.equal(value, encoder[key])
    learnt = stage.model.heads["coco"].state_dict()["final.weight"]
    averaged = stage.network.model.heads["coco"].state_dict()["final.weight"]
    assert (learnt - head).abs().mean() > (averaged - head).abs().mean() > 0
    assert stage.evaluating() is stage.network.model
    stage.learning()
    assert stage.model.training
    assert not stage.model.encoder.training


def test_bfloat16_and_checkpointing_learn_alike() -> None:
    reference = steps(*opened(config()))
    saving = config(model=PLAIN["model"] | {"activation_checkpointing": True})
    assert steps(*opened(saving)) == pytest.approx(reference, rel=1e-5)
    stage, batches = opened(config())
    stage._dtype = torch.bfloat16
    assert steps(stage, batches) == pytest.approx(reference, rel=0.05)


def gradient(process: Process) -> torch.Tensor:
    return first_gradient(*opened(config(stage={"accumulate": 2}), process), process)


def test_two_processes_have_the_gradient_of_one(tmp_path: Path) -> None:
    for together in gradients_of_two(tmp_path, __file__):
        # Both are clipped to length 1 at most; sums in another order differ in the last bits.
        torch.testing.assert_close(together, gradient(Process()), atol=1e-6, rtol=1e-4)

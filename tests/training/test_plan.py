import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from training_cases import small_run, small_source, write_coco

from vitpose_cli.config import parse_config
from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.training.config import TrainConfig
from vitpose_cli.training.data import check_room, open_data
from vitpose_cli.training.data_options import DataOptions
from vitpose_cli.training.loop import train
from vitpose_cli.training.memory import machine_memory_bytes
from vitpose_cli.training.metrics import Silence
from vitpose_cli.training.plan import TrainingPlan, plan_training


def planned(folder: Path, **changes: Any) -> TrainingPlan:
    write_coco(folder)
    return plan_training(parse_config(TrainConfig, small_run(folder, **changes)))


def test_a_plan_says_what_would_happen_and_writes_nothing(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "people.json"]
    assert plan.dtype == "float32"
    assert [(one["for"], one["people"]) for one in plan.sources] == [
        ("training", 8),
        ("validation", 8),
    ]
    assert plan.heads == {"coco": "simple, 17 keypoints, udp"}
    assert [(one.input_wh, one.steps, one.epochs) for one in plan.stages] == [
        ((32, 48), 3, 1.5),
        ((48, 64), 3, 1.5),
    ]
    learning, total = plan.trainable
    assert learning == total == sum(group.num_parameters for group in plan.groups)
    assert plan.as_dict()["stages"][0]["peak_lr"] == 1e-3


def test_crops_that_memory_cannot_hold_are_refused_before_any_is_cut(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)
    halves = [small_source(tmp_path) | {"limit": limit} for limit in (3, 1)]
    config = parse_config(TrainConfig, small_run(tmp_path, data={"train": halves, "cache": "ram"}))
    # More than a file may ask for, so that few people are too many for any machine.
    data = config.data.model_copy(update={"cache_wh": (6_000_000, 6_640_000)})
    config = config.model_copy(update={"data": data})
    for begin in (plan_training, lambda config: train(config, tmp_path / "run", Silence())):
        with pytest.raises(InputError, match=r"crops of 4 people take 445246\.7 GiB") as caught:
            begin(config)
        assert "data.cache" in caught.value.hint
    on_disk = data.model_copy(update={"cache": "disk"})
    plan_training(config.model_copy(update={"data": on_disk}))


def test_crops_for_a_gpu_are_in_memory_source_by_source(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)
    side = math.isqrt((machine_memory_bytes() or 2**34) // (3 * 3))  # three people fit, four do not
    halves = [small_source(tmp_path) | {"limit": limit} for limit in (2, 2)]
    options = DataOptions.model_validate({"train": halves, "cache": "device"})
    data = open_data(options.model_copy(update={"cache_wh": (side, side)}))
    check_room(data, [(32, 48)], torch.device("cuda"))
    with pytest.raises(InputError, match="crops of 4 people"):
        check_room(data, [(32, 48)], torch.device("cpu"))


def test_each_process_of_a_machine_keeps_crops_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_coco(tmp_path, 4)
    side = math.isqrt((machine_memory_bytes() or 2**34) // (5 * 3))  # five people fit
    options = DataOptions.model_validate({"train": [small_source(tmp_path)]})
    data = open_data(options.model_copy(update={"cache_wh": (side, side)}))
    check_room(data, [(32, 48)], torch.device("cpu"))
    for name, value in (("LOCAL_WORLD_SIZE", "2"), ("SLURM_STEP_TASKS_PER_NODE", "2(x3),1")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            with pytest.raises(InputError, match=r"GiB of memory for each of its 2 processes"):
                check_room(data, [(32, 48)], torch.device("cpu"))
    on_disk = replace(data, options=data.options.model_copy(update={"cache": "disk"}))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    check_room(on_disk, [(32, 48)], torch.device("cpu"))


def test_a_pass_that_memory_cannot_hold_is_refused(tmp_path: Path) -> None:
    small, large = ({"input_wh": [32, 48], "steps": 1, "batch_size": n} for n in (4, 10_000_000))
    with pytest.raises(InputError, match="A pass of 10,000,000 crops of 32 x 48 px") as caught:
        planned(tmp_path, stages=[small, large])
    assert "stages.1.accumulate" in caught.value.hint
    passes = large | {"accumulate": 1_000_000}
    assert len(planned(tmp_path, stages=[small, passes]).stages) == 2


def test_what_shows_nobody_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = small_run(tmp_path)["data"]["train"][0]
    data = {"train": [source | {"repeat": 0}]}
    with pytest.raises(ConfigError, match="`repeat` leaves none of 8 people"):
        planned(tmp_path, data=data)
    stages = [{"steps": 1, "batch_size": 4}, {"steps": 1, "batch_size": 2, "accumulate": 4}]
    config = parse_config(TrainConfig, small_run(tmp_path, stages=stages))
    with pytest.raises(ConfigError, match=r"stages\.1: batch_size 2 .* accumulate 4: a pass"):
        plan_training(config)
    with pytest.raises(ConfigError, match=r"stages\.1"):
        train(config, tmp_path / "run", Silence())
    assert not (tmp_path / "run").exists()
    for name, value in {"RANK": "0", "WORLD_SIZE": "3", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=r"batch_size 2 .* accumulate 1 on each of 3 processes"):
        planned(tmp_path, stages=[{"steps": 1, "batch_size": 2}])


def test_each_of_several_processes_needs_memory_for_its_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = [{"input_wh": [192, 256], "steps": 1, "batch_size": 64, "accumulate": 2}]
    (alone,) = planned(tmp_path, stages=stages).stages
    for name, value in {"RANK": "1", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    (share,) = planned(tmp_path, stages=stages).stages
    assert share.activations_mib == pytest.approx(alone.activations_mib / 8, rel=0.05)
    assert share.weights_mib == alone.weights_mib
    assert share.batch_size == 64


def test_frozen_parameters_need_less(tmp_path: Path) -> None:
    stages = [{"input_wh": [192, 256], "steps": 1, "batch_size": 64}]
    model = {"variant": "small", "head": "simple"}
    whole = planned(tmp_path, model=model, stages=stages).stages[0]
    frozen = planned(tmp_path, model=model, stages=stages, freeze={"encoder": True})
    head = frozen.stages[0]
    assert frozen.trainable[0] == 384 * 17 * 9 + 17
    assert head.weights_mib < whole.weights_mib
    assert head.activations_mib < 0.2 * whole.activations_mib

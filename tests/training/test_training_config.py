from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from training_cases import small_run

from vitpose_cli.config import config_reference, dump_config, parse_config
from vitpose_cli.errors import ConfigError
from vitpose_cli.training.config import DistillOptions, TrainConfig

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "train").glob("*.yaml"))


def problems(**changes: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(TrainConfig, small_run(Path("data"), **changes))
    return caught.value.message


def test_the_defaults_are_the_paper() -> None:
    values = {"model": {"variant": "base"}, "data": {"train": [{"kind": "pack", "path": "a.npz"}]}}
    config = parse_config(TrainConfig, values)
    assert config.optimizer.lr == 5e-4
    assert config.optimizer.weight_decay == 0.1
    assert config.optimizer.milestones is None  # 170 and 200 of 210, see test_optim
    assert config.optimizer.clip_norm == 1.0
    assert config.optimizer.betas == (0.9, 0.999)
    assert config.optimizer.kind == "adamw"
    assert config.stages[0].epochs == 210
    assert config.stages[0].batch_size == 512
    assert config.stages[0].input_wh == (192, 256)
    assert config.ema is None
    loss, taught = config.stages[0].loss, DistillOptions(teacher="vitpose-l")
    assert (loss.kind, loss.weight, loss.foreground, loss.blob_sigma) == ("mse", 1, 0, 2)
    assert (taught.truth, taught.weight, taught.looks) == (1, 1, "each")
    changed = config.augmentation.model_dump()
    published = {
        "flip": 0.5, "shift": 0.3, "shift_size": 0.2, "scale_std": 0.5, "scale_limits": (0.5, 1.5),
        "rotation": 0.6, "rotation_std_deg": 40, "rotation_limit_deg": 80, "half_body": 0.3,
        "half_body_keypoints": 9,
    }  # fmt: skip
    assert {name: changed[name] for name in published} == published
    not_there = ("truncation", "brightness", "contrast", "saturation", "tint", "grey", "erasing")
    assert [changed[name] for name in (*not_there, "blend")] == [0] * 8


def test_what_cannot_be_meant_is_said_at_once() -> None:
    said = problems(
        stages=[{"steps": 1, "epochs": 2}, {"steps": 1, "input_wh": [100, 128]}],
        freze={},
        augmentation={"flip": 1.5, "rotaton": 1},
        optimizer={"warmup_ratio": 10, "gamma": 2, "final_ratio": 1.1},
        data={"train": [], "cache": "tape"},
        model={"variant": "bse"},
    )
    for line in (
        "stages.0: give either epochs or steps",
        "stages.1: input_wh [100, 128] must be multiples of 16",
        "freze: unknown key. Did you mean 'freeze'?",
        "augmentation.flip: should be less than or equal to 1 (given: 1.5)",
        "augmentation.rotaton: unknown key. Did you mean 'rotation'?",
        "optimizer.warmup_ratio: should be less than or equal to 1 (given: 10)",
        "optimizer.gamma: should be less than or equal to 1 (given: 2)",
        "optimizer.final_ratio: should be less than or equal to 1 (given: 1.1)",
        "model.variant: should be 'tiny-test', 'tiny', 'small', 'base', 'large' or 'huge'",
        "data.train:",
        "data.cache:",
    ):
        assert f"\n  {line}" in said
    assert "stages: " not in said  # it is too short only because of what is wrong in it


def test_maps_without_scores_do_not_end_a_run() -> None:
    stage = {"steps": 1, "loss": {"kind": "cross_entropy"}}
    assert "the last stage's loss must be mse" in problems(stages=[stage])


def test_packs_are_a_cache_already() -> None:
    data = {"train": [{"kind": "pack", "path": "a.npz"}], "cache": "none"}
    assert "cannot be had with packs" in problems(data=data)


def test_what_would_do_nothing_is_refused() -> None:
    assert "validation: give either every_epochs or every_steps" in problems(
        validation={"every_epochs": 1, "every_steps": 50}
    )
    for nobody in ({}, {"truth": 0, "weight": 5, "looks": "once"}):
        assert "give it a teacher or a token" in problems(distill=nobody)
    data = small_run(Path("data"))["data"] | {"validation": []}
    model = {"variant": "tiny-test", "experts": True}
    assert "leave out model.experts" in problems(task="pretrain", data=data, model=model)
    said = problems(task="pretrain", data=data, freeze={"encoder": True})
    assert "task: pretrain learns an encoder; leave out freeze.encoder" in said


def test_what_is_out_of_range_is_refused() -> None:
    said = problems(
        optimizer={"betas": [0.9, 1.0]},
        augmentation={"erasing_size": [0.3, 0.1]},
    )
    assert "optimizer.betas.1: should be less than 1 (given: 1.0)" in said
    assert "augmentation: erasing_size [0.3, 0.1] must be [smaller, larger]" in said
    said = problems(
        optimizer={"lr": float("inf"), "milestones": [float("nan")]},
        data=small_run(Path("data"))["data"] | {"context": float("inf"), "cache_wh": [1, 15]},
    )
    for line in (
        "optimizer.lr: should be a finite number (given: inf)",
        "optimizer.milestones.0: should be a finite number (given: nan)",
        "data.context: should be a finite number (given: inf)",
        "data.cache_wh.0: should be greater than or equal to 16 (given: 1)",
        "data.cache_wh.1: should be greater than or equal to 16 (given: 15)",
    ):
        assert f"\n  {line}" in said
    said = problems(data={"train": [{"kind": "coco", "annotations": None, "images": "a"}]})
    assert "\n  data.train.0.annotations: should be a path" in said
    said = problems(augmentation={"scale_limits": [1.5, 0.5]})
    assert "scale_limits [1.5, 0.5] must be [smaller, larger]" in said


def test_numbers_beyond_reason_are_refused() -> None:
    data = small_run(Path("data"))["data"]
    pack = {"kind": "pack", "path": "a.npz", "repeat_of": {1: 1e9}, "context": 1e9}
    stage = {"steps": 10**24, "batch_size": 10**24, "input_wh": [160000, 16]}
    said = problems(
        optimizer={"lr": 1e300},
        data=data
        | {"train": [data["train"][0] | {"repeat": 1e9}, pack]}
        | {"context": 1e9, "cache_wh": [100000, 100], "threads": 100000},
        augmentation={"shift_size": 1e30, "scale_limits": [1e-300, 1e300]},
        stages=[stage, {"epochs": 1e300, "loss": {"blob_sigma": 1e30}}, {"steps": 1}],
        validation={"batch_size": 10**24},
        pretrain={"decoder_depth": 10**9, "decoder_dim": 10**9},
    )
    for name, limit in (
        ("optimizer.lr", "less than or equal to 10"),
        ("data.train.0.repeat", "less than or equal to 10000"),
        ("data.train.1.repeat_of.1", "less than or equal to 10000"),
        ("data.train.1.context", "less than or equal to 10"),
        ("data.context", "less than or equal to 10"),
        ("data.cache_wh.0", "less than or equal to 8192"),
        ("data.threads", "less than or equal to 1024"),
        ("augmentation.shift_size", "less than or equal to 10"),
        ("augmentation.scale_limits.0", "greater than or equal to 0.01"),
        ("augmentation.scale_limits.1", "less than or equal to 100"),
        ("stages.0.steps", "less than or equal to 1000000000"),
        ("stages.0.batch_size", "less than or equal to 1000000000"),
        ("stages.0.input_wh.0", "less than or equal to 4096"),
        ("stages.1.epochs", "less than or equal to 1000000"),
        ("stages.1.loss.blob_sigma", "less than or equal to 100"),
        ("validation.batch_size", "less than or equal to 1000000000"),
        ("pretrain.decoder_depth", "less than or equal to 100"),
        ("pretrain.decoder_dim", "less than or equal to 4096"),
    ):
        assert f"\n  {name}: should be {limit}" in said


def test_what_may_never_come_has_no_limit(tmp_path: Path) -> None:
    far = 10**20
    config = small_run(tmp_path) | {"log_every": far, "checkpoint_every": far}
    config["validation"] = {"every_steps": far}
    config["data"]["train"][0]["limit"] = far
    assert parse_config(TrainConfig, config).checkpoint_every == far


def test_somebody_is_shown_never_or_within_a_million_epochs() -> None:
    data = small_run(Path("data"))["data"]
    said = problems(data=data | {"train": [data["train"][0] | {"repeat": 1e-30}]})
    assert (
        "data.train.0.repeat: should be 0, or greater than or equal to 1e-06 (given: 1e-30" in said
    )


def test_true_and_false_are_no_numbers() -> None:
    data = small_run(Path("data"))["data"]
    pack = {"kind": "pack", "path": "a.npz", "repeat_of": {1: True}}
    said = problems(
        seed=True,
        freeze={"blocks": True, "encoder": True},
        augmentation={"flip": True},
        optimizer={"betas": [False, 0.9], "layer_decay": True},
        data=data | {"train": [data["train"][0] | {"limit": True}, pack]},
        stages=[{"steps": True, "batch_size": True}],
    )
    for name in (
        *(
            "seed",
            "freeze.blocks",
            "augmentation.flip",
            "optimizer.betas.0",
            "optimizer.layer_decay",
        ),
        *(
            "data.train.0.limit",
            "data.train.1.repeat_of.1",
            "stages.0.steps",
            "stages.0.batch_size",
        ),
    ):
        is_whole = name.rpartition(".")[2] in ("seed", "blocks", "limit", "steps", "batch_size")
        what = "a whole number" if is_whole else "a number"
        assert f"\n  {name}: should be {what} (given: " in said
    assert said.startswith("9 problems")


def test_a_seed_has_an_end() -> None:
    said = problems(seed=99999999999999999999999)
    assert "\n  seed: should be less than or equal to 9007199254740992 (given: 9999" in said
    parse_config(TrainConfig, small_run(Path("data"), seed=2**53))


def test_default_stages_can_be_changed() -> None:
    values = small_run(Path("data"))
    del values["stages"]
    (stage,) = parse_config(TrainConfig, values, ["stages.0.epochs=5", "stages.0.lr=1"]).stages
    assert (stage.epochs, stage.lr, stage.batch_size) == (5, 1, 512)
    assert "input_wh" not in stage.model_fields_set
    with pytest.raises(ConfigError, match="'1' is no position in a list of 1"):
        parse_config(TrainConfig, values, ["stages.1.epochs=5"])
    assert "stages: should be a list" in problems(stages={"epochs": 5})


def test_a_token_has_no_use_for_maps_without_scores() -> None:
    stages = [{"steps": 1, "loss": {"kind": "cross_entropy"}}, {"steps": 1}]
    said = problems(task="token", model={"weights": "vitpose-l"}, stages=stages)
    assert "leave out stages with loss.kind: cross_entropy" in said


def test_a_token_takes_its_network_as_it_is() -> None:
    weights = {"weights": "vitpose-l", "variant": "large"}
    model = weights | {"drop_path": 0.9, "attention": {"pattern": "window"}, "licence": "MIT"}
    model["activation_checkpointing"] = True  # changes nothing but the memory
    said = "leave out model.attention, model.drop_path, model.licence, freeze.encoder"
    assert said in problems(task="token", model=model, freeze={"encoder": True})
    defaults = {"drop_path": None, "attention": {"pattern": None}, "stride": None}
    values = small_run(Path("data"), task="token", model=weights | defaults, freeze={"blocks": 0})
    config = parse_config(TrainConfig, values)
    again = yaml.safe_load(dump_config(config))  # as a run's folder keeps it, defaults and all
    assert parse_config(TrainConfig, again) == config


def test_every_key_is_explained() -> None:
    rows = list(config_reference(TrainConfig))
    assert len(rows) > 80
    assert [path for path, _, text in rows if not text] == []


ROWS_OF_THE_PAPER: dict[str, Callable[[Any], bool]] = {
    "decoder": lambda run: run["model"].get("head") == "simple",
    "small": lambda run: run["model"].get("variant") == "small",
    "base": lambda run: run["model"].get("variant") == "base",
    "large": lambda run: run["model"].get("variant") == "large",
    "huge": lambda run: run["model"].get("variant") == "huge",
    "attention": lambda run: run["model"].get("attention") is not None,
    "resolution": lambda run: [288, 384] in [stage.get("input_wh") for stage in run["stages"]],
    "freezing": lambda run: "freeze" in run,
    "pre-training": lambda run: run.get("task") == "pretrain",
    "several data sets": lambda run: len({one.get("images") for one in run["data"]["train"]}) > 2,
    "experts": lambda run: run["model"].get("experts", False),
    "distillation": lambda run: "distill" in run,
}


@pytest.mark.parametrize("row", ROWS_OF_THE_PAPER)
def test_every_row_of_the_paper_is_an_example(row: str) -> None:
    fits = ROWS_OF_THE_PAPER[row]
    assert any(fits(yaml.safe_load(path.read_text())) for path in EXAMPLES)

"""Options that do nothing beside the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from training_cases import small_run

from vitpose_cli.config import dump_config, load_config, parse_config
from vitpose_cli.training.config import TrainConfig
from vitpose_cli.training.unused import unused_options

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "train").glob("*.yaml"))
STAGE = {"input_wh": [48, 64], "steps": 2}


def said(**changes: Any) -> list[str]:
    """Return what is said of a run, and check that its resolved file says the same."""
    config = parse_config(TrainConfig, small_run(Path("data")) | changes)
    sentences = unused_options(config)
    again = parse_config(TrainConfig, yaml.safe_load(dump_config(config)))
    assert unused_options(again) == sentences
    return sentences


def test_a_run_without_such_options_says_nothing() -> None:
    assert said() == []
    assert said(optimizer={"schedule": "step", "milestones": [1], "gamma": 0.5}) == []
    assert said(distill={"teacher": "vitpose-b", "looks": "once", "folder": "maps"}) == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"pretrain": {"masked": 0.6}}, "pretrain.masked does nothing with task: pose."),
        (
            {"optimizer": {"schedule": "cosine", "milestones": [3]}},
            "optimizer.milestones does nothing with schedule: cosine.",
        ),
        (
            {"optimizer": {"schedule": "step", "milestones": [1, 170]}},
            "optimizer.milestones: 170 does nothing beyond the end of every stage.",
        ),
        (
            {"optimizer": {"final_ratio": 0.5}},
            "optimizer.final_ratio does nothing with schedule: step.",
        ),
        (
            {"augmentation": {"erasing_mix": 0.5}},
            "augmentation.erasing_mix does nothing with erasing: 0.",
        ),
        (
            {"augmentation": {"blend_limit": 0.3}},
            "augmentation.blend_limit does nothing with blend: 0.",
        ),
        (
            {"distill": {"token": "token.safetensors", "weight": 2}},
            "distill.weight does nothing without distill.teacher.",
        ),
        (
            {"distill": {"teacher": "vitpose-b", "keep": "disk"}},
            "distill.keep does nothing with looks: each.",
        ),
        (
            {"model": {"variant": "tiny-test", "attention": {"window_wh": [4, 4]}}},
            "model.attention.window_wh does nothing without pattern.",
        ),
        (
            {
                "model": {
                    "variant": "tiny-test",
                    "attention": {"pattern": "full", "window_wh": [4, 4]},
                }
            },
            "model.attention.window_wh does nothing with pattern: full.",
        ),
        (
            {"model": {"weights": "vitpose-b", "initialisation": "mimetic"}},
            "model.initialisation does nothing with model.weights.",
        ),
        (
            {
                "stages": [
                    STAGE | {"loss": {"kind": "cross_entropy", "foreground": 4}},
                    STAGE | {"loss": {"foreground": 4}},
                ]
            },
            "stages.0.loss.foreground does nothing with kind: cross_entropy.",
        ),
    ],
)
def test_what_does_nothing_is_said(changes: dict[str, Any], sentence: str) -> None:
    assert said(**changes) == [sentence]


@pytest.mark.parametrize(
    ("changes", "names", "why"),
    [
        (
            {"augmentation": {"rotation": 0, "rotation_std_deg": 9, "rotation_limit_deg": 9}},
            ("augmentation.rotation_std_deg", "augmentation.rotation_limit_deg"),
            "with rotation: 0",
        ),
        (
            {"augmentation": {"shift": 0, "shift_size": 0.1}},
            ("augmentation.shift_size",),
            "with shift: 0",
        ),
        (
            {"augmentation": {"half_body": 0, "half_body_keypoints": 4}},
            ("augmentation.half_body_keypoints",),
            "with half_body: 0",
        ),
        (
            {
                "freeze": {"encoder": True, "attention": True, "ffn": True, "blocks": 2},
                "model": {
                    "variant": "tiny-test",
                    "drop_path": 0.2,
                    "activation_checkpointing": True,
                },
                "optimizer": {"kind": "muon", "layer_decay": 0.5},
            },
            (
                *("freeze.attention", "freeze.ffn", "freeze.blocks"),
                *("model.drop_path", "model.activation_checkpointing"),
                *("optimizer.kind", "optimizer.layer_decay"),
            ),
            "with freeze.encoder: true",
        ),
        (
            {"stages": [STAGE | {"lr": 1e-4}] * 2},
            ("optimizer.lr",),
            "where every stage has an lr of its own",
        ),
        (
            {"optimizer": {"warmup_steps": 0, "warmup_ratio": 0.1}},
            ("optimizer.warmup_ratio",),
            "with warmup_steps: 0",
        ),
    ],
)
def test_all_that_does_nothing_beside_an_option_is_said(
    changes: dict[str, Any], names: tuple[str, ...], why: str
) -> None:
    assert said(**changes) == [f"{name} does nothing {why}." for name in names]


def test_frames_are_kept_together_in_a_split_alone() -> None:
    data = small_run(Path("data"))["data"]
    for part in ("train", "validation"):
        (source,) = data[part]
        key, value = ("split_by", "folder") if part == "train" else ("subject", "P[0-9]+")
        data[part] = [source | {key: value}]
    assert said(data=data) == [
        "data.train.0.split_by does nothing without split.",
        "data.validation.0.subject does nothing without split.",
    ]
    for part, split in (("train", [0.1, 1]), ("validation", [0, 0.1])):
        data[part][0]["split"] = split
    assert said(data=data) == []


def test_an_option_whose_switch_is_not_off_is_not_said() -> None:
    assert said(stages=[STAGE | {"lr": 1e-4}, STAGE]) == []
    assert said(augmentation={"rotation_std_deg": 9, "shift_size": 0.1}) == []
    assert said(freeze={"blocks": 2}) == []


def test_what_does_nothing_to_a_measurement_is_said() -> None:
    data = small_run(Path("data"))["data"]
    options = {"repeat": 2, "human_weight": 0.5, "model_weight": 0.9, "min_score": 0.4}
    data["validation"] = [data["validation"][0] | {"limit": 5}, data["validation"][0] | options]
    assert said(data=data) == [
        f"data.validation.1.{name} does nothing here: everybody with keypoints is measured, once "
        "and alike."
        for name in options
    ]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_option_of_an_example_does_something(path: Path) -> None:
    assert unused_options(load_config(TrainConfig, path)) == []


def test_pretraining_says_what_it_has_no_heads_for() -> None:
    data = small_run(Path("data"))["data"] | {"validation": [], "cache": "none"}
    data["train"][0]["boxes"] = "boxes.json"
    data["train"][0] |= {"min_score": 0.5, "model_weight": 0.9}
    data["context"] = 2.0
    sentences = said(
        task="pretrain",
        data=data,
        model={"variant": "tiny-test", "head": "simple"},
        pretrain={"masked": 0.6},
        augmentation={"half_body": 0.5, "truncation": 0.3, "flip": 0.1},
        stages=[STAGE | {"loss": {"weight": 3000}}],
    )
    unlabelled = "does nothing with task: pretrain, where people have no keypoints."
    assert sentences == [
        "model.head does nothing with task: pretrain, which makes no heads.",
        f"augmentation.half_body {unlabelled}",
        f"augmentation.truncation {unlabelled}",
        f"data.train.0.model_weight {unlabelled}",
        f"data.train.0.min_score {unlabelled}",
        "stages.0.loss.weight does nothing with task: pretrain.",
        "data.train.0.boxes does nothing here: training takes the boxes of the annotations.",
        "validation.every_steps does nothing without data.validation.",
        "data.context does nothing with data.cache: none.",
    ]

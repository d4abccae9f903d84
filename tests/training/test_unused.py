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
    assert said(optimizer={"schedule": "step", "milestones": [3], "gamma": 0.5}) == []
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

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from vitpose_cli.config import (
    StrictModel,
    config_reference,
    dump_config,
    load_config,
    parse_config,
)
from vitpose_cli.errors import ConfigError, ExitCode
from vitpose_cli.training.config import TrainConfig


class Optimizer(StrictModel):
    lr: float = Field(default=5e-4, gt=0)
    """Peak learning rate."""
    betas: tuple[float, float] = (0.9, 0.999)


class Photos(StrictModel):
    kind: Literal["photos"]
    path: str


class Pack(StrictModel):
    kind: Literal["pack"]
    repeat: float = 1.0


class Stage(StrictModel):
    steps: int


class Training(StrictModel):
    seed: int = 0
    optimizer: Optimizer = Optimizer()
    stages: tuple[Stage, ...] = ()
    data: tuple[Annotated[Photos | Pack, Field(discriminator="kind")], ...] = ()


def written(folder: Path, text: str) -> Path:
    path = folder / "train.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_and_overrides_become_a_model(tmp_path: Path) -> None:
    path = written(tmp_path, "optimizer: {lr: 1e-3}\nstages:\n- steps: 5\n- steps: 6\n")
    config = load_config(
        Training, path, ["optimizer.lr=2e-4", "stages.1.steps=9", "optimizer.betas=[0.9, 0.98]"]
    )
    assert config.optimizer == Optimizer(lr=2e-4, betas=(0.9, 0.98))
    assert [stage.steps for stage in config.stages] == [5, 9]


def test_dump_config_is_read_back_equal(tmp_path: Path) -> None:
    config = Training(stages=(Stage(steps=3),), data=(Pack(kind="pack"),))
    assert load_config(Training, written(tmp_path, dump_config(config))) == config


def test_every_problem_is_told_at_once_with_suggestions(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "sed: 1\noptimizer: {lrr: 1, lr: -1}\nstages: [{}]\n"
        "data: [{kind: pack, repat: 2}, {repeat: 2}, {kind: pick}]\n",
    )
    with pytest.raises(ConfigError) as caught:
        load_config(Training, path)
    assert caught.value.exit_code == ExitCode.CONFIG
    assert caught.value.message.splitlines()[0] == f"7 problems in {path}:"
    for line in (
        "sed: unknown key. Did you mean 'seed'?",
        "optimizer.lrr: unknown key. Did you mean 'lr'?",
        "optimizer.lr: should be greater than 0 (given: -1)",
        "stages.0.steps: Field required",
        "data.0.repat: unknown key. Did you mean 'repeat'?",
        "data.1.kind: Field required",
        "data.2.kind: must be one of 'photos', 'pack' (given: 'pick')",
    ):
        assert f"\n  {line}" in caught.value.message


def test_a_key_of_another_branch_is_not_suggested() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(Training, {"data": [{"kind": "photos", "path": "a", "repeat": 1}]})
    assert "data.0.repeat: unknown key" in caught.value.message
    assert "mean 'repeat'" not in caught.value.message
    with pytest.raises(ConfigError) as caught:
        parse_config(Training, {"data": [{"kind": "pack", "path": "a"}]})
    assert caught.value.message.endswith("\n  data.0.path: unknown key. Did you mean 'repeat'?")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- 1\n", "must hold a mapping"),
        ("a: [1\n", "not valid YAML"),
        ("a: " + "[" * 20_000, "not valid YAML: it is nested too deep"),
        ("? " * 5_000, "not valid YAML: it is nested too deep"),
        ("seed: 1\nseed: 2\n", "occurs twice"),
        ("seed: " + "9" * 5_000, "not valid YAML: a value makes no sense: Exceeds the limit"),
        ("seed: !!bool maybe", "not valid YAML: a value makes no sense: 'maybe'"),
        ("seed: !!int ''", "not valid YAML: a value makes no sense"),
        ("seed: !!set [1]", "not valid YAML: a value makes no sense"),
        ("seed: !!float " + "1:" * 400 + "1", "not valid YAML: a value makes no sense"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError, match=said) as caught:
        load_config(Training, path)
    assert str(path) in caught.value.message
    with pytest.raises(ConfigError, match=r"Cannot read the configuration .*: No such file"):
        load_config(Training, tmp_path / "none.yaml")


@pytest.mark.parametrize("name", ["2026-11-30", "2026-13-32", "2026-11-30 12:00:00"])
@pytest.mark.parametrize("tag", ["", "!!timestamp "])
def test_a_folder_that_is_called_as_a_day_is_text(tmp_path: Path, name: str, tag: str) -> None:
    expected = Training(data=(Photos(kind="photos", path=name),))
    path = written(tmp_path, f"data: [{{kind: photos, path: {tag}{name}}}]")
    assert load_config(Training, path) == expected
    nobody = {"data": [{"kind": "photos", "path": ""}]}
    assert parse_config(Training, nobody, [f"data.0.path={tag}{name}"]) == expected


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("seed", "KEY=VALUE"),
        ("stages.2.steps=1", "no position"),
        ("seed.x=1", "has no key"),
        ("seed=[", "not YAML"),
    ],
)
def test_damaged_overrides_are_named(override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_config(Training, {"seed": 1, "stages": [{"steps": 1}]}, [override])


@pytest.mark.parametrize(
    "text", ["*.vitpose/annotations.json", "@list.txt", "%TEMP%/a.json", "!a: [b", "*"]
)
def test_a_text_may_begin_with_a_sign_of_yaml(text: str) -> None:
    read = parse_config(Training, {"data": [{"kind": "photos"}]}, [f"data.0.path={text}"])
    (source,) = read.data
    assert isinstance(source, Photos)
    assert source.path == text


def test_a_list_that_is_too_short_is_said_in_our_words() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(TrainConfig, {"stages": []})
    assert "\n  stages: needs at least 1 item" in caught.value.message


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    assert load_config(Training, written(tmp_path, "")) == Training()


def test_config_reference_names_every_key() -> None:
    rows = {path: (default, text) for path, default, text in config_reference(Training)}
    assert rows["optimizer.lr"] == ("0.0005", "Peak learning rate.")
    assert rows["optimizer.betas"][0] == "[0.9, 0.999]"
    assert rows["stages[].steps"][0] == "required"
    assert {"data[].kind", "data[].path", "data[].repeat"} <= set(rows)

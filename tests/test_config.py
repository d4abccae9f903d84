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
        "stages.0.steps: is missing",
        "data.0.repat: unknown key. Did you mean 'repeat'?",
        "data.1.kind: is missing",
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


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("stages=[]", "stages: needs at least 1 item"),
        ("stages={}", "stages: should be a list"),
        ("stages=", "stages: should be a list (given: null)"),
        (
            "data.train.0={kind: pack, path: a, repeat_of: {a: 1}}",
            "data.train.0.repeat_of.a: should be a whole number (given: 'a')",
        ),
        ("stages.0=foo", "stages.0: should be a mapping (key: value) (given: 'foo')"),
        ("data.train=[3]", "data.train.0: should be a mapping (key: value) (given: 3)"),
        ("data.train.0.annotations=3", "data.train.0.annotations: should be a path (given: 3)"),
        ("optimizer.kind=foo", "optimizer.kind: should be 'adamw' or 'muon' (given: 'foo')"),
        ("optimizer.kind=yes", "optimizer.kind: should be 'adamw' or 'muon' (given: true)"),
        ("optimizer.betas=[0.9]", "optimizer.betas.1: is missing"),
        ("optimizer.betas=[1, 1, 1]", "optimizer.betas: takes at most 2 items, not 3"),
        ("data.train.0.kind=[3]", "data.train.0.kind: must be one of 'coco', 'pack'"),
        ("data.train.0.kind={a: 3}", "data.train.0.kind: must be one of 'coco', 'pack'"),
        ("data.train.0.kind=3", "data.train.0.kind: must be one of 'coco', 'pack' (given: 3)"),
        ("data.train.0.kind=", "data.train.0.kind: must be one of 'coco', 'pack' (given: null)"),
        ("seed=true", "seed: should be a whole number (given: true)"),
        ("optimizer.lr=true", "optimizer.lr: should be a number (given: true)"),
        ("optimizer.lr=fast", "optimizer.lr: should be a number (given: 'fast')"),
        ("freeze.blocks=1.5", "freeze.blocks: should be a whole number (given: 1.5)"),
        ("freeze.blocks=a", "freeze.blocks: should be a whole number (given: 'a')"),
        ("freeze.blocks=1e30", "freeze.blocks: should be a smaller number (given: 1e+30)"),
        ("model.experts=maybe", "model.experts: should be true or false (given: 'maybe')"),
        ("model.licence=" + "9" * 200, "model.licence: should be a text"),
        ("distill.teacher=3", "distill.teacher: should be a text (given: 3)"),
        ("distill.teacher={ncnn: a, foo: 1}", "distill.teacher.foo: unknown key"),
        (
            "distill={}",
            "the whole: distill names nobody to learn from; give it a teacher or a token",
        ),
    ],
)
def test_problems_are_told_in_the_words_of_the_file(override: str, said: str) -> None:
    """Without classes, tuples, parsers and exceptions."""
    source = {"kind": "coco", "annotations": "a.json", "images": "photos"}
    fine = {"model": {"variant": "tiny"}, "data": {"train": [source]}}
    with pytest.raises(ConfigError) as caught:
        parse_config(TrainConfig, fine | {"stages": [{"steps": 1}]}, [override])
    assert caught.value.message == f"1 problem in configuration:\n  {said}"


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    assert load_config(Training, written(tmp_path, "")) == Training()


def test_config_reference_names_every_key() -> None:
    rows = {path: (default, text) for path, default, text in config_reference(Training)}
    assert rows["optimizer.lr"] == ("0.0005", "Peak learning rate.")
    assert rows["optimizer.betas"][0] == "[0.9, 0.999]"
    assert rows["stages[].steps"][0] == "required"
    assert {"data[].kind", "data[].path", "data[].repeat"} <= set(rows)

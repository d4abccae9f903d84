"""`vitpose train` on the command line, in this process."""

import json
import os
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from label_cases import make_run
from runs import command, environment
from training_cases import small_run, write_coco

from vitpose_cli.cli.app import run
from vitpose_cli.config import load_config, parse_config
from vitpose_cli.errors import ExitCode
from vitpose_cli.training.config import TrainConfig


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return the configuration of a run of seconds."""
    write_coco(tmp_path, 4)
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(small_run(tmp_path)))
    return path


def on_a_terminal(*arguments: str | Path, **variables: str) -> tuple[int, str]:
    """Run `vitpose ARGUMENTS` with a terminal as its stderr; return the exit code and the text."""
    far, near = os.openpty()
    started = subprocess.Popen(
        command(*arguments), stderr=near, env=environment() | {"TERM": "xterm"} | variables
    )
    os.close(near)
    read = b""
    with suppress(OSError):  # Linux's end of a terminal
        while some := os.read(far, 4000):
            read += some
    os.close(far)
    return started.wait(60), read.decode()


def test_a_run_prints_what_it_has_made(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "run"
    command = ["train", "-c", str(config), "-o", str(output), "--json"]
    assert run([*command, "--set", "stages.0.steps=1", "--set", "stages.1.steps=1"]) == ExitCode.OK
    said = capsys.readouterr()
    made = json.loads(said.out)
    assert made["weights"] == str(output / "best.safetensors")
    assert 0 <= made["best_ap"] <= 1
    assert Path(made["report"]).exists()
    assert "stage 1 step 1: epoch" in said.err
    assert "AP" in said.err


@pytest.mark.skipif(os.name == "nt", reason="needs a terminal")
@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_whoever_waits_for_labels_and_videos_sees_why(config: Path, options: list[str]) -> None:
    nowhere = ["--set", f"data.train.0.annotations={config.parent / 'none.json'}"]
    run = config.parent / "run"
    code, shown = on_a_terminal("train", "-c", config, "-o", run, *nowhere, *options)
    assert code == ExitCode.INPUT
    assert "reading labels, opening videos …" in shown
    assert "none.json" in shown.split("videos …")[-1]


@pytest.mark.skipif(os.name == "nt", reason="needs a terminal")
@pytest.mark.parametrize("rank", ["0", "1"])
def test_of_processes_on_one_terminal_the_first_alone_draws(config: Path, rank: str) -> None:
    variables = {"RANK": rank, "WORLD_SIZE": "2", "LOCAL_RANK": rank}
    alone = ["--set", "stages.0.batch_size=1"]  # too few people for two
    code, shown = on_a_terminal(
        "train", "-c", config, "-o", config.parent / "run", *alone, **variables
    )
    assert code == ExitCode.CONFIG
    assert ("reading labels" in shown) == (rank == "0")


def test_a_dry_run_prints_the_plan_and_writes_nothing(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.iterdir())
    assert run(["train", "-c", str(config), "--dry-run", "--json"]) == ExitCode.OK
    plan = json.loads(capsys.readouterr().out)
    assert [stage["steps"] for stage in plan["stages"]] == [3, 3]
    assert "clip_norm: 1.0" in plan["config"]
    assert run(["train", "-c", str(config), "--dry-run"]) == ExitCode.OK
    said = capsys.readouterr().out
    shown = yaml.safe_load(said.partition("Parameter groups")[0])
    told, given = parse_config(TrainConfig, shown), load_config(TrainConfig, config)
    assert told == given
    assert "clip_norm" not in said
    places = [said.index(text) for text in ("Parameter groups", "\ntraining: ", "\nStages")]
    assert places == sorted(places)
    assert sorted(tmp_path.iterdir()) == before


def test_a_dry_run_refuses_the_folders_that_a_run_refuses(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = ["train", "-c", str(config), "-o", str(tmp_path / "begun")]
    short = ["--set", "stages.0.steps=1", "--set", "stages.1.steps=1"]
    assert run([*begun, *short]) == ExitCode.OK
    (tmp_path / "file").write_text("mine")
    labels = make_run(tmp_path / "labels", [])
    lost = tmp_path / "lost"
    lost.mkdir()
    for name in ("config.yaml", "last.safetensors"):
        (lost / name).write_bytes((tmp_path / "begun" / name).read_bytes())
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert run([*begun, *short, "--dry-run"]) == ExitCode.OK
    refused = (
        (tmp_path / "begun", ExitCode.CONFIG, "holds a run with other options"),
        (tmp_path / "file", ExitCode.INPUT, "is a file, and a run needs a folder"),
        (labels, ExitCode.INPUT, "is not empty and no training run"),
        (lost, ExitCode.INPUT, "holds last.safetensors of an earlier run"),
    )
    capsys.readouterr()
    for folder, code, words in refused:
        assert run(["train", "-c", str(config), "-o", str(folder), "--dry-run"]) == code
        said = capsys.readouterr()
        assert words in " ".join(said.err.split())
        assert not said.out
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    for folder, code, words in refused:
        assert run(["train", "-c", str(config), "-o", str(folder)]) == code
        assert words in " ".join(capsys.readouterr().err.split())


def test_wrong_options_are_told_at_once(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "-c", str(config), "--set", "optimizer.lrr=1", "--set", "seeed=3"]
    assert run(command) == ExitCode.CONFIG
    said = capsys.readouterr().err
    assert "optimizer.lrr: unknown key. Did you mean 'lr'?" in said
    assert "seeed: unknown key. Did you mean 'seed'?" in said


def test_missing_photos_are_refused_unless_allowed(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "images" / "001.png").unlink()
    command = ["train", "-c", str(config), "--dry-run"]
    assert run(command) == ExitCode.INPUT
    assert "1 of 4 photos are missing" in capsys.readouterr().err
    assert run([*command, "--allow-missing"]) == ExitCode.OK

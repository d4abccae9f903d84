"""`--help` is readable in a narrow terminal and names everything that a command takes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from runs import vitpose

from vitpose_cli.cli.app import command_line


def every_command(
    command: Any, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield words, command
    for name, below in getattr(command, "commands", {}).items():
        yield from every_command(below, (*words, name))


COMMANDS = list(every_command(command_line()))


def help_of(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "vitpose_cli", *words, "--help"],
        capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "80"},
    )  # fmt: skip
    return done.stdout


def shown(command: Any) -> str:
    text: str = command.get_help(command.make_context("vitpose", [], resilient_parsing=True))
    return text


@pytest.mark.parametrize(("words", "command"), COMMANDS)
def test_every_option_has_a_text(words: tuple[str, ...], command: Any) -> None:
    text = shown(command)
    for option in command.params:
        for name in (*option.opts, *option.secondary_opts):
            assert option.param_type_name == "argument" or name in text
        assert option.help, f"{words} {option.name}"
    assert "[bold]" not in text
    assert "<" not in text, "a type of Python is no word for users"


def test_it_fits_a_terminal_of_80_columns_and_has_sections() -> None:
    lines = help_of("annotate").splitlines()
    assert lines[0] == "Usage: python -m vitpose_cli annotate [OPTIONS] SOURCE..."
    start = lines.index("Arguments:")
    assert max(map(len, lines[start:])) <= 80
    titles = [line for line in lines if line and not line.startswith(" ")][1:]
    assert titles == [
        "Arguments:", "Options:", "Networks and boxes:", "Hardware and speed:", "Videos:",
        "Several GPUs or machines:",
    ]  # fmt: skip
    weights = next(number for number, line in enumerate(lines) if "--weights NAME|FILE, -w" in line)
    assert "[default: tiny]" in "".join(lines[weights : weights + 4])


def test_what_must_be_given_and_what_a_number_may_be_are_said() -> None:
    lines = help_of("train").splitlines()
    assert lines[0] == "Usage: python -m vitpose_cli train [OPTIONS] --config FILE"
    assert "[required]" in help_of("train")
    said = " ".join(help_of("render").split())
    assert "[at least 0; default: 0.0]" in said[said.index("--trail SECONDS") :]
    assert "[0 to 51]" in said[said.index("--crf N") :]
    assert {help_of("split").count("-h, --help") for _ in range(3)} == {1}


def test_each_command_is_said_in_one_line() -> None:
    lines = help_of().splitlines()
    names = {words[0] for words, _ in COMMANDS if len(words) == 1}
    said = {line.split()[0]: line for line in lines if line.startswith("  ") and line[2] != " "}
    assert names <= said.keys()
    for name in names:
        assert said[name].rstrip().endswith("."), said[name]


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("weights", "download", "vitpose-b"), "pull"),
        (("weights", "GET", "vitpose-b"), "pull"),
        (("download", "vitpose-b"), "weights pull"),
        (("info", "run"), "stats"),
        (("weights", "info", "tiny"), "show"),
        (("predict", "photos"), "annotate"),
        (("wieghts",), "weights"),
    ],
)
def test_the_words_of_other_programs_are_understood(words: tuple[str, ...], meant: str) -> None:
    done = vitpose(*words)
    assert done.returncode == 2
    assert f"Did you mean '{meant}'?" in done.stderr

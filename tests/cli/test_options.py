"""What the command line makes of the user and the words they type."""

import getpass
import json
from pathlib import Path

import pytest
from rich.console import Console
from runs import EXAMPLES, vitpose

from vitpose_cli.cli import options, select
from vitpose_cli.errors import ConfigError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.select.queue_file import Choice
from vitpose_cli.select.selection import Selection


@pytest.mark.parametrize("text", ["0", "-1", "\u00b2", "1.5", ""])
def test_a_batch_size_is_a_positive_whole_number(text: str) -> None:
    with pytest.raises(ConfigError, match="neither auto nor"):
        options.parse_batch_size(text)
    assert options.parse_batch_size("12") == 12


def test_a_user_without_a_name_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 7)
    with pytest.raises((KeyError, OSError)):
        getpass.getuser()
    assert options.login() == ""


def test_brackets_in_names_are_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(select, "stdout", Console(width=100))
    names = ["[new] day/a.jpg", "a[/b].jpg"]
    choices = tuple(Choice(FrameKey(name), "random", 0.5, ("by chance",)) for name in names)
    select._show(Selection(Path("queue.json"), choices, 2, 0, 0, ()))
    shown = capsys.readouterr().out
    assert all(name in shown for name in names)


def test_labels_are_either_drawn_or_made(tmp_path: Path) -> None:
    done = vitpose("render", tmp_path, "-a", tmp_path / "run", "--weights", "vitpose-b")
    assert done.returncode == 2
    assert "Leave one or the other out" in done.stderr


def test_the_detector_sees_photos_at_the_size_that_is_wanted(tmp_path: Path) -> None:
    sized: list[str | Path] = [
        "annotate",
        EXAMPLES,
        "-o",
        tmp_path / "run",
        "--detector-size",
        "256",
    ]
    assert vitpose(*sized).returncode == 0
    options = json.loads((tmp_path / "run" / "manifest.json").read_text())["options"]
    assert options["detector-size"] == 256
    other = vitpose("annotate", EXAMPLES, "-o", tmp_path / "run")
    assert other.returncode != 0
    assert "detector-size: was 256, now not given" in other.stderr
    useless = vitpose(*sized, "--detector", "whole-image")
    assert useless.returncode == 2
    assert "does nothing without a network" in useless.stderr


def test_the_detector_sees_tiles_where_that_is_wanted(tmp_path: Path) -> None:
    tiled: list[str | Path] = ["annotate", EXAMPLES, "-o", tmp_path / "run", "--detector-tile"]
    assert vitpose(*tiled, "300").returncode == 0
    options = json.loads((tmp_path / "run" / "manifest.json").read_text())["options"]
    assert options["detector-tile"] == 300
    assert vitpose("annotate", EXAMPLES, "-o", tmp_path / "whole").returncode == 0
    labels = [
        json.loads((tmp_path / run / "annotations.json").read_text())["annotations"]
        for run in ("run", "whole")
    ]
    assert labels[0] != labels[1]
    other = vitpose(*tiled, "400")
    assert other.returncode != 0
    assert "detector-tile: was 300, now 400" in other.stderr
    useless = vitpose(*tiled, "300", "--boxes", tmp_path / "run")
    assert useless.returncode == 2
    assert "--detector-tile does nothing without a network" in useless.stderr

"""Killed at any write, a command leaves what it wrote before or what it writes now, never both."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from label_cases import make_record, make_run
from launcher import Launcher

from vitpose_cli.files import TEMPORARY_SUFFIX
from vitpose_cli.records.coco import read_coco


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a run of photos."""
    photos = [make_record(f"{number}.jpg") for number in range(40)]
    return make_run(tmp_path_factory.mktemp("kills") / "run", photos)


def killed_everywhere(
    launcher: Launcher, words: list[str | Path], before: Path, out: Path
) -> Iterator[int]:
    """Run a command that writes into `out`, killed at every file operation, then whole.

    Args:
        launcher: Starts the processes.
        words: The command.
        before: What `out` is a copy of, each time.
        out: A folder.

    Yields:
        How often it was killed so far, when `out` is what a kill, or at last the end, has left.
    """
    for number in range(1, 200):
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(before, out, symlinks=True)
        fault, values = "killed_at_a_file_operation", {"KILLED_AT": str(number)}
        done = launcher.run(*words, fault=fault, environment=values)
        yield number - 1
        if done.returncode != -9:
            assert done.returncode == 0, done.stderr
            return
    raise AssertionError("it has no end")


def parts_in(folder: Path) -> dict[str, frozenset[str]]:
    """Return the names in each part of a split that is there."""
    return {
        path.name: frozenset(map(str, read_coco(path).keys().values()))
        for path in folder.glob("*.json")
    }


@pytest.mark.parametrize("as_file", [False, True])
def test_parts_of_two_splits_are_never_side_by_side(
    launcher: Launcher, run: Path, tmp_path: Path, as_file: bool
) -> None:
    labels = run / "annotations.json" if as_file else run
    before, after, out = tmp_path / "before", tmp_path / "after", tmp_path / "out"
    assert launcher.run("split", labels, "--test", "0.2", "-o", before).returncode == 0
    again = ["--val", "0.3", "--seed", "1"]
    assert launcher.run("split", labels, *again, "-o", after).returncode == 0
    old, new = parts_in(before), parts_in(after)
    assert old["train.json"] & new["val.json"]
    command: list[str | Path] = ["split", labels, *again, "-o", out, "--overwrite"]
    num_kills = 0
    seen = set()
    for num_kills in killed_everywhere(launcher, command, before, out):
        there = parts_in(out)
        assert there.items() <= old.items() or there.items() <= new.items(), num_kills
        seen.add(len(there))
    assert num_kills > 8
    assert seen == {0, 1, 2, 3}
    assert parts_in(out) == new


def test_what_killed_calls_left_goes_with_one_of_another_day(
    launcher: Launcher, run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    document = out / "all.json"
    commands: list[list[str | Path]] = [
        ["split", run, "-o", out, "--overwrite"],
        ["export", run, "-f", "coco", "-o", document, "--overwrite", "--shards", "3"],
        ["merge", run, shutil.copytree(run, tmp_path / "copy"), "-o", document],
    ]
    for command in commands:
        out.mkdir()
        for number in range(1, 7):  # in the middle of a file, or before it has its name
            values = {"KILLED_AT": str(number)}
            launcher.run(*command, fault="killed_at_a_file_operation", environment=values)
            if list(out.glob(f".*{TEMPORARY_SUFFIX}")):
                break
        left = list(out.glob(f".*{TEMPORARY_SUFFIX}"))
        assert left, command
        assert launcher.run(*command).returncode == 0
        # A process of this number may write it on another machine.
        assert list(out.glob(f".*{TEMPORARY_SUFFIX}")) == left, command
        two_days_ago = time.time() - 2 * 86_400
        for path in left:
            os.utime(path, (two_days_ago, two_days_ago))
        if command[0] == "merge":
            document.unlink()
        done = launcher.run(*command)
        assert done.returncode == 0, done.stderr
        assert not list(out.glob(f".*{TEMPORARY_SUFFIX}")), command
        shutil.rmtree(out)


@pytest.mark.parametrize("beside", [False, True])
def test_a_part_of_a_data_set_is_not_taken_for_the_whole(
    launcher: Launcher, run: Path, tmp_path: Path, beside: bool
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(3):
        cv2.imwrite(str(photos / f"{number}.jpg"), np.zeros((480, 640, 3), np.uint8))
    labels = make_run(tmp_path / "run", [make_record(f"{number}.jpg") for number in range(3)])
    before, out = tmp_path / "before", tmp_path / "out"
    command: list[str | Path] = ["export", labels, "-f", "yolo", "-i", photos, "-o"]
    assert launcher.run(*command, before).returncode == 0
    if beside:
        assert launcher.run(*command, before, "--split", "val").returncode == 0
    num_kills = 0
    described = 0
    for num_kills in killed_everywhere(launcher, [*command, out, "--overwrite"], before, out):
        data = out / "data.yaml"
        named = yaml.safe_load(data.read_text()) if data.exists() else {}
        assert ("val" in named) == beside  # of whose texts it says the meaning
        if "train" in named:
            described += 1
            for folder in ("images", "labels"):
                assert len(list((out / folder / "train").iterdir())) == 3, num_kills
        elif beside and num_kills % 5 == 1:  # nor is it whole because another split is
            again = launcher.run(*command, out, "--split", "val", "--overwrite")
            assert again.returncode == 0, again.stderr
            assert "train" not in yaml.safe_load(data.read_text())
    assert 1 < described < num_kills


def test_a_folder_of_two_exports_is_never_mixed(launcher: Launcher, tmp_path: Path) -> None:
    """The earlier one is there, whole, until all files of the next one are written."""
    names = [f"{number}.mp4" for number in range(3)]
    old, new = (
        make_run(tmp_path / f"run-{count}", [make_record(name, 0, count) for name in names])
        for count in (1, 2)
    )
    before, after, out = tmp_path / "before", tmp_path / "after", tmp_path / "out"
    for run, folder in ((old, before), (new, after)):
        assert launcher.run("export", run, "-f", "pose2sim", "-o", folder).returncode == 0
    was, is_now = files_in(before), files_in(after)
    assert len(was) == len(is_now) == 3
    command: list[str | Path] = ["export", new, "-f", "pose2sim", "-o", out, "--overwrite"]
    whole = []
    for num_kills in killed_everywhere(launcher, command, before, out):
        there = files_in(out)
        assert there.items() <= was.items() or there.items() <= is_now.items(), num_kills
        whole.append(there == was)
    assert files_in(out) == is_now
    assert sum(whole) > len(names)  # also while each of the new ones is written
    assert whole == sorted(whole, reverse=True)
    assert not list(out.glob(f".*{TEMPORARY_SUFFIX}"))


def files_in(folder: Path) -> dict[str, bytes]:
    """Return what is in the files of an export, by name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.relative_to(folder).parts[0].startswith(".")
    }

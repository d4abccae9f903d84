"""Runs whose process is killed, and runs on disks that are full or read-only."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from disks import Disk
from record_cases import RECORDS, exported, fill, make_manifest, make_record
from test_journal import start

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.run import Run

RUN_UNTIL_KILLED = """
import sys
from record_cases import RECORDS, exported, fill, make_manifest, make_record
from vitpose_cli.records.run import Run
with Run.open(sys.argv[1], make_manifest()) as run:
    number = len(run)
    while True:
        run.append(make_record(f"{number:05d}.jpg", count=1))
        number += 1
        if number % 20 == 0:
            run.export()
            print(number, flush=True)
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Return a process that appends to the run in `tmp_path` and exports it, again and again."""
    process = start(RUN_UNTIL_KILLED, str(tmp_path))
    yield process
    process.kill()
    process.wait()


def test_killed_while_writing_and_exporting(tmp_path: Path, running: subprocess.Popen[str]) -> None:
    assert running.stdout is not None
    assert running.stdout.readline() == "20\n"
    with pytest.raises(InputError, match=f"written by process {running.pid}"):
        Run.open(tmp_path, make_manifest())
    running.kill()
    running.wait()
    json.loads((tmp_path / "annotations.json").read_bytes())
    with Run.open(tmp_path, make_manifest()) as run:
        keys = sorted(run.done())
        assert keys == [FrameKey(f"{number:05d}.jpg") for number in range(len(keys))]
        assert len(keys) >= 20
        assert run.export().num_images == len(keys)
    assert not list(tmp_path.glob("*vitpose-tmp"))


def append_forever(run: Run) -> None:
    for number in count():
        run.append(make_record(f"more-{number:04d}.jpg"))


def test_a_full_disk_damages_nothing(disk: Disk) -> None:
    disk.leave(128 << 10)
    folder = fill(disk.path / "run")
    before = exported(folder)
    with Run.open(folder, make_manifest()) as run:
        with pytest.raises(InputError, match="No space left") as caught:
            append_forever(run)
        assert "disk is full" in caught.value.hint
        appended = len(run) - len(RECORDS)
        with pytest.raises(InputError, match="No space left"):
            run.export()
    assert appended > 10
    files = ("annotations.json", "failures.jsonl")
    assert tuple((folder / name).read_bytes() for name in files) == before
    with Run.read(folder) as run:
        assert len(run) == len(RECORDS) + appended
        assert list(run.damage) == []
    assert not list(folder.glob(".*tmp"))


def test_a_read_only_disk_is_refused(disk: Disk) -> None:
    folder = fill(disk.path / "run")
    disk.protect()
    with pytest.raises(InputError, match="Read-only file system") as caught:
        Run.open(folder, make_manifest())
    assert "read-only" in caught.value.hint
    with pytest.raises(InputError, match="Read-only file system"):
        Run.open(disk.path / "new", make_manifest())
    with Run.read(folder) as run:
        assert len(run) == len(RECORDS)

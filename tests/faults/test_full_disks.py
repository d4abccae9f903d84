"""A disk that fills up while pictures are written: told, nothing half written, and gone on with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from annotate_jobs import NUM_FRAMES, Job
from disks import Disk
from launcher import Launcher

from vitpose_cli.own_files import FRAME_LISTS, LIST_NAME

LITTLE: list[dict[str, int]] = [
    {"num_files": 2},
    {"num_bytes": 200 << 10},
    {"num_files": 20},
]


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder, by name, but the lists of what was begun there."""
    lists = {LIST_NAME, FRAME_LISTS}
    files = (path for path in folder.rglob("*") if path.is_file() and lists.isdisjoint(path.parts))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("kind", ["preview", "extract-frames"])
def test_while_frames_are_labelled(
    job: Job, launcher: Launcher, disk: Disk, tmp_path: Path, kind: str
) -> None:
    run = (disk.path if kind == "preview" else tmp_path) / "run"
    pictures = run / "preview" if kind == "preview" else disk.path / "frames"
    words = ["--preview"] if kind == "preview" else ["--extract-frames", str(pictures)]
    for room in LITTLE:
        disk.leave(**room)
        full = launcher.run(*job.arguments(run), *words)
        assert full.returncode == 3, (room, full.stderr)
        assert str(disk.path) in full.stderr
        assert "The disk is full" in full.stderr
        assert not list(disk.path.rglob(".*tmp"))
    disk.leave()
    assert launcher.run(*job.arguments(run), *words).returncode == 0
    job.assert_equal(run)
    undisturbed = tmp_path / "undisturbed"
    words[1:] = [str(undisturbed / "preview")] * len(words[1:])
    assert launcher.run(*job.arguments(undisturbed), *words).returncode == 0
    wanted = contents(undisturbed / "preview")
    assert len(wanted) == NUM_FRAMES
    assert contents(pictures) == wanted


@pytest.mark.parametrize(
    "words",
    [
        ["render", "{media}", "-a", "{run}", "-o", "{out}"],
        ["render", "{media}/one.avi", "-a", "{run}", "-o", "{out}/one.mp4"],
        ["sheet", "{run}", "-i", "{media}", "-o", "{out}/sheet.png"],
        ["export", "{run}", "-f", "yolo", "--overwrite", "-i", "{media}", "-o", "{out}"],
        ["export", "{run}", "-f", "fiftyone", "--overwrite", "-i", "{media}", "-o", "{out}"],
        ["export", "{run}", "-f", "cvat", "--overwrite", "-o", "{out}"],
        ["export", "{run}", "-f", "pose2sim", "--overwrite", "-o", "{out}"],
    ],
)
def test_while_pictures_are_drawn_and_exported(
    job: Job, launcher: Launcher, disk: Disk, tmp_path: Path, words: list[str]
) -> None:
    def command(out: Path) -> list[str]:
        return [word.format(media=job.media, run=job.run, out=out) for word in words]

    whole, out = tmp_path / "whole", disk.path / "out"
    whole.mkdir()
    done = launcher.run(*command(whole))
    assert done.returncode == 0, done.stderr
    wanted = contents(whole)
    num_bytes = sum(map(len, wanted.values()))
    for room in (
        {"num_files": 0},
        {"num_bytes": 4096},
        {"num_files": len(wanted) // 2},
        {"num_bytes": num_bytes // 2},
    ):
        shutil.rmtree(out, ignore_errors=True)
        disk.leave()
        out.mkdir()
        disk.leave(**room)
        full = launcher.run(*command(out))
        assert full.returncode == 3, (room, full.stderr)
        assert str(disk.path) in full.stderr
        assert contents(out).items() <= wanted.items()
    disk.leave()
    again = launcher.run(*command(out))
    assert again.returncode == 0, again.stderr
    assert contents(out) == wanted


def test_what_a_protected_disk_cannot_take_is_named(
    job: Job, launcher: Launcher, disk: Disk, tmp_path: Path
) -> None:
    other = shutil.copytree(job.run, tmp_path / "other")
    document = disk.path / "document.json"
    disk.protect()
    commands: tuple[list[str | Path], ...] = (
        ["merge", job.run, other, "-o", document],
        ["export", job.run, "-f", "coco", "-o", document],
        ["export", job.run / "annotations.json", "-f", "coco", "-o", document],
        ["select", job.run, "-n", "3", "-o", document],
    )
    for words in commands:
        refused = launcher.run(*words)
        assert refused.returncode == 3
        assert f"Cannot write {document}: Read-only file system" in refused.stderr

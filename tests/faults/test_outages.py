"""Storage that goes away under a run: waited for, and no photo is recorded as a failure for it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from annotate_jobs import CLIPS, NUM_FRAMES, Job
from launcher import Fork, Launcher
from runs import wait_until

OFTEN = "outages_are_looked_at_often"


def begun(run: Path, process: Fork, count: int = 20) -> None:
    """Wait until a run has some labels."""

    def num_lines() -> int:
        return sum(each.read_bytes().count(b"\n") for each in run.glob("journal-*.jsonl"))

    wait_until(lambda: num_lines() >= count, process)


def waits(process: Fork) -> None:
    """Wait until a run waits."""
    wait_until(lambda: "Waiting until it is back" in process.stderr, process)


@pytest.fixture
def media(job: Job, tmp_path: Path) -> Path:
    return Path(shutil.copytree(job.media, tmp_path / "share" / "media"))


def arguments(job: Job, run: Path, *sources: str | Path) -> list[str]:
    words = job.arguments(run)
    words[1:2] = map(str, sources)
    return words


@pytest.mark.parametrize(
    "extra", [(), ("--devices", "cpu,cpu"), ("--preview",), ("--extract-frames", "FRAMES")]
)
def test_a_folder_that_goes_and_comes_leaves_no_trace(
    job: Job, launcher: Launcher, tmp_path: Path, media: Path, extra: tuple[str, ...]
) -> None:
    run, away = tmp_path / "run", tmp_path / "away"
    words = [str(tmp_path / "frames") if word == "FRAMES" else word for word in extra]
    process = launcher.start(*arguments(job, run, media), *words, fault=OFTEN)
    begun(run, process)
    media.parent.rename(away)
    waits(process)
    assert not (run / "failures.jsonl").exists()
    away.rename(media.parent)
    assert process.wait() == 0, process.stderr
    assert f"Nothing in {media} can be read any more: No such file" in process.stderr
    assert f"{media} is back after" in process.stderr
    job.assert_equal(run)
    if "--extract-frames" in extra:
        assert len([*(tmp_path / "frames").rglob("*.jpg")]) == NUM_FRAMES


@pytest.mark.parametrize("pictures", ["--preview", "--extract-frames"])
def test_pictures_of_an_earlier_run_wait_too(
    job: Job, launcher: Launcher, tmp_path: Path, media: Path, pictures: str
) -> None:
    run, away = tmp_path / "run", tmp_path / "away"
    folder = run / "preview" if pictures == "--preview" else tmp_path / "frames"
    words = arguments(job, run, media)
    assert launcher.run(*words).returncode == 0
    words += [pictures] if pictures == "--preview" else [pictures, str(folder)]
    process = launcher.start(*words, fault=OFTEN)
    wait_until(lambda: len([*folder.rglob("*.jpg")]) >= 5, process)
    media.rename(away)
    waits(process)
    away.rename(media)
    assert process.wait() == 0, process.stderr
    assert len([*folder.rglob("*.jpg")]) == NUM_FRAMES
    job.assert_equal(run)


@pytest.mark.parametrize("place", [60, 110, 150], ids=["photos", "one clip", "the other"])
def test_a_disk_that_fails_for_a_while_leaves_no_trace(
    job: Job, launcher: Launcher, tmp_path: Path, media: Path, place: int
) -> None:
    run, failing = tmp_path / "run", tmp_path / "failing"
    process = launcher.start(
        *arguments(job, run, media),
        fault="the_disk_fails_for_a_while", environment={"FAILING": str(failing)},
    )  # fmt: skip
    begun(run, process, place)
    failing.touch()
    wait_until(lambda: process.poll() is not None or "Waiting until" in process.stderr)
    failing.unlink()
    assert process.wait() == 0, process.stderr
    job.assert_equal(run)


def test_lists_archives_and_one_source_of_three(
    job: Job, launcher: Launcher, tmp_path: Path, media: Path
) -> None:
    """The others are there all the time, and do not speak for the one that is gone."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for number in range(40):
            shutil.copy(media / "a" / "photo 1.jpg", tmp_path / name / f"{number}.jpg")
    away = tmp_path / "away"
    with tarfile.open(tmp_path / "share" / "photos.tar", "w") as archive:
        for photo in sorted(media.glob("a/*.jpg")):
            archive.add(photo, photo.name)
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"{each}\n" for each in sorted(media.rglob("*.jpg"))))
    for number, source in enumerate((f"@{listed}", str(tmp_path / "share" / "photos.tar"))):
        run = tmp_path / f"run {number}"
        words = arguments(job, run, tmp_path / "one", source, tmp_path / "two")
        place = words.index("--boxes")
        words[place : place + 2] = ["--detector", "whole-image"]
        process = launcher.start(*words, fault=OFTEN)
        begun(run, process, 50)
        media.parent.rename(away)
        waits(process)
        away.rename(media.parent)
        assert process.wait() == 0, process.stderr
        assert (run / "failures.jsonl").read_bytes() == b""


def test_what_stays_away_ends_the_run_and_what_is_deleted_does_not(
    job: Job, launcher: Launcher, tmp_path: Path, media: Path
) -> None:
    run, away = tmp_path / "run", tmp_path / "away"
    words = arguments(job, run, media)
    process = launcher.start(*words, fault=OFTEN, environment={"PATIENCE_S": "0.5"})
    begun(run, process)
    media.rename(away)
    assert process.wait() == 3, process.stderr
    assert "Once it is back, the same command goes on." in process.stderr
    assert "can be read any more" not in (run / "journal-1-of-1.jsonl").read_text()
    away.rename(media)
    process = launcher.start(*words, fault=OFTEN)
    wait_until(lambda: (run / "journal-1-of-1.lock").exists(), process)
    for clip in CLIPS:
        (media / clip).unlink()
    shutil.rmtree(media / "b")  # while `a` is there
    assert process.wait() == 5, process.stderr
    assert "Waiting" not in process.stderr
    labelled = json.loads((run / "annotations.json").read_bytes())["images"]
    assert len(labelled) < NUM_FRAMES


def test_a_run_that_waits_can_be_stopped(
    job: Job, launcher: Launcher, tmp_path: Path, media: Path
) -> None:
    run, away = tmp_path / "run", tmp_path / "away"
    process = launcher.start(*arguments(job, run, media))
    begun(run, process)
    media.rename(away)
    waits(process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout_s=60) == 130, process.stderr
    away.rename(media)
    assert launcher.run(*arguments(job, run, media)).returncode == 0
    job.assert_equal(run)


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root may mount something"
)
def test_a_mount_that_leaves_an_empty_folder(
    job: Job, launcher: Launcher, tmp_path: Path, media: Path
) -> None:
    mounted, run = tmp_path / "mounted", tmp_path / "run"
    mounted.mkdir()
    if subprocess.run(["mount", "--bind", media, mounted], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        process = launcher.start(*arguments(job, run, mounted), fault=OFTEN)
        begun(run, process)
        subprocess.run(["umount", "-l", mounted], check=True)
        waits(process)
        subprocess.run(["mount", "--bind", media, mounted], check=True)
        assert process.wait() == 0, process.stderr
        job.assert_equal(run)
    finally:
        subprocess.run(["umount", "-l", mounted], check=False)


def test_a_source_that_is_not_mounted_when_a_call_begins_is_told(
    job: Job, launcher: Launcher, tmp_path: Path, media: Path
) -> None:
    (tmp_path / "mounted").mkdir()
    words = arguments(job, tmp_path / "run", media, tmp_path / "mounted")
    place = words.index("--boxes")
    words[place : place + 2] = ["--detector", "whole-image"]
    done = launcher.run(*words)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("is empty. If something should be mounted there") == 1
    assert f"{tmp_path / 'mounted'} is empty" in done.stderr


def test_a_run_folder_that_is_gone_is_told_at_once(
    job: Job, launcher: Launcher, tmp_path: Path, media: Path
) -> None:
    run, away = tmp_path / "run", tmp_path / "away"
    words = arguments(job, run, media)
    process = launcher.start(*words)
    begun(run, process, 5)
    run.rename(away)
    assert process.wait() == 3, process.stderr
    assert "is gone: it was deleted or moved, or its disk is away" in process.stderr
    num_lines = sum(each.read_bytes().count(b"\n") for each in away.glob("journal-*.jsonl"))
    assert num_lines < NUM_FRAMES
    assert not run.exists()
    away.rename(run)
    again = launcher.run(*words, "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["num_new"] <= NUM_FRAMES - num_lines + 2
    job.assert_equal(run)

"""Faults of the world around a run: shares, clocks, libraries, memory, photos that change."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from annotate_jobs import NUM_FRAMES, Job
from launcher import Launcher
from runs import command, environment, save_photos


@pytest.mark.parametrize("fault", ["reads_fail_now_and_then", "the_clock_jumps"])
def test_what_passes_leaves_no_trace(
    job: Job, launcher: Launcher, tmp_path: Path, fault: str
) -> None:
    done = launcher.run(*job.arguments(tmp_path / "run"), fault=fault)
    assert done.returncode == 0, done.stderr
    job.assert_equal(tmp_path / "run")


def test_a_photo_that_stays_unreadable_is_recorded_and_tried_again(
    job: Job, launcher: Launcher, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    failed = launcher.run(*job.arguments(run), fault="one_photo_cannot_be_read")
    assert failed.returncode == 5, failed.stderr
    (failure,) = map(json.loads, (run / "failures.jsonl").read_text().splitlines())
    assert failure["file_name"] == "a/photo 7.jpg"
    assert os.strerror(5) in failure["error"]
    assert launcher.run(*job.arguments(run)).returncode == 0
    assert len(json.loads((run / "annotations.json").read_bytes())["images"]) == NUM_FRAMES


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("detection_chokes_on_narrow_photos", "The detector failed: "),
        ("cutting_chokes_on_narrow_photos", "Cutting people out failed: "),
        ("the_network_chokes_on_white_photos", "The network failed: too bright for me"),
        ("the_network_overflows_on_white_photos", "values that are no numbers"),
    ],
)
def test_a_photo_that_nobody_can_stand_costs_itself(
    job: Job, launcher: Launcher, tmp_path: Path, fault: str, said: str
) -> None:
    media, run = tmp_path / "media", tmp_path / "run"
    save_photos(media, 6)
    (media / "odd").mkdir()
    cv2.imwrite(str(media / "odd" / "photo.png"), np.full((90, 119, 3), 255, np.uint8))
    arguments = job.arguments(run)
    arguments[1] = str(media)
    place = arguments.index("--boxes")
    by_detector = "detection" in fault
    arguments[place : place + 2] = [] if by_detector else ["--detector", "whole-image"]
    done = launcher.run(*arguments, fault=fault)
    assert done.returncode == 5, done.stderr
    (failure,) = map(json.loads, (run / "failures.jsonl").read_text().splitlines())
    assert failure["file_name"] == "odd/photo.png"
    assert said in failure["error"]
    assert "\n" not in failure["error"]
    assert len(json.loads((run / "annotations.json").read_bytes())["images"]) == 6
    assert launcher.run(*arguments, fault=fault).returncode == 5  # alone, it is still to blame
    assert launcher.run(*arguments).returncode == 0


def test_a_network_that_dies_ends_the_run_and_blames_no_photo(
    job: Job, launcher: Launcher, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    died = launcher.run(*job.arguments(run), fault="the_network_dies_later")
    assert died.returncode == 4, died.stderr
    assert "The network fails on every picture: CUDA error" in died.stderr
    journal = (run / "journal-1-of-1.jsonl").read_text()
    assert 10 < len(journal.splitlines()) < NUM_FRAMES
    assert "CUDA" not in journal
    assert launcher.run(*job.arguments(run)).returncode == 0
    job.assert_equal(run)


def test_a_network_that_never_works_ends_the_run_early(
    job: Job, launcher: Launcher, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    stopped = launcher.run(*job.arguments(run), fault="the_network_knows_only_black")
    assert stopped.returncode == 4, stopped.stderr
    assert "before anybody was found" in stopped.stderr
    assert (run / "journal-1-of-1.jsonl").read_text().count("no such colour") < 32
    assert launcher.run(*job.arguments(run)).returncode == 0
    assert len(json.loads((run / "annotations.json").read_bytes())["images"]) == NUM_FRAMES


def test_short_memory_makes_batches_smaller(job: Job, launcher: Launcher, tmp_path: Path) -> None:
    done = launcher.run(*job.arguments(tmp_path / "run"), fault="memory_is_short")
    assert done.returncode == 0, done.stderr
    labels = json.loads((tmp_path / "run" / "annotations.json").read_bytes())
    assert len(labels["images"]) == NUM_FRAMES


@pytest.mark.parametrize("detected", [False, True])
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (
            "devices_are_full",
            ("not enough memory: CUDA out of memory. Tried to allocate 20.00 MiB", "nvidia-smi"),
        ),
        ("no_layer_finds_memory", ("There is not enough memory: DefaultCPUAllocator",)),
    ],
)
def test_memory_that_does_not_suffice_is_no_bug_nor_of_the_weights(
    job: Job, launcher: Launcher, tmp_path: Path, fault: str, said: tuple[str, ...], detected: bool
) -> None:
    arguments = job.arguments(tmp_path / "run")
    if detected:
        place = arguments.index("--boxes")
        arguments[place : place + 2] = []
    failed = launcher.run(*arguments, fault=fault)
    assert failed.returncode == 3, failed.stderr
    assert all(words in failed.stderr for words in said), failed.stderr
    again = launcher.run(*arguments)
    assert again.returncode == 0, again.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
def test_libraries_without_room_are_no_bug(job: Job, tmp_path: Path) -> None:
    words = shlex.join(command(*job.arguments(tmp_path / "run")))
    failed = subprocess.run(
        ["bash", "-c", f"ulimit -v 700000; exec {words}"],
        env=environment(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert failed.returncode == 3, failed.stderr
    assert "error: There is not enough memory: " in failed.stderr
    assert "bug" not in failed.stderr


def test_a_clip_that_cannot_be_opened_for_a_while_loses_no_frame(
    job: Job, launcher: Launcher, tmp_path: Path
) -> None:
    media, run = tmp_path / "media", tmp_path / "run"
    shutil.copytree(job.media, media)
    arguments = job.arguments(run)
    arguments[1] = str(media)
    assert launcher.run(*arguments, "--worker", "2/2").returncode == 0
    journal = run / "journal-2-of-2.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    started = next(number for number, line in enumerate(lines) if b"two.avi" in line)
    journal.write_bytes(b"".join(lines[: started + 8]))  # as a process that was killed leaves it
    (media / "two.avi").write_bytes(b"")
    failed = launcher.run(*arguments, "--worker", "2/2")
    assert failed.returncode == 5, failed.stderr
    shutil.copy(job.media / "two.avi", media)
    for number in (2, 1):
        assert launcher.run(*arguments, "--worker", f"{number}/2").returncode == 0
    job.assert_equal(run)


def test_photos_that_vanish_or_change_meanwhile(
    job: Job, launcher: Launcher, tmp_path: Path
) -> None:
    media, run = tmp_path / "media", tmp_path / "run"
    shutil.copytree(job.media, media)
    arguments = job.arguments(run)
    arguments[1] = str(media)
    journal = run / "journal-1-of-1.jsonl"
    process = launcher.start(*arguments)
    while not (journal.exists() and journal.stat().st_size):
        assert process.poll() is None, process.stderr
        time.sleep(0.001)
    (media / "b" / "photo 98.jpg").unlink()
    (media / "b" / "photo 96.jpg").write_bytes(b"something else")
    (media / "two.avi").unlink()
    assert process.wait() == 5, process.stderr
    failures = [json.loads(line) for line in (run / "failures.jsonl").read_text().splitlines()]
    assert {failure["media"] for failure in failures} == {
        "b/photo 96.jpg", "b/photo 98.jpg", "two.avi",
    }  # fmt: skip
    (media / "b" / "photo 96.jpg").unlink()
    assert launcher.run(*arguments).returncode == 0  # what is gone is no failure
    assert (run / "failures.jsonl").read_bytes() == b""
    shutil.copytree(job.media, media, dirs_exist_ok=True)
    assert launcher.run(*arguments).returncode == 0
    assert len(json.loads((run / "annotations.json").read_bytes())["images"]) == NUM_FRAMES


def test_a_pipe_among_the_photos_does_not_hang(
    job: Job, launcher: Launcher, tmp_path: Path
) -> None:
    media = tmp_path / "media"
    save_photos(media, 2)
    for name in ("pipe.jpg", "pipe.mp4", "pipe.webp"):
        os.mkfifo(media / name)
    arguments = job.arguments(tmp_path / "run")
    arguments[1] = str(media)
    done = launcher.run(*arguments)
    assert done.returncode == 5, done.stderr
    assert (tmp_path / "run" / "failures.jsonl").read_text().count("not a regular file") == 3

"""Killed at any moment, a run goes on and writes the bytes of one that nobody stopped."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

from annotate_jobs import Job
from launcher import Launcher

from vitpose_cli.records.coco import read_coco


def test_killed_at_random_moments(
    job: Job, launcher: Launcher, tmp_path: Path, num_tries: tuple[int, int]
) -> None:
    generator = random.Random(0)
    run = tmp_path / "run"
    undisturbed_s = _time(job, launcher, tmp_path / "timed")
    num_kills = num_complete = 0
    while num_kills < num_tries[0]:
        process = launcher.start(*job.arguments(run))
        deadline = time.monotonic() + generator.uniform(0, undisturbed_s)
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        process.kill()
        num_kills += process.returncode == -9
        if process.returncode == 0:
            num_complete += 1
            job.assert_equal(run)
            shutil.rmtree(run)
    done = launcher.run(*job.arguments(run))
    assert done.returncode == 0, done.stderr
    job.assert_equal(run)


def _time(job: Job, launcher: Launcher, run: Path) -> float:
    started = time.monotonic()
    assert launcher.run(*job.arguments(run)).returncode == 0
    return time.monotonic() - started


def test_killed_while_it_writes_the_document(
    job: Job, launcher: Launcher, tmp_path: Path, num_tries: tuple[int, int]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(job.run, run)
    before = (run / "annotations.json").read_bytes()
    generator = random.Random(0)
    num_kills = 0
    while num_kills < num_tries[0]:
        (run / "annotations.made").unlink(missing_ok=True)  # or it would be left as it is
        process = launcher.start(*job.arguments(run))
        # Its own: those before left theirs behind.
        while process.poll() is None and not any(run.glob(f".annotations.json.{process.pid}.*")):
            time.sleep(0.0005)
        time.sleep(generator.uniform(0, 0.01))
        process.kill()
        num_kills += process.returncode == -9
        assert (run / "annotations.json").read_bytes() == before
    assert launcher.run(*job.arguments(run)).returncode == 0
    job.assert_equal(run)
    assert not any(run.glob(".annotations*"))


def test_killed_while_it_writes_shards(
    job: Job, launcher: Launcher, tmp_path: Path, num_tries: tuple[int, int]
) -> None:
    """At no moment shards of two documents are beside each other."""
    run = tmp_path / "run"
    shutil.copytree(job.run, run)
    num_kills, counts = 0, (2, 3)
    for number in range(num_tries[0]):
        before = {path.name for path in run.glob("annotations*")}
        shards = ("--shards", str(counts[number % 2]))
        process = launcher.start(*job.arguments(run), *shards)
        while process.poll() is None and not any(run.glob(".annotations-*")):
            time.sleep(0.0005)
        process.kill()
        num_kills += process.returncode == -9
        after = {path.name for path in run.glob("annotations*")}
        assert after == before or len({name[-10:] for name in after}) <= 1
    assert num_kills
    assert launcher.run(*job.arguments(run), "--shards", "3").returncode == 0
    whole = read_coco(job.run)
    assert read_coco(run).annotations == whole.annotations
    assert launcher.run(*job.arguments(run), "--shards", "1").returncode == 0
    job.assert_equal(run)
    assert not any(run.glob(".annotations*"))

"""Whatever happens to a journal, what is lost is labelled again, with the same bytes."""

from __future__ import annotations

import shutil
from pathlib import Path

from annotate_jobs import CLIPS, NUM_FRAMES, Job
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from launcher import Launcher

JOURNAL = "journal-1-of-1.jsonl"


def test_a_journal_damaged_anywhere(
    job: Job, launcher: Launcher, tmp_path: Path, num_tries: tuple[int, int]
) -> None:
    whole = (job.run / JOURNAL).read_bytes()
    places = st.integers(0, len(whole) - 1)

    @seed(0)
    @settings(
        max_examples=num_tries[1], phases=[Phase.generate], database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(places, st.sampled_from(["cut", "change", "insert"]), st.binary(min_size=1, max_size=99))
    def damage(place: int, kind: str, data: bytes) -> None:
        run = tmp_path / "run"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(job.run, run)
        rest = {"cut": b"", "change": data + whole[place + len(data) :], "insert": data}[kind]
        rest += whole[place:] if kind == "insert" else b""
        (run / JOURNAL).write_bytes(whole[:place] + rest)
        done = launcher.run(*job.arguments(run))
        assert done.returncode == 0, done.stderr
        job.assert_equal(run)

    damage()


def test_several_lines_lost_all_over_the_journal(
    job: Job, launcher: Launcher, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(job.run, run)
    lines = (job.run / JOURNAL).read_bytes().splitlines(keepends=True)
    assert len(lines) == NUM_FRAMES + len(CLIPS)  # the end of each clip
    for number in (0, 3, 40, 41, 99, 100, 120, 139, 140, 141, 180):
        lines[number] = lines[number].replace(b"e", b"?", 1)
    (run / JOURNAL).write_bytes(b"".join(lines))
    done = launcher.run(*job.arguments(run))
    assert done.returncode == 0, done.stderr
    job.assert_equal(run)


def test_a_full_disk_at_any_write(
    job: Job, launcher: Launcher, tmp_path: Path, num_tries: tuple[int, int]
) -> None:
    document = (job.run / "annotations.json").stat().st_size
    run = tmp_path / "run"
    for number in range(num_tries[1]):
        # Enough for the message, which goes to a file, too.
        limit = 600 + document * number // num_tries[1]
        full = launcher.run(*job.arguments(run), max_file_bytes=limit)
        assert full.returncode == 3, full.stderr
        assert str(run) in full.stderr
    assert launcher.run(*job.arguments(run)).returncode == 0
    job.assert_equal(run)

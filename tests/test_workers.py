"""Several workers on one run folder: real processes, killed and taken up by others."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from runs import command, environment, save_boxes, save_photos, save_weights, vitpose

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.media.source import open_source
from vitpose_cli.workers import Outside, share

NUM_PHOTOS = 100  # four chunks, the last of them short
NUM_PICTURES = 40  # of each clip: one chunk and a part
CLIPS = ("one.avi", "two.avi")


@dataclass(frozen=True)
class Job:
    """Photos and clips, and the run of one process."""

    media: Path
    boxes: Path
    weights: Path
    run: Path

    def arguments(self, run: Path) -> list[str]:
        """Return the command that labels everything into `run`."""
        return [
            "annotate", str(self.media), "-o", str(run), "-w", str(self.weights),
            "--boxes", str(self.boxes), "--no-flip-test", "--batch-size", "8",
            "--keypoint-threshold", "0.05",
        ]  # fmt: skip

    def start(self, run: Path, *more: str) -> subprocess.Popen[str]:
        """Start a worker."""
        return subprocess.Popen(
            command(*self.arguments(run), *more),
            env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def assert_equal(self, run: Path) -> None:
        """Compare with the run of one process, byte for byte."""
        for name in ("annotations.json", "failures.jsonl"):
            assert (run / name).read_bytes() == (self.run / name).read_bytes()


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("job")
    names = save_photos(folder / "media", NUM_PHOTOS)
    for number, name in enumerate(CLIPS):
        _save_clip(folder / "media" / name, number)
        names += [str(FrameKey(name, index)) for index in range(NUM_PICTURES)]
    made = Job(
        folder / "media",
        save_boxes(folder / "boxes.json", names),
        save_weights(folder / "weights.safetensors"),
        folder / "run",
    )
    done = vitpose(*made.arguments(made.run))
    assert done.returncode == 0, done.stderr
    assert len(json.loads((made.run / "annotations.json").read_bytes())["images"]) == 180
    return made


def _save_clip(path: Path, seed: int) -> None:
    generator = np.random.default_rng(seed)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (120, 90))
    for _ in range(NUM_PICTURES):
        noise = generator.integers(0, 255, (11, 15, 3), np.uint8)
        writer.write(cv2.resize(noise, (120, 90), interpolation=cv2.INTER_CUBIC))
    writer.release()


def _wait_for_lines(journal: Path, process: subprocess.Popen[str], count: int = 3) -> None:
    while not (journal.exists() and journal.read_bytes().count(b"\n") >= count):
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 30])
def test_every_frame_is_one_workers_in_whole_chunks(job: Job, count: int) -> None:
    source = open_source([str(job.media)])
    shares = [share(source, (number, count)) for number in range(1, count + 1)]
    assert sorted(media for mine in shares for media in mine) == sorted(source.media)
    photos = source.keys()
    for start in range(0, NUM_PHOTOS, 32):
        chunk = {key.media for key in photos[start : start + 32]}
        assert sum(not chunk.isdisjoint(mine) for mine in shares) == 1


def test_a_worker_reads_its_own_share_alone(job: Job) -> None:
    source = open_source([str(job.media)])
    mine = share(source, (2, 3))
    read = [frame.key for frame in source.frames(Outside(mine, ()))]
    assert {key.media for key in read} == mine
    assert source.expected_of(mine) == len(read)


def test_three_processes_one_of_them_killed_and_two_that_take_it_up(
    job: Job, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    workers = [job.start(run, "--worker", f"{number}/3") for number in (1, 2, 3)]
    _wait_for_lines(run / "journal-2-of-3.jsonl", workers[1])
    workers[1].send_signal(signal.SIGKILL)
    for worker in workers:
        worker.communicate(timeout=120)
    assert [worker.returncode for worker in workers] == [0, -signal.SIGKILL, 0]
    assert not (run / "annotations.json").exists()
    others = [job.start(run, "--worker", f"{number}/2", "--json") for number in (1, 2)]
    ends = [json.loads(worker.communicate(timeout=120)[0]) for worker in others]
    assert [worker.returncode for worker in others] == [0, 0]
    assert any(end["annotations"] for end in ends)
    assert sum(end["num_new"] for end in ends) < 180 * 2 / 3
    job.assert_equal(run)


def test_workers_one_after_the_other_and_the_last_writes_the_document(
    job: Job, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    for number in (1, 2):
        array = {
            "SLURM_ARRAY_TASK_ID": str(number + 4),
            "SLURM_ARRAY_TASK_MIN": "5",
            "SLURM_ARRAY_TASK_COUNT": "2",
        }
        done = subprocess.run(
            command(*job.arguments(run)), env=environment() | array,
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert f"Worker {number} of 2" in done.stderr
        assert (run / "annotations.json").exists() == (number == 2)
    job.assert_equal(run)


def test_another_process_that_is_no_fellow_worker_is_refused(job: Job, tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = job.start(run, "--worker", "1/2")
    _wait_for_lines(run / "journal-1-of-2.jsonl", first, count=1)
    first.send_signal(signal.SIGSTOP)
    try:
        for arguments in ([], ["--worker", "1/2"], ["--worker", "1/3"]):
            refused = vitpose(*job.arguments(run), *arguments)
            assert refused.returncode == 3, refused.stderr
            assert "is being written by process" in refused.stderr
    finally:
        first.send_signal(signal.SIGCONT)
    assert first.wait(timeout=120) == 0
    assert vitpose(*job.arguments(run)).returncode == 0
    job.assert_equal(run)


def test_a_process_for_each_device(job: Job, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = vitpose(*job.arguments(run), "--devices", "cpu,cpu", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["num_new"] == 180
    assert {path.name for path in run.glob("*.jsonl")} == {
        "failures.jsonl", "journal-1-of-2.jsonl", "journal-2-of-2.jsonl",
    }  # fmt: skip
    job.assert_equal(run)
    again = vitpose(*job.arguments(run), "--devices", "cpu,cpu", "--json")
    assert json.loads(again.stdout)["num_new"] == 0
    job.assert_equal(run)


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [
        int(child)
        for child in listed
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_a_device_worker_that_dies_is_told_and_its_part_is_done_by_the_next_call(
    job: Job, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    parent = job.start(run, "--devices", "cpu,cpu")
    _wait_for_lines(run / "journal-1-of-2.jsonl", parent)
    pid = json.loads((run / "journal-1-of-2.lock").read_bytes())["pid"]
    assert pid in _children(parent.pid)
    os.kill(pid, signal.SIGKILL)
    _, errors = parent.communicate(timeout=120)
    assert parent.returncode == 5, errors
    assert "1 of 2 workers died: cpu (SIGKILL)" in errors
    assert "goes on" in errors
    assert vitpose(*job.arguments(run)).returncode == 0
    job.assert_equal(run)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_device_workers_end_with_their_parent(
    job: Job, tmp_path: Path, number: signal.Signals
) -> None:
    run = tmp_path / "run"
    parent = job.start(run, "--devices", "cpu,cpu")
    _wait_for_lines(run / "journal-1-of-2.jsonl", parent)
    children = _children(parent.pid)
    parent.send_signal(number)
    _, errors = parent.communicate(timeout=60)
    assert parent.returncode == (-9 if number == signal.SIGKILL else 130), errors
    assert "Traceback" not in errors
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{child}/exe").exists() for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    shutil.copytree(run, tmp_path / "copy")
    assert vitpose(*job.arguments(run)).returncode == 0
    job.assert_equal(run)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--worker", "0/2"], "0/2"),
        (["--worker", "3/2"], "3/2"),
        (["--worker", "half"], "half"),
        (["--worker", "1/2", "--overwrite"], "--overwrite"),
        (["--devices", "0,,1"], "0,,1"),
        (["--devices", "cpu", "--device", "cpu"], "exclude"),
        (["--devices", "cuda:77,cpu"], "cuda:77"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    job: Job, tmp_path: Path, arguments: list[str], words: str
) -> None:
    done = vitpose(*job.arguments(tmp_path / "run"), *arguments)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr

"""Videos that are still being written or copied when they are labelled for the first time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import av
import pytest
from launcher import Launcher
from runs import save_weights
from video_cases import number, write_video

from vitpose_cli.media.frames import Frame, VideoEnd
from vitpose_cli.media.video import VideoFile

NUM = 100
NUM_FIRST = 60  # one chunk and a part


@dataclass(frozen=True)
class Job:
    """A clip, its bytes when it is whole, what comes of it then, and how it is labelled.

    People are followed from picture to picture, so that the labels at the end of a chunk depend on
    the length of the chunk.
    """

    clip: Path
    whole: bytes
    first: bytes
    weights: Path

    def arguments(self, run: Path, *more: str) -> list[str]:
        return [
            "annotate", str(self.clip), "-o", str(run), "-w", str(self.weights), "--detector",
            "whole-image", "--no-flip-test", "--keypoint-threshold", "0", "--detect-every", "4",
            "--device", "cpu", *more,
        ]  # fmt: skip


@pytest.fixture
def job(tmp_path: Path) -> Job:
    clip = write_video(tmp_path / "clip.ts", num=NUM, options={"tune": "zerolatency"}, gop=20)
    with av.open(str(clip)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.pos is not None]
    whole = clip.read_bytes()
    return Job(
        clip,
        whole,
        whole[: places[NUM_FIRST]],
        save_weights(tmp_path / "weights.safetensors"),
    )


def document(run: Path) -> bytes:
    return (run / "annotations.json").read_bytes()


def num_lines(run: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in run.glob("journal-*.jsonl"))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_video_that_grew_is_labelled_to_its_end_as_if_it_had_been_whole(
    job: Job, launcher: Launcher, tmp_path: Path, workers: int
) -> None:
    run, at_once = tmp_path / "run", tmp_path / "at once"
    assert launcher.run(*job.arguments(at_once)).returncode == 0
    job.clip.write_bytes(job.first)
    for worker in range(1, workers + 1):
        done = launcher.run(*job.arguments(run, "--worker", f"{worker}/{workers}"))
        assert done.returncode == 0, done.stderr
    assert len(json.loads(document(run))["images"]) == NUM_FIRST
    job.clip.write_bytes(job.whole)
    done = launcher.run(*job.arguments(run))
    assert done.returncode == 0, done.stderr
    assert document(run) == document(at_once)
    written = [line for path in run.glob("journal-*.jsonl") for line in path.open("rb")]
    assert len(written) == len({*written})  # nothing is said twice
    lines = num_lines(run)
    assert launcher.run(*job.arguments(run)).returncode == 0
    assert num_lines(run) == lines  # it is not opened again
    assert document(run) == document(at_once)


def test_a_file_of_another_size_with_the_same_frames_is_read_once_more(
    job: Job, launcher: Launcher, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    job.clip.write_bytes(job.first)
    assert launcher.run(*job.arguments(run)).returncode == 0
    before, lines = document(run), num_lines(run)
    job.clip.write_bytes(job.first + b"\x47" + bytes(187))
    for _ in range(2):
        done = launcher.run(*job.arguments(run))
        assert done.returncode == 0, done.stderr
        assert document(run) == before
        assert num_lines(run) == lines + 1  # where it ends at this size


def test_a_video_that_a_shorter_one_replaced_keeps_its_labels(
    job: Job, launcher: Launcher, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert launcher.run(*job.arguments(run)).returncode == 0
    before = document(run)
    job.clip.write_bytes(job.first)
    done = launcher.run(*job.arguments(run))
    assert done.returncode == 0, done.stderr
    assert document(run) == before


def test_growing_while_it_is_read_is_said_and_read_again(
    job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    job.clip.write_bytes(job.first)
    video = VideoFile(job.clip, "clip.ts")
    numbers: list[int] = []
    for frame in video.frames():
        if not numbers:
            with job.clip.open("ab") as file:
                file.write(job.whole[len(job.first) :])
        assert isinstance(frame, Frame)
        numbers.append(number(frame.image))
    assert numbers == list(range(len(numbers)))
    assert isinstance(video.end, VideoEnd)
    assert video.end.file_bytes == len(job.first)
    assert video.file_bytes == len(job.whole)
    assert f"{job.clip} changed while it was read" in caplog.text

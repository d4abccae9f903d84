"""A labelling job, of photos and clips where it is made here: for tests of workers and faults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from launcher import Launcher
from runs import save_boxes, save_photos, save_weights

from vitpose_cli.media.frames import FrameKey

NUM_PHOTOS = 100  # four chunks, the last of them short
NUM_PICTURES = 40  # of each clip: one chunk and a part
CLIPS = ("one.avi", "two.avi")
NUM_FRAMES = NUM_PHOTOS + len(CLIPS) * NUM_PICTURES


@dataclass(frozen=True)
class Job:
    """What is labelled, and the run of one process that nobody disturbed."""

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

    def assert_equal(self, run: Path) -> None:
        """Compare with the run of one process, byte for byte."""
        for name in ("annotations.json", "failures.jsonl"):
            assert (run / name).read_bytes() == (self.run / name).read_bytes()


def make_job(folder: Path, launcher: Launcher) -> Job:
    """Make the media, and label them."""
    names = save_photos(folder / "media", NUM_PHOTOS)
    for number, name in enumerate(CLIPS):
        _save_clip(folder / "media" / name, number)
        names += [str(FrameKey(name, index)) for index in range(NUM_PICTURES)]
    job = Job(
        folder / "media",
        save_boxes(folder / "boxes.json", names),
        save_weights(folder / "weights.safetensors"),
        folder / "run",
    )
    done = launcher.run(*job.arguments(job.run))
    assert done.returncode == 0, done.stderr
    return job


def _save_clip(path: Path, seed: int) -> None:
    generator = np.random.default_rng(seed)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (120, 90))
    for _ in range(NUM_PICTURES):
        noise = generator.integers(0, 255, (11, 15, 3), np.uint8)
        writer.write(cv2.resize(noise, (120, 90), interpolation=cv2.INTER_CUBIC))
    writer.release()

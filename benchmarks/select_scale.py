"""Time and memory of `vitpose select` on a run of a million frames.

    python benchmarks/select_scale.py [--frames 1000000] [--videos] [--count 200]

Writes the journal of a run as `annotate` would (0 to 3 people a frame, every signal; with --videos
frames of videos of 3,000, whose people are followed for the measure `jump`), then selects from it
in a process of its own. Needs about 1.5 GB of disk for a million frames. Linux and macOS.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.records.journal import line_of
from vitpose_cli.records.manifest import RunManifest
from vitpose_cli.records.record import FrameRecord

SIZE_WH = (1280, 720)
NUM_TEMPLATES = 3_000  # and frames of a video
PERIODS = (300, 420, 700)  # frames in which people of a video walk to and fro
SIGNALS = (
    "mean_keypoint_score", "min_keypoint_score", "second_peak_ratio", "peak_width",
    "flip_disagreement", "implausibility", "overlap",
)  # fmt: skip
_NAME, _INDEX = "@NAME@", 987_654_321


def anywhere(count: int, generator: np.random.Generator) -> Instances:
    """Return people as in unrelated photos."""
    corners = generator.uniform(0, 500, (count, 2))
    sizes = generator.uniform(60, 220, (count, 2))
    return _people(corners, sizes, generator.uniform(0, 1, (count, 17, 2)), generator)


def walking(number: int, generator: np.random.Generator) -> Instances:
    """Return people who have moved a little since the frame before; now and then one is missed."""
    poses = np.random.default_rng(1).uniform(0, 1, (len(PERIODS), 17, 2))
    phases = 2 * np.pi * number / np.array(PERIODS)
    corners = np.stack([480 + 400 * np.sin(phases), 100 + 150 * np.arange(len(PERIODS))], axis=1)
    sizes = np.full((len(PERIODS), 2), (100.0, 220.0))
    seen = generator.uniform(0, 1, len(PERIODS)) < 0.95
    noise = generator.normal(0, 0.01, (int(seen.sum()), 17, 2))
    return _people(corners[seen], sizes[seen], poses[seen] + noise, generator)


def _people(
    corners: NDArray[np.float64],
    sizes: NDArray[np.float64],
    places: NDArray[np.float64],
    generator: np.random.Generator,
) -> Instances:
    count = len(corners)
    return Instances(
        boxes=np.concatenate([corners, corners + sizes], axis=1).astype(np.float32),
        box_scores=generator.uniform(0.5, 1, count).astype(np.float32),
        keypoints=(corners[:, None] + places * sizes[:, None]).astype(np.float32),
        keypoint_scores=generator.uniform(0, 1, (count, 17)).astype(np.float32),
        visibility=np.full((count, 17), 2, np.int8),
        signals={name: generator.uniform(0, 1, count).astype(np.float32) for name in SIGNALS},
    )


def write_run(folder: Path, num_frames: int, *, videos: bool) -> None:
    """Write a run folder whose frames repeat a few thousand records under other names."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    coco = keypoint_set("coco").to_category()
    RunManifest(keypoint_set=coco, sources=("media",)).write(folder / "manifest.json")
    templates = []
    for number in range(NUM_TEMPLATES):
        key = FrameKey(_NAME, _INDEX)
        count = int(generator.integers(0, 4))
        found = walking(number, generator) if videos else anywhere(count, generator)
        templates.append(FrameRecord(key, SIZE_WH, instances=found).to_json())
    with (folder / "journal-1-of-1.jsonl").open("wb", buffering=1 << 20) as journal:
        for number in range(num_frames):
            name, index = f"{number // 1000:04d}/img_{number:07d}.jpg", -1
            if videos:
                name, index = f"clip_{number // NUM_TEMPLATES:04d}.mp4", number % NUM_TEMPLATES
            frame = templates[number % NUM_TEMPLATES].replace(_NAME.encode(), name.encode(), 1)
            frame = frame.replace(str(_INDEX).encode(), str(index).encode(), 1)
            journal.write(line_of(frame))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--videos", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(scratch) / "run"
        write_run(run, options.frames, videos=options.videos)
        command = [sys.executable, "-m", "vitpose_cli", "select", str(run)]
        began = time.monotonic()
        subprocess.run([*command, "-n", str(options.count)], check=True, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    unit = 1 if sys.platform == "darwin" else 1024
    print(
        f"{options.frames:,} frames: {seconds:.0f} s ({used.ru_utime + used.ru_stime:.0f} s of "
        f"processor time), {used.ru_maxrss * unit / 1e6:.0f} MB at most"
    )


if __name__ == "__main__":
    main()

"""Peak memory against the number of photos: `annotate` must not grow with the set.

    python benchmarks/memory.py [--photos 10000] [--size 128x96]

Writes photos, labels them whole with the smallest network in this process, and prints the resident
memory after every 500 photos. The last line gives the growth after the first 500, and the peak,
which with `--photos 96 --size 4000x3000` is that of large photos.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch

from vitpose_cli.annotate import AnnotateOptions, annotate
from vitpose_cli.assembly import LabelerOptions
from vitpose_cli.models.checkpoint import CheckpointHeader, HeadHeader, save_checkpoint
from vitpose_cli.models.vitpose import ViTPose
from vitpose_cli.pose.keypoints import keypoint_set


def resident_mb() -> float:
    """Return the resident memory of this process, MB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def peak_mb() -> float:
    """Return the most that this process has ever had resident, MB (Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def save_weights(path: Path) -> None:
    """Write random weights of the smallest network."""
    header = CheckpointHeader(
        variant="tiny-test",
        heads={"main": HeadHeader("simple", keypoint_set("coco"), "udp")},
        input_wh=(96, 128),
        source="random",
        licence="Apache-2.0",
    )
    torch.manual_seed(0)
    save_checkpoint(path, ViTPose(header.config()).state_dict(), header)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=10_000)
    parser.add_argument("--size", default="128x96", metavar="WxH")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    measured: list[tuple[int, float]] = []

    def report(num_done: int, _total: int | None) -> None:
        if num_done and num_done % 500 == 0:
            measured.append((num_done, resident_mb()))
            print(f"{num_done:>7} photos  {measured[-1][1]:8.1f} MB", flush=True)

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "photos"
        folder.mkdir()
        generator = np.random.default_rng(0)
        noise = generator.integers(0, 255, (96, 128, 3), np.uint8)
        _, data = cv2.imencode(".jpg", cv2.resize(noise, (width, height)))
        for number in range(options.photos):
            (folder / f"{number:06d}.jpg").write_bytes(data.tobytes())
        weights = Path(scratch) / "weights.safetensors"
        save_weights(weights)
        labeler = LabelerOptions(weights=str(weights), detector="whole-image", flip_test=False)
        chosen = AnnotateOptions((str(folder),), Path(scratch) / "run", labeler)
        summary = annotate(chosen, report, print)
    growth = max(mb for _, mb in measured) - measured[0][1] if measured else 0.0
    print(
        f"{summary.num_frames / summary.seconds:.1f} photos/s; "
        f"growth after the first 500: {growth:.1f} MB; peak {peak_mb():.0f} MB"
    )


if __name__ == "__main__":
    main()

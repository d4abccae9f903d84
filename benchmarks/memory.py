"""Peak memory against how much there is to label: it must not grow.

    python benchmarks/memory.py [--photos 10000] [--size 128x96]
    python benchmarks/memory.py --minutes 60

The first writes photos, labels them whole with the smallest network in this process, and prints the
resident memory after every 500 photos. The last line gives the growth after the first 500, and the
peak, which with `--photos 96 --size 4000x3000` is that of large photos.

The second writes a small video of that length, 10 frames a second and a person in every frame,
labels it with `--smooth`, renders the labels, and prints the same after every 3,000 frames of both.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from gpu_material import random_model

from vitpose_cli.annotate.labelling import annotate
from vitpose_cli.annotate.options import AnnotateOptions
from vitpose_cli.assembly import LabelerOptions
from vitpose_cli.models.checkpoint import save_checkpoint
from vitpose_cli.progress import Report
from vitpose_cli.render.options import RenderOptions
from vitpose_cli.render.rendering import render

VIDEO_WH = (96, 64)
MINUTE_FRAMES = 600
WEIGHTS = "weights.safetensors"


def resident_mb() -> float:
    """Return the resident memory of this process, MB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def peak_mb() -> float:
    """Return the most that this process has ever had resident, MB (Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def save_weights(path: Path) -> None:
    """Write random weights of the smallest network, loud enough that it sees people."""
    model = random_model("tiny-test", torch.device("cpu"))
    with torch.no_grad():
        for parameter in model.heads.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.2)
    save_checkpoint(path, model.state_dict(), model.header)


def write_video(path: Path, num_frames: int) -> None:
    """Write noise that moves to the right."""
    image = np.random.default_rng(0).integers(0, 255, (VIDEO_WH[1], VIDEO_WH[0], 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
        stream.width, stream.height = VIDEO_WH
        stream.pix_fmt = "yuv420p"
        for index in range(num_frames):
            frame = av.VideoFrame.from_ndarray(np.roll(image, index, axis=1), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def video(minutes: int) -> None:
    """Measure a video."""
    with tempfile.TemporaryDirectory() as scratch:
        clip, run = Path(scratch) / "clip.mp4", Path(scratch) / "run"
        write_video(clip, minutes * MINUTE_FRAMES)
        weights = Path(scratch) / WEIGHTS
        save_weights(weights)
        labeler = LabelerOptions(
            str(weights), detector="whole-image", flip_test=False, keypoint_threshold=0.0
        )
        labelling = AnnotateOptions((str(clip),), run, labeler, smooth=True)
        summary = annotate(labelling, watch("labelled", 3000), print)
        print(f"{summary.num_people} people; peak {peak_mb():.0f} MB")
        drawing = RenderOptions((str(clip),), clip.with_suffix(".drawn.mp4"), run, trail_s=2)
        render(drawing, watch("drawn", 3000), print)
        print(f"peak {peak_mb():.0f} MB")


def watch(what: str, every: int) -> Report:
    """Return what prints the resident memory after every so many frames."""

    def report(num_done: int, *_: object) -> None:
        if num_done and num_done % every == 0:
            print(f"{num_done:>7} {what}  {resident_mb():8.1f} MB", flush=True)

    return report


def photos(options: argparse.Namespace) -> None:
    """Measure photos."""
    width, height = map(int, options.size.split("x"))
    measured: list[tuple[int, float]] = []

    def report(num_done: int, *_: object) -> None:
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
        weights = Path(scratch) / WEIGHTS
        save_weights(weights)
        labeler = LabelerOptions(weights=str(weights), detector="whole-image", flip_test=False)
        chosen = AnnotateOptions((str(folder),), Path(scratch) / "run", labeler)
        summary = annotate(chosen, report, print)
    growth = max(mb for _, mb in measured) - measured[0][1] if measured else 0.0
    print(
        f"{summary.num_frames / summary.seconds:.1f} photos/s; "
        f"growth after the first 500: {growth:.1f} MB; peak {peak_mb():.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=10_000)
    parser.add_argument("--size", default="128x96", metavar="WxH")
    parser.add_argument("--minutes", type=int, help="measure a video instead")
    options = parser.parse_args()
    if options.minutes:
        video(options.minutes)
    else:
        photos(options)


if __name__ == "__main__":
    main()

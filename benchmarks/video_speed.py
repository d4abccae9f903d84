"""Videos: how fast each stage is, and what overlapping them gives.

    python benchmarks/video_speed.py CLIP [--heights 480 720 1080] [--frames 60] [--json]
    python benchmarks/video_speed.py CLIP --variant base --heights 720
    python benchmarks/video_speed.py CLIP --detect-every 2 5 10

The first scales the clip to each height and prints frames a second of every stage alone (decoding;
detector and network over decoded frames; drawing; encoding), of labelling against the same in a
plain OpenCV loop, and of `render`, with labels at hand and without, against its slowest stage. "At
best" is the least that this ratio can be on a machine: the stages' CPU time together, over the
cores, by the slowest stage's wall time. Without labels, `render` also reads the weights and writes
the run folder.

The second takes random weights of another size.

The third labels the clip with detection on every N-th frame only, and compares with detection on
every frame: speed, and, as clips come without ground truth, how alike the labels are (OKS of people
who are matched at a box IoU of 0.5, and how many are not). With ground truth, compare runs by
`vitpose evaluate --annotations TRUTH.json --predictions RUN`.

Rounds take turns and medians are printed; CPU time is that of all threads.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import chdir, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
from gpu_material import random_model

from vitpose_cli.annotate.labelling import annotate, default_run
from vitpose_cli.annotate.options import AnnotateOptions
from vitpose_cli.assembly import Assembly, LabelerOptions, assemble
from vitpose_cli.labeler import Labeler
from vitpose_cli.media.drawing import DrawStyle, draw_instances
from vitpose_cli.media.frames import Frame, FrameKey, prefetch
from vitpose_cli.media.video import VideoFile, VideoOptions
from vitpose_cli.media.video_sink import VideoSink
from vitpose_cli.models.checkpoint import save_checkpoint
from vitpose_cli.models.vitpose import VARIANTS
from vitpose_cli.pose.geometry import box_areas, box_iou
from vitpose_cli.pose.instances import Detections, Instances
from vitpose_cli.pose.oks import oks_matrix
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.render.options import RenderOptions
from vitpose_cli.render.rendering import render

MATCH_IOU = 0.5
CORES = len(os.sched_getaffinity(0))

Way = Callable[[], object]


def write_clip(path: Path, images: Sequence[np.ndarray], rate: int) -> Path:
    """Write pictures of one size as an H.264 video."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def frames_of(path: Path) -> list[Frame]:
    return [each for each in VideoFile(path, path.name).frames() if isinstance(each, Frame)]


def scaled(clip: Path, height: int, count: int, folder: Path) -> Path:
    """Write the first frames of a clip at another height."""
    options = VideoOptions(max_frames=count)
    frames = [e for e in VideoFile(clip, clip.name, options).frames() if isinstance(e, Frame)]
    width = round(frames[0].size_wh[0] * height / frames[0].size_wh[1] / 2) * 2
    images = [cv2.resize(frame.image, (width, height)) for frame in frames]
    return write_clip(folder / f"{height}.mp4", images, rate=25)


def measured(ways: dict[str, Way], num_frames: int, rounds: int) -> dict[str, dict[str, float]]:
    """Return frames a second by wall and by CPU time of every way, medians over rounds."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            way()
            taken[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {
        name: {
            "fps": round(num_frames / statistics.median(wall for wall, _ in each), 1),
            "cpu_fps": round(num_frames / statistics.median(cpu for _, cpu in each), 1),
        }
        for name, each in taken.items()
    }


def plain_loop(clip: Path, assembly: Assembly) -> None:
    """Label frame after frame, as wrappers of pose networks do."""
    capture = cv2.VideoCapture(str(clip))
    index = 0
    while (read := capture.read())[0]:
        frame = Frame(FrameKey(clip.name, index), cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB))
        found = assembly.detector.detect([frame])
        cut = assembly.estimator.cut([frame], found)
        assembly.estimator.start([cut]).of(0)
        index += 1


def label(clip: Path, assembly: Assembly, every: int = 1) -> list[FrameRecord]:
    labeler = Labeler(assembly.detector, assembly.estimator, detect_every=every)
    return list(labeler.label(VideoFile(clip, clip.name).frames()))


def write(frames: Sequence[Frame], path: Path) -> None:
    with VideoSink(path) as sink:
        for frame in frames:
            sink.write(frame)


def stages(clip: Path, labeler: LabelerOptions, rounds: int) -> dict[str, Any]:
    """Measure every stage of one clip."""
    assembly = assemble(labeler)
    style = DrawStyle()
    run = default_run([str(clip)])
    annotate(AnnotateOptions((str(clip),), run, labeler), lambda *_: None, lambda _: None)
    frames = frames_of(clip)
    people = [record.instances for record in label(clip, assembly)]
    jobs = [(frame, each) for frame, each in zip(frames, people, strict=True) if each is not None]

    def drawn(job: tuple[Frame, Instances]) -> Frame:
        frame, each = job
        image = draw_instances(frame.image, each, assembly.estimator.keypoint_set, style)
        return Frame(frame.key, image, frame.time_s)

    def draw() -> list[Frame]:
        with closing(prefetch(drawn, jobs, num_threads=2, ahead=4)) as done:
            return list(done)

    pictures = draw()
    chosen = RenderOptions((str(clip),), clip.with_suffix(".drawn.mp4"), run, labeler, style=style)
    work = Labeler(assembly.detector, assembly.estimator)

    def label_and_render() -> None:
        shutil.rmtree(run)
        render(replace(chosen, annotations=None), lambda *_: None, lambda _: None)

    ways: dict[str, Way] = {
        "decode": lambda: sum(1 for _ in VideoFile(clip, clip.name).frames()),
        "network": lambda: list(work.label(iter(frames))),
        "draw": draw,
        "encode": partial(write, pictures, clip.with_suffix(".encoded.mp4")),
        "render": lambda: render(chosen, lambda *_: None, lambda _: None),
        "label and render": label_and_render,
        "label": partial(label, clip, assembly),
        "label, detect every 5": partial(label, clip, assembly, 5),
        "plain loop": partial(plain_loop, clip, assembly),
    }
    result: dict[str, Any] = measured(ways, len(frames), rounds)
    result["label over plain loop"] = round(result["label"]["fps"] / result["plain loop"]["fps"], 2)
    drawing = ("decode", "draw", "encode")
    for whole, parts in (("render", drawing), ("label and render", ("network", *drawing))):
        slowest_s = max(1 / result[name]["fps"] for name in parts)
        cpu_s = sum(1 / result[name]["cpu_fps"] for name in parts)
        result[f"{whole}: time over slowest stage"] = round(1 / result[whole]["fps"] / slowest_s, 2)
        result[f"{whole}: at best, {CORES} cores"] = round(max(1, cpu_s / CORES / slowest_s), 2)
        result[f"{whole}: CPU time over stages"] = round(1 / result[whole]["cpu_fps"] / cpu_s, 2)
    return result


class Counted:
    """A detector that counts the frames it is given."""

    def __init__(self, assembly: Assembly) -> None:
        self._detector = assembly.detector
        self.num_frames = 0

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """Count, and pass on."""
        self.num_frames += len(frames)
        return self._detector.detect(frames)


def agreement(
    records: Sequence[FrameRecord], every_frame: Sequence[FrameRecord], sigmas: np.ndarray
) -> dict[str, float]:
    """Compare labels with those of detection on every frame."""
    alike: list[float] = []
    num_unmatched = 0
    for one, other in zip(records, every_frame, strict=True):
        if one.instances is None or other.instances is None:
            continue
        mine, theirs = one.instances, other.instances
        overlap = box_iou(mine.boxes, theirs.boxes)
        oks = oks_matrix(
            mine.keypoints, box_areas(mine.boxes),
            theirs.keypoints, box_areas(theirs.boxes), sigmas,
        )  # fmt: skip
        pairs = [
            (row, column)
            for row, column in enumerate(overlap.argmax(axis=1) if len(theirs) else ())
            if overlap[row, column] >= MATCH_IOU and overlap[:, column].argmax() == row
        ]
        alike += [float(oks[pair]) for pair in pairs]
        num_unmatched += len(mine) + len(theirs) - 2 * len(pairs)
    return {
        "oks": round(statistics.fmean(alike), 4) if alike else 0.0,
        "oks_5_percent": round(float(np.quantile(alike, 0.05)), 3) if alike else 0.0,
        "unmatched": num_unmatched,
    }


def detect_every(
    clip: Path, labeler: LabelerOptions, steps: Sequence[int], count: int
) -> list[dict[str, float]]:
    """Measure detection on every N-th frame, for 1 and every N of `steps`."""
    assembly = assemble(labeler)
    options = VideoOptions(max_frames=count)
    rows, first = [], None
    for every in (1, *steps):
        detector = Counted(assembly)
        work = Labeler(detector, assembly.estimator, detect_every=every)
        wall, cpu = time.perf_counter(), time.process_time()
        records = list(work.label(VideoFile(clip, clip.name, options).frames()))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        first = first or records
        rows.append(
            {
                "every": every,
                "detected": round(detector.num_frames / len(records), 3),
                "fps": round(len(records) / wall, 1),
                "cpu_fps": round(len(records) / cpu, 1),
                **agreement(records, first, assembly.estimator.keypoint_set.sigmas),
            }
        )
    return rows


def show(rows: Sequence[dict[str, float]]) -> None:
    """Print a table for people."""
    print("".join(f"{name:>14}" for name in rows[0]))
    for row in rows:
        print("".join(f"{each:>14}" for each in row.values()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", type=Path)
    parser.add_argument("--heights", type=int, nargs="+", default=[480, 720, 1080])
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--detect-every", type=int, nargs="+")
    parser.add_argument("--weights", default="tiny")
    parser.add_argument("--variant", choices=VARIANTS, help="random weights of this size")
    parser.add_argument("--detector")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.clip = options.clip.absolute()
    with tempfile.TemporaryDirectory() as scratch, chdir(scratch):
        weights = options.weights
        if options.variant:
            weights = "random.safetensors"
            model = random_model(options.variant, torch.device("cpu"))
            save_checkpoint(Path(weights), model.state_dict(), model.header)
        labeler = LabelerOptions(
            weights, detector=options.detector, device=options.device, flip_test=False
        )
        if options.detect_every:
            result: Any = detect_every(options.clip, labeler, options.detect_every, options.frames)
        else:
            result = {
                f"{height}p": stages(
                    scaled(options.clip, height, options.frames, Path(scratch)),
                    labeler, options.rounds,
                )
                for height in options.heights
            }  # fmt: skip
    if options.json:
        print(json.dumps(result, indent=2))
    elif isinstance(result, list):
        show(result)
    else:
        for height, each in result.items():
            print(height)
            for name, value in each.items():
                text = value
                if isinstance(value, dict):
                    text = f"{value['fps']:8.1f} frames/s {value['cpu_fps']:8.1f} per CPU second"
                print(f"  {name:44}{text}")


if __name__ == "__main__":
    main()

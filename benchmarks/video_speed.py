"""Videos: how fast each stage is, what overlapping them gives, and how much memory an hour takes.

    python benchmarks/video_speed.py CLIP [--heights 480 720 1080] [--frames 60] [--json]
    python benchmarks/video_speed.py CLIP --detect-every 2 5 10
    python benchmarks/video_speed.py --memory [--minutes 60]

The first scales the clip to each height and prints frames a second of every stage alone (decoding,
drawing, encoding), of labelling against decoding alone and against the same detector and network in
a plain OpenCV loop, and of `render` with labels at hand against its slowest stage.

The second labels the clip with detection on every N-th frame only, and compares with detection on
every frame: speed, and, as clips come without ground truth, how alike the labels are (OKS of people
who are matched at a box IoU of 0.5, and how many are not). With ground truth, compare runs by
`vitpose evaluate --annotations TRUTH.json --predictions RUN`.

The third writes small videos of a minute and of an hour, 10 frames a second, labels and renders
both in processes of their own, and prints their peak memory.

Rounds take turns and medians are printed; CPU time is that of all threads. Where stages share fewer
cores than they could use, `render` cannot reach its slowest stage: its CPU time is their sum.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch

from vitpose_cli.annotate import AnnotateOptions, annotate
from vitpose_cli.assembly import Assembly, LabelerOptions, assemble
from vitpose_cli.labeler import Labeler
from vitpose_cli.media.drawing import DrawStyle, draw_instances
from vitpose_cli.media.frames import Frame, FrameKey, prefetch
from vitpose_cli.media.video import VideoFile, VideoOptions
from vitpose_cli.media.video_sink import VideoSink
from vitpose_cli.models.checkpoint import CheckpointHeader, HeadHeader, save_checkpoint
from vitpose_cli.models.vitpose import ViTPose
from vitpose_cli.pose.geometry import box_areas, box_iou
from vitpose_cli.pose.instances import Detections, Instances
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.pose.oks import oks_matrix
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.render import RenderOptions, render

MATCH_IOU = 0.5
MINUTE_FRAMES = 600
SMALL_WH = (96, 64)

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
        cut = assembly.estimator.cut([frame.image], found)
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
    run, drawn_clip = clip.with_suffix(".vitpose"), clip.with_suffix(".drawn.mp4")
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
    chosen = RenderOptions((str(clip),), drawn_clip, run, style=style)
    ways: dict[str, Way] = {
        "decode": lambda: sum(1 for _ in VideoFile(clip, clip.name).frames()),
        "plain loop": partial(plain_loop, clip, assembly),
        "ours": partial(label, clip, assembly),
        "ours, detect every 5": partial(label, clip, assembly, 5),
        "draw": draw,
        "encode": partial(write, pictures, clip.with_suffix(".encoded.mp4")),
        "render": lambda: render(chosen, lambda *_: None, lambda _: None),
    }
    result: dict[str, Any] = measured(ways, len(frames), rounds)
    slowest = min(result[name]["fps"] for name in ("decode", "draw", "encode"))
    parts = sum(1 / result[name]["cpu_fps"] for name in ("decode", "draw", "encode"))
    result["ours over plain loop"] = round(result["ours"]["fps"] / result["plain loop"]["fps"], 2)
    result["render time over slowest stage"] = round(slowest / result["render"]["fps"], 2)
    result["render CPU time over its stages"] = round(1 / result["render"]["cpu_fps"] / parts, 2)
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


def save_weights(path: Path) -> None:
    """Write random weights of the smallest network, loud enough that it sees people."""
    header = CheckpointHeader(
        variant="tiny-test",
        heads={"main": HeadHeader("simple", keypoint_set("coco"), "udp")},
        input_wh=(96, 128),
        source="random",
        licence="Apache-2.0",
    )
    torch.manual_seed(0)
    model = ViTPose(header.config())
    with torch.no_grad():
        for parameter in model.heads.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.2)
    save_checkpoint(path, model.state_dict(), header)


def peak_mb() -> float:
    """Return the most memory that this process has had, MB (Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def label_and_render(folder: Path, num_frames: int) -> None:
    """Label and render a small video, and print the peaks as JSON. Runs in a process of its own."""
    generator = np.random.default_rng(0)
    clip = folder / f"{num_frames}.mp4"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height = SMALL_WH
        stream.pix_fmt = "yuv420p"
        stream.codec_context.options = {"preset": "ultrafast"}
        image = generator.integers(0, 255, (SMALL_WH[1], SMALL_WH[0], 3), np.uint8)
        for index in range(num_frames):
            frame = av.VideoFrame.from_ndarray(np.roll(image, index, axis=1), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    weights, run = folder / "weights.safetensors", folder / f"{num_frames}.vitpose"
    save_weights(weights)
    labeler = LabelerOptions(
        str(weights), detector="whole-image", flip_test=False, keypoint_threshold=0.0
    )
    options = AnnotateOptions((str(clip),), run, labeler, smooth=True)
    summary = annotate(options, lambda *_: None, lambda _: None)
    peaks = {"annotate_mb": round(peak_mb(), 1)}
    drawn = RenderOptions((str(clip),), folder / f"{num_frames}.drawn.mp4", run, trail_s=2)
    render(drawn, lambda *_: None, lambda _: None)
    people = {"people": summary.num_people}
    print(json.dumps({**people, **peaks, "render_mb": round(peak_mb(), 1)}))


def memory(num_minutes: int) -> dict[str, Any]:
    """Return peak memory for a minute of video and for a long one."""
    result = {}
    with tempfile.TemporaryDirectory() as scratch:
        for minutes in (1, num_minutes):
            num_frames = minutes * MINUTE_FRAMES
            command = [sys.executable, __file__, "--child", scratch, str(num_frames)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            result[f"{minutes} min"] = json.loads(done.stdout)
    return result


def show(result: Any) -> None:
    """Print tables for people."""
    rows = result if isinstance(result, list) else [{"": name, **each} for name, each in result]
    for number, row in enumerate(rows):
        if not number:
            print("".join(f"{name:>22}" if name == "" else f"{name:>14}" for name in row))
        print("".join(f"{each:>22}" if name == "" else f"{each:>14}" for name, each in row.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", type=Path, nargs="?")
    parser.add_argument("--heights", type=int, nargs="+", default=[480, 720, 1080])
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--detect-every", type=int, nargs="+")
    parser.add_argument("--weights", default="tiny")
    parser.add_argument("--detector")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        label_and_render(Path(options.child[0]), int(options.child[1]))
        return
    if options.memory:
        result: Any = memory(options.minutes)
        shown: Any = result.items()
    elif options.clip is None:
        parser.error("name a CLIP, or give --memory")
    else:
        labeler = LabelerOptions(
            options.weights, detector=options.detector, device=options.device, flip_test=False
        )
        if options.detect_every:
            result = shown = detect_every(
                options.clip, labeler, options.detect_every, options.frames
            )
        else:
            with tempfile.TemporaryDirectory() as scratch:
                result = {
                    f"{height}p": stages(
                        scaled(options.clip, height, options.frames, Path(scratch)),
                        labeler, options.rounds,
                    )
                    for height in options.heights
                }  # fmt: skip
            shown = None
    if options.json:
        print(json.dumps(result, indent=2))
    elif shown is not None:
        show(shown)
    else:
        for height, each in result.items():
            print(height)
            for name, value in each.items():
                text = value
                if isinstance(value, dict):
                    text = f"{value['fps']:8.1f} frames/s {value['cpu_fps']:8.1f} per CPU second"
                print(f"  {name:34}{text}")


if __name__ == "__main__":
    main()

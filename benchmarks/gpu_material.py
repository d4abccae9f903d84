"""What `gpu.py` measures with: networks with random weights, photos, a clip, crops of people.

Everything is made here from the two photos in `examples/`, so that a bare machine needs no data.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vitpose_cli.media.frames import Frame
from vitpose_cli.media.images import decode_image
from vitpose_cli.media.source import MediaSource, open_source
from vitpose_cli.models.checkpoint import CheckpointHeader, HeadHeader, LoadedViTPose, load_model
from vitpose_cli.models.estimator import EstimatorOptions, PoseEstimator
from vitpose_cli.models.speed import wait_for
from vitpose_cli.pose.geometry import CropTransforms
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.runtime import num_reader_threads

ROOT = Path(__file__).parent.parent
PHOTOS = {"astronaut.jpg": (60, 0, 440, 511), "camera.jpg": (90, 60, 340, 490)}
"""Photos by name, and the box of the one person in each, px."""

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

NUM_DIFFERENT = 32
"""Different photos in a folder; the others are the same files by another name."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Where and how everything is measured.

    Attributes:
        device: Where networks run.
        dtype: The fast number type there.
        quick: Whether to make everything tiny, to see that it works.
        deadline: Monotonic time after which nothing long is begun any more.
        scratch: A folder for files.
    """

    device: torch.device
    dtype: torch.dtype
    quick: bool
    deadline: float
    scratch: Path

    @property
    def on_gpu(self) -> bool:
        """Whether there are graphs, a compiler worth its time, and faster number types."""
        return self.device.type == "cuda"

    @property
    def late(self) -> bool:
        """Whether the time is used up."""
        return monotonic() > self.deadline

    @property
    def seconds(self) -> float:
        """How long to measure a rate."""
        return 0.02 if self.quick else 0.3

    @property
    def usual(self) -> str:
        """The size of network that whole pipelines are measured with."""
        return "tiny-test" if self.quick else "base" if self.on_gpu else "tiny"

    @property
    def repeats(self) -> int:
        """How often a chunk of frames in memory is labelled."""
        return 8 if self.on_gpu and not self.quick else 1

    def photos(self, on_gpu: int) -> int:
        """Return how many photos or frames to take: fewer where there is no GPU."""
        if self.quick:
            return 6
        return on_gpu if self.on_gpu else max(16, on_gpu // 32)


def random_model(variant: str, device: torch.device) -> LoadedViTPose:
    """Return a network of a size with random weights, made on the device; a real one is classic."""
    quick = variant == "tiny-test"
    header = CheckpointHeader(
        variant=variant,
        heads={"main": HeadHeader("simple" if quick else "classic", keypoint_set("coco"), "udp")},
        input_wh=(96, 128) if quick else (192, 256),
        source="random",
        licence="none",
    )
    torch.manual_seed(0)
    with torch.device(device):
        return LoadedViTPose(header).eval()


def real_model(setting: Setting) -> LoadedViTPose:
    """Return the shipped network, whose heatmaps have peaks; a random one to be quick."""
    if setting.quick:
        return random_model("tiny-test", torch.device("cpu"))
    return load_model(ROOT / "weights" / "vitpose-tiny.safetensors")


def random_estimator(setting: Setting, *, flip_test: bool) -> PoseEstimator:
    """Return an estimator of the usual size with random weights, which keeps every pose."""
    model = random_model(setting.usual, setting.device)
    options = EstimatorOptions(
        setting.device, setting.dtype, flip_test=flip_test, pose_threshold=-math.inf
    )
    return PoseEstimator(model, options)


def example(name: str) -> NDArray[np.uint8]:
    return decode_image((ROOT / "examples" / "photos" / name).read_bytes())


def boxes_like(box: tuple[int, int, int, int], count: int, seed: int) -> NDArray[np.float64]:
    """Return boxes (count, 4) xyxy round a person, moved and scaled, no two of them alike."""
    generator = np.random.default_rng(seed)
    left, top, right, bottom = box
    size = np.array([right - left, bottom - top])
    centres = np.array([left + right, top + bottom]) / 2
    centres = centres + generator.uniform(-0.12, 0.12, (count, 2)) * size
    halves = size / 2 * generator.uniform(0.75, 1.3, (count, 1))
    return np.hstack([centres - halves, centres + halves])


def frames_and_crops(
    count: int, size_wh: tuple[int, int]
) -> tuple[list[NDArray[np.uint8]], list[CropTransforms]]:
    """Return the example photos and about `count` crops of them, each another."""
    images = [example(name) for name in PHOTOS]
    shares = [count // 2, count - count // 2]
    transforms = [
        CropTransforms.from_boxes(boxes_like(box, share, seed), size_wh, alignment="udp")
        for seed, (box, share) in enumerate(zip(PHOTOS.values(), shares, strict=True))
    ]
    return images, transforms


def scene(size_wh: tuple[int, int], number: int) -> NDArray[np.uint8]:
    """Return a picture (H, W, 3) made of the example photos, another for every number."""
    width, height = size_wh
    tile = np.hstack([example(name) for name in PHOTOS])
    big = cv2.resize(tile, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(np.roll(big, 37 * number, axis=1))


def write_folder(folder: Path, size_wh: tuple[int, int], count: int) -> Path:
    """Write JPEG photos of one size."""
    folder.mkdir(parents=True)
    for number in range(count):
        path = folder / f"{number:06d}.jpg"
        if number < NUM_DIFFERENT:
            picture = cv2.cvtColor(scene(size_wh, number), cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, 90])
        else:
            path.hardlink_to(folder / f"{number % NUM_DIFFERENT:06d}.jpg")
    return folder


def write_clip(path: Path, size_wh: tuple[int, int], count: int) -> Path:
    """Write an H.264 video of 30 frames a second."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(30))
        stream.width, stream.height = size_wh
        stream.pix_fmt = "yuv420p"
        pictures = [scene(size_wh, number) for number in range(min(count, NUM_DIFFERENT))]
        for number in range(count):
            picture = pictures[number % len(pictures)]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def open_files(path: Path, setting: Setting) -> MediaSource:
    return open_source([str(path)], num_threads=num_reader_threads(setting.device))


def first_frames(source: MediaSource, count: int) -> Iterable[Frame]:
    frames = source.frames()
    for _, frame in zip(range(count), frames, strict=False):
        if isinstance(frame, Frame):
            yield frame


def timed(setting: Setting, work: Callable[[], Any]) -> tuple[Any, float]:
    wait_for(setting.device)
    started = perf_counter()
    result = work()
    wait_for(setting.device)
    return result, perf_counter() - started

"""The stages of labelling, each measured by itself and then all together, for `vitpose bench`.

Photos are the user's own, or made up: smooth noise of 1280 x 720 px, in which the detector looks
for people in vain and three boxes stand for them.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from vitpose_cli.assembly import Assembly
from vitpose_cli.errors import InputError
from vitpose_cli.labeler import CHUNK_FRAMES, Labeler
from vitpose_cli.media.frames import Frame, FrameFailure, FrameKey
from vitpose_cli.media.images import ImageSink
from vitpose_cli.media.resizing import resize_image
from vitpose_cli.media.source import MediaSource, open_source
from vitpose_cli.models.detection import DETECTOR_FRAMES, Detector
from vitpose_cli.models.speed import wait_for
from vitpose_cli.pose.instances import Detections
from vitpose_cli.runtime import num_reader_threads

Result = TypeVar("Result")

PHOTO_WH = (1280, 720)
MADE_UP_PEOPLE = 3
NUM_MADE_UP = 8
"""Different photos that are made up; the others have the same content."""

NUM_PHOTOS = {"cuda": 1024}
NUM_PHOTOS_ELSEWHERE = 16


def measure_stages(assembly: Assembly, sources: tuple[str, ...]) -> StageRates:
    """Measure the stages over the first photos of the sources, made up where there are none.

    Raises:
        InputError: There is nothing to read in the sources.
    """
    device = assembly.estimator.options.device
    with _photos(sources, device) as source:
        if not sources:
            assembly = replace(assembly, detector=PlantedBoxes(assembly.detector, MADE_UP_PEOPLE))
        return _Pipeline(assembly, source).measure()


@dataclass(frozen=True, slots=True)
class StageRates:
    """The stages and the whole.

    Attributes:
        num_photos: How many photos were labelled.
        people_per_photo: How many people each of them shows.
        crops_per_photo: How many crops of each of them the network looks at.
        stages: Photos a second of each stage alone, over the first photos; without the stages of
            crops if none is cut out of these.
        photos_per_s: Of all together.
    """

    num_photos: int
    people_per_photo: float
    crops_per_photo: float
    stages: dict[str, float]
    photos_per_s: float


class PlantedBoxes:
    """A detector that takes its time like another, and then finds the same boxes in every frame."""

    def __init__(self, detector: Detector | None, num_people: int) -> None:
        """Find `num_people` side by side; without a detector, at once."""
        self._detector = detector
        self._num_people = num_people

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """Return the boxes of each frame; see `Detector`."""
        if self._detector is not None:
            self._detector.detect(frames)
        return [self._boxes(*frame.size_wh) for frame in frames]

    def _boxes(self, width: int, height: int) -> Detections:
        step = width / self._num_people
        left = step * (0.1 + np.arange(self._num_people, dtype=np.float32))
        top = np.full_like(left, 0.15 * height)
        boxes = np.stack([left, top, left + 0.8 * step, top + 0.7 * height], axis=1)
        return Detections(boxes, np.ones(len(boxes), np.float32))


class _CountedBoxes:
    """A detector that counts what another finds."""

    def __init__(self, detector: Detector) -> None:
        """Find what `detector` does."""
        self.num_boxes = 0
        self._detector = detector

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """Return the boxes of each frame; see `Detector`."""
        found = self._detector.detect(frames)
        self.num_boxes += sum(map(len, found))
        return found


class _Pipeline:
    """Runs each stage over the same photos, then all of them as `annotate` does."""

    def __init__(self, assembly: Assembly, source: MediaSource) -> None:
        self._assembly = assembly
        self._source = source
        self._device = assembly.estimator.options.device
        self._num_photos = NUM_PHOTOS.get(self._device.type, NUM_PHOTOS_ELSEWHERE)

    def measure(self) -> StageRates:
        """Measure all.

        Raises:
            InputError: None of the photos can be read.
        """
        detector, estimator = self._assembly.detector, self._assembly.estimator
        frames = [
            frame for frame in islice(self._frames(), CHUNK_FRAMES) if isinstance(frame, Frame)
        ]
        if not frames:
            raise InputError("None of the first photos can be read.", "Give others to --source.")
        detector.detect(frames[:DETECTOR_FRAMES])  # sets things up
        groups = [frames[n : n + DETECTOR_FRAMES] for n in range(0, len(frames), DETECTOR_FRAMES)]
        decode_s, num_photos = self._timed(lambda: sum(1 for _ in self._frames()))
        detect_s, detections = self._timed(
            lambda: [each for group in groups for each in detector.detect(group)]
        )
        estimator.start([estimator.cut(frames, detections)]).of(len(frames) - 1)
        cut_s, cut = self._timed(lambda: estimator.cut(frames, detections))
        network_s, _ = self._timed(lambda: estimator.start([cut]).of(len(frames) - 1))
        counted = _CountedBoxes(detector)
        labeler = Labeler(counted, estimator)
        whole_s, people = self._timed(lambda: _count_people(labeler, self._frames()))
        stages = {"decode": num_photos / decode_s, "detect": len(frames) / detect_s}
        if len(cut):
            stages |= {"cut": len(frames) / cut_s, "network": len(frames) / network_s}
        return StageRates(
            num_photos=num_photos,
            people_per_photo=people / num_photos,
            crops_per_photo=counted.num_boxes / num_photos,
            stages=stages,
            photos_per_s=num_photos / whole_s,
        )

    def _frames(self) -> Iterator[Frame | FrameFailure]:
        return islice(self._source.frames(), self._num_photos)

    def _timed(self, work: Callable[[], Result]) -> tuple[float, Result]:
        """Return how many seconds some work takes, and what it returns."""
        wait_for(self._device)
        started = time.perf_counter()
        result = work()
        wait_for(self._device)
        return time.perf_counter() - started, result


def _count_people(labeler: Labeler, frames: Iterable[Frame | FrameFailure]) -> int:
    records = labeler.label(frames)
    return sum(len(each.instances) for each in records if each.instances is not None)


@contextmanager
def _photos(sources: tuple[str, ...], device: torch.device) -> Iterator[MediaSource]:
    """Open the sources, or photos that are made up and go away again."""
    num_threads = num_reader_threads(device)
    if sources:
        yield open_source(sources, num_threads=num_threads)
        return
    with tempfile.TemporaryDirectory() as scratch:
        _make_up(Path(scratch), NUM_PHOTOS.get(device.type, NUM_PHOTOS_ELSEWHERE))
        yield open_source([scratch], num_threads=num_threads)


def _make_up(folder: Path, count: int) -> None:
    """Write photos of smooth noise, as many different ones as a cache does not hold."""
    generator = np.random.default_rng(0)
    sink = ImageSink(folder)
    for number in range(count):
        name = f"{number:06d}.jpg"
        if number < NUM_MADE_UP:
            coarse = generator.integers(0, 256, (PHOTO_WH[1] // 8, PHOTO_WH[0] // 8, 3), np.uint8)
            sink.write(Frame(FrameKey(name), resize_image(coarse, PHOTO_WH)))
        else:
            (folder / name).hardlink_to(folder / f"{number % NUM_MADE_UP:06d}.jpg")

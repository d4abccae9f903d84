"""Frames in, records out: detection, crops, the pose network and decoding as one stream.

Frames are taken in chunks of a fixed number, photos together and every video for itself. Crops of
all frames in a chunk are pooled into full batches, and no batch spans two chunks: which crops
share a batch then depends on the order of the frames alone, not on when a run was stopped and
taken up again, so that a resumed run gives the same last bits. While a GPU works on one chunk,
the next is read, detected and cropped, and its batches are queued. On a CPU the next frames are
decoded meanwhile, no more: detector and network both take all cores, and called from two threads
each gets OpenMP threads of its own, which sleep at every step when they are more than the cores.
On two cores that took 1.4 times as long.

A few frames are read, detected and cut at a time, and then let go: crops of a chunk wait, never
its frames, since 32 photos of a phone take more than a gigabyte.

Nothing here knows of files; `annotate` adds the run folder, `evaluate` the ground truth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import chain, groupby, islice

import numpy as np

from vitpose_cli.blame import LabellingStep
from vitpose_cli.media.frames import Frame, FrameFailure, FrameKey, drawn_ahead
from vitpose_cli.models.detection import DETECTOR_FRAMES, DETECTOR_PIXELS, Detector
from vitpose_cli.models.estimator import CropBatch, PendingPeople, PoseEstimator
from vitpose_cli.pose.instances import Detections
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.termination import was_interrupted
from vitpose_cli.tracking.linked_people import LinkedPeople

CHUNK_FRAMES = 32
"""Frames whose crops are pooled into batches together."""

PARTS_OF_CHUNK = CHUNK_FRAMES // DETECTOR_FRAMES + 1
"""Steps in which a chunk is prepared, where frames are of usual size."""

_EASY_WH = (640, 480)
"""Size of the black picture that everybody can work on who works at all, px."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is left of a frame once its people are cut out.

    Attributes:
        key: Its name.
        size_wh: Its width and height, px.
        time_s: When it is shown.
        frame: The frame itself, only where somebody wants to draw on it.
    """

    key: FrameKey
    size_wh: tuple[int, int]
    time_s: float | None
    frame: Frame | None


@dataclass(frozen=True, slots=True)
class _Part:
    """A step through a chunk: some of its frames, or at its end the people of them all.

    Attributes:
        frames: Frames, in order.
        people: Of all frames of the chunk that are no failures.
    """

    frames: Sequence[_Seen | FrameFailure] = ()
    people: PendingPeople | LinkedPeople | None = None


class Labeler:
    """A detector and a pose network that together label frames."""

    def __init__(
        self,
        detector: Detector,
        estimator: PoseEstimator,
        model: str = "",
        on_frame: Callable[[Frame, FrameRecord], None] | None = None,
        detect_every: int = 1,
    ) -> None:
        """Bring detector and network together.

        Args:
            detector: Who finds the boxes.
            estimator: Who finds the keypoints in them.
            model: The weights' hash, written into every record.
            on_frame: Called with each frame that could be labelled and its record, in order,
                before the frame's pixels are let go; drawing hangs here.
            detect_every: In videos, detect on at least every so manieth frame; 1 detects on all.
        """
        self.detector = detector
        self.estimator = estimator
        self.model = model
        self.on_frame = on_frame
        self.detect_every = detect_every
        self._detection = LabellingStep("The detector", self._try_detector)
        self._cutting = LabellingStep("Cutting people out", self._try_network)
        self._posing = LabellingStep("The network", self._try_network)

    def trust(self) -> None:
        """Take it that detector and network work, as they have done in an earlier process."""
        for step in (self._detection, self._cutting, self._posing):
            step.worked = True

    def label(self, frames: Iterable[Frame | FrameFailure]) -> Iterator[FrameRecord]:
        """Yield one record for every frame, in order; what could not be read becomes an error.

        Raises:
            VitposeError: The detector or the network cannot work at all.
        """
        prepared = self._prepared(frames)
        if ahead := self.estimator.chunks_ahead * PARTS_OF_CHUNK:
            prepared = drawn_ahead(prepared, ahead)
        chunk: list[_Seen | FrameFailure] = []
        with closing(prepared):
            for part in prepared:
                chunk += part.frames
                if part.people is not None:
                    yield from self._finish(chunk, part.people)
                    chunk = []

    def _prepared(self, frames: Iterable[Frame | FrameFailure]) -> Generator[_Part]:
        """Read, detect and cut; at the end of each chunk start the network on what was found."""
        for video, chunk in _chunks(frames):
            if video is not None and self.detect_every > 1:
                yield from self._linked(list(chunk))
            else:
                yield from self._detected(chunk)

    def _detected(self, chunk: Iterable[Frame | FrameFailure]) -> Iterator[_Part]:
        """Prepare a chunk, detecting on every frame."""
        cuts: list[CropBatch] = []
        for group in _groups(chunk):
            seen, cut = self._cut(group)
            group.clear()  # while the next are read, these are let go
            cuts += cut
            yield _Part(seen)
        yield _Part(people=self.estimator.start(cuts or self._cut_out([])))

    def _linked(self, frames: list[Frame | FrameFailure]) -> Iterator[_Part]:
        """Prepare a chunk of video, detecting on some of its frames only."""
        try:
            people = LinkedPeople(
                [frame for frame in frames if isinstance(frame, Frame)],
                self.detect_every,
                detect=self._detect_many,
                estimator=self.estimator,
            )
        except Exception as error:  # the usual way finds out which frame is to blame
            if was_interrupted(error):
                raise
            yield from self._detected(frames)
            return
        seen = [people.failures.get(frame.key) or self._seen(frame) for frame in frames]
        frames.clear()
        for start in range(0, len(seen), DETECTOR_FRAMES):  # as many parts as others have
            yield _Part(seen[start : start + DETECTOR_FRAMES])
        yield _Part(people=people)

    def _detect_many(self, frames: list[Frame]) -> list[Detections | FrameFailure]:
        """Return what `_detect` does, for more frames than the detector takes at once."""
        starts = range(0, len(frames), DETECTOR_FRAMES)
        groups = [frames[start : start + DETECTOR_FRAMES] for start in starts]
        return [each for group in groups for each in self._detect(group)]

    def _cut(
        self, frames: list[Frame | FrameFailure]
    ) -> tuple[list[_Seen | FrameFailure], list[CropBatch]]:
        """Detect in some frames and cut out what was found."""
        readable = [frame for frame in frames if isinstance(frame, Frame)]
        found = self._detect(readable)
        boxed = [
            (frame, each)
            for frame, each in zip(readable, found, strict=True)
            if isinstance(each, Detections)
        ]
        cut = self._cutting.all(self._cut_out, boxed, lambda pair: pair[0].key)
        failures = {each.key: each for each in (*found, *cut) if isinstance(each, FrameFailure)}
        seen = [failures.get(frame.key) or self._seen(frame) for frame in frames]
        return seen, [each for each in cut if isinstance(each, CropBatch)]

    def _cut_out(self, boxed: Sequence[tuple[Frame, Detections]]) -> list[CropBatch]:
        return [self.estimator.cut([frame for frame, _ in boxed], [found for _, found in boxed])]

    def _seen(self, frame: Frame | FrameFailure) -> _Seen | FrameFailure:
        if isinstance(frame, FrameFailure):
            return frame
        kept = frame if self.on_frame is not None else None
        return _Seen(frame.key, frame.size_wh, frame.time_s, kept)

    def _detect(self, frames: list[Frame]) -> list[Detections | FrameFailure]:
        """Return the boxes of every frame, or why the detector failed on it."""
        return self._detection.all(self.detector.detect, frames, lambda frame: frame.key)

    def _try_detector(self) -> None:
        """Detect in a black picture."""
        self.detector.detect([_easy_frame()])

    def _try_network(self) -> None:
        """Look for one person in a black picture."""
        box = Detections(np.array([[0, 0, *_EASY_WH]], np.float32), np.ones(1, np.float32))
        self.estimator.start(self._cut_out([(_easy_frame(), box)])).of(0)

    def _finish(
        self, chunk: Sequence[_Seen | FrameFailure], pending: PendingPeople | LinkedPeople
    ) -> Iterator[FrameRecord]:
        """Yield each frame as soon as its last crop is done."""
        num_labelled = 0
        for frame in chunk:
            if isinstance(frame, FrameFailure):
                yield FrameRecord(frame.key, error=frame.error, model=self.model)
                continue
            people = self._posing.one(partial(pending.of, num_labelled), frame.key)
            num_labelled += 1
            if isinstance(people, FrameFailure):
                yield FrameRecord(frame.key, error=people.error, model=self.model)
                continue
            record = FrameRecord(
                frame.key, frame.size_wh, frame.time_s, instances=people, model=self.model
            )
            if self.on_frame is not None and frame.frame is not None:
                self.on_frame(frame.frame, record)
            yield record


def _easy_frame() -> Frame:
    width, height = _EASY_WH
    return Frame(FrameKey(""), np.zeros((height, width, 3), np.uint8))


def _chunks(
    frames: Iterable[Frame | FrameFailure],
) -> Iterator[tuple[str | None, Iterator[Frame | FrameFailure]]]:
    """Yield chunks of frames: of photos, or of one video, so that a run can find them again.

    With each comes the name of the video, None for photos.

    Each is to be used up before the next.
    """
    for video, alike in groupby(frames, key=lambda frame: frame.key.video):
        for first in alike:
            chunk = chain([first], islice(alike, CHUNK_FRAMES - 1))  # noqa: B031 - goes on with it
            del first  # or it would be held as long as the chunk
            yield video, chunk


def _groups(chunk: Iterable[Frame | FrameFailure]) -> Iterator[list[Frame | FrameFailure]]:
    """Yield the frames of a chunk as many at a time as a detector takes, and memory."""
    group: list[Frame | FrameFailure] = []
    num_pixels = 0
    for frame in chunk:
        group.append(frame)
        num_pixels += math.prod(frame.size_wh) if isinstance(frame, Frame) else 0
        if len(group) == DETECTOR_FRAMES or num_pixels >= DETECTOR_PIXELS:
            yield group
            group, num_pixels = [], 0
    if group:
        yield group

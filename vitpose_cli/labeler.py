"""Frames in, records out: detection, crops, the pose network and decoding as one stream.

Frames are taken in chunks of a fixed number, photos together and every video for itself. Crops of
all frames in a chunk are pooled into full batches, and no batch spans two chunks: which crops
share a batch then depends on the order of the frames alone, not on when a run was stopped and
taken up again, so that a resumed run gives the same last bits. While the network works on one
chunk, the next is read, detected and cropped; on a GPU its batches are queued as well.

Nothing here knows of files; `annotate` adds the run folder, `evaluate` the ground truth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice

from vitpose_cli.media.frames import Frame, FrameFailure, FrameKey, prefetch
from vitpose_cli.models.detectors import Detector
from vitpose_cli.models.estimator import PendingPeople, PoseEstimator
from vitpose_cli.pose.instances import Detections, Instances
from vitpose_cli.records.record import FrameRecord

CHUNK_FRAMES = 32
"""Frames whose crops are pooled into batches together."""

DETECTOR_FRAMES = 8
"""Frames in one call of the detector."""

FAULTS = (RuntimeError, ValueError)
"""What a network raises when it chokes on a picture; ours, such as `VitposeError`, are not."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is left of a frame once its people are cut out.

    Attributes:
        key: Its name.
        size_wh: Its width and height, px.
        time_s: When it is shown.
        frame: The frame itself, only where somebody wants to draw on it: 32 photos of a phone take
            more than a gigabyte.
    """

    key: FrameKey
    size_wh: tuple[int, int]
    time_s: float | None
    frame: Frame | None


@dataclass(frozen=True, slots=True)
class _Chunk:
    """A chunk of frames, detected; their people, on their way.

    Attributes:
        frames: All frames of the chunk, in order.
        people: Of those frames that are no failures.
    """

    frames: list[_Seen | FrameFailure]
    people: PendingPeople


class Labeler:
    """A detector and a pose network that together label frames."""

    def __init__(
        self,
        detector: Detector,
        estimator: PoseEstimator,
        model: str = "",
        on_frame: Callable[[Frame, Instances], None] | None = None,
    ) -> None:
        """Bring detector and network together.

        Args:
            detector: Who finds the boxes.
            estimator: Who finds the keypoints in them.
            model: The weights' hash, written into every record.
            on_frame: Called with each frame and its instances, in order, before the frame's
                pixels are let go; drawing hangs here.
        """
        self.detector = detector
        self.estimator = estimator
        self.model = model
        self.on_frame = on_frame

    def label(self, frames: Iterable[Frame | FrameFailure]) -> Iterator[FrameRecord]:
        """Yield one record for every frame, in order; what could not be read becomes an error.

        Raises:
            VitposeError: The detector or the network cannot work at all.
        """
        ahead = self.estimator.chunks_ahead
        for chunk in prefetch(self._prepare, _chunks(frames), num_threads=1, ahead=ahead):
            yield from self._finish(chunk)

    def _prepare(self, frames: list[Frame | FrameFailure]) -> _Chunk:
        """Detect in the frames of one chunk, and start the network on what was found."""
        readable = [frame for frame in frames if isinstance(frame, Frame)]
        found = self._detect(readable)
        failures = {each.key: each for each in found if isinstance(each, FrameFailure)}
        people = self.estimator.start(
            [frame.image for frame in readable if frame.key not in failures],
            [each for each in found if isinstance(each, Detections)],
        )
        return _Chunk([failures.get(frame.key) or self._seen(frame) for frame in frames], people)

    def _seen(self, frame: Frame | FrameFailure) -> _Seen | FrameFailure:
        if isinstance(frame, FrameFailure):
            return frame
        kept = frame if self.on_frame is not None else None
        return _Seen(frame.key, frame.size_wh, frame.time_s, kept)

    def _detect(self, frames: list[Frame]) -> list[Detections | FrameFailure]:
        """Return the boxes of every frame, or why the detector failed on it."""
        found: list[Detections | FrameFailure] = []
        for start in range(0, len(frames), DETECTOR_FRAMES):
            batch = frames[start : start + DETECTOR_FRAMES]
            try:
                found += self.detector.detect(batch)
            except FAULTS:
                found += [self._detect_alone(frame) for frame in batch]
        return found

    def _detect_alone(self, frame: Frame) -> Detections | FrameFailure:
        """Detect on one frame of a batch that failed, so that one bad frame costs only itself."""
        try:
            return self.detector.detect([frame])[0]
        except FAULTS as error:
            return FrameFailure(frame.key, f"The detector failed: {error}")

    def _finish(self, chunk: _Chunk) -> Iterator[FrameRecord]:
        """Yield each frame as soon as its last crop is done."""
        num_labelled = 0
        for frame in chunk.frames:
            if isinstance(frame, FrameFailure):
                yield FrameRecord(frame.key, error=frame.error, model=self.model)
                continue
            people = chunk.people.of(num_labelled)
            num_labelled += 1
            if self.on_frame is not None and frame.frame is not None:
                self.on_frame(frame.frame, people)
            yield FrameRecord(
                frame.key, frame.size_wh, frame.time_s, instances=people, model=self.model
            )


def _chunks(frames: Iterable[Frame | FrameFailure]) -> Iterator[list[Frame | FrameFailure]]:
    """Yield chunks of frames: of photos, or of one video, so that a run can find them again."""
    for _, group in groupby(frames, key=lambda frame: frame.key.video):
        while chunk := list(islice(group, CHUNK_FRAMES)):
            yield chunk

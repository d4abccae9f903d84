"""Frames in, records out: detection, crops, the pose network and decoding as one stream.

Frames are taken in chunks of a fixed number, photos together and every video for itself. Crops of
all frames in a chunk are pooled into full batches, and no batch spans two chunks: which crops
share a batch then depends on the order of the frames alone, not on when a run was stopped and
taken up again, so that a resumed run gives the same last bits. While the network works on one
chunk, the next is read, detected and cropped.

Nothing here knows of files; `annotate` adds the run folder, `evaluate` the ground truth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.media.crops import warp_crops
from vitpose_cli.media.frames import Frame, FrameFailure, prefetch
from vitpose_cli.models.detectors import Detector
from vitpose_cli.models.estimator import PoseEstimator
from vitpose_cli.pose.geometry import CropTransforms
from vitpose_cli.pose.instances import Detections, Instances
from vitpose_cli.records.record import FrameRecord

CHUNK_FRAMES = 32
"""Frames whose crops are pooled into batches together."""

DETECTOR_FRAMES = 8
"""Frames in one call of the detector."""

FAULTS = (RuntimeError, ValueError)
"""What a network raises when it chokes on a picture; ours, such as `VitposeError`, are not."""


@dataclass(frozen=True, slots=True)
class _Cut:
    """One frame after detection: its boxes, and where its crops lie among those of the chunk."""

    frame: Frame
    detections: Detections
    transforms: CropTransforms
    start: int

    @property
    def stop(self) -> int:
        return self.start + len(self.detections)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """A chunk of frames, detected and cropped."""

    items: list[_Cut | FrameFailure]
    crops: NDArray[np.uint8]


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
        for chunk in prefetch(self._prepare, _chunks(frames), num_threads=1, ahead=1):
            yield from self._finish(chunk)

    def _prepare(self, frames: list[Frame | FrameFailure]) -> _Chunk:
        """Detect and crop the frames of one chunk."""
        readable = [frame for frame in frames if isinstance(frame, Frame)]
        found = iter(self._detect(readable))
        items: list[_Cut | FrameFailure] = []
        total = 0
        for frame in frames:
            detections = next(found) if isinstance(frame, Frame) else None
            if isinstance(frame, FrameFailure):
                items.append(frame)
            elif isinstance(detections, FrameFailure):
                items.append(detections)
            elif detections is not None:
                transforms = self.estimator.transforms(detections)
                items.append(_Cut(frame, detections, transforms, total))
                total += len(detections)
        width, height = self.estimator.input_wh
        crops = np.empty((total, height, width, 3), np.uint8)
        for item in items:
            if isinstance(item, _Cut) and len(item.detections):
                warp_crops(item.frame.image, item.transforms, out=crops[item.start : item.stop])
        return _Chunk(items, crops)

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
        """Run the network batch by batch; yield each frame as soon as its last crop is done."""
        poses = None
        done = 0
        for item in chunk.items:
            if isinstance(item, FrameFailure):
                yield FrameRecord(item.key, error=item.error, model=self.model)
                continue
            while done < item.stop:
                step = self.estimator.batch_size
                batch = self.estimator.poses(chunk.crops[done : done + step])
                poses = batch if poses is None else poses.joined([poses, batch])
                done = min(done + step, len(chunk.crops))
            if poses is None or not len(item.detections):
                people = Instances.empty(self.estimator.keypoint_set.num_keypoints)
            else:
                people = self.estimator.instances(
                    item.detections, item.transforms, poses.rows(item.start, item.stop)
                )
            if self.on_frame is not None:
                self.on_frame(item.frame, people)
            frame = item.frame
            yield FrameRecord(
                frame.key, frame.size_wh, frame.time_s, instances=people, model=self.model
            )


def _chunks(frames: Iterable[Frame | FrameFailure]) -> Iterator[list[Frame | FrameFailure]]:
    """Yield chunks of frames: of photos, or of one video, so that a run can find them again."""
    for _, group in groupby(frames, key=lambda frame: frame.key.video):
        while chunk := list(islice(group, CHUNK_FRAMES)):
            yield chunk

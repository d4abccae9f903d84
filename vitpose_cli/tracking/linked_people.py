"""People of a stretch of video, detected on a few of its frames and followed through the others.

The frames detected first lie evenly in the stretch, its two ends among them. Everybody in one of
them is looked for in the next by pose, as `tracker` does. Where all are found again, boxes in
between lie on a line; where somebody is not, the frame in the middle is detected too, and so on
until it is known in which frame they came or went. So frames are still labelled in full batches,
and what is found depends on the stretch alone, not on what came before it.

Refused: the last frame's pose as the next one's box. It labels frame after frame, one small batch
each, drifts, and learns that somebody is gone only when it next detects; see the decisions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from vitpose_cli.media.frames import Frame, FrameFailure, FrameKey
from vitpose_cli.models.estimator import PendingPeople, PoseEstimator
from vitpose_cli.pose.instances import Detections, Instances
from vitpose_cli.records.keypoint_threshold import visibility_of
from vitpose_cli.tracking.tracker import Tracker

CLEAR_SCORE = 0.3
"""Keypoints of at least this score tell who is who, whichever are labelled: another
`--keypoint-threshold` moves no box, and so needs no network afterwards."""

Detect = Callable[[list[Frame]], list[Detections | FrameFailure]]
"""Returns the boxes of every frame, or why there are none."""


class LinkedPeople:
    """The people of some consecutive frames of one video, on their way.

    Attributes:
        failures: Why the detector failed, by frame.
    """

    def __init__(
        self, frames: Sequence[Frame], every: int, *, detect: Detect, estimator: PoseEstimator
    ) -> None:
        """Detect where it is needed, and start the network on all other frames.

        Args:
            frames: In order, with their times; let go of once their people are cut out.
            every: The most frames from one that is detected on to the next.
            detect: Finds the boxes.
            estimator: Finds the keypoints in them.
        """
        self.failures: dict[FrameKey, FrameFailure] = {}
        self._detect = detect
        self._estimator = estimator
        self._known: dict[FrameKey, Instances] = {}
        wanted = _spread(frames, every)
        while wanted:
            self._look_at(wanted)
            frames = [frame for frame in frames if frame.key not in self.failures]
            wanted = list(self._unclear(frames))
        self._keys = [frame.key for frame in frames]
        between = list(self._between(frames))
        self._pending = self._start(between)
        self._place = {frame.key: place for place, (frame, _) in enumerate(between)}

    def of(self, frame: int) -> Instances:
        """Return the people of one frame, failures not counted; see `PendingPeople.of`."""
        key = self._keys[frame]
        known = self._known.get(key)
        return self._pending.of(self._place[key]) if known is None else known

    def _look_at(self, frames: list[Frame]) -> None:
        """Detect and label some frames."""
        found = self._detect(frames)
        self.failures |= {each.key: each for each in found if isinstance(each, FrameFailure)}
        boxed = [
            (frame, boxes)
            for frame, boxes in zip(frames, found, strict=True)
            if isinstance(boxes, Detections)
        ]
        pending = self._start(boxed)
        self._known |= {frame.key: pending.of(place) for place, (frame, _) in enumerate(boxed)}

    def _start(self, boxed: Sequence[tuple[Frame, Detections]]) -> PendingPeople:
        """Start the network on frames with boxes."""
        frames, boxes = [frame for frame, _ in boxed], [each for _, each in boxed]
        return self._estimator.start([self._estimator.cut(frames, boxes)])

    def _gaps(self, frames: Sequence[Frame]) -> Iterator[Sequence[Frame]]:
        """Yield each stretch from one labelled frame to the next, if there are frames between."""
        places = [place for place, frame in enumerate(frames) if frame.key in self._known]
        for start, stop in pairwise(places):
            if stop - start > 1:
                yield frames[start : stop + 1]

    def _unclear(self, frames: Sequence[Frame]) -> Iterator[Frame]:
        """Yield the frames to detect on next: lacking ends, and the middles of unlinked gaps."""
        ends = {frame.key: frame for frame in (*frames[:1], *frames[-1:])}
        yield from (frame for key, frame in ends.items() if key not in self._known)
        for gap in self._gaps(frames):
            if self._found_again(gap) is None:
                yield gap[len(gap) // 2]

    def _between(self, frames: Sequence[Frame]) -> Iterator[tuple[Frame, Detections]]:
        """Yield the frames that were not detected on, with boxes on a line between others'."""
        for gap in self._gaps(frames):
            before, after = self._known[gap[0].key], self._found_again(gap)
            if after is None:
                continue
            start_s, stop_s = _time_s(gap[0]), _time_s(gap[-1])
            for frame in gap[1:-1]:
                part = np.float32((_time_s(frame) - start_s) / (stop_s - start_s))
                yield (
                    frame,
                    Detections(
                        (1 - part) * before.boxes + part * after.boxes,
                        (1 - part) * before.box_scores + part * after.box_scores,
                    ),
                )

    def _found_again(self, gap: Sequence[Frame]) -> Instances | None:
        """Return the people at a gap's end in the order of its start, None if they are others."""
        before, after = self._known[gap[0].key], self._known[gap[-1].key]
        tracker = Tracker(self._estimator.keypoint_set.sigmas)
        ids_before = tracker.update(_time_s(gap[0]), _as_seen(before))
        ids_after = tracker.update(_time_s(gap[-1]), _as_seen(after))
        rows = np.argsort(ids_after)
        return after.select(rows) if np.array_equal(ids_before, ids_after[rows]) else None


def _as_seen(people: Instances) -> Instances:
    """Return people with the keypoints that tell who they are as the visible ones."""
    return replace(people, visibility=visibility_of(people.keypoint_scores, CLEAR_SCORE))


def _spread(frames: Sequence[Frame], every: int) -> list[Frame]:
    """Return both ends and some evenly between, none more than `every` from the next."""
    if not frames:
        return []
    last = len(frames) - 1
    places = np.linspace(0, last, math.ceil(last / every) + 1).round()
    return [frames[int(place)] for place in places]


def _time_s(frame: Frame) -> float:
    return frame.time_s or 0.0

"""Frames with the people drawn on them: copies of photos, or the frames of one video in order."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.media.drawing import DrawStyle, draw_instances
from vitpose_cli.media.frames import Frame, prefetch
from vitpose_cli.media.trails import Trails, draw_trails
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.render.labelled_frames import FramePeople
from vitpose_cli.tracking.identities import frame_time_s

_THREADS = 2
_AHEAD = 4  # drawn frames held ready


@dataclass(frozen=True, slots=True)
class Look:
    """How drawn frames look.

    Attributes:
        style: How people are drawn.
        skeleton_only: Draw on black.
        side_by_side: Put the picture as it is to the left.
        trail_s: Show where people were for this long; 0 shows no trails.
    """

    style: DrawStyle
    skeleton_only: bool
    side_by_side: bool
    trail_s: float


@dataclass(frozen=True, slots=True)
class _Job:
    """A frame to draw on, and what to draw."""

    frame: Frame
    people: Instances
    trails: Mapping[int, NDArray[np.float32]]


def drawn_frames(
    labelled: Iterable[FramePeople], keypoint_set: KeypointSet, look: Look
) -> Generator[Frame, None, None]:
    """Yield the drawn copies of photos, or of the frames of one video, drawing ahead in threads."""
    draw = partial(_draw, keypoint_set=keypoint_set, look=look)
    jobs = _jobs(labelled, look.trail_s)
    return prefetch(draw, jobs, num_threads=_THREADS, ahead=_AHEAD)


def _jobs(labelled: Iterable[FramePeople], trail_s: float) -> Iterator[_Job]:
    trails = Trails(trail_s)
    for frame, people in labelled:
        follows = trail_s and frame.key.video
        time_s = frame_time_s(frame.key, frame.time_s)
        yield _Job(frame, people, trails.update(time_s, people) if follows else {})


def _draw(job: _Job, *, keypoint_set: KeypointSet, look: Look) -> Frame:
    image = job.frame.image
    canvas = np.zeros_like(image) if look.skeleton_only else image
    if job.trails:
        canvas = draw_trails(canvas, job.trails, look.style.line_scale)
    canvas = draw_instances(canvas, job.people, keypoint_set, look.style)
    if look.side_by_side:
        canvas = np.hstack([image, canvas])
    return replace(job.frame, image=canvas)

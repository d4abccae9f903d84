"""Identities over the frames of one video: who in this frame is who in the last ones.

A pure function of the labels, so that a run that was stopped and taken up again, or was spread
over machines, gets the same ids as one that was not. Poses are compared first and boxes only where
poses fail, as boxes say little where people overlap. Where a film is cut, everybody is new; that is
seen by the labels, too. Tracking libraries follow boxes, lost to this in our measurements, and
bring matplotlib along; see the decisions.
"""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.pose.geometry import box_areas, box_iou
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.oks import best_pairs, oks_matrix

UNKNOWN = -1
"""In place of an id."""

MAX_GAP_S = 1.0
"""Who is out of sight for longer, and for a frame, comes back as somebody new."""

_LEAST_OKS = 0.2  # of one person in two frames
_LEAST_IOU = 0.3  # of boxes, where poses do not match
_MOTION = 0.5  # how far people move unforeseen in a second, in body sizes (root of box area)

_VELOCITY_MEMORY = 0.5  # the share of the old velocity in the new one: people turn quickly
_LONGEST_COAST_S = 0.5  # nobody goes straight on for longer without being seen
_LONGEST_WALK_S = 2.0  # after that, somebody else is as likely
_FEWEST_POINTS = 3  # that tell how far somebody moved
_LEAST_LIKELIHOOD = 1e-9  # of a pair that is alike enough
_LONGEST_CUT_S = 0.55  # between two frames, also where two a second are not quite that
_SAME_PLACE_IOU = 0.6  # of boxes,
_SAME_SIZE_IOU = 0.9  # of boxes moved onto each other, and
_SAME_POSE_OKS = 0.3  # of poses moved so: without one of these, the film was cut


@dataclass(slots=True)
class _Track:
    """One person as last seen. Units: frame px, seconds."""

    track_id: int
    keypoints: NDArray[np.float32]
    box: NDArray[np.float32]
    seen_s: float
    velocity: NDArray[np.float64]

    def step(self, time_s: float) -> NDArray[np.float64]:
        """Return how far the person has gone by now, (2,)."""
        return self.velocity * min(time_s - self.seen_s, _LONGEST_COAST_S)


class Tracker:
    """The people of one video who may come into sight again."""

    def __init__(self, sigmas: NDArray[np.float64]) -> None:
        """Begin a video.

        Args:
            sigmas: (K,) of the keypoint set.
        """
        self._sigmas = sigmas
        self._next_id = 1
        self._last_s = -math.inf
        self._tracks: list[_Track] = []

    def update(self, time_s: float, people: Instances) -> NDArray[np.int64]:
        """Match the people of the next frame, and return their ids (N,); new ones count from 1.

        Args:
            time_s: When the frame is shown, seconds; never less than the last one's.
            people: N instances.
        """
        ids = self.match(time_s, people)
        for row in np.flatnonzero(ids == UNKNOWN).tolist():
            ids[row] = self._next_id
            self._next_id += 1
        self.see(time_s, people, ids)
        return ids

    def match(
        self,
        time_s: float,
        people: Instances,
        known: NDArray[np.int64] | None = None,
        barred: Container[int] = (),
    ) -> NDArray[np.int64]:
        """Return who the people of a frame are (N,), `UNKNOWN` where nobody seen before fits.

        Args:
            time_s: When the frame is shown, seconds.
            people: N instances.
            known: (N,) who they are, `UNKNOWN` where that is to be found out; all, if None.
            barred: Ids that none of the latter has.
        """
        # Who was in the last frame is looked for, however rarely frames come.
        earliest_s = min(time_s - MAX_GAP_S, self._last_s)
        self._tracks = [track for track in self._tracks if track.seen_s >= earliest_s]
        ids = np.full(len(people), UNKNOWN, np.int64) if known is None else known.copy()
        rows = np.flatnonzero(ids == UNKNOWN)
        taken = {*ids.tolist()}
        tracks = [
            track
            for track in self._tracks
            if track.track_id not in taken and track.track_id not in barred
        ]
        if not tracks or not len(rows) or self._is_cut(time_s, people):
            return ids
        if len(rows) < len(people):
            people = people.select(rows)
        steps = np.stack([track.step(time_s) for track in tracks])
        matches = best_pairs(self._likelihoods(time_s, tracks, steps, people), _LEAST_LIKELIHOOD)
        if len(matches) < min(len(tracks), len(people)):
            boxes = np.stack([track.box for track in tracks]) + np.tile(steps, 2)
            overlap = box_iou(boxes, people.boxes)
            for track, row in matches:
                overlap[track], overlap[:, row] = 0, 0
            matches += best_pairs(overlap, _LEAST_IOU)
        for track, row in matches:
            ids[rows[row]] = tracks[track].track_id
        return ids

    def see(self, time_s: float, people: Instances, ids: NDArray[np.int64]) -> None:
        """Take note of where everybody is now, under ids (N,) that all differ."""
        self._last_s = time_s
        tracks = {track.track_id: track for track in self._tracks}
        for row, track_id in enumerate(ids.tolist()):
            if track_id in tracks:
                _move(tracks[track_id], time_s, people, row)
                continue
            box = people.boxes[row]
            centre = box.reshape(2, 2).mean(axis=0)
            keypoints = np.where(people.placed[row, :, None], people.keypoints[row], centre)
            self._tracks.append(_Track(track_id, keypoints, box, time_s, np.zeros(2)))

    def _is_cut(self, time_s: float, people: Instances) -> bool:
        """Return whether another scene begins: nobody is as anybody was who is remembered.

        Chance often puts somebody near where another one was, but seldom into the same box, one of
        the same size, or the same pose. Who moves in an unforeseen way keeps one of these. After a
        frame without anybody, or a while, people may have changed in any way.
        """
        if not 0 < time_s - self._last_s <= _LONGEST_CUT_S:
            return False
        if all(track.seen_s < self._last_s for track in self._tracks):
            return False
        boxes = np.stack([track.box + np.tile(track.step(time_s), 2) for track in self._tracks])
        if box_iou(boxes, people.boxes).max() >= _SAME_PLACE_IOU:
            return False
        if box_iou(_at_origin(boxes), _at_origin(people.boxes)).max() >= _SAME_SIZE_IOU:
            return False
        poses = np.stack([track.keypoints for track in self._tracks])
        areas = box_areas(boxes)
        for row in range(len(people)):
            person = people.select(np.array([row]))
            seen = person.visibility[0] > 0
            if seen.sum() < _FEWEST_POINTS:
                return False  # nobody can tell
            ways = np.stack([_median((person.keypoints[0] - pose)[seen]) for pose in poses])
            oks = oks_matrix(
                poses + ways[:, None],
                areas,
                person.keypoints,
                box_areas(person.boxes),
                self._sigmas,
                person.visibility,
            )
            if oks.max() >= _SAME_POSE_OKS:
                return False
        return True

    def _likelihoods(
        self,
        time_s: float,
        tracks: Sequence[_Track],
        steps: NDArray[np.float64],
        people: Instances,
    ) -> NDArray[np.float64]:
        """Return how likely each person is each track's, (tracks, people); 0 where too unlike.

        OKS has the more room the longer somebody was out of sight, and tells who may be who. But
        with more room it is higher everywhere: by it alone, who was lost a second ago would be
        taken for whom the last frame has shown in the same place. As the density of a normal
        distribution, it is therefore divided by its width.
        """
        poses = np.stack([track.keypoints for track in tracks]) + steps[:, None]
        areas = box_areas(np.stack([track.box for track in tracks]))
        gaps_s = np.array([time_s - track.seen_s for track in tracks])
        # OKS has the spread 2 sigma sqrt(area); unforeseen motion adds its own.
        spreads = 2 * self._sigmas
        room = _MOTION * np.minimum(gaps_s, _LONGEST_WALK_S)
        widened = np.hypot(spreads, room[:, None])
        oks = oks_matrix(
            poses,
            areas,
            people.keypoints,
            box_areas(people.boxes),
            widened[:, None] / 2,
            people.visibility,
        )
        densities = (spreads / widened).mean(axis=1, keepdims=True)
        return np.where(oks >= _LEAST_OKS, oks * densities, 0)


def _move(track: _Track, time_s: float, people: Instances, row: int) -> None:
    """Bring a track to where its person is now."""
    seen = people.visibility[row] > 0
    if seen.sum() >= _FEWEST_POINTS:  # the median, as limbs move on their own
        step = _median((people.keypoints[row] - track.keypoints)[seen])
    else:
        step = (people.boxes[row] - track.box).reshape(2, 2).mean(axis=0)
    placed = people.placed[row, :, None]
    track.keypoints = np.where(placed, people.keypoints[row], track.keypoints + step)
    if time_s > track.seen_s:
        now = step / (time_s - track.seen_s)
        track.velocity = _VELOCITY_MEMORY * track.velocity + (1 - _VELOCITY_MEMORY) * now
    track.box, track.seen_s = people.boxes[row], time_s


def _at_origin(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Move boxes (N, 4) so that all begin in one place."""
    return boxes - np.tile(boxes[:, :2], 2)


def _median(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the median of (N, D) points; `np.median` takes five times as long for so few."""
    ordered = np.sort(points, axis=0)
    middle: NDArray[np.float32] = (ordered[(len(points) - 1) // 2] + ordered[len(points) // 2]) / 2
    return middle

"""How far people in videos jump between frames: what no single frame can show.

A keypoint that is elsewhere for one frame is wrong, however sure the network was of each of the
three. Speed alone was refused as a measure: runners are fast, and mostly right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.pose.instances import Instances

MAX_STEP_S = 0.2
"""Over longer steps people go their own ways, and not straight on."""


@dataclass(frozen=True, slots=True)
class _Sight:
    """One person in one frame; places in frame px."""

    row: int
    time_s: float
    keypoints: NDArray[np.float32]
    seen: NDArray[np.bool_]
    size_px: float


class JumpMeter:
    """Compares everybody with where they were just before and just after, over the frames of a run.

    Only the last two sights of each person are kept, and those of one video.
    """

    def __init__(self) -> None:
        self._video: str | None = None
        self._last: dict[int, tuple[_Sight | None, _Sight]] = {}

    def update(
        self, video: str, time_s: float, people: Instances, first_row: int
    ) -> list[tuple[int, float]]:
        """Take the next frame of a video; return jumps that it shows in the frame before.

        A jump is the distance of a keypoint from the line between its places before and after, in
        body sizes (root of the box's area); that of the farthest keypoint that all three see.

        Args:
            video: Its name; with another one, everybody is new.
            time_s: When the frame is shown.
            people: With identities.
            first_row: The number of the first of them; the others follow.

        Returns:
            Numbers of people of earlier frames, each with the jump.
        """
        if video != self._video:
            self._video = video
            self._last.clear()
        jumps = []
        ids = () if people.track_ids is None else people.track_ids
        for place, track_id in enumerate(map(int, ids)):
            sight = _sight(people, place, time_s, first_row + place)
            before, last = self._last.get(track_id, (None, None))
            if last is not None and not 0 < time_s - last.time_s <= MAX_STEP_S:
                last = None
            if before is not None and last is not None:
                jumps.append((last.row, _jump(before, last, sight)))
            self._last[track_id] = (last, sight)
        return jumps


def _sight(people: Instances, place: int, time_s: float, row: int) -> _Sight:
    width, height = people.boxes[place, 2:] - people.boxes[place, :2]
    return _Sight(
        row,
        time_s,
        people.keypoints[place],
        people.visibility[place] > 0,
        max(1.0, float(width * height)) ** 0.5,
    )


def _jump(before: _Sight, middle: _Sight, after: _Sight) -> float:
    seen = before.seen & middle.seen & after.seen
    if not seen.any():
        return 0.0
    share = (middle.time_s - before.time_s) / (after.time_s - before.time_s)
    expected = before.keypoints + share * (after.keypoints - before.keypoints)
    distances = np.hypot(*(middle.keypoints - expected)[seen].T)
    return float(distances.max()) / middle.size_px

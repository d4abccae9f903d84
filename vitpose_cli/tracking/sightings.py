"""Where everybody was, frame after frame of one video."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.pose.geometry import box_iou
from vitpose_cli.records.sighting import Sighting

_SAME_PLACE_IOU = 0.5
_LATE_FRAMES = 10  # of somebody whose first sights were deleted


class Met(NamedTuple):
    """Somebody of whom there are sightings.

    Attributes:
        first: Where the person came into sight.
        last_index: The frame of the last sighting.
    """

    first: Sighting
    last_index: int


class Sightings:
    """The people of a video's frames so far; 24 bytes each, as they are kept to its end."""

    def __init__(self) -> None:
        self._frames = array("q")  # their numbers in the video
        self._ends = array("q", [0])  # behind the last of each frame's people, after a 0
        self._ids = array("q")
        self._boxes = array("f")

    def add(self, index: int, boxes: NDArray[np.float32], ids: NDArray[np.int64]) -> None:
        """Take note of the next frame.

        Args:
            index: Its number in the video; greater than those before.
            boxes: (N, 4) xyxy, frame px.
            ids: (N,) who is there.
        """
        self._frames.append(index)
        self._ids.frombytes(ids.tobytes())
        self._boxes.frombytes(boxes.tobytes())
        self._ends.append(len(self._ids))

    def forget_from(self, index: int) -> None:
        """Forget this frame and all behind it."""
        place = bisect_left(self._frames, index)
        end = self._ends[place]
        del self._frames[place:], self._ends[place + 1 :]
        del self._ids[end:], self._boxes[4 * end :]

    def ids(self, index: int) -> list[int]:
        """Return who is in a frame, in the order of its people; nobody in one that is unknown."""
        return self._ids[slice(*self._people(index))].tolist()

    def who(self, sighting: Sighting, before: int) -> int | None:
        """Return who came into sight where somebody did.

        Where nobody is there any more, as when a person deleted the first sight of somebody, or
        the frame is not, it is who came into sight since and is there within the next ten frames.

        Args:
            sighting: Where that was.
            before: Only frames before this one count.

        Returns:
            None where it is nobody.
        """
        first = bisect_left(self._frames, sighting.index)
        is_there = first < len(self._frames) and self._frames[first] == sighting.index
        last = min(first + _LATE_FRAMES, bisect_left(self._frames, before) - 1)
        for place in range(first, last + 1):
            start, end = self._ends[place], self._ends[place + 1]
            if start == end:
                continue
            boxes = np.array(self._boxes[4 * start : 4 * end]).reshape(-1, 4)
            overlaps = box_iou(np.array([sighting.box]), boxes)[0]
            if place > first or not is_there:
                known_before = np.isin(self._ids[start:end], self._ids[: self._ends[first]])
                overlaps[known_before] = 0
            best = int(overlaps.argmax())
            if overlaps[best] >= _SAME_PLACE_IOU:
                return self._ids[start + best]
        return None

    def before(self, index: int) -> dict[int, Met]:
        """Return everybody who is in frames before one, by identity; who was seen last is first."""
        ids = np.array(self._ids[: self._ends[bisect_left(self._frames, index)]], np.int64)
        found, first = np.unique(ids, return_index=True)
        last = len(ids) - 1 - np.unique(ids[::-1], return_index=True)[1]
        ends = np.array(self._ends[1:])
        first_frames, last_frames = (
            np.searchsorted(ends, each, side="right") for each in (first, last)
        )
        met: dict[int, Met] = {}
        for row in np.argsort(-last).tolist():
            x0, y0, x1, y1 = self._boxes[4 * int(first[row]) : 4 * int(first[row]) + 4]
            sighting = Sighting(self._frames[int(first_frames[row])], (x0, y0, x1, y1))
            met[int(found[row])] = Met(sighting, self._frames[int(last_frames[row])])
        return met

    def _people(self, index: int) -> tuple[int, int]:
        """Return where the people of a frame begin and end."""
        place = bisect_left(self._frames, index)
        is_known = place < len(self._frames) and self._frames[place] == index
        return (self._ends[place], self._ends[place + 1]) if is_known else (0, 0)

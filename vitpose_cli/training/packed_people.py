"""People as they are read from a file, packed one behind the other.

A `Person` of an array for each of its parts takes a kilobyte, and a file may have a million.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.training.labels import Person
from vitpose_cli.training.people import People


class PackedPeople:
    """N people with K keypoints each, in the order in which they were added."""

    def __init__(self, num_keypoints: int) -> None:
        """Begin with nobody.

        Args:
            num_keypoints: K.
        """
        self._num_keypoints = num_keypoints
        self._boxes, self._keypoints, self._weights = array("f"), array("f"), array("f")

    def __len__(self) -> int:
        return len(self._boxes) // 4

    def add(self, people: Iterable[Person]) -> range:
        """Take people; return their rows."""
        first = len(self)
        for person in people:
            for numbers, values in (
                (self._boxes, person.box),
                (self._keypoints, person.keypoints),
                (self._weights, person.weights),
            ):
                numbers.frombytes(values.astype(np.float32).tobytes())
        return range(first, len(self))

    def people(
        self,
        keypoint_set: KeypointSet,
        rows: Sequence[range],
        repeat: float,
        aspects: Sequence[float],
    ) -> People:
        """Return the people of some frames.

        Args:
            keypoint_set: What their K keypoints are.
            rows: Who is in each of the frames.
            repeat: How often an epoch shows each.
            aspects: Width of the pixels by their height of all frames.
        """
        chosen = np.fromiter(chain.from_iterable(rows), np.int64)
        images = np.repeat(np.arange(len(rows), dtype=np.int64), [len(each) for each in rows])
        return People(
            keypoint_set,
            _rows(self._boxes, (4,), chosen),
            _rows(self._keypoints, (self._num_keypoints, 2), chosen),
            _rows(self._weights, (self._num_keypoints,), chosen),
            np.full(len(chosen), repeat, np.float32),
            images,
            np.array(aspects, np.float32)[images],
        )


def _rows(
    numbers: array[float], shape: tuple[int, ...], chosen: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return a copy of the chosen rows of packed numbers, each of a shape."""
    packed = np.frombuffer(numbers, np.float32).reshape(-1, *shape)
    rows: NDArray[np.float32] = packed[chosen]
    return rows

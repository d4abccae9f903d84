"""Where the plates with words at people go: beside each other as long as there is room."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

_Plate = tuple[int, int, int, int]  # left, top, right, bottom


def place_plates(
    sizes_wh: Sequence[tuple[int, int]], boxes: NDArray[np.float32], picture_wh: tuple[int, int]
) -> list[tuple[int, int]]:
    """Return the top left corner of each plate, px, within the picture where it fits in.

    A plate stands on its box, at the left. Where another one is, it moves along the edge of the
    box as little as it has to, or goes under the box, a row higher, or into the box; if all this is
    taken, it covers others. Those that come first are placed first.

    Args:
        sizes_wh: (width, height) of each of N plates, px.
        boxes: (N, 4) xyxy, px; finite.
        picture_wh: Of the picture, px.
    """
    placed: list[_Plate] = []
    for (width, height), box in zip(sizes_wh, boxes.tolist(), strict=True):
        last_x, last_y = max(0, picture_wh[0] - width), max(0, picture_wh[1] - height)
        corners = [
            (min(max(0, x), last_x), y) for x, y in _places(width, height, box, placed, last_y)
        ]
        places = [(x, y, x + width, y + height) for x, y in corners]
        free = (place for place in places if not any(_overlap(place, each) for each in placed))
        placed.append(next(free, places[0]))
    return [(left, top) for left, top, _, _ in placed]


def _places(
    width: int, height: int, box: Sequence[float], placed: Sequence[_Plate], last_y: int
) -> Iterator[tuple[int, int]]:
    """Yield where a plate could be, the best first: over its box, and y within 0 and `last_y`."""
    left, top, right, bottom = map(round, box)
    lowest, highest = left - width // 2, max(left, right - width // 2)
    for wanted in (top - height, bottom, top - 2 * height, top):
        y = min(max(0, wanted), last_y)
        beside = [
            x
            for other in placed
            if other[1] < y + height and y < other[3]
            for x in (other[0] - width, other[2])
            if lowest <= x <= highest
        ]
        yield from ((x, y) for x in (left, *sorted(beside, key=lambda x: abs(x - left))))


def _overlap(one: _Plate, other: _Plate) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]

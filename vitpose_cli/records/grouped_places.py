"""Where the elements of very long JSON lists lie, found by a whole number such as an image's id.

Columns of 40 bytes an element. A dictionary of lists was refused: it takes ten times as much.
"""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.records.json_stream import Place


class GroupedPlaces:
    """Places of elements in numbered files; the position of each is its row."""

    def __init__(self) -> None:
        self._groups = array("q")
        self._offsets = array("q")
        self._lengths = array("i")
        self._files = array("i")
        self._order: NDArray[np.int64] = np.zeros(0, np.int64)
        self._sorted: NDArray[np.int64] = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self._groups)

    def add(self, group: int, file_number: int, place: Place) -> bool:
        """Take an element; return False where its group does not fit into 64 bits."""
        try:
            self._groups.append(group)
        except OverflowError:
            return False
        self._offsets.append(place.offset)
        self._lengths.append(place.length)
        self._files.append(file_number)
        return True

    def sort(self) -> None:
        """Make `rows` ready, once all elements are there."""
        groups = self.groups()
        self._order = np.argsort(groups, kind="stable")
        self._sorted = groups[self._order]

    def groups(self) -> NDArray[np.int64]:
        """Return the group of every row, (N,)."""
        return np.array(self._groups, np.int64)

    def rows(self, group: int) -> list[int]:
        """Return the rows of a group, in the order of the files."""
        first = np.searchsorted(self._sorted, group)
        last = np.searchsorted(self._sorted, group, side="right")
        rows: list[int] = self._order[first:last].tolist()
        return rows

    def place(self, row: int) -> tuple[int, int, int]:
        """Return (file number, offset, length) of a row."""
        return self._files[row], self._offsets[row], self._lengths[row]

    def position(self, row: int) -> int:
        """Return the place of a row in the list of its file, from 0."""
        return row - self._files.index(self._files[row])

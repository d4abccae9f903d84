"""Whether the blocks of a Matroska or WebM file follow each other without a hole.

FFmpeg looks for the next block it knows where an element is damaged, and says nothing: pictures
between are missing, and those behind would be counted as if they were not. In a whole file one
element follows the other, up to the byte.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from vitpose_cli.media.ebml import BLOCK_GROUP, CLUSTER, SEGMENT, read_element

_OPENED = frozenset({SEGMENT, CLUSTER, BLOCK_GROUP})


class MatroskaBlocks:
    """The elements of a file, walked through in step with the packets that are read from it."""

    def __init__(self, path: Path) -> None:
        """Name a file; it is opened when the first packet is asked for."""
        self._path = path
        self._file: BinaryIO | None = None
        self._next = 0
        self._reached = -1
        self._is_known = False  # whether a packet was found where the elements lead
        self._is_lost = False

    def lead_to(self, start: int) -> bool:
        """Return whether the elements lead on from one packet to the next.

        True where that cannot be told: at the first packet that is asked for, since a header may
        be of an unusual kind, and behind a hole.

        Args:
            start: Where the packet's block begins behind its head; behind that of the last one, or
                the same, where a block holds several.

        Raises:
            OSError: The file cannot be read.
        """
        if self._is_lost or start <= self._reached:
            return True
        if self._file is None:
            self._file = self._path.open("rb")
        while self._reached < start:
            element = read_element(self._file, self._next)
            if element is None or (element[2] is None and element[0] not in _OPENED):
                break
            name, self._reached, size = element
            self._next = self._reached + (0 if name in _OPENED else size or 0)
        leads = self._reached == start
        self._is_lost = not leads
        was_known, self._is_known = self._is_known, self._is_known or leads
        return leads or not was_known

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

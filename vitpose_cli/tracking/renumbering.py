"""What the tracker calls people, and what they are called since a person corrected it.

At any time one is a permutation of the other, so that no correction gives two people of a frame
one number: who takes another's number leaves the own one to whoever had that.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.records.record import FrameRecord
from vitpose_cli.tracking.sightings import Sightings


class Renumbering:
    """The numbers of people in one video, from its beginning up to some frame."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}  # by what the tracker says; others have that number

    def renumbered(
        self,
        record: FrameRecord,
        ids: NDArray[np.int64],
        before: Sightings,
        new_number: Callable[[], int],
    ) -> NDArray[np.int64]:
        """Return the identities (N,) of the people in the next frame.

        Args:
            record: The frame, with whom a person recognised in it.
            ids: (N,) who they are for the tracker.
            before: The frames before, with what this has returned for them.
            new_number: Returns a number that nobody has.
        """
        for uid, tracked in zip(record.uids, ids.tolist(), strict=True):
            if uid not in record.recognised:
                continue
            whom = record.recognised[uid]
            number = new_number() if whom is None else before.who(whom, record.key.index)
            if number is not None:
                self._exchange(tracked, number)
        return np.array([self._numbers.get(each, each) for each in ids.tolist()], np.int64)

    def _exchange(self, tracked: int, number: int) -> None:
        """Give somebody a number; who has it gets the other's."""
        holders = (each for each, theirs in self._numbers.items() if theirs == number)
        holder = next(holders, number)
        own = self._numbers.get(tracked, tracked)
        self._numbers |= {holder: own, tracked: number}

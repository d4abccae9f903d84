"""Who is who in the videos of several inputs, as the tracker and the people of each of them say.

What a person said of somebody counts from the frame on whose labels are taken, as in the input
itself. It is applied to the merged identities: those of an input say it too, but identities of
another, which is believed more, would take the place of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.pose.instances import Instances
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.sighting import Sighting
from vitpose_cli.tracking.identities import CorrectedIdentities
from vitpose_cli.tracking.sightings import Sightings


class MergedIdentities:
    """The identities of one video after the other, frame by frame."""

    def __init__(self, sigmas: NDArray[np.float64]) -> None:
        """Begin the first video.

        Args:
            sigmas: (K,) of the keypoint set.
        """
        self._identities = CorrectedIdentities(sigmas)
        self._seen = Sightings()

    def begin(self) -> None:
        """Begin the next video."""
        self._identities.begin()
        self._seen = Sightings()

    def given_to(
        self, record: FrameRecord, source: int, others: Sequence[tuple[int, Instances]]
    ) -> FrameRecord:
        """Return the record of the video's next frame as everybody is called from now on.

        A record without identities keeps none. Nobody is left to be recognised in either.

        Args:
            record: The labels that are taken, with the identities that its input's tracker gave.
            source: The input's place among the inputs.
            others: The same frame's people in other inputs, with the places of these.
        """
        if record.instances is not None and record.instances.track_ids is not None:
            record = self._identities.given_to(record, self._seen, source, others)
        return replace(record, recognised={}, exact=True)

    def agree_with(self, other: FrameRecord) -> bool:
        """Return whether whom a person recognised in another record of the last frame is there.

        Args:
            other: Of the frame that `given_to` was last called for.
        """
        if not other.recognised or other.instances is None:
            return True
        index = other.key.index
        for uid, box in zip(other.uids, other.instances.boxes.tolist(), strict=True):
            here = self._seen.who(Sighting(index, tuple(box)), index + 1)
            if uid not in other.recognised or here is None:
                continue
            if (whom := other.recognised[uid]) is None:
                agrees = here not in self._seen.before(index)
            else:
                agrees = self._seen.who(whom, index) in (None, here)
            if not agrees:
                return False
        return True

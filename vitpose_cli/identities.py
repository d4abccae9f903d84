"""Identities for a run: a `track_id` for everybody in its videos, given when labels are exported.

Tracking itself is in `tracking`. Here records go in, as they lie in the journal, and come out with
ids that no two videos of the run share.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.records.record import FrameRecord
from vitpose_cli.tracking import Tracker

NOMINAL_FPS = 30.0
"""Frames a second where a video's frames carry no times."""


def with_track_ids(
    records: Iterable[FrameRecord], sigmas: NDArray[np.float64]
) -> Iterator[FrameRecord]:
    """Yield records with identities for the people in videos; photos come as they are.

    Identities that a record brings along, from an imported file, stay.

    Args:
        records: Sorted by key, as `Run.records` yields them; failed frames may be among them.
        sigmas: (K,) of the keypoint set.
    """
    next_id = 1
    for video, group in groupby(records, key=lambda record: record.key.video):
        if video is None:
            yield from group
            continue
        tracker = Tracker(sigmas, first_id=next_id)
        for record in group:
            if record.instances is None:
                yield record
                continue
            given = record.instances.track_ids
            if given is not None:
                tracker.next_id = max(tracker.next_id, int(given.max(initial=0)) + 1)
                yield record
                continue
            ids = tracker.update(_time_s(record), record.instances)
            identified = replace(record.instances, track_ids=ids)
            yield replace(record, instances=identified, exact=True)
        next_id = tracker.next_id


def _time_s(record: FrameRecord) -> float:
    return record.key.index / NOMINAL_FPS if record.time_s is None else record.time_s

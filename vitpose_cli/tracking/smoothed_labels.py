"""Smoothed keypoints for a run: beside the raw ones of everybody in its videos, given at export.

Smoothing itself is in `smoothing`. Labels stay raw, since smoothed points are off where limbs are
fast: they are a field of their own for whoever wants to look at movement. Nobody is put into a
gap, as that would be a label that no model gave.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.pose.instances import Instances
from vitpose_cli.records.manifest import RunManifest
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.tracking.identities import frame_time_s, identified
from vitpose_cli.tracking.smoothing import SmoothOptions, smooth_stream

SMOOTHING = SmoothOptions(max_gap_s=0)
"""How labels are smoothed: as pictures are, but without people put in."""


def for_document(manifest: RunManifest, records: Iterator[FrameRecord]) -> Iterator[FrameRecord]:
    """Give the records of a run what its document has beyond the journal.

    Args:
        manifest: Of the run.
        records: Sorted by key.
    """
    records = identified(manifest, records)
    return with_smoothed(records) if manifest.document.get("smooth") else records


def with_smoothed(records: Iterable[FrameRecord]) -> Iterator[FrameRecord]:
    """Yield records with smoothed keypoints for the people in videos; photos come as they are.

    Frames that failed or were rejected by a person have no say in the others.

    Args:
        records: Sorted by key, with identities, as `with_track_ids` yields them.

    Raises:
        ConfigError: People in videos have no identities.
    """
    for video, group in groupby(records, key=lambda record: record.key.video):
        if video is None:
            yield from group
        else:
            yield from _smoothed(video, group)


def _smoothed(video: str, records: Iterable[FrameRecord]) -> Iterator[FrameRecord]:
    """Smooth the records of one video."""
    waiting: deque[FrameRecord] = deque()

    def frames() -> Iterator[tuple[float, Instances]]:
        time_s = 0.0
        for record in records:
            waiting.append(record)
            if record.instances is None or record.rejected:
                yield time_s, Instances.empty(0)
                continue
            time_s = frame_time_s(record.key, record.time_s)
            yield time_s, record.instances

    for people in smooth_stream(frames(), SMOOTHING, media=video):
        record = waiting.popleft()
        if record.instances is None or record.rejected:
            yield record
            continue
        smoothed = np.empty_like(record.instances.keypoints)
        smoothed[_by_identity(record.instances)] = people.keypoints
        yield replace(record, instances=replace(record.instances, smoothed=smoothed))


def _by_identity(people: Instances) -> NDArray[np.intp]:
    """Return the rows in the order in which `smooth_instances` gives people."""
    ids = np.zeros(len(people)) if people.track_ids is None else people.track_ids
    return np.argsort(ids, kind="stable")

"""From which score on a network's keypoints are labelled, decided whenever records are read.

A journal has the places and scores of all keypoints, so that another threshold needs no network:
the one in the manifest counts, for every line that a model wrote, whatever it was when the line was
written. What a person decided about stays as the person saw it.

To write new lines was refused: a journal would grow by its length with every try, and forget in
which batches the frames of a stopped run were.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.records.manifest import RunManifest
from vitpose_cli.records.record import SCORE_DECIMALS, FrameRecord


def visibility_of(scores: NDArray[np.float32], threshold: float) -> NDArray[np.int8]:
    """Return COCO's visibility of a network's keypoints: 2 from the threshold on, else 0.

    Args:
        scores: (N, K) as `scores_of_network` returns them: to compare what will be stored is the
            same now and later.
        threshold: A score, 0 to 1.
    """
    stored = np.round(scores.astype(np.float64), SCORE_DECIMALS).astype(np.float32)
    return _visibility(stored, threshold)


def _visibility(stored: NDArray[np.float32], threshold: float) -> NDArray[np.int8]:
    """Do what `visibility_of` does for scores that are stored: their decimals are those."""
    return (stored >= np.float32(threshold)).view(np.int8) * np.int8(2)


def at_threshold(record: FrameRecord, threshold: float | None) -> FrameRecord:
    """Return a record with its keypoints labelled from a score on, if a model has the last word.

    Args:
        record: As it is stored.
        threshold: A score; None leaves keypoints as they are stored.
    """
    people = record.instances
    if threshold is None or people is None or not len(people) or record.origin != "model":
        return record
    visibility = _visibility(people.keypoint_scores, threshold)
    if (visibility == people.visibility).all():
        return record
    return replace(record, instances=replace(people, visibility=visibility), exact=True)


def readings(record: FrameRecord, manifest: RunManifest) -> list[FrameRecord]:
    """Return how a stored record has been read, each way once, the one of now last.

    A person may have seen, or a file may hold, the labels of any threshold that the run has had.
    """
    thresholds = (None, *manifest.past_thresholds, manifest.keypoint_threshold)
    found: dict[bytes, FrameRecord] = {}
    for threshold in reversed(thresholds):
        read = at_threshold(record, threshold)
        people = read.instances
        found.setdefault(b"" if people is None else people.visibility.tobytes(), read)
    return [*reversed(found.values())]


def versions_apart(records: Iterable[FrameRecord]) -> set[str]:
    """Return versions that tell records apart, whatever the keypoint threshold they are read at."""
    return {at_threshold(record, math.inf).version for record in records}

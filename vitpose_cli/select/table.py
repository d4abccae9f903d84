"""Everybody in a run as columns of doubt: what ranking needs of a million frames, and no more.

Records are read once, in order, and let go: of each person ten numbers stay, of each frame its
name. Poses and pictures are looked at later, and only those of frames that may be chosen.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.pose.signals import SIGNALS, frame_signals
from vitpose_cli.records.as_documented import as_documented
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.stated_sizes import check_same_size
from vitpose_cli.select.disagreement import disagreement, side_by_side
from vitpose_cli.select.jumps import JumpMeter
from vitpose_cli.tracking.identities import frame_time_s, with_track_ids

NAMES = tuple(SIGNALS)
_COLUMNS = {name: number for number, name in enumerate(NAMES)}


@dataclass(frozen=True, slots=True)
class DoubtTable:
    """F frames about which nobody has decided, and the N people in them.

    A frame's people are the rows from `starts[f]` up to `starts[f + 1]`. After those it has, there
    is a row for each that another run has and it lacks.

    Attributes:
        keys: The frames, sorted.
        starts: (F + 1,) int64.
        num_people: (F,) int64, how many people the frame has.
        is_draft: (F,) bool, whether a person has begun with the frame.
        signals: (N,) float32 by the names of `SIGNALS`; NaN where unknown.
        num_reviewed: Frames that were left out because a person has decided about them.
        num_failed: Frames that were left out because they could not be labelled.
        num_alone: Labelled frames that could not be compared, as another run has no labels of them.
    """

    keys: list[FrameKey]
    starts: NDArray[np.int64]
    num_people: NDArray[np.int64]
    is_draft: NDArray[np.bool_]
    signals: dict[str, NDArray[np.float32]]
    num_reviewed: int
    num_failed: int
    num_alone: int

    def __len__(self) -> int:
        return len(self.keys)


def read_doubts(
    records: Iterable[FrameRecord],
    keypoint_set: KeypointSet,
    *,
    others: Iterable[FrameRecord] | None = None,
) -> DoubtTable:
    """Collect what is doubtful about everybody.

    Args:
        records: Of a run, sorted by key.
        keypoint_set: Of the run.
        others: Of another run over the same frames, sorted by key and with the same keys, to be
            compared with.

    Raises:
        InputError: A frame has another size in the other run.
    """
    builder = _Builder(keypoint_set)
    identified = with_track_ids(records, keypoint_set.sigmas)
    if others is None:
        for record in identified:
            builder.add(record)
    else:
        for record, other in side_by_side(identified, others):
            if other is not None:
                sizes_wh = record.size_wh, other.size_wh
                check_same_size(record.key, sizes_wh, ("the run", "the run to compare with"))
            builder.add(record, other)
            has_other = other is not None and other.instances is not None
            builder.num_alone += record.instances is not None and not has_other
    return builder.table()


class _Builder:
    """Takes records one after the other."""

    def __init__(self, keypoint_set: KeypointSet) -> None:
        self._keypoint_set = keypoint_set
        self._keys: list[FrameKey] = []
        self._starts = array("q", [0])
        self._num_people = array("q")
        self._is_draft = array("b")
        self._values = array("f")
        self._jumps = JumpMeter()
        self._num_reviewed = self._num_failed = self.num_alone = 0

    def add(self, record: FrameRecord, other: FrameRecord | None = None) -> None:
        """Take a frame; one that a person decided about only tells where people go."""
        people = as_documented(record).instances
        is_draft = record.review is not None and record.review.state == "draft"
        is_open = record.review is None or is_draft
        if people is None:
            self._num_failed += is_open
            self._num_reviewed += not is_open
            return
        num_rows = len(self._values) // len(NAMES)
        if record.key.video is not None:
            time_s = frame_time_s(record.key, record.time_s)
            first = num_rows if is_open else -len(people)
            self._take_jumps(self._jumps.update(record.key.video, time_s, people, first))
        if not is_open:
            self._num_reviewed += 1
            return
        rows = np.full((len(people), len(NAMES)), np.nan, np.float32)
        known = dict(people.signals)
        if "overlap" not in known:  # people from elsewhere
            places = np.where(people.placed[..., None], people.keypoints, np.float32(np.nan))
            known |= frame_signals(people.boxes, places, self._keypoint_set)
        known["box_margin"] = people.box_scores
        num_missed = 0
        others = None if other is None else as_documented(other).instances
        if others is not None:
            sigmas = self._keypoint_set.sigmas
            known["disagreement"], num_missed = disagreement(people, others, sigmas)
        for name in known.keys() & _COLUMNS.keys():
            rows[:, _COLUMNS[name]] = known[name]
        missed = np.full((num_missed, len(NAMES)), np.nan, np.float32)
        missed[:, _COLUMNS["disagreement"]] = 1
        self._values.frombytes(np.concatenate([rows, missed]).tobytes())
        self._keys.append(record.key)
        self._num_people.append(len(people))
        self._is_draft.append(is_draft)
        self._starts.append(num_rows + len(rows) + num_missed)

    def _take_jumps(self, jumps: list[tuple[int, float]]) -> None:
        for row, jump in jumps:
            if row >= 0:
                self._values[row * len(NAMES) + _COLUMNS["jump"]] = jump

    def table(self) -> DoubtTable:
        """Return what was collected."""
        values = np.frombuffer(self._values, np.float32).reshape(-1, len(NAMES))
        signals = {name: values[:, number].copy() for name, number in _COLUMNS.items()}
        margins = signals["box_margin"]
        margins -= np.fmin.reduce(margins, initial=np.inf)  # of those that are known
        return DoubtTable(
            self._keys,
            np.array(self._starts, np.int64),
            np.array(self._num_people, np.int64),
            np.array(self._is_draft, bool),
            signals,
            self._num_reviewed,
            self._num_failed,
            self.num_alone,
        )

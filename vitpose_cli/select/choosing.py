"""Choosing frames from a table of doubts: the most doubtful, varied, and some by chance.

What doubt alone cannot see (people that nothing is unusual about, and people nobody found) comes in
by chance, so that errors of the measures themselves show up, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.errors import InputError
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.signals import SIGNALS
from vitpose_cli.records.media_root import MediaFolders
from vitpose_cli.records.run import Run
from vitpose_cli.select.likeness import Neighbourhood, appearances, joint_space, pose_vector
from vitpose_cli.select.options import SelectOptions
from vitpose_cli.select.picking import VideoLimits, interleaved, pick_varied
from vitpose_cli.select.queue_file import Choice, Kind
from vitpose_cli.select.ranking import combined, frame_doubts, signal_ranks
from vitpose_cli.select.reasons import AT_RANDOM, BEGUN, NOBODY, reasons
from vitpose_cli.select.table import DoubtTable

_POOL_FACTOR = 10  # frames whose poses are compared, for each that is chosen
_POOL_LIMIT = 10_000  # most of them beyond those chosen


def _tells_nobody_apart(by: str, run: Path, table: DoubtTable) -> InputError:
    """Return why frames cannot be chosen by a measure."""
    if not np.isnan(table.signals[by]).all():
        return InputError(f"{by} is the same for everybody in {run}.", "Leave --by out.")
    if (whom := SIGNALS[by].known_of) is not None:
        return InputError(f"{by} is known only of {whom}, and {run} has none.", "Leave --by out.")
    return InputError(
        f"{run} does not know {by}.",
        "Leave --by out. Labels from elsewhere have none, and flip_disagreement needs --flip-test.",
    )


class Chooser:
    """Chooses frames of one run.

    Attributes:
        signals: The measures that people are ranked by.
        num_unread: Pictures that could not be read.
        num_limited: Frames that were left out as too many of a video or too near to each other,
            once all are chosen that may be.
        num_spared: Frames without people that were left out because there are enough of them.
    """

    def __init__(self, run: Run, table: DoubtTable, options: SelectOptions) -> None:
        """Rank everybody.

        Args:
            run: The run, to read poses from.
            table: Its doubts; at least one frame.
            options: What is wanted.

        Raises:
            InputError: The measure that was asked for is unknown, or the same for everybody.
        """
        self._run = run
        self._table = table
        self._options = options
        self._count = options.count
        self._generator = np.random.default_rng(options.seed)
        self._limits = VideoLimits(options.max_per_video, options.min_gap)
        wanted = SIGNALS if options.by is None else [options.by]
        self._ranks = signal_ranks({name: table.signals[name] for name in wanted})
        if options.by == "disagreement" and not self._ranks:
            raise InputError(
                f"{options.run} and {options.compare} differ about nobody in the frames that both "
                "have.",
                "Compare with a run of other weights, or leave --by out.",
            )
        if options.by is not None and not self._ranks:
            raise _tells_nobody_apart(options.by, options.run, table)
        self.signals = tuple(self._ranks)
        self.num_unread = self.num_limited = self.num_spared = 0
        self._people = combined(self._ranks, int(table.starts[-1]))
        self._with_people = np.flatnonzero(np.diff(table.starts))
        self._doubts = np.zeros(len(table), np.float32)
        self._doubts[self._with_people] = frame_doubts(
            self._people, table.starts[self._with_people]
        )

    def choices(self) -> list[Choice]:
        """Return the frames of the queue, in order: first those that a person has begun."""
        drafts = self._drafts()
        frames = np.flatnonzero(~self._table.is_draft)
        self._with_people = np.intersect1d(self._with_people, frames)
        self._count = self._options.count - len(drafts)
        empty = np.setdiff1d(frames, self._with_people)
        num_empty = min(self._wanted_empty(), len(empty))
        num_random = min(
            round(self._options.random_share * self._count),
            len(self._with_people),
            self._count - num_empty,
        )
        doubtful = list(islice(self._doubtful(), self._count - num_empty - num_random))
        rest = np.setdiff1d(self._with_people, doubtful)
        by_chance = list(islice(self._drawn(rest), num_random))
        nobody = list(islice(self._drawn(empty), num_empty))
        self.num_limited = len(rest) - len(by_chance) + num_empty - len(nobody)
        self.num_spared = len(empty) - num_empty
        kinds: dict[int, Kind] = dict.fromkeys(drafts, "draft")
        kinds |= dict.fromkeys(doubtful, "doubtful")
        kinds |= dict.fromkeys(by_chance, "random")
        kinds |= dict.fromkeys(nobody, "empty")
        order = [*drafts, *interleaved(doubtful, by_chance, nobody)]
        return [self._choice(frame, kinds[frame]) for frame in order]

    def _drafts(self) -> list[int]:
        """Return frames that a person has begun, the most doubtful first, whatever their video."""
        drafts = np.flatnonzero(self._table.is_draft)
        order = drafts[np.argsort(-self._doubts[drafts], kind="stable")]
        chosen: list[int] = order[: self._options.count].tolist()
        for frame in chosen:
            self._limits.take(self._table.keys[frame])
        return chosen

    def _wanted_empty(self) -> int:
        """Return how many frames without people: their share, and what those with people lack."""
        share, count = self._options.empty_share, self._count
        return max(round(share * count), count - len(self._with_people)) if share else 0

    def _doubtful(self) -> Iterator[int]:
        """Yield frames by doubt, but not like those before."""
        pool = self._pool()
        if not len(pool):
            return
        keys = [self._table.keys[frame] for frame in pool]
        neighbourhood = Neighbourhood(self._points(pool), self._generator)
        picked = pick_varied(
            self._doubts[pool], keys, neighbourhood, self._limits, self._options.diversity
        )
        for place in picked:
            yield int(pool[place])

    def _pool(self) -> NDArray[np.int64]:
        """Return the most doubtful frames, those next to a more doubtful one left out."""
        count, cap = self._count, self._options.max_per_video
        size = min(_POOL_FACTOR * count, count + _POOL_LIMIT)
        order = self._with_people[np.argsort(-self._doubts[self._with_people], kind="stable")]
        limits = VideoLimits(cap and _POOL_FACTOR * cap, self._options.min_gap)
        admitted = limits.admitted((int(frame) for frame in order), self._table.keys)
        return np.fromiter(islice(admitted, size), np.int64)

    def _points(self, pool: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return frames as points: the pose of the most doubtful person, and the colours."""
        poses = []
        for frame in pool:
            record = self._run.record(self._table.keys[frame])
            people = None if record is None else record.instances
            if people is None:
                people = Instances.empty(self._run.manifest.num_keypoints)
            poses.append(pose_vector(people, self._most_doubtful(int(frame))))
        parts = [np.stack(poses)]
        if self._options.images is not None:
            keys = [self._table.keys[frame] for frame in pool]
            colours, failures = appearances(MediaFolders.at(self._options.images), keys)
            self.num_unread = len(failures)
            parts.append(colours)
        return joint_space(parts)

    def _drawn(self, frames: NDArray[np.int64]) -> Iterator[int]:
        return self._limits.admitted(self._generator.permutation(frames).tolist(), self._table.keys)

    def _most_doubtful(self, frame: int) -> int:
        """Return the place of the most doubtful person in a frame that has somebody."""
        start, stop = self._table.starts[frame : frame + 2]
        return int(self._people[start:stop].argmax())

    def _doubt(self, frame: int) -> float | None:
        """Return the doubt of a frame, None where nobody is."""
        is_empty = self._table.starts[frame] == self._table.starts[frame + 1]
        return None if is_empty else round(float(self._doubts[frame]), 4)

    def _choice(self, frame: int, kind: Kind) -> Choice:
        key = self._table.keys[frame]
        if kind == "draft":
            return Choice(key, kind, self._doubt(frame), (BEGUN,))
        if kind == "empty":
            return Choice(key, kind, None, (NOBODY,))
        person = self._most_doubtful(frame)
        row = int(self._table.starts[frame]) + person
        told = reasons(
            person, int(self._table.num_people[frame]), self._table.signals, self._ranks, row
        )
        return Choice(
            key, kind, self._doubt(frame), tuple(told) if kind == "doubtful" else (AT_RANDOM,)
        )

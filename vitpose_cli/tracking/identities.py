"""Identities for a document: a `track_id` for everybody in its videos.

Tracking itself is in `tracker`. Here records go in, as they lie in the journal, and come out with
ids that no two videos share, as people have corrected them. Where some frames of a video have ids
already, from an imported file or several merged ones, these are kept as far as they can be: one
person has one id, two people have two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.records.manifest import RunManifest
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.tracking.renumbering import Renumbering
from vitpose_cli.tracking.sightings import Sightings
from vitpose_cli.tracking.tracker import MAX_GAP_S, UNKNOWN, Tracker

NOMINAL_FPS = 30.0
"""Frames a second where a video's frames carry no times."""


def identified(manifest: RunManifest, records: Iterator[FrameRecord]) -> Iterator[FrameRecord]:
    """Yield the records of a run with identities, unless its document is to have none.

    Args:
        manifest: Of the run.
        records: Sorted by key, as `Run.records` yields them; failed frames may be among them.
    """
    if not manifest.document.get("track", True):
        return records
    return with_track_ids(records, KeypointSet.from_category(manifest.keypoint_set).sigmas)


def tracked(manifest: RunManifest, records: Iterator[FrameRecord]) -> Iterator[FrameRecord]:
    """Yield the records of a run as `identified` does, but with the tracker's own identities.

    Whom a person recognised in somebody is left to be applied.
    """
    if not manifest.document.get("track", True):
        yield from records
        return
    identities = Identities(KeypointSet.from_category(manifest.keypoint_set).sigmas)
    for video, group in groupby(records, key=lambda record: record.key.video):
        if video is None:
            yield from group
            continue
        identities.begin()
        for record in group:
            yield identities.given_to(record)


def with_track_ids(
    records: Iterable[FrameRecord], sigmas: NDArray[np.float64]
) -> Iterator[FrameRecord]:
    """Yield records with identities for the people in videos; photos come as they are.

    Args:
        records: Sorted by key, as `Run.records` yields them; failed frames may be among them.
        sigmas: (K,) of the keypoint set.
    """
    corrected = CorrectedIdentities(sigmas)
    for video, group in groupby(records, key=lambda record: record.key.video):
        if video is None:
            yield from group
            continue
        corrected.begin()
        before = Sightings()
        for record in group:
            yield corrected.given_to(record, before)


class CorrectedIdentities:
    """Numbers for the people of one video after the other: the tracker's, as people corrected them.

    A copy goes on from where it was made, given the sightings of the video up to there.
    """

    def __init__(self, sigmas: NDArray[np.float64]) -> None:
        """Begin the first video.

        Args:
            sigmas: (K,) of the keypoint set.
        """
        self._tracked = Identities(sigmas)
        self._renumbering = Renumbering()

    def begin(self) -> None:
        """Begin the next video."""
        self._tracked.begin()
        self._renumbering = Renumbering()

    def given_to(
        self,
        record: FrameRecord,
        before: Sightings,
        source: int = 0,
        others: Iterable[tuple[int, Instances]] = (),
    ) -> FrameRecord:
        """Return the record of the video's next frame with identities; a failed one as it is.

        Args:
            record: Whatever is known about the frame.
            before: The frames of the video before; this one is added.
            source: Where it comes from; see `Identities`.
            others: The same frame's people as other sources have them, by source.
        """
        known = self._tracked.given_to(record, source)
        people = known.instances
        if people is None or people.track_ids is None:
            return record
        for number, theirs in others:
            self._tracked.compare(people, theirs, number)
        new = self._tracked.new_number
        ids = self._renumbering.renumbered(record, people.track_ids, before, new)
        before.add(record.key.index, people.boxes, ids)
        return replace(known, instances=replace(people, track_ids=ids), exact=True)


class _Seen(NamedTuple):
    """Who was in a frame, when, and which source said so."""

    time_s: float
    source: int
    people: Instances
    ids: NDArray[np.int64]


class _Names(dict[int, int]):
    """Identities by what a source calls people; `num_names` says how many names each has.

    The latter is kept along, as looking through all names in each frame of a long video takes
    longer than everything else.
    """

    def __init__(self) -> None:
        super().__init__()
        self.num_names: Counter[int] = Counter()

    def learn(self, name: int, identity: int) -> None:
        """Call somebody by a name, who had another before, or whose it was."""
        if (before := self.get(name)) is not None:
            self.num_names[before] -= 1
            if not self.num_names[before]:
                del self.num_names[before]
        self[name] = identity
        self.num_names[identity] += 1


class Identities:
    """Numbers for the people of one video after the other.

    Labels come from one source or several. What each of them calls people (its ids, where it has
    any) tells who is who within it; people of different sources, and those without ids, are
    followed by how they move. A number from a source is kept unless somebody else has it by then,
    or the person was met before under another. Where sources disagree, the earlier one is believed.
    """

    def __init__(self, sigmas: NDArray[np.float64]) -> None:
        """Begin the first video.

        Args:
            sigmas: (K,) of the keypoint set.
        """
        self._sigmas = sigmas
        self._next_id = 1
        self._kept: set[int] = set()  # numbers from sources, not below the next one of ours
        self.begin()

    def begin(self) -> None:
        """Begin the next video: everybody in it is new."""
        self._tracker = Tracker(self._sigmas)
        self._ids: dict[int, _Names] = {}  # by source
        self._last: _Seen | None = None

    def given_to(self, record: FrameRecord, source: int = 0) -> FrameRecord:
        """Return the record of the video's next frame with identities.

        Args:
            record: With instances.
            source: Where it comes from.
        """
        people = record.instances
        if people is None:
            return record
        ids = self.identify(frame_time_s(record.key, record.time_s), people, source)
        return replace(record, instances=replace(people, track_ids=ids), exact=True)

    def identify(self, time_s: float, people: Instances, source: int = 0) -> NDArray[np.int64]:
        """Return the identities (N,) of the people in the video's next frame.

        Args:
            time_s: When it is shown, seconds; never less than the last one's.
            people: N instances, with or without ids of their source.
            source: Where they come from, counted so that earlier ones are believed before later.
        """
        if self._last is not None and source > self._last.source:
            self._follow(self._last, time_s, people, source)
        ids = self._recognised(time_s, people, source)
        names = _names(people)
        for row in np.flatnonzero(ids == UNKNOWN).tolist():
            ids[row] = self.new_number(names[row])
        known = self._ids.setdefault(source, _Names())
        for name, identity in zip(names, ids.tolist(), strict=True):
            if name != UNKNOWN and name not in known:
                known.learn(name, identity)
        self._tracker.see(time_s, people, ids)
        self._last = _Seen(time_s, source, people, ids)
        return ids

    def compare(self, people: Instances, others: Instances, source: int) -> None:
        """Learn what another source calls the people of a frame; from here on, it means them.

        Where sources disagree whether two are one, whose labels are taken is believed.

        Args:
            people: The frame's people with their identities.
            others: The same frame's people as the other source has them.
            source: Which that is.
        """
        if people.track_ids is None:
            return
        here = Tracker(self._sigmas)
        here.see(0, people, people.track_ids)
        known = self._ids.setdefault(source, _Names())
        for name, identity in zip(_names(others), here.match(0, others).tolist(), strict=True):
            if name != UNKNOWN and identity != UNKNOWN:
                known.learn(name, identity)

    def _follow(self, last: _Seen, time_s: float, people: Instances, source: int) -> None:
        """Learn what a source calls the people whom one that is believed more has just seen.

        What it called them before stays where it may be right: people who cross look alike.
        """
        if people.track_ids is None or time_s - last.time_s > MAX_GAP_S:
            return
        here = Tracker(self._sigmas)  # how they moved, where sources disagree, is anybody's guess
        here.see(last.time_s, last.people, last.ids)
        known, everybody = self._ids.setdefault(source, _Names()), {*last.ids.tolist()}
        for row, (name, identity) in enumerate(
            zip(_names(people), here.match(time_s, people).tolist(), strict=True)
        ):
            if UNKNOWN in (name, identity):
                continue
            alone, others = people.select(np.array([row])), everybody - {known.get(name, UNKNOWN)}
            if here.match(time_s, alone, barred=others)[0] == UNKNOWN:
                known.learn(name, identity)

    def _recognised(self, time_s: float, people: Instances, source: int) -> NDArray[np.int64]:
        """Return who is somebody met before, `UNKNOWN` elsewhere."""
        known = self._ids.get(source, _Names())
        ids: list[int] = []
        for name in _names(people):
            identity = known.get(name, UNKNOWN)
            ids.append(UNKNOWN if identity in ids else identity)  # nobody is in a frame twice
        barred: Container[int] = known.num_names if people.track_ids is not None else ()
        return self._tracker.match(time_s, people, np.array(ids, np.int64), barred)

    def new_number(self, wanted: int = UNKNOWN) -> int:
        """Return a number that nobody has: the wanted one if it can be."""
        while self._next_id in self._kept:
            self._kept.remove(self._next_id)
            self._next_id += 1
        if wanted > self._next_id and wanted not in self._kept:
            self._kept.add(wanted)
            return wanted
        self._next_id += 1
        return self._next_id - 1


def frame_time_s(key: FrameKey, time_s: float | None) -> float:
    """Return when a video's frame is shown, seconds; nominally where its `time_s` is not known."""
    return key.index / NOMINAL_FPS if time_s is None else time_s


def _names(people: Instances) -> list[int]:
    """Return what their source calls people; `UNKNOWN` for those whom it does not know."""
    if people.track_ids is None:
        return [UNKNOWN] * len(people)
    return [max(name, UNKNOWN) for name in map(int, people.track_ids)]

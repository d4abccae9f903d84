"""Who is who over the frames of a file that comes back, in the numbers of the run.

COCO files and FiftyOne keep the `track_id` that they were given. CVAT numbers its tracks anew: each
is the identity that most of its people have in the run, and one that no other track has.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from typing import Any

from vitpose_cli.formats.corrections import CorrectedFrame, CorrectedPerson, first_text
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.coco import track_id_of
from vitpose_cli.records.coco_frames import CocoFrames
from vitpose_cli.records.record import FrameRecord, added_track_id

Known = Mapping[FrameKey, Mapping[str, int]]
"""The identities of people by their names, frame by frame."""

_Frame = tuple[FrameKey | LookupError, CorrectedFrame]


def have_identities(frames: Iterable[CorrectedFrame]) -> bool:
    """Return whether anybody has an identity."""
    return any(person.track_id is not None for frame in frames for person in frame.people)


def kept_identities(records: Iterable[Mapping[str, Any]]) -> Known:
    """Return the identities in records as they lie in a journal, as far as these have any."""
    return {
        FrameKey(record["media"], record["index"]): dict(
            zip(record["uids"], record["track_ids"], strict=True)
        )
        for record in records
        if record.get("track_ids") is not None
    }


def written_identities(run: Path) -> Known:
    """Return the identities in all frames that the document of a run has.

    Raises:
        InputError: It has none, one that lacks labels of people, or one that cannot be read.
    """
    with closing(CocoFrames(run)) as document:
        return {
            document.key(number): {
                first_text("uid", annotation): track_id
                for annotation in document.annotations(number)
                if (track_id := track_id_of(annotation)) is not None
            }
            for number in range(len(document))
        }


def known_identities(records: Iterable[FrameRecord], keys: Iterable[object]) -> Known:
    """Return the identities in some frames of a run.

    Args:
        records: Those of the run, with identities.
        keys: The frames.
    """
    wanted = {*keys}
    return {
        record.key: dict(zip(record.uids, record.instances.track_ids.tolist(), strict=True))
        for record in records
        if record.key in wanted
        and record.instances is not None
        and record.instances.track_ids is not None
    }


def numbered_as_in_run(frames: Sequence[_Frame], known: Known) -> list[CorrectedFrame]:
    """Return frames whose people have the numbers of the run, where a program has its own.

    A number of the program that is nobody's in the run gets a new one, that nobody else has. People
    with names of whom the run knows nothing, as they are of earlier labels, keep what they had.

    Args:
        frames: Those of the file; of a run's with their keys.
        known: Who is who in the run.
    """
    votes = Counter(_same_people(frames, known))
    numbers: dict[int, int] = {}
    taken: set[int] = set()
    for (theirs, ours), _ in votes.most_common():
        if theirs not in numbers and ours not in taken:
            numbers[theirs] = ours
            taken.add(ours)
    for theirs, _ in votes:
        numbers.setdefault(theirs, _new_number())
    news: defaultdict[int, int] = defaultdict(_new_number)

    def number(person: CorrectedPerson) -> int | None:
        theirs = person.track_id
        if theirs is None or theirs in numbers:
            return None if theirs is None else numbers[theirs]
        return None if person.uid else news[theirs]

    return [
        replace(frame, people=tuple(replace(each, track_id=number(each)) for each in frame.people))
        for _, frame in frames
    ]


def _new_number() -> int:
    return added_track_id(token_hex(8))


def without_identities(frame: CorrectedFrame) -> CorrectedFrame:
    """Return a frame whose people have no identities."""
    return replace(frame, people=tuple(replace(each, track_id=None) for each in frame.people))


def num_changed(frames: Sequence[_Frame], known: Known) -> int:
    """Count the people who have another identity in the run."""
    return sum(theirs != ours for theirs, ours in _same_people(frames, known))


def _same_people(frames: Sequence[_Frame], known: Known) -> Iterator[tuple[int, int]]:
    """Yield the identities in the file and in the run of everybody who has both."""
    for key, frame in frames:
        ours = {} if isinstance(key, LookupError) else known.get(key, {})
        for person in frame.people:
            if person.track_id is not None and person.uid in ours:
                yield person.track_id, ours[person.uid]

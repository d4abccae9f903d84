"""What happened to the labels of one frame: every record of it in the journals, in order.

Nothing is kept for this but the journals themselves: they are only ever appended to, so a label's
past is in them. It is read by a pass over the run, which a question asked now and then may cost.
When a model worked is not in them, but a person's record names the one that the person saw: that is
what it stands behind, and what it is compared with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.media.marks import JOURNALS
from vitpose_cli.pose.instances import Instances
from vitpose_cli.records.folder import journal_generation, stored_manifest
from vitpose_cli.records.index import JournalIndex, JournalReader
from vitpose_cli.records.journal import Entry, Scan
from vitpose_cli.records.keypoint_threshold import readings
from vitpose_cli.records.record import ROUNDING_PX, FrameRecord


@dataclass(frozen=True, slots=True)
class Changes:
    """How the labels of a frame differ from those before.

    Attributes:
        num_added: People who were not there before, by uid.
        num_removed: People who are gone.
        num_moved: Keypoints at another place.
        max_move_px: The longest way that a keypoint was moved, frame px.
        num_visibility: Keypoints of another visibility.
        num_boxes: People with another box.
        num_recognised: People who are somebody else from this frame of a video on.
    """

    num_added: int = 0
    num_removed: int = 0
    num_moved: int = 0
    max_move_px: float = 0.0
    num_visibility: int = 0
    num_boxes: int = 0
    num_recognised: int = 0


def parse_key(text: str) -> list[FrameKey]:
    """Return the keys that `text` may stand for: a photo, and the frame of a video of that form.

    Args:
        text: A key as it is written: `a/b.jpg`, or `clip.mp4/frame_000123.jpg`.
    """
    frame = FrameKey.of_video(text)
    return [FrameKey(text)] if frame is None else [FrameKey(text), frame]


@dataclass(frozen=True, slots=True)
class Version:
    """One record of a frame among the others.

    Attributes:
        record: The record.
        before: What it was made from, or would have replaced: of a person's the record that the
            person saw, of a model's the model's before; None where there is none.
        counts: Whether it is the one that counts. Where a person decided about a frame that could
            not be read then, the decision and the labels of now both do.
    """

    record: FrameRecord
    before: FrameRecord | None
    counts: bool

    @property
    def changes(self) -> Changes | None:
        """How its labels differ from those before; None where there are none before."""
        return None if self.before is None else changes(self.before, self.record)


def frame_history(folder: Path, text: str) -> list[Version]:
    """Return every record of a frame.

    Those of models are in their order; each of a person follows the one that the person saw, and
    those of the person before. What models said later comes after it, although it does not count.
    A model's is there as it is read at the keypoint threshold of now, and before that as persons
    saw it at others.

    Args:
        folder: The run folder.
        text: The frame's key, see `parse_key`.

    Raises:
        InputError: There is no run, it cannot be read, or it has no such frame.
    """
    manifest = stored_manifest(folder)
    paths, entries = _entries(folder, parse_key(text))
    past: list[Version] = []
    with closing(JournalReader(paths)) as reader:
        for key, found in entries.items():
            index = JournalIndex()
            for number, entry in found:
                current = journal_generation(paths[number]) >= manifest.generation
                index.add(entry, number, current=current)
            counting = index.place(key), index.decision(key)
            records = [(reader.read(*place), place in counting) for place in _places(found)]
            seen = {record.review.previous for record, _ in records if record.review is not None}
            past += _versions(
                (each, counts and each is read[-1])
                for record, counts in records
                for read in (readings(record, manifest),)
                for each in read
                if each is read[-1] or each.version in seen
            )
    if not past:
        raise InputError(
            f"The run in {folder} has no frame {text!r}.",
            "Give file_name as it is in annotations.json, such as a/b.jpg or "
            "clip.mp4/frame_000123.jpg.",
        )
    return past


def _versions(records: Iterable[tuple[FrameRecord, bool]]) -> list[Version]:
    """Put the records of a frame in order.

    Args:
        records: As they are in the journals, and whether each counts.
    """
    past: list[Version] = []
    decided: list[tuple[FrameRecord, bool]] = []
    before: FrameRecord | None = None
    for record, counts in records:
        if record.review is not None:
            decided.append((record, counts))
        else:
            past.append(Version(record, before, counts))
            before = record
    start = 0  # just behind the person before
    for record, counts in decided:
        seen = _place_of(record, past)
        start = max(start, len(past) if seen is None else seen + 1)
        neighbour = past[start - 1].record if start else None
        source = neighbour if seen is None else past[seen].record
        past.insert(start, Version(record, source, counts))
        start += 1
    return past


def _place_of(decision: FrameRecord, past: Sequence[Version]) -> int | None:
    """Return the position of the record that a person saw; None where it is not there."""
    previous = decision.review.previous if decision.review else ""
    found = [place for place, version in enumerate(past) if version.record.version == previous]
    return found[-1] if found else None


def histories(
    folder: Path, keys: Iterable[FrameKey]
) -> Iterator[tuple[FrameKey, list[FrameRecord]]]:
    """Yield each of some frames with every record of it that counts or did, journal by journal.

    A model's is among them as it was read at each keypoint threshold that the run has had.

    One pass over the run finds where they lie; the records of one frame are in memory at a time.

    Raises:
        InputError: The run cannot be read.
    """
    manifest = stored_manifest(folder)
    paths, entries = _entries(folder, keys)
    with closing(JournalReader(paths)) as reader:
        for key, found in entries.items():
            counted = ((number, entry) for number, entry in found if not entry.set_aside)
            places = _places(counted)
            yield key, [each for at in places for each in readings(reader.read(*at), manifest)]


def _entries(
    folder: Path, keys: Iterable[FrameKey]
) -> tuple[list[Path], dict[FrameKey, list[tuple[int, Entry]]]]:
    """Return the journals, and where in which of them, by number, each frame is spoken of.

    Raises:
        InputError: The run cannot be read.
    """
    found: dict[FrameKey, list[tuple[int, Entry]]] = {key: [] for key in keys}
    paths = sorted(folder.glob(JOURNALS)) if found else []
    for number, path in enumerate(paths):
        for entry in Scan(path).entries():
            of_frame = found.get(FrameKey(entry.media, entry.frame_index))
            if of_frame is not None:
                of_frame.append((number, entry))
    return paths, found


def _places(entries: Iterable[tuple[int, Entry]]) -> list[tuple[int, int, int]]:
    """Return the places of records, without failures taken back."""
    return [
        (number, entry.offset, entry.length) for number, entry in entries if not entry.taken_back
    ]


def changes(before: FrameRecord, after: FrameRecord) -> Changes:
    """Return how the labels in `after` differ from those in `before`, person by person."""
    was, now = (each.instances or Instances.empty(1) for each in (before, after))
    rows = {uid: row for row, uid in enumerate(before.uids)}
    kept = [(rows[uid], row) for row, uid in enumerate(after.uids) if uid in rows]
    moves = [np.hypot(*(now.keypoints[new] - was.keypoints[old]).T) for old, new in kept]
    seen = [was.visibility[old] != now.visibility[new] for old, new in kept]
    boxes = [np.abs(was.boxes[old] - now.boxes[new]) > ROUNDING_PX for old, new in kept]
    return Changes(
        num_added=len(after.uids) - len(kept),
        num_removed=len(before.uids) - len(kept),
        num_moved=sum(int((move > ROUNDING_PX).sum()) for move in moves),
        max_move_px=round(max((float(move.max()) for move in moves), default=0.0), 2),
        num_visibility=sum(int(each.sum()) for each in seen),
        num_boxes=sum(bool(each.any()) for each in boxes),
        num_recognised=sum(
            before.recognised.get(uid, "") != after.recognised.get(uid, "") for uid in after.uids
        ),
    )

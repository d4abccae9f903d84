"""What happened to the labels of one frame: every record of it in the journals, oldest first.

Nothing is kept for this but the journals themselves: they are only ever appended to, so a label's
past is in them. It is read by a pass over the run, which a question asked now and then may cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.folder import JOURNALS, stored_manifest
from vitpose_cli.records.index import JournalReader
from vitpose_cli.records.journal import Scan
from vitpose_cli.records.record import FrameRecord

_STILL_PX = 0.05
"""Smaller moves are rounding."""


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
    """

    num_added: int = 0
    num_removed: int = 0
    num_moved: int = 0
    max_move_px: float = 0.0
    num_visibility: int = 0
    num_boxes: int = 0


def parse_key(text: str) -> list[FrameKey]:
    """Return the keys that `text` may stand for: a photo, and the frame of a video of that form.

    Args:
        text: A key as it is written: `a/b.jpg`, or `clip.mp4/frame_000123.jpg`.
    """
    frame = FrameKey.of_video(text)
    return [FrameKey(text)] if frame is None else [FrameKey(text), frame]


def frame_history(folder: Path, text: str) -> list[FrameRecord]:
    """Return every record of a frame, oldest first; the last one counts.

    Model records come before a person's, as the journals do not say when a model worked; the
    order inside of each journal is that of time.

    Args:
        folder: The run folder.
        text: The frame's key, see `parse_key`.

    Raises:
        InputError: There is no run, it cannot be read, or it has no such frame.
    """
    stored_manifest(folder)
    past = [record for _, records in histories(folder, parse_key(text)) for record in records]
    if not past:
        raise InputError(
            f"The run in {folder} has no frame {text!r}.",
            "Give file_name as it is in annotations.json, such as a/b.jpg or "
            "clip.mp4/frame_000123.jpg.",
        )
    return sorted(past, key=lambda record: record.review is not None)


def histories(
    folder: Path, keys: Iterable[FrameKey]
) -> Iterator[tuple[FrameKey, list[FrameRecord]]]:
    """Yield each of some frames with every record of it, journal by journal.

    One pass over the run finds where they lie; the records of one frame are in memory at a time.

    Raises:
        InputError: The run cannot be read.
    """
    places: dict[FrameKey, list[tuple[int, int, int]]] = {key: [] for key in keys}
    if not places:
        return
    paths = sorted(folder.glob(JOURNALS))
    for number, path in enumerate(paths):
        for entry in Scan(path).entries():
            found = places.get(FrameKey(entry.media, entry.frame_index))
            if found is not None and not entry.taken_back:
                found.append((number, entry.offset, entry.length))
    with closing(JournalReader(paths)) as reader:
        for key, found in places.items():
            yield key, [reader.read(*place) for place in found]


def changes(before: FrameRecord, after: FrameRecord) -> Changes:
    """Return how the labels in `after` differ from those in `before`, person by person."""
    old, new = dict(_people(before)), dict(_people(after))
    kept = [(old[uid], new[uid]) for uid in new if uid in old]
    moves = [np.hypot(*(now.points - was.points).T) for was, now in kept]
    return Changes(
        num_added=len(new.keys() - old.keys()),
        num_removed=len(old.keys() - new.keys()),
        num_moved=sum(int((move > _STILL_PX).sum()) for move in moves),
        max_move_px=round(max((float(move.max()) for move in moves), default=0.0), 2),
        num_visibility=sum(int((was.seen != now.seen).sum()) for was, now in kept),
        num_boxes=sum(bool((np.abs(was.box - now.box) > _STILL_PX).any()) for was, now in kept),
    )


@dataclass(frozen=True, slots=True)
class _Person:
    points: NDArray[np.float32]
    seen: NDArray[np.int8]
    box: NDArray[np.float32]


def _people(record: FrameRecord) -> Iterator[tuple[str, _Person]]:
    people = record.instances
    if people is not None:
        for row, uid in enumerate(record.uids):
            yield uid, _Person(people.keypoints[row], people.visibility[row], people.boxes[row])

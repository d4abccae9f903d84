"""All frames of a run as columns: what the list shows, and what it is filtered and ordered by.

A frame has a number here, which never changes while the page is open; new frames of a run that
still goes on are added at the end. Columns, as a filter over 100,000 frames has to answer before
a person notices, and frames by their `FrameKey.text`, as a million keys would take seconds to
make; what is not known without parsing the whole journal (scores, number of people) comes in
behind, in the background. The list is in the order in which frames are labelled, not in that of
the document.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.media.order import natural_order
from vitpose_cli.pose.instances import instance_scores
from vitpose_cli.records.composed_names import ByName, plain

State = Literal["todo", "draft", "accepted", "fixed", "rejected", "failed"]
STATES: tuple[State, ...] = get_args(State)
"""What a person has decided about a frame, `todo` where nobody has looked; `failed` frames could
not be labelled."""

ListOrder = Literal["queue", "name", "score"]

_TODO, _FAILED = STATES.index("todo"), STATES.index("failed")
_PHOTO = -1
_UNKNOWN = np.float32(np.nan)
_NOBODY = np.float32(1)
_BATCH = 1000
_SEARCH_STEPS = 20  # to find a place among a million


@dataclass(frozen=True, slots=True)
class Query:
    """Which frames the list shows, and in which order.

    Attributes:
        queued: Only those of the queue.
        states: Only these; empty for all.
        media: Only frames of this video.
        name: Only the frame of this name.
        text: Only frames with this in their name, in any case.
        keypoint: What `max_score` is about: a keypoint's position; None for whole people.
        max_score: Only frames with somebody who scores below; frames not yet counted are left out.
        order: By place in the queue, by name, or the lowest score first.
    """

    queued: bool = False
    states: frozenset[State] = frozenset()
    media: str | None = None
    name: str | None = None
    text: str = ""
    keypoint: int | None = None
    max_score: float | None = None
    order: ListOrder = "queue"


@dataclass(frozen=True, slots=True)
class FrameSummary:
    """What the list shows of one frame.

    Attributes:
        state: What was decided.
        num_people: How many people are labelled.
        score: The lowest COCO score of a person; 1 without anybody.
        keypoint_scores: (K,) float32 the lowest score of each keypoint; 1 without anybody.
    """

    state: State
    num_people: int
    score: float
    keypoint_scores: NDArray[np.float32]


class FrameTable:
    """The frames of a run by number. Not for several threads at once."""

    def __init__(self, num_keypoints: int) -> None:
        """Begin without frames.

        Args:
            num_keypoints: K, of every person of the run.
        """
        self._texts: list[str] = []
        self._numbers: dict[str, int] = {}
        self._by_name = np.zeros(0, np.int64)
        self._ranks = np.zeros(0, np.int64)
        self._listed = np.zeros(0, np.int64)
        self._media: dict[str, int] = {}
        self._media_ids = np.zeros(0, np.int32)
        self._states = np.zeros(0, np.uint8)
        self._num_people = np.zeros(0, np.int32)
        self._scores = np.zeros(0, np.float32)
        self._keypoint_scores = np.zeros((0, num_keypoints), np.float32)
        self._queue = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def videos(self) -> list[str]:
        """The videos that frames belong to, in the order in which they were found."""
        return list(self._media)

    def add(self, texts: Iterable[str], failed: Collection[str]) -> None:
        """Give numbers to frames that have none yet.

        Args:
            texts: The `FrameKey.text` of the frames, in the order of their numbers. They are
                listed behind those that are known, in the order of their names.
            failed: Of those that could not be labelled.
        """
        new = [text for text in texts if text not in self._numbers]
        if not new:
            return
        start, num_new = len(self._texts), len(new)
        self._texts += new
        self._numbers.update(zip(new, count(start), strict=False))
        media_ids = np.full(num_new, _PHOTO, np.int32)
        for place, text in enumerate(new):
            media, of_video, _ = text.partition("\0")
            if of_video:
                media_ids[place] = self._media.setdefault(media, len(self._media))
        states = np.full(num_new, _TODO, np.uint8)
        states[[self._numbers[text] - start for text in new if text in failed]] = _FAILED
        unknown = np.full((num_new, self._keypoint_scores.shape[1]), _UNKNOWN)
        self._by_name = self._sorted(start)
        self._ranks = np.empty_like(self._by_name)
        self._ranks[self._by_name] = np.arange(len(self._by_name))
        self._listed = np.append(self._listed, self._by_name[self._by_name >= start])
        self._media_ids = np.append(self._media_ids, media_ids)
        self._states = np.append(self._states, states)
        self._num_people = np.append(self._num_people, np.full(num_new, -1, np.int32))
        self._scores = np.append(self._scores, np.full(num_new, _UNKNOWN))
        self._keypoint_scores = np.concatenate([self._keypoint_scores, unknown])

    def list_by_name(self) -> None:
        """List the frames of now in the order of their names, whatever their numbers are."""
        self._listed = self._by_name

    def key(self, number: int) -> FrameKey:
        """Return the frame of a number."""
        return FrameKey.from_text(self._texts[number])

    def number(self, key: FrameKey) -> int:
        """Return the number of a frame."""
        return self._numbers[key.text]

    def set_queue(self, names: Sequence[str]) -> int:
        """Take the frames of these names as the queue, in this order; return how many are known.

        Args:
            names: In any form, see `composed_names`.
        """
        wanted = {plain(name) for name in names}
        by_name = ByName(
            {
                name: number
                for number, text in enumerate(self._texts)
                if plain(name := _name(text)) in wanted
            }
        )
        found = (by_name.get(name) for name in names)
        numbers = dict.fromkeys(number for number in found if number is not None)
        self._queue = np.array([*numbers], np.int64)
        return len(self._queue)

    def update(self, number: int, summary: FrameSummary) -> None:
        """Take note of what a frame holds now."""
        self._states[number] = STATES.index(summary.state)
        self._num_people[number] = summary.num_people
        self._scores[number] = summary.score
        self._keypoint_scores[number] = summary.keypoint_scores

    def is_summarised(self, number: int) -> bool:
        """Return whether the scores of a frame have been read."""
        return bool(self._num_people[number] >= 0)

    def unknown(self) -> NDArray[np.int64]:
        """Return the frames whose scores have not been read yet."""
        return np.flatnonzero(self._num_people < 0)

    def previous(self, number: int) -> int | None:
        """Return the frame before: in the same video, or the photo before in the same folder."""
        place = self._ranks[number]
        before = int(self._by_name[place - 1]) if place else None
        if before is None or self._neighbourhood(before) != self._neighbourhood(number):
            return None
        return before

    def select(self, query: Query) -> NDArray[np.int64]:
        """Return the numbers of the frames that `query` wants, in its order."""
        numbers = self._queue if query.queued else self._listed
        if query.states:
            wanted = [STATES.index(state) for state in query.states]
            numbers = numbers[np.isin(self._states[numbers], wanted)]
        if query.media is not None:
            numbers = numbers[self._media_ids[numbers] == self._media.get(query.media, -2)]
        scores = (
            self._scores if query.keypoint is None else self._keypoint_scores[:, query.keypoint]
        )
        if query.max_score is not None:
            numbers = numbers[scores[numbers] < query.max_score]
        if query.name is not None:
            named = [number for number in numbers if _name(self._texts[number]) == query.name]
            numbers = np.array(named, np.int64)
        if query.text:
            text = query.text.casefold()
            named = [number for number in numbers if text in _name(self._texts[number]).casefold()]
            numbers = np.array(named, np.int64)
        if query.order == "score":
            return numbers[np.argsort(scores[numbers], kind="stable")]
        if query.order == "name":
            return numbers[np.argsort(self._ranks[numbers])]
        return numbers

    def states(self, numbers: NDArray[np.int64]) -> str:
        """Return the states of frames, one digit each: its position in `STATES`."""
        return (self._states[numbers] + ord("0")).astype(np.uint8).tobytes().decode()

    def counts(self, *, queued: bool) -> dict[str, int]:
        """Return how many frames are in each state, of all or of the queue."""
        states = self._states[self._queue] if queued else self._states
        counts = np.bincount(states, minlength=len(STATES)).tolist()
        return dict(zip(STATES, counts, strict=True))

    def row(self, number: int) -> dict[str, Any]:
        """Return what the list shows of a frame; people and score are None until counted."""
        counted = self.is_summarised(number)
        return {
            "number": number,
            "name": _name(self._texts[number]),
            "state": STATES[self._states[number]],
            "num_people": int(self._num_people[number]) if counted else None,
            "score": round(float(self._scores[number]), 3) if counted else None,
        }

    def _sorted(self, start: int) -> NDArray[np.int64]:
        """Return all numbers in the order of their names, where those from `start` on are new."""
        new = range(start, len(self._texts))
        if len(new) * _SEARCH_STEPS > start:
            return np.array(sorted(range(len(self._texts)), key=self._order), np.int64)
        new_by_name = sorted(new, key=self._order)
        places = [
            bisect_left(self._by_name, self._order(number), key=self._order)
            for number in new_by_name
        ]
        return np.insert(self._by_name, places, new_by_name)

    def _order(self, number: int) -> tuple[str, tuple[str, str], str]:
        """Return what to sort a frame by: photos before videos, as `find_media` has them."""
        media, of_video, index = self._texts[number].partition("\0")
        return of_video, natural_order(media), index

    def _neighbourhood(self, number: int) -> tuple[str, str]:
        """Return what frames that follow each other have in common: a video, or a folder."""
        media, of_video, _ = self._texts[number].partition("\0")
        return of_video, media if of_video else media.rpartition("/")[0]


def summaries(
    records: Iterable[Mapping[str, Any]], num_keypoints: int
) -> Iterator[tuple[FrameKey, FrameSummary]]:
    """Yield what the list shows of records in their JSON form, computed many at a time.

    Args:
        records: The records, as they lie in the journal.
        num_keypoints: K, of every person.
    """
    stream = iter(records)
    while batch := list(islice(stream, _BATCH)):
        counts = np.array([len(record.get("boxes", ())) for record in batch])
        points = [row for record in batch for row in record.get("keypoint_scores", ())]
        boxes = [score for record in batch for score in record.get("box_scores", ())]
        lows = np.full((len(batch), num_keypoints), _NOBODY)
        worst = np.full(len(batch), _NOBODY)
        if points:
            values = np.array(points, np.float32)
            filled = np.flatnonzero(counts)
            starts = np.cumsum(counts)[filled] - counts[filled]
            lows[filled] = np.minimum.reduceat(values, starts)
            scores = instance_scores(np.array(boxes, np.float32), values)
            worst[filled] = np.minimum.reduceat(scores, starts)
        for place, record in enumerate(batch):
            key = FrameKey(record["media"], record["index"])
            summary = FrameSummary(
                _state(record), int(counts[place]), float(worst[place]), lows[place]
            )
            yield key, summary


def _name(text: str) -> str:
    return str(FrameKey.from_text(text)) if "\0" in text else text


def _state(record: Mapping[str, Any]) -> State:
    review = record.get("review")
    state: State = "todo" if review is None else review["state"]
    return "failed" if record["error"] is not None and state != "rejected" else state

"""What people in videos are called, for the page: the numbers that the document would have.

A number follows from all labels before it, so videos are followed from the beginning of the run, a
second at a time and only as far as the page asks. On the way, the state is kept now and then: after
an edit only frames from the last such mark on are followed anew.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from copy import deepcopy
from itertools import takewhile
from threading import Lock
from time import monotonic
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.run import Run
from vitpose_cli.tracking.identities import CorrectedIdentities
from vitpose_cli.tracking.sightings import Met, Sightings

_MARK_EVERY = 200  # frames, which take a tenth of a second
_PATIENCE_S = 1.0


class Numbers(NamedTuple):
    """What is known before a frame of a video, and of it.

    Attributes:
        people: The number of everybody in the frame, in their order.
        before: Everybody in earlier frames of the video, by number; who was seen last is first.
        lost: Names of people here who were said to be somebody who is not there any more.
        are_kept: Whether the frame, or one before, has identities in the journal: those of a file.
    """

    people: list[int]
    before: dict[int, Met]
    lost: list[str]
    are_kept: bool


class RunNumbers:
    """The numbers of people in the videos of a run, for several threads at once.

    Attributes:
        num_changes: How often labels of videos were changed, or all at once by another keypoint
            threshold: each time numbers of other frames may be others.
    """

    def __init__(self, run: Run, sigmas: NDArray[np.float64]) -> None:
        """Follow nobody yet.

        Args:
            run: Read to its end when `of` is called first; it may go on.
            sigmas: (K,) of the keypoint set.
        """
        self._run = run
        self._lock = Lock()
        self._changed: deque[str] = deque()
        self.num_changes = 0
        self._num_frames = 0
        self._texts: list[str] = []  # of all frames of videos, in order
        self._seen: dict[str, Sightings] = {}  # by video
        self._keeping: set[str] = set()  # videos with identities in the journal
        self._identities = CorrectedIdentities(sigmas)
        self._num_known = 0  # so many frames have been followed
        self._marks = [(0, deepcopy(self._identities))]  # what was known before some of them

    def changed(self, key: FrameKey) -> None:
        """Take note that a frame has other labels; a photo has no say in who is who."""
        if key.video is not None:
            self._changed.append(key.text)
            self.num_changes += 1

    def all_changed(self) -> None:
        """Take note that every frame may have other labels."""
        self._changed.append("")  # before all texts
        self.num_changes += 1

    def of(self, key: FrameKey) -> Numbers | None:
        """Return the numbers in a frame of a video; None where that takes longer: ask again.

        Raises:
            InputError: A journal was changed by something else, or cannot be read.
        """
        if not self._lock.acquire(blocking=False):
            return None
        try:
            self._take_note()
            place = bisect_left(self._texts, key.text)
            if self._texts[place : place + 1] != [key.text]:
                return None
            until_s = monotonic() + _PATIENCE_S
            while self._num_known <= place:
                self._follow_one()
                if monotonic() > until_s:
                    return None
            seen = self._seen[key.media]
            are_kept = key.media in self._keeping
            record = self._run.record(key)
            lost = [
                uid
                for uid, whom in (record.recognised.items() if record else ())
                if whom is not None and seen.who(whom, key.index) is None
            ]
            return Numbers(seen.ids(key.index), seen.before(key.index), lost, are_kept)
        finally:
            self._lock.release()

    def _take_note(self) -> None:
        """Forget what followed from labels that are others now."""
        if self._num_frames != (num_frames := len(self._run)):
            texts = [text for text in self._run.texts() if "\0" in text]
            pairs = zip(self._texts, texts, strict=False)
            same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
            self._forget_from(same)
            self._num_frames, self._texts = num_frames, texts
        while self._changed:
            self._forget_from(bisect_left(self._texts, self._changed.popleft()))

    def _forget_from(self, place: int) -> None:
        """Forget a frame and all behind it, back to the mark before."""
        if place >= self._num_known:
            return
        while self._marks[-1][0] > place:
            self._marks.pop()
        self._num_known, mark = self._marks[-1]
        self._identities = deepcopy(mark)
        first = FrameKey.from_text(self._texts[self._num_known])
        for video in [video for video in self._seen if video > first.media]:
            del self._seen[video]
        if first.media in self._seen:
            self._seen[first.media].forget_from(first.index)

    def _follow_one(self) -> None:
        """Follow people into the next frame."""
        if self._num_known - self._marks[-1][0] >= _MARK_EVERY:
            self._marks.append((self._num_known, deepcopy(self._identities)))
        key = FrameKey.from_text(self._texts[self._num_known])
        record = self._run.record(key)
        before = self._texts[self._num_known - 1] if self._num_known else ""
        if not before.startswith(f"{key.media}\0"):
            self._identities.begin()
            self._seen[key.media] = Sightings()
        if record is not None and record.instances is not None:
            if record.instances.track_ids is not None:
                self._keeping.add(key.media)
            self._identities.given_to(record, self._seen[key.media])
        self._num_known += 1

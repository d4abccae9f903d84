"""The table of a run's frames, filled behind the review while people look at the first of them.

A large run is shown after its first frames are known, and the rest is read behind them: the
journals to their end, what a person looked at, the scores of all else, and then what is new.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from threading import Event, Lock, Thread
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.run import Run
from vitpose_cli.review.table import FrameTable, summaries

_READ_BYTES = 16 << 20
"""So much of the journals is read at a time: thousands of frames, in a tenth of a second."""

_REFRESH_S = 2.0
_DECISIONS_WAIT_S = 60.0
_BATCH = 500
_BREATH_S = 0.001

_log = logging.getLogger(__name__)

Items = TypeVar("Items", list[FrameKey], NDArray[np.int64])


class RunTable:
    """A table that follows a run, in a thread of its own from `start` to `stop`.

    Attributes:
        frames: The table, for whoever holds `lock`.
        lock: Held by whoever reads or changes the table.
    """

    def __init__(
        self,
        run: Run,
        *,
        whole: bool,
        changed: Callable[[FrameKey], None],
        all_changed: Callable[[], None],
    ) -> None:
        """Take note of the first frames of a run.

        Args:
            run: Opened, read or not; `refresh` and `changes` are called by nobody else.
            whole: Take note of all of them.
            changed: Told which frames another process has labelled since.
            all_changed: Called when the run has got another keypoint threshold.

        Raises:
            InputError: The run has no frames, or cannot be read.
        """
        self.frames, self.lock = FrameTable(run.manifest.num_keypoints), Lock()
        self._run, self._changed, self._all_changed = run, changed, all_changed
        self._read, self._decisions_known, self._ended = Event(), Event(), Event()
        self._problem = InputError("The review has ended.")
        self._thread = Thread(target=self._follow, name="review-table", daemon=True)
        self._is_whole = run.refresh(None if whole else _READ_BYTES)
        while not self._is_whole and not len(run):
            self._is_whole = run.refresh(_READ_BYTES)
        if self._is_whole:
            self._read.set()
        self._add_new_frames()
        if not len(self.frames):
            raise InputError(
                f"The run in {run.path} has no frames yet.",
                "Label something with `vitpose annotate` first.",
            )

    @property
    def is_whole(self) -> bool:
        """Whether all frames of the run are known; others come in behind."""
        return self._is_whole

    @property
    def problem(self) -> InputError | None:
        """Why the frames that are missing will not come in; None where they may or have."""
        return self._problem if self._read.is_set() and not self._is_whole else None

    def start(self) -> None:
        """Begin to read the rest, scores, and what is still being added."""
        self._thread.start()

    def stop(self) -> None:
        """End that, and wait until it has ended."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def wait_until_whole(self) -> None:
        """Wait until all frames of the run are known.

        Raises:
            InputError: They will not be.
        """
        self._read.wait()
        if self.problem is not None:
            raise self.problem

    def wait_for_decisions(self) -> None:
        """Wait until it is known what people have decided, or for a minute."""
        self._decisions_known.wait(_DECISIONS_WAIT_S)

    def summarise(self, keys: Iterable[FrameKey]) -> None:
        """Take note of what frames hold now; the caller holds `lock`.

        Those that have no number yet get one.

        Raises:
            InputError: A journal was changed by something else, or cannot be read.
        """
        records = self._run.json_records(keys)
        found = dict(summaries(records, self._run.manifest.num_keypoints))
        self.frames.add([key.text for key in found], ())
        for key, summary in found.items():
            self.frames.update(self.frames.number(key), summary)

    def _add_new_frames(self) -> None:
        texts, failed = self._run.texts(), self._run.failed_texts()
        with self.lock:
            self.frames.add(texts, failed)

    def _follow(self) -> None:
        """Fill the table: the rest, what a person looked at, all else, and then what is new."""
        try:
            self._read_rest()
            self._take_in(list(self._run.reviewed()))
            self._decisions_known.set()
            while not self._ended.is_set():
                with self.lock:
                    unknown = self.frames.unknown()
                self._read_scores(unknown)
                self._ended.wait(_REFRESH_S)
                threshold = self._run.manifest.keypoint_threshold
                changes = sorted(map(FrameKey.from_text, self._run.changes()))
                if self._run.manifest.keypoint_threshold != threshold:
                    self._all_changed()
                for key in changes:
                    self._changed(key)
                self._take_in(changes)
        except InputError as error:
            _log.warning("Scores and new frames are no longer read: %s", error.message)
            self._problem = error
        finally:
            self._read.set()
            self._decisions_known.set()

    def _read_rest(self) -> None:
        """Read the journals to their end; then the list is in order."""
        while not self._read.is_set() and not self._ended.wait(_BREATH_S):
            if self._run.refresh(_READ_BYTES):
                self._add_new_frames()
                with self.lock:
                    self.frames.list_by_name()
                self._is_whole = True
                self._read.set()

    def _take_in(self, keys: list[FrameKey]) -> None:
        """Read frames that may be new, or others than they were."""
        for batch in self._batches(keys):
            with self.lock:
                self.summarise(batch)

    def _read_scores(self, numbers: NDArray[np.int64]) -> None:
        for batch in self._batches(numbers):
            with self.lock:
                self.summarise(map(self.frames.key, batch))

    def _batches(self, items: Items) -> Iterator[Items]:
        """Yield parts of something with pauses between them, until the review ends."""
        for start in range(0, len(items), _BATCH):
            if self._ended.wait(_BREATH_S):  # locks are not fair: let requests have theirs
                return
            yield items[start : start + _BATCH]

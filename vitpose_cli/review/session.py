"""One review: a run that is being corrected, its frames as a table, and the queue.

Every edit is one more record in the run's journal for reviews, on the disk before the answer goes
out. An edit names the version of the record it was made on; where that is no longer the one that
counts, because another window was faster, nothing is written and the page lets the person choose.
A lock for each open frame was refused: a closed browser would leave it locked. Nothing is written
before the whole run is read, so that no edit can be of a version that no longer counts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from itertools import islice
from threading import Lock
from typing import Any

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.records.composed_names import ByName
from vitpose_cli.records.history import histories
from vitpose_cli.records.mean_pose import mean_pose
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run
from vitpose_cli.records.run_document import ExportSummary
from vitpose_cli.records.shards import lacks_edits
from vitpose_cli.review.edits import Edit
from vitpose_cli.review.numbers import RunNumbers
from vitpose_cli.review.run_table import RunTable
from vitpose_cli.review.table import STATES, Query
from vitpose_cli.review.view import frame_view, identities_view
from vitpose_cli.tracking.smoothed_labels import for_document

_NUM_SAMPLES = 200


class VersionConflictError(InputError):
    """A frame was changed since the person looked at it.

    Attributes:
        current: Everything about the frame as it is now.
    """

    def __init__(self, current: dict[str, Any]) -> None:
        super().__init__(
            f"{current['name']} has been changed in another window.",
            "Take that version, or keep yours.",
        )
        self.current = current


class NotSavedError(InputError):
    """Nothing is wrong with an edit, but it cannot be written, as the disk is full for example."""


class UnknownFrameError(InputError):
    """There is no frame of this number."""


class ReviewSession:
    """A run under review, for several threads at once. `start` it, and `close` it at the end."""

    def __init__(
        self, run: Run, *, reviewer: str, queue: Mapping[str, tuple[str, ...]] | None = None
    ) -> None:
        """Take note of the first frames of the run; of all where there is a queue.

        Args:
            run: Opened with `Run.edit`, read or not; closed with the session.
            reviewer: Who corrects.
            queue: Reasons by the names of the frames to look at, in order; None for all frames.

        Raises:
            InputError: The run has no frames, or none of those in the queue.
        """
        self.reviewer = reviewer
        self.keypoint_set = KeypointSet.from_category(run.manifest.keypoint_set)
        self._run = run
        self._reasons = ByName(queue or {})
        self._edited: set[int] = set()
        self._save_lock = Lock()
        self._numbers = RunNumbers(run, self.keypoint_set.sigmas)
        self._run_table = RunTable(
            run,
            whole=queue is not None,
            changed=self._numbers.changed,
            all_changed=self._numbers.all_changed,
        )
        self._table, self._table_lock = self._run_table.frames, self._run_table.lock
        self.num_queued = self._table.set_queue(list(queue or ()))
        if queue is not None and not self.num_queued:
            raise InputError(
                f"None of the {len(queue)} frames in the queue is in {run.path}.",
                "The file names in a queue must be those in the run's annotations.json.",
            )

    def __len__(self) -> int:
        return len(self._table)

    @property
    def num_edited(self) -> int:
        """How many frames were changed or decided in this session."""
        return len(self._edited)

    @property
    def is_whole(self) -> bool:
        """Whether all frames of the run are known; others come in behind."""
        return self._run_table.is_whole

    def keys(self) -> Iterator[FrameKey]:
        """Yield the frames that are known, by their numbers."""
        return map(self._table.key, range(len(self._table)))

    def start(self) -> None:
        """Begin to read the rest, scores, and what is still being added."""
        self._run_table.start()

    def close(self) -> ExportSummary | None:
        """End; write the run's document anew if it lacks something that a person changed.

        That may have been in an earlier session, which was killed before it could write it.

        Raises:
            InputError: The document cannot be written; the edits are safe in the journal.
        """
        self._run_table.stop()
        try:
            if not self._edited and not lacks_edits(self._run.path):
                return None
            return self._run.export(for_document)
        finally:
            self._run.close()

    def describe(self) -> dict[str, Any]:
        """Return what the page must know of the run as a whole."""
        run, keypoints = self._run, self.keypoint_set
        folder = run.path.resolve()
        identity = f"{folder} {run.manifest.created}"
        samples = filter(None, map(run.record, islice(self.keys(), _NUM_SAMPLES)))
        template = mean_pose(list(samples), keypoints.num_keypoints)
        with self._table_lock:
            return {
                "id": blake2b(identity.encode(), digest_size=8).hexdigest(),
                "name": folder.name,
                "reviewer": self.reviewer,
                "keypoints": keypoints.names,
                "sides": keypoints.sides,
                "edges": keypoints.edges,
                "flip_pairs": keypoints.flip_pairs,
                "template": template,
                "states": STATES,
                "videos": self._table.videos,
                "num_queued": self.num_queued,
            }

    def frames(self, query: Query) -> dict[str, Any]:
        """Return which frames the list shows, and how far the review is.

        All frames without a filter are those that are known by now; a filter waits for the rest.

        Raises:
            InputError: The filter names a keypoint that the run does not have, or the run cannot
                be read to its end.
        """
        if query.keypoint is not None and not 0 <= query.keypoint < self.keypoint_set.num_keypoints:
            raise InputError(f"There is no keypoint {query.keypoint}.")
        if self.is_whole or query != Query():
            self._run_table.wait_until_whole()
            self._run_table.wait_for_decisions()
        with self._table_lock:
            numbers = self._table.select(query)
            return {
                "numbers": numbers,
                "states": self._table.states(numbers),
                **self._progress(),
            }

    def progress(self) -> dict[str, Any]:
        """Return how many frames are in each state, of all and of the queue."""
        with self._table_lock:
            return self._progress()

    def rows(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """Return what the list shows of these frames.

        Raises:
            UnknownFrameError: There is no frame of one of these numbers.
        """
        for number in numbers:
            self.key(number)
        with self._table_lock:
            unknown = [number for number in numbers if not self._table.is_summarised(number)]
            self._run_table.summarise(map(self._table.key, unknown))
            return [self._table.row(number) for number in numbers]

    def key(self, number: int) -> FrameKey:
        """Return the frame of a number.

        Raises:
            UnknownFrameError: There is none.
        """
        if not 0 <= number < len(self._table):
            raise UnknownFrameError(f"There is no frame {number}.")
        return self._table.key(number)

    def frame(self, number: int) -> dict[str, Any]:
        """Return everything about a frame.

        Raises:
            UnknownFrameError: There is none of this number.
        """
        return self._view(number, self._record(self.key(number)))

    def identities(self, number: int) -> dict[str, Any]:
        """Return who is in a frame of a video and who was in those before, as far as it is known.

        It is for nobody in photos, nor where identities came with a file or are not wanted.

        Raises:
            UnknownFrameError: There is no frame of this number.
        """
        key = self.key(number)
        if key.video is None or not self._run.manifest.document.get("track", True):
            return identities_view((), None)
        numbers = self._numbers.of(key) if self.is_whole else None
        uids = self._record(key).uids
        is_known = numbers is not None and len(numbers.people) == len(uids)
        return identities_view(uids, numbers if is_known else None, pending=not is_known)

    def save(self, number: int, edit: Edit) -> dict[str, Any]:
        """Write what a person did to a frame; return the frame as it is now.

        The same edit a second time, as after a lost answer, changes nothing. Waits until the run
        is read to its end.

        Raises:
            UnknownFrameError: There is none of this number.
            VersionConflictError: The frame is not as it was when the person looked at it.
            NotSavedError: The journals cannot be read to their end, or not be written.
        """
        with self._newest(number) as current:
            if edit.version == current.version:
                current = edit.applied(current, self.reviewer, time.time())
                with _for_later():
                    self._run.append(current)
                self._edited.add(number)
                if edit.instances is not None:
                    self._numbers.changed(current.key)
            elif not self._is_done(edit, current):
                raise VersionConflictError(self._view(number, current))
        return self._view(number, current)

    def set_aside(self, number: int, edit: Edit) -> dict[str, Any]:
        """Write an edit down that does not count, as the person chose another window's version.

        Returns:
            The frame as it is.

        Raises:
            UnknownFrameError: There is none of this number.
            NotSavedError: The journals cannot be read to their end, or not be written.
        """
        with self._newest(number) as current:
            record = edit.set_aside(current, self.reviewer, time.time())
            with _for_later():
                self._run.append(record)
        return self._view(number, current)

    @contextmanager
    def _newest(self, number: int) -> Iterator[FrameRecord]:
        """Give a frame as it is, which nobody else changes meanwhile; wait until all is read.

        Raises:
            UnknownFrameError: There is none of this number.
            NotSavedError: The journals cannot be read to their end.
        """
        key = self.key(number)
        with self._save_lock:
            with _for_later():
                self._run_table.wait_until_whole()
            yield self._record(key)

    def _is_done(self, edit: Edit, current: FrameRecord) -> bool:
        """Return whether `current` is what the edit was to make of the version that it names.

        Without labels in the edit these may be another window's: that takes a pass over the run.
        """
        review = current.review
        if review is None or review.previous != edit.version:
            return False
        if edit.state != review.state and (edit.state, review.state) != ("accepted", "fixed"):
            return False
        if edit.instances is not None:
            return edit.labelled(current).version == current.version
        with _for_later():
            ((_, past),) = histories(self._run.path, [current.key])
        for seen in past:
            if seen.version == edit.version:
                made = edit.applied(seen, review.reviewer, review.edited_at_s)
                return made.version == current.version
        return False

    def _record(self, key: FrameKey) -> FrameRecord:
        record = self._run.record(key)
        if record is None:
            raise UnknownFrameError(f"The run has no frame {key}.")
        return record

    def _view(self, number: int, record: FrameRecord) -> dict[str, Any]:
        """Return a frame for the page, after the table has taken note of it."""
        with self._table_lock:
            self._run_table.summarise([record.key])
            return {
                **frame_view(record),
                "row": self._table.row(number),
                "previous": self._table.previous(number),
                "reasons": self._reasons.get(str(record.key)) or (),
                **self._progress(),
            }

    def _progress(self) -> dict[str, Any]:
        problem = self._run_table.problem
        return {
            "counts": self._table.counts(queued=False),
            "queue_counts": self._table.counts(queued=True),
            "num_frames": len(self._table),
            "num_label_changes": self._numbers.num_changes,
            "num_read": None if self.is_whole else len(self._run),
            "problem": None if problem is None else problem.message,
        }


@contextmanager
def _for_later() -> Iterator[None]:
    """Tell of an error in the run, which a person can mend, apart from one in the edit."""
    try:
        yield
    except InputError as error:
        raise NotSavedError(error.message, error.hint) from error

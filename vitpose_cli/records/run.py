"""The run folder: what is done, what is added to it, and the document made from it.

    run/
      manifest.json        what the run was made with
      journal-*.jsonl      one line for each finished frame, one file for each worker; after a
                           refresh new ones, journal-g002-*, then journal-g003-*
      journal-*.complete   while the worker of a journal has nothing left to do
      journal-review.*     what a person said, and how much of that the document contains
      annotations.json     the COCO document, made from the journals
      failures.jsonl       the frames that could not be labelled
      annotations.made     what these two were made of, so that they are not made anew

The journals are the truth, the document can be made from them at any time. Several workers share
a folder, each with a journal of its own; a person's edits are one more journal, so that labels can
be corrected while the run still goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vitpose_cli.errors import ConfigError
from vitpose_cli.files import make_folder
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.media.marks import MANIFEST
from vitpose_cli.records.continuation import NewThreshold, continued
from vitpose_cli.records.folder import (
    EXPORTING_LOCK,
    OPEN_WAIT_S,
    OPENING_LOCK,
    REVIEW_JOURNAL,
    check_folder,
    check_unused,
    clear_folder,
    clear_previews,
    journal_name,
    stored_manifest,
)
from vitpose_cli.records.journal import JournalWriter
from vitpose_cli.records.journals import Damage, JournalProgress, Journals
from vitpose_cli.records.lock import FileLock
from vitpose_cli.records.manifest import RunManifest
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run_document import (
    ExportSummary,
    Finish,
    LabelState,
    as_they_are,
    document_info,
    write_run_document,
)
from vitpose_cli.records.stored_records import StoredRecords

_EXPORT_WAIT_S = 3600.0


class Run:
    """A run folder, opened with `open` to go on, `edit` to correct labels, or `read` to look.

    Use it as a context manager, or call `close`. `append` may be called from several threads.

    Attributes:
        path: The folder.
        manifest: What the run was made with, when it was opened or exported last.
        renamed_from: What its folder of photos and videos was called before, where `open` found
            that it has another name now; else None.
        new_options: What `open` found to be otherwise than before, in words; after a refresh.
        new_threshold: What `open` changed as another keypoint threshold was asked for; else None.
    """

    def __init__(
        self,
        path: Path,
        manifest: RunManifest,
        writer: JournalWriter | None,
        *,
        read: bool = True,
    ) -> None:
        self.path = path
        self.manifest = manifest
        self.renamed_from: str | None = None
        self.new_options: tuple[str, ...] = ()
        self.new_threshold: NewThreshold | None = None
        self._journals = Journals(path, manifest, writer)
        self._index = self._journals.index
        self._stored = StoredRecords(self._journals)
        self.refresh(None if read else 0)

    @classmethod
    def open(
        cls,
        path: str | Path,
        manifest: RunManifest,
        *,
        overwrite: bool = False,
        refresh: bool = False,
        worker: tuple[int, int] | None = None,
    ) -> Run:
        """Begin a run, or go on with one that was made with the same options.

        Args:
            path: The folder; made when it does not exist.
            manifest: What the run is to be made with. Another keypoint threshold counts for all
                labels of models from now on.
            overwrite: Delete what an earlier run left in the folder; other files stay.
            refresh: Where the run was made with other weights or options, go on with these: what
                models said before counts until it is labelled anew. A person's labels stay.
            worker: (k, n), k from 1, for worker k of n that share the folder.

        Raises:
            ConfigError: The run in the folder was made with other options.
            InputError: The folder holds something else, another process writes the same journal
                or is one of another number of workers, any worker is at it and labels or keypoint
                threshold are to be others, a person's labels would be overwritten, or the folder
                cannot be written.
        """
        folder = Path(path)
        number, count = worker or (1, 1)
        if not 1 <= number <= count:
            raise ConfigError(f"There is no worker {number} of {count}.", "Count from 1.")
        make_folder(folder)
        check_folder(folder)
        with FileLock(folder / OPENING_LOCK, f"The run in {folder}", OPEN_WAIT_S):
            if overwrite:
                clear_folder(folder)
            stored = folder / MANIFEST
            before = RunManifest.read(stored) if stored.exists() else None
            continuation = continued(before, manifest, folder, refresh=refresh)
            check_unused(folder, count if continuation.as_begun else None)
            new_threshold = continuation.new_threshold
            if new_threshold is not None:
                removed = clear_previews(folder)  # they show what is labelled no more
                new_threshold = new_threshold._replace(removed_previews=removed)
            if continuation.manifest != before:  # first: a journal without it could not be read
                continuation.manifest.write(stored)
            generation = continuation.manifest.generation
            writer = JournalWriter(folder / journal_name(generation, (number, count)))
            with _closed_on_error(writer):
                run = cls(folder, continuation.manifest, writer)
            run.renamed_from = continuation.renamed_from
            run.new_options = continuation.new_options
            run.new_threshold = new_threshold
            return run

    @classmethod
    def edit(cls, path: str | Path, *, read: bool = True) -> Run:
        """Open a run to add a person's labels; each is on the disk when `append` returns.

        It may be going on meanwhile. The edits have their own journal.

        Args:
            path: The folder.
            read: Read the journals now; else that is left to `refresh`, which can do it bit by
                bit, and until it has read them all the run seems to have fewer frames.

        Raises:
            InputError: There is no run, another process edits it, or it cannot be written.
        """
        folder = Path(path)
        manifest = stored_manifest(folder)
        writer = JournalWriter(folder / REVIEW_JOURNAL, durable=True)
        with _closed_on_error(writer):
            return cls(folder, manifest, writer, read=read)

    @classmethod
    def read(cls, path: str | Path) -> Run:
        """Open a run to look at it; nothing is locked or written.

        Raises:
            InputError: There is no run, or it cannot be read.
        """
        folder = Path(path)
        return cls(folder, stored_manifest(folder), None)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._index)

    @property
    def num_failed(self) -> int:
        """How many frames have an error and nothing better."""
        return self._index.num_failed

    @property
    def damage(self) -> Sequence[Damage]:
        """The journals that were found damaged; their whole lines are all in use."""
        return self._journals.damage

    def done(self, *, retry_errors: bool = True) -> Set[FrameKey]:
        """Return a live view of the frames that need no more work.

        Args:
            retry_errors: Leave out failed frames, so that they are tried again.
        """
        return self._index.keys(failed=not retry_errors)

    def fresh(self, *, retry_errors: bool = True) -> Set[FrameKey]:
        """Return a live view of the frames that the weights of now have labelled.

        A frame is among them whoever has the last word on it, so that it does not depend on
        people's labels which frames a run works on.

        Args:
            retry_errors: Leave out failed frames, so that they are tried again.
        """
        return self._index.keys(failed=not retry_errors, current=True)

    def reviewed(self) -> Set[FrameKey]:
        """Return a live view of the frames about which a person has decided."""
        return self._index.keys(human=True)

    def progress(self) -> list[JournalProgress]:
        """Return how far each worker came, since the last refresh."""
        return self._journals.progress()

    def videos(self) -> dict[str, frozenset[int]]:
        """Return the videos, and of which sizes of the file the weights of now have labelled all.

        That is known only of those whose end was recorded (`FrameRecord.ended_after`).
        """
        with self._journals.mutex:
            return self._index.videos()

    def video_names(self) -> set[str]:
        """Return the videos that frames are of, whoever labelled them."""
        return {key.media for key in self.done(retry_errors=False) if key.video is not None}

    def media_names(self) -> Iterator[str]:
        """Yield the photo or video that each frame is of."""
        return (key.media for key in self.done(retry_errors=False))

    def complete(self) -> bool:
        """Take down that this worker has nothing left to do; return whether none of them has.

        Raises:
            InputError: This cannot be taken down.
        """
        return self._journals.complete()

    def append(self, *records: FrameRecord) -> None:
        """Write the records of finished frames; a killed process loses nothing that returned.

        Raises:
            InputError: The journal cannot be written, because the disk is full for example (it
                stays whole), or the record has other keypoints than the run.
        """
        self._journals.append(*records)

    def append_end(self, record: FrameRecord) -> None:
        """Write down where a video ended, unless that is known of a file of this size.

        Raises:
            InputError: As `append`.
        """
        known = self._index.ends(record.key.media).items()
        if (record.file_bytes, record.ended_after) not in known:
            self.append(record)

    def forget_failures(self, keys: Iterable[FrameKey]) -> None:
        """Take failures back, because their files are gone or were mended.

        Raises:
            InputError: The journal cannot be written.
        """
        for key in keys:
            self.append(FrameRecord(key, error=""))

    def texts(self) -> list[str]:
        """Return the `FrameKey.text` of all frames, also those that failed, in order."""
        with self._journals.mutex:
            return self._index.texts()

    def failed_texts(self) -> set[str]:
        """Return the `FrameKey.text` of the frames that have an error and nothing better."""
        with self._journals.mutex:
            return self._index.failed_texts()

    def record(self, key: FrameKey) -> FrameRecord | None:
        """Return the record that counts for one frame, None where there is none.

        Raises:
            InputError: The journal was changed by something else, or cannot be read.
        """
        return self._stored.one(key, self.manifest.keypoint_threshold)

    def records(
        self, called: Callable[[FrameKey], FrameKey] | None = None
    ) -> Iterator[FrameRecord]:
        """Yield the record that counts for every frame, in the order of the keys.

        Args:
            called: Returns the key that a frame gets; None for its own.

        Raises:
            InputError: A journal was changed by something else, or cannot be read.
        """
        return self._stored.all(called, self.manifest.keypoint_threshold)

    def records_of(self, keys: Iterable[FrameKey]) -> Iterator[FrameRecord]:
        """Yield the records that count for `keys`, which are asked for one by one.

        Keys without a record are passed over.

        Raises:
            InputError: A journal was changed by something else, or cannot be read.
        """
        return self._stored.some(keys, self.manifest.keypoint_threshold)

    def json_records(self, keys: Iterable[FrameKey]) -> Iterator[dict[str, Any]]:
        """Yield the records of `keys` as they lie in the journal, parsed but not checked.

        For tables over a whole run, which need a few numbers of every frame: several times faster
        than `records`. Keys without a record are passed over. `visibility` is as it was when a line
        was written, perhaps with another keypoint threshold.

        Raises:
            InputError: A journal was changed by something else, or cannot be read.
        """
        return self._stored.as_json(keys)

    def refresh(self, max_bytes: int | None = None) -> bool:
        """Take note of what other workers have added since.

        Args:
            max_bytes: Read about so much at most; None for no limit.

        Returns:
            Whether everything has been read.

        Raises:
            InputError: A journal cannot be read.
        """
        return self._journals.refresh(max_bytes)

    def changes(self) -> set[str]:
        """Take note of what other workers have added since, and of another keypoint threshold.

        Returns:
            The `FrameKey.text` of the frames for which another record counts now, or none does.

        Raises:
            InputError: The manifest or a journal cannot be read.
        """
        self.manifest = self.manifest.at_threshold(stored_manifest(self.path).keypoint_threshold)
        return self._journals.changes()

    def export(
        self,
        finish: Finish = as_they_are,
        num_shards: int | None = None,
    ) -> ExportSummary:
        """Write `annotations.json` and `failures.jsonl` from the journals of all workers.

        The same records give the same bytes, whatever the order in which they were made; where
        these are there already, nothing is written. The document says what the labels of now were
        made with, also where the run was refreshed since it was opened.

        Args:
            finish: What is to be done with the records on their way into the document.
            num_shards: Into how many files the document is written; None for as many as before.

        Raises:
            InputError: The disk is full, for example; the files of an earlier export stay.
        """
        lock = self.path / EXPORTING_LOCK
        with FileLock(lock, f"The document in {self.path}", _EXPORT_WAIT_S):
            state = LabelState.of(self.path, finish)
            self.manifest = stored_manifest(self.path)
            self.refresh()
            return write_run_document(
                self.path, self.manifest, self.records(), finish, num_shards, state
            )

    def close(self) -> None:
        """Wait until the disk has everything, and let other processes write."""
        self._journals.close()

    @property
    def info(self) -> dict[str, Any]:
        """The entry `info` of its document, without a date: the same labels give the same bytes."""
        return document_info(self.manifest)


@contextmanager
def _closed_on_error(writer: JournalWriter) -> Iterator[None]:
    try:
        yield
    except BaseException:
        writer.close()
        raise

"""All journals of one run folder: how far each has been read, and what was found in them.

Other workers go on writing while this process reads, so a journal is never read to its end for
good: every refresh takes it up where the last one stopped. Which record counts for a frame is in
`index`, a single journal's lines in `journal`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from vitpose_cli.errors import InputError
from vitpose_cli.files import write_error
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.media.marks import JOURNALS
from vitpose_cli.records.folder import (
    COMPLETE_MARKS,
    complete_mark,
    journal_generation,
    journal_name,
    journal_worker,
)
from vitpose_cli.records.index import JournalIndex, JournalReader
from vitpose_cli.records.journal import JournalWriter, Scan
from vitpose_cli.records.manifest import RunManifest
from vitpose_cli.records.record import FrameRecord

_OWN = 0  # the number of the journal that is ours to write


@dataclass(frozen=True, slots=True)
class Damage:
    """What could not be read of a journal; everything else was.

    Attributes:
        path: The journal.
        num_damaged: Stretches of bytes that are no whole record.
        torn_bytes: Length of the last line that a killed process left unfinished.
    """

    path: Path
    num_damaged: int
    torn_bytes: int


@dataclass(frozen=True, slots=True)
class JournalProgress:
    """How far one worker came.

    Attributes:
        last: The frame that it finished last. Work may have stopped just after it.
        complete: Whether it had nothing left to do then.
    """

    last: FrameKey
    complete: bool


class Journals:
    """The journals of a run, one of which may be ours to write.

    Attributes:
        index: The record that counts for each frame, as far as the journals have been read.
        mutex: Held by whoever changes the index, or needs it unchanged for a while.
    """

    def __init__(self, folder: Path, manifest: RunManifest, writer: JournalWriter | None) -> None:
        """Take a folder, of which nothing is read before the first refresh.

        Args:
            folder: The run.
            manifest: Of the run.
            writer: Of the own journal; None to read only.
        """
        self.index = JournalIndex()
        self.mutex = Lock()
        self._folder = folder
        self._manifest = manifest
        self._writer = writer
        self._paths: list[Path] = []
        self._ends: list[int] = []
        self._damage: dict[Path, Damage] = {}
        self._complete: set[Path] = set()
        self._whole = False
        if writer is not None:
            self._meet(writer.path)
            if writer.cut_bytes:
                self._damage[writer.path] = Damage(writer.path, 0, writer.cut_bytes)

    @property
    def damage(self) -> Sequence[Damage]:
        """The journals that were found damaged."""
        return [self._damage[path] for path in sorted(self._damage)]

    def progress(self) -> list[JournalProgress]:
        """Return how far each worker came, since the last refresh."""
        return [
            JournalProgress(last, self._paths[number] in self._complete)
            for number, last in self.index.latest_by_file().items()
        ]

    def reader(self) -> JournalReader:
        """Return what reads the records at the places of the index; the caller closes it."""
        return JournalReader(self._paths)

    def refresh(self, max_bytes: int | None = None) -> bool:
        """Take note of what was added since; see `Run.refresh`.

        Raises:
            InputError: A journal cannot be read.
        """
        with self.mutex:
            for number in self._meet_new():
                start = self._ends[number]
                for _ in self._read_on(number, max_bytes):
                    pass
                if max_bytes is not None:
                    max_bytes -= self._ends[number] - start
                    if max_bytes <= 0:
                        return False
            self._whole = True
            return True

    def changes(self) -> set[str]:
        """Take note of what was added since; see `Run.changes`.

        Raises:
            InputError: A journal cannot be read.
        """
        with self.mutex:
            return {text for number in self._meet_new() for text in self._read_on(number, None)}

    def append(self, *records: FrameRecord) -> None:
        """Write records into the own journal.

        Raises:
            InputError: There is none, it cannot be written (it stays whole), or the record has
                other keypoints than the run; those before it are written.
        """
        writer = self._own_writer()
        if not self._whole:  # what is behind the end of a journal that we know would be passed over
            self.refresh()
        wanted = self._manifest.num_keypoints
        for number, record in enumerate(records, 1):
            if record.instances is not None and record.instances.num_keypoints != wanted:
                raise InputError(
                    f"{record.key} has {record.instances.num_keypoints} keypoints, "
                    f"the run in {self._folder} has {wanted}."
                )
            with self.mutex:
                if writer.path in self._complete:
                    complete_mark(writer.path).unlink(missing_ok=True)
                    self._complete.discard(writer.path)
                entry = writer.append(record, wait=number == len(records))
                self.index.add(entry, _OWN)
                self._ends[_OWN] = writer.size

    def complete(self) -> bool:
        """Take down that the own worker has nothing left to do; return whether none of them has.

        Raises:
            InputError: There is no own journal, or this cannot be taken down.
        """
        path = self._own_writer().path
        mark = complete_mark(path)
        with self.mutex:
            try:
                mark.touch()
            except OSError as error:
                raise write_error(mark, error) from error
            self._complete.add(path)
        # A listing, as network shares remember for a while that a file was not there.
        present = {path.name for path in self._folder.iterdir()}
        _, count = journal_worker(path) or (1, 1)
        generation = self._manifest.generation
        names = (journal_name(generation, (number, count)) for number in range(1, count + 1))
        return present.issuperset(complete_mark(Path(name)).name for name in names)

    def close(self) -> None:
        """Wait until the disk has everything, and let other processes write."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.close()

    def _own_writer(self) -> JournalWriter:
        if self._writer is None:
            raise InputError(f"{self._folder} was opened only to be read.")
        return self._writer

    def _meet_new(self) -> list[int]:
        """Give every journal that is new a number; return the numbers of all, by their names.

        What their workers say of having nothing left to do is taken from the same moment.
        """
        paths = sorted(self._folder.glob(JOURNALS))
        marks = set(self._folder.glob(COMPLETE_MARKS))
        self._complete = {path for path in paths if complete_mark(path) in marks}
        for path in paths:
            if path not in self._paths:
                self._meet(path)
        return list(map(self._paths.index, paths))

    def _meet(self, path: Path) -> None:
        """Give a journal the next number; nothing of it is read yet."""
        self._paths.append(path)
        self._ends.append(0)

    def _read_on(self, number: int, max_bytes: int | None) -> Iterator[str]:
        """Read what a journal has got since; yield the frames for which another record counts."""
        path, start = self._paths[number], self._ends[number]
        scan = Scan(path, start, None if max_bytes is None else start + max_bytes)
        current = journal_generation(path) >= self._manifest.generation
        for entry in scan.entries():
            text = self.index.add(entry, number, current=current)
            if text is not None:
                yield text
        self._ends[number] = scan.end
        if scan.num_damaged or scan.torn_bytes:
            before = self._damage.get(path, Damage(path, 0, 0))
            self._damage[path] = Damage(
                path,
                before.num_damaged + scan.num_damaged,
                max(before.torn_bytes, scan.torn_bytes),
            )

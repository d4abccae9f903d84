"""Tar archives of photos, such as WebDataset's shards: where each member lies, and its bytes.

An archive is indexed once, from its headers alone, without unpacking: 512 bytes are read for each
member, the photos themselves are passed over, and later read at their place like files of a folder.
What is no plain file (links, devices) is never followed, and a name that leads out of the archive
is never taken.

Which archives are read is decided in `finding`.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from threading import Lock

from vitpose_cli.errors import InputError
from vitpose_cli.files import is_file
from vitpose_cli.media.frames import PhotoFile
from vitpose_cli.media.tar_headers import DamageError, read_headers
from vitpose_cli.plurals import counted

ARCHIVE_SUFFIX = ".tar"
PACKED_ARCHIVES = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst")
"""Endings of archives in which a photo can be reached only by unpacking all that come before."""

UNPACK = "Unpack it first (gunzip, unzstd, ...): photos hardly shrink, and a plain .tar is read."

_REGULAR = frozenset({b"\x00", b"0", b"7"})


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive as it was when it was indexed.

    Attributes:
        path: Where it lies.
        size: Its length in bytes.
        mtime_ns: When it was last written.
    """

    path: Path
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class ArchiveMember:
    """A plain file inside an archive.

    Attributes:
        archive: The archive.
        offset: Where its bytes begin.
        size: How many there are.
    """

    archive: Archive
    offset: int
    size: int

    def read_bytes(self) -> bytes:
        """Return the file's bytes.

        Raises:
            OSError: The archive cannot be read.
            InputError: It was changed meanwhile, or is cut off.
        """
        archive = self.archive
        with archive.path.open("rb") as file:
            status = os.fstat(file.fileno())
            if (status.st_size, status.st_mtime_ns) != (archive.size, archive.mtime_ns):
                raise InputError(f"{archive.path} was changed while it was read.")
            if self.offset + self.size > archive.size:
                raise InputError(f"{archive.path} ends before this photo does.")
            file.seek(self.offset)
            return file.read(self.size)

    def __str__(self) -> str:
        return f"{self.archive.path}, byte {self.offset}"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands among photos for what cannot be read, so that it is recorded as they are.

    Attributes:
        place: An archive, a file or a URL.
        error: What is wrong with it.
    """

    place: str
    error: str

    def read_bytes(self) -> bytes:
        """Return nothing.

        Raises:
            InputError: Always.
        """
        raise InputError(self.error)

    def __str__(self) -> str:
        return self.place


@dataclass(slots=True)
class ArchiveIndex:
    """What is in an archive.

    Attributes:
        members: Its plain files by name, in the order in which they lie there; of two with one
            name the later counts, as when it is unpacked.
        problems: What is wrong with it, a sentence each.
    """

    members: dict[str, ArchiveMember] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read_index(path: Path) -> ArchiveIndex:
    """Return the index of an archive; damage ends it, and is one of its problems.

    Raises:
        OSError: It cannot be read.
    """
    index = ArchiveIndex()
    refused: list[str] = []
    with path.open("rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        archive = Archive(path, status.st_size, status.st_mtime_ns)
        try:
            for header in read_headers(file):
                name = _clean(header.name)
                if header.kind in _REGULAR and name:
                    index.members.pop(name, None)  # a later one has a later place
                    index.members[name] = ArchiveMember(archive, header.offset, header.size)
                elif header.kind != b"5":
                    refused.append(header.name)
        except DamageError as error:
            whole = sum(
                member.offset + member.size <= archive.size for member in index.members.values()
            )
            read = counted(whole, "file before that is read", "files before that are read")
            index.problems.append(f"The archive {error}; {read}. {error.advice}")
    if refused:
        examples = ", ".join(map(repr, refused[:3])) + (", …" if refused[3:] else "")
        index.problems.append(
            f"{counted(len(refused), 'member')} passed over (no plain files, or names that lead "
            f"out of the archive): {examples}."
        )
    return index


def photo_at(path: Path) -> PhotoFile | None:
    """Return the file at `path`, where an archive on the way counts as a folder; None for none.

    Indices of the archives that were used last are kept.

    Raises:
        InputError: Nobody may look there.
    """
    if is_file(path):
        return path
    for archive in path.parents:
        if archive.suffix.lower() != ARCHIVE_SUFFIX or not is_file(archive):
            continue
        try:
            index = _KEPT.index(archive)
        except OSError:
            return None
        return index.members.get(path.relative_to(archive).as_posix())
    return None


def num_bytes(file: PhotoFile) -> int:
    """Return how many bytes what `photo_at` has found holds; 0 if it cannot be asked."""
    if isinstance(file, ArchiveMember):
        return file.size
    try:
        return file.stat().st_size if isinstance(file, Path) else 0
    except OSError:
        return 0


def file_that_holds(photo: PhotoFile) -> Path | None:
    """Return the file of this machine in which a photo or video is; None for one at a URL."""
    if isinstance(photo, ArchiveMember):
        return photo.archive.path
    return photo if isinstance(photo, Path) else None


class KeptIndices:
    """Indices of the archives that were used last, for any number of threads.

    They are bounded by what is in them, not by their number: labels that were shuffled go from
    archive to archive, and a set may have thousands of these.
    """

    def __init__(self, max_members: int = 1 << 20) -> None:
        """Begin with none.

        Args:
            max_members: How many files they may have together, 200 bytes each; one archive that
                has more is kept alone.
        """
        self._max_members = max_members
        self._num_members = 0
        self._indices: OrderedDict[Path, tuple[tuple[int, int], ArchiveIndex]] = OrderedDict()
        self._mutex = Lock()

    def index(self, path: Path) -> ArchiveIndex:
        """Return the index of an archive, as it is now.

        Raises:
            OSError: It cannot be read.
        """
        status = path.stat()
        state = (status.st_size, status.st_mtime_ns)
        with self._mutex:
            kept = self._indices.get(path)
            if kept is not None and kept[0] == state:
                self._indices.move_to_end(path)
                return kept[1]
        index = read_index(path)
        with self._mutex:
            self._drop(path)
            self._indices[path] = (state, index)
            self._num_members += _weight(index)
            while self._num_members > self._max_members and len(self._indices) > 1:
                self._drop(next(iter(self._indices)))
        return index

    def _drop(self, path: Path) -> None:
        if path in self._indices:
            self._num_members -= _weight(self._indices.pop(path)[1])


def _weight(index: ArchiveIndex) -> int:
    return 1 + len(index.members)


_KEPT = KeptIndices()


def _clean(name: str) -> str:
    """Return a member's name as a path below its archive; empty where it leads out of it."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        return ""
    if "\\" in name or ":" in name:  # as Windows would take it
        path = PureWindowsPath(name)
        if path.drive or ".." in path.parts:
            return ""
    return "/".join(parts)

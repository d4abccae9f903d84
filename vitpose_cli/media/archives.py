"""Tar archives of photos, such as WebDataset's shards: where each member lies, and its bytes.

An archive is indexed once, from its headers alone, without unpacking: 512 bytes are read for each
member, the photos themselves are passed over, and later read at their place like files of a folder.
Python's `tarfile` was refused for this: it takes three times as long, keeps an object with all
that it read for each member, and goes on past damage or not at all. What is no plain file (links,
devices) is never followed, and a name that leads out of the archive is never taken.

Which archives are read is decided in `finding`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PureWindowsPath
from typing import BinaryIO

from vitpose_cli.errors import InputError
from vitpose_cli.files import is_file
from vitpose_cli.media.frames import PhotoFile

ARCHIVE_SUFFIX = ".tar"
PACKED_ARCHIVES = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst")
"""Endings of archives in which a photo can be reached only by unpacking all that come before."""

UNPACK = "Unpack it first (gunzip, unzstd, ...): photos hardly shrink, and a plain .tar is read."

_BLOCK = 512
_END = bytes(_BLOCK)
_MAX_TEXT = 1 << 20  # of a name; a header that announces more is damage
_REGULAR = frozenset({b"\x00", b"0", b"7"})
_WITHOUT_DATA = frozenset({b"1", b"2", b"3", b"4", b"5", b"6"})
_PAX_RECORD = re.compile(rb"(\d{1,20}) ([^=]+)=")


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
            for header in _headers(file):
                name = _clean(header.name)
                if header.kind in _REGULAR and name:
                    index.members.pop(name, None)  # a later one has a later place
                    index.members[name] = ArchiveMember(archive, header.offset, header.size)
                elif header.kind != b"5":
                    refused.append(header.name)
        except _DamageError as error:
            whole = sum(
                member.offset + member.size <= archive.size for member in index.members.values()
            )
            index.problems.append(f"The archive {error}; {whole} files before that are read.")
    if refused:
        examples = ", ".join(map(repr, refused[:3])) + (", …" if refused[3:] else "")
        index.problems.append(
            f"{len(refused)} members are no plain files, or have names that lead out of the "
            f"archive, and were passed over: {examples}."
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
            index = _kept_index(archive, archive.stat().st_mtime_ns)
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


@lru_cache(maxsize=64)
def _kept_index(path: Path, _mtime_ns: int) -> ArchiveIndex:
    return read_index(path)


class _DamageError(Exception):
    """An archive cannot be followed any further."""


@dataclass(frozen=True, slots=True)
class _Header:
    """One member, as its header says.

    Attributes:
        name: Its whole name, which nobody has checked.
        kind: The type flag, one byte.
        offset: Where its bytes begin.
        size: How many there are.
    """

    name: str
    kind: bytes
    offset: int
    size: int


def _headers(file: BinaryIO) -> Iterator[_Header]:
    """Yield the header of every member (POSIX.1-2001 `pax`, ustar, GNU, V7)."""
    at = 0
    long_name: str | None = None
    long_size: int | None = None
    length = os.fstat(file.fileno()).st_size
    while True:
        file.seek(at)
        block = file.read(_BLOCK)
        if block == _END:
            return
        kind = _kind(block, at)
        size = _size(block, at)
        offset = at + _BLOCK
        if kind in (b"L", b"K", b"x", b"X", b"g"):
            text = _text(file, size, at)
            at = offset + _padded(size)
            if kind == b"L":
                long_name = _decoded(text)
            elif kind in (b"x", b"X"):
                long_name, long_size = _pax(text, at, long_name, long_size)
            continue
        name = _name(block) if long_name is None else long_name
        if kind == b"\0" and name.endswith("/"):
            kind = b"5"  # a folder of the time before they had a type
        if kind == b"S":
            offset = _behind_sparse_map(file, block, offset)
        size = size if long_size is None else long_size
        yield _Header(name, kind, offset, size)
        stored = 0 if kind in _WITHOUT_DATA else size
        if offset + stored > length:
            raise _DamageError(f"is cut off at byte {length}")
        at = offset + _padded(stored)
        long_name = long_size = None


def _kind(block: bytes, at: int) -> bytes:
    """Return the type flag of a header, after a look at its checksum."""
    if not block:
        raise _DamageError(f"ends at byte {at} without the mark of its end, so it may be cut off")
    if len(block) < _BLOCK:
        raise _DamageError(f"is cut off at byte {at + len(block)}")
    said = _octal(block[148:156])
    plain = sum(block) - sum(block[148:156]) + 8 * 0x20
    if said != plain and said != plain - 256 * sum(byte > 127 for byte in block):
        kind = "is compressed" if at == 0 and _is_packed(block) else f"is damaged at byte {at}"
        raise _DamageError(kind)
    return block[156:157]


def _is_packed(start: bytes) -> bool:
    return start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"))


def _size(block: bytes, at: int) -> int:
    """Return how long the member is; GNU writes eight gigabytes and more in base 256."""
    digits = block[124:136]
    size = int.from_bytes(digits[1:], "big") if digits[0] == 0x80 else _octal(digits)
    if size is None or size < 0:
        raise _DamageError(f"is damaged at byte {at}")
    return size


def _octal(digits: bytes) -> int | None:
    text = digits.partition(b"\0")[0].strip(b" ")
    if not text:
        return 0
    return int(text, 8) if not text.strip(b"01234567") else None


def _name(block: bytes) -> str:
    name = block[:100].partition(b"\0")[0]
    prefix = block[345:500].partition(b"\0")[0] if block[257:263] == b"ustar\0" else b""
    return _decoded(prefix + b"/" + name if prefix else name)


def _text(file: BinaryIO, size: int, at: int) -> bytes:
    """Return the payload of a header that describes the next one."""
    text = file.read(size) if size <= _MAX_TEXT else b""
    if len(text) < size:
        raise _DamageError(f"is damaged or cut off at byte {at}")
    return text


def _pax(text: bytes, at: int, name: str | None, size: int | None) -> tuple[str | None, int | None]:
    """Return name and size of the next member, where records of an extended header give them."""
    start = 0
    while record := _PAX_RECORD.match(text, start):
        stop = start + int(record[1])
        value = text[record.end() : stop - 1]
        if stop <= record.end() or stop > len(text):
            break
        if record[2] in (b"path", b"GNU.sparse.name"):
            name = _decoded(value)
        elif record[2] == b"size":
            if not value.isdigit() or len(value) > 20:
                raise _DamageError(f"is damaged before byte {at}")
            size = int(value)
        start = stop
    return name, size


def _behind_sparse_map(file: BinaryIO, block: bytes, offset: int) -> int:
    """Return where the data of a file with holes begin (GNU's old format)."""
    more = block[482]
    while more:
        file.seek(offset)
        extension = file.read(_BLOCK)
        if len(extension) < _BLOCK:
            raise _DamageError(f"is cut off at byte {offset + len(extension)}")
        more = extension[504]
        offset += _BLOCK
    return offset


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _decoded(name: bytes) -> str:
    return name.partition(b"\0")[0].decode("utf-8", "surrogateescape")


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

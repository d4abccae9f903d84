"""Which files of a folder this program wrote, by a list beside them.

For folders in which files of others may lie, and files that cannot carry a mark: links to photos
and copies of them, and what has the form of another program. A name is in the list before its file
is there, so that a process may be killed at any moment. Refused: whole folders as ours, since
people put files of their own into what was exported.

Frames that are extracted have lists apart, one for each source and worker: what was extracted from
one source never takes the place of what was from another, and processes on several machines, whose
lines a network share may mix up, never write to one file.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, Self

import orjson

from vitpose_cli.errors import InputError
from vitpose_cli.files import (
    TEMPORARY_SUFFIX,
    atomic_file,
    make_folder,
    read_error,
    write_error,
)

LIST_NAME = ".vitpose-files"
"""The list: paths relative to its folder with forward slashes, a JSON text a line."""

FRAME_LISTS = ".vitpose-frames"
"""The folder, in that of extracted frames, of their lists: of the same form."""


def listed_in(folder: Path) -> frozenset[str]:
    """Return the names in the lists of a folder; none where there is no list.

    Raises:
        InputError: One cannot be read.
    """
    lists = (folder / LIST_NAME, *sorted((folder / FRAME_LISTS).glob("*")))
    return frozenset().union(*map(_names_in, lists))


def _names_in(path: Path) -> frozenset[str]:
    """Return the names in a list; none where it is not there."""
    try:
        *lines, _torn = path.read_bytes().split(b"\n")
        return frozenset(orjson.loads(line) for line in lines)
    except FileNotFoundError:
        return frozenset()
    except OSError as error:
        raise read_error(path, error) from error
    except (orjson.JSONDecodeError, TypeError) as error:
        raise InputError(
            f"{path} is damaged: it says which files here this program wrote.",
            "Delete it; no file there then counts as written by this program.",
        ) from error


class OwnFiles:
    """The files of a folder that this program wrote. Use it as a context manager.

    Attributes:
        folder: Where they are.
    """

    def __init__(self, folder: Path, *, source: str = "", worker: int = 1) -> None:
        """Read the list; the folder need not be there.

        Args:
            folder: Where the files are.
            source: What they are frames of; only those of this source are then own files. Empty
                for what is no frame.
            worker: The number of this process among those that write frames of the source.

        Raises:
            InputError: It cannot be read.
        """
        self.folder = folder
        self._path = folder / LIST_NAME
        lists = [self._path]
        if source:
            start = blake2b(os.fsencode(source), digest_size=8).hexdigest()
            self._path = folder / FRAME_LISTS / f"{start}-{worker}"
            lists = list((folder / FRAME_LISTS).glob(f"{start}-*"))
        self._names = set[str]().union(*map(_names_in, lists))
        self._list: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the list."""
        if self._list is not None:
            self._list.close()

    def claim(self, path: Path, content: bytes | None = None) -> bool:
        """Say that a file of the folder is about to be written.

        Args:
            path: The file.
            content: What is to be in it; None for what is not known yet.

        Returns:
            Whether it has to be written; not so where another file of this name, an own one from
            now on, holds the very content.

        Raises:
            InputError: Somebody else's file has this name, or the list cannot be written.
        """
        is_there = self.check_free(path, content)
        name = self._name(path)
        if name in self._names:
            return True
        try:
            if self._list is None:
                self._list = self._open()
            line = orjson.dumps(name) + b"\n"
            if self._list.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise write_error(self._path, error) from error
        self._names.add(name)
        return not is_there

    def check_free(self, path: Path, content: bytes | None = None) -> bool:
        """Refuse to write a file of the folder in the place of somebody else's; see `claim`.

        Returns:
            Whether another file of this name is there, with the very content.

        Raises:
            InputError: Somebody else's file has this name.
        """
        if self._name(path) in self._names or not os.path.lexists(path):
            return False
        if content is None or not _holds(path, content):
            raise InputError(
                f"{path} is there already, and no earlier call wrote it"
                + (" from the same source." if content is not None else "."),
                "Choose another place to write to, or move that file away.",
            )
        return True

    def owns(self, path: Path) -> bool:
        """Return whether a file of the folder is there, and this program wrote it."""
        return self._name(path) in self._names and os.path.lexists(path)

    def forget(self, paths: Iterable[Path]) -> None:
        """Say that files are gone, so that others may use their names from now on.

        Raises:
            InputError: The list cannot be written.
        """
        self._forget({self._name(path) for path in paths})

    def delete(self, folders: Collection[Path], suffix: str = "") -> list[Path]:
        """Delete the own files below some folders, and the folders that held them and nothing else.

        Folders under temporary names are passed over: an export may be written there.

        Args:
            folders: They need not be there.
            suffix: What is looked at ends so.

        Returns:
            What lies there besides, sorted.

        Raises:
            InputError: Something cannot be deleted.
        """
        others: list[Path] = []
        deleted: set[str] = set()
        emptied: set[Path] = set()
        for folder in folders:
            for base, below, names in os.walk(folder, topdown=False):
                if TEMPORARY_SUFFIX in base.removeprefix(str(folder)):
                    continue
                here = Path(base)
                num_deleted = len(deleted)
                links = [name for name in below if (here / name).is_symlink()]
                ours = (name for name in (*names, *links) if name.endswith(suffix))
                for path in map(here.__truediv__, ours):
                    name = self._name(path)
                    if name not in self._names and path.suffix != TEMPORARY_SUFFIX:
                        others.append(path)
                        continue
                    try:
                        path.unlink()
                    except OSError as error:
                        raise write_error(path, error) from error
                    deleted.add(name)
                if len(deleted) > num_deleted or any(here / name in emptied for name in below):
                    with suppress(OSError):  # something else is in it
                        here.rmdir()
                        emptied.add(here)
        self._forget(deleted)
        return sorted(others)

    def _forget(self, names: Collection[str]) -> None:
        """Take names out of the list, as others may use them from now on."""
        if not self._names.isdisjoint(names):
            self._names.difference_update(names)
            if self._list is not None:  # what is claimed from now on belongs into the new file
                self._list.close()
                self._list = None
            with atomic_file(self._path) as stream:
                stream.writelines(orjson.dumps(name) + b"\n" for name in sorted(self._names))

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _open(self) -> BinaryIO:
        """Open the list at the end of its last whole line."""
        make_folder(self._path.parent)
        stream = self._path.open("ab+", buffering=0)
        stream.seek(0)
        stream.truncate(stream.read().rfind(b"\n") + 1)
        return stream


def _holds(path: Path, content: bytes) -> bool:
    """Return whether a file has this content."""
    try:
        return path.is_file() and path.read_bytes() == content
    except OSError as error:
        raise read_error(path, error) from error

"""Whether the places where photos and videos lie are still there while they are read.

A share whose server or mount is gone, a disk that was pulled out and a folder that was moved look
like files that vanished or broke one after the other, and nothing is as fast as to fail: all that a
run was to do over a weekend would be recorded as failures within minutes. So a file that cannot be
read is compared with what lay beside it when the sources were listed.

Waiting for a place is up to who has the time (`annotate.outages`).
"""

from __future__ import annotations

import errno
import os
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, compress
from pathlib import Path, PurePath
from typing import NamedTuple

from vitpose_cli.errors import InputError
from vitpose_cli.files import reason_of
from vitpose_cli.media.archives import file_that_holds
from vitpose_cli.media.frames import PhotoFile, prefetch
from vitpose_cli.media.reading import read_first_byte

_NUM_SAMPLES = 8  # of a dying disk, which has many a bad file, one of them is most likely whole
_MAX_PLACES = 64  # beyond this many, those on one device are one: samples cost time at each start
_THREADS = 8  # on a network share, each sample is a journey
_MISSING = (errno.ENOENT, errno.ENOTDIR)


class Witness(NamedTuple):
    """A file that tells whether the place where it was found is there.

    Attributes:
        file: Its absolute path.
        identity: What the system knew its folder by: number of the device, and on it.
    """

    file: str
    identity: tuple[int, int]

    @property
    def folder(self) -> str:
        """The folder that it was found in."""
        return _folder_of(self.file)

    def problem(self) -> OSError | None:
        """Return why the place seems to be gone; None where it is there.

        A file that is missing in the very folder in which it was found was deleted or moved, as
        all of them may be: by a pipeline that takes away what is labelled, for example.
        """
        try:
            read_first_byte(Path(self.file))
        except OSError as error:
            is_deleted = error.errno in _MISSING and not os.path.lexists(self.file)
            if not is_deleted or _identity(self.folder) != self.identity:
                return error
        return None


class StorageGoneError(InputError):
    """Nothing can be read any more in the place where a file lies.

    Attributes:
        witnesses: The file, and others by which the place is known to be back.
        reason: What the system says of the file.
        place: The folder that all of them lie below.
    """

    def __init__(self, witnesses: tuple[Witness, ...], reason: str) -> None:
        self.witnesses = witnesses
        self.reason = reason
        self.place = os.path.commonpath(witness.folder for witness in witnesses)
        super().__init__(
            f"Nothing in {self.place} can be read any more: {reason}.",
            "Once it is back, the same command goes on.",
        )

    def __reduce__(self) -> tuple[type[StorageGoneError], tuple[tuple[Witness, ...], str]]:
        """Return what makes it again in another process."""
        return type(self), (self.witnesses, self.reason)

    @property
    def is_over(self) -> bool:
        """Whether the place is there again."""
        return any(witness.problem() is None for witness in self.witnesses)


@dataclass(frozen=True, slots=True)
class Storage:
    """The places in which files were found: each source, or the part of it that is on one device.

    Of more than 64 sources, those on one device are one place.

    Attributes:
        folders: Of each folder with files in it, what the system knew it by (number of the device,
            and on it), and some files of its place, all of which could be read.
    """

    folders: Mapping[str, tuple[tuple[int, int], tuple[Witness, ...]]]

    @classmethod
    def of(cls, files: Iterable[str], sources: Container[str]) -> Storage:
        """Look at the places of files as they are now.

        Args:
            files: Absolute paths.
            sources: Folders that were named, or that something was named in.
        """
        found: defaultdict[str, list[str]] = defaultdict(list)
        for file in files:
            found[_folder_of(file)].append(file)
        seen = ((folder, _identity(folder)) for folder in found)
        identities = {folder: identity for folder, identity in seen if identity is not None}
        owners = {
            folder: (_source_of(folder, sources), identity[0])
            for folder, identity in identities.items()
        }
        if len(set(owners.values())) > _MAX_PLACES:
            owners = {folder: ("", device) for folder, (_, device) in owners.items()}
        members: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
        for folder, owner in owners.items():
            members[owner] += found[folder]
        samples = _samples(members, identities)
        return cls(
            {folder: (identity, samples[owners[folder]]) for folder, identity in identities.items()}
        )

    def part(self, files: Iterable[PhotoFile]) -> Storage:
        """Return the places of some of the files."""
        wanted = {str(path.parent) for path in map(file_that_holds, files) if path is not None}
        return Storage({folder: self.folders[folder] for folder in wanted & self.folders.keys()})

    def check(self, file: PhotoFile) -> None:
        """Make sure that a file which could not be read is alone in that.

        Of what could not be read from the first, nothing is said.

        Raises:
            StorageGoneError: Nor can others be read that lay in the same place.
        """
        path = file_that_holds(file)
        if path is None or (listed := self.folders.get(str(path.parent))) is None:
            return
        identity, samples = listed
        itself = Witness(str(path), identity)
        error = itself.problem()
        if error is not None and samples and all(each.problem() for each in samples):
            raise StorageGoneError((itself, *samples), reason_of(error)) from error


NOWHERE = Storage({})
"""Of files whose places nobody has looked at."""


def _source_of(folder: str, sources: Container[str]) -> str:
    around = map(str, (PurePath(folder), *PurePath(folder).parents))
    return next((each for each in around if each in sources), folder)


def _samples(
    members: Mapping[tuple[str, int], list[str]], identities: Mapping[str, tuple[int, int]]
) -> dict[tuple[str, int], tuple[Witness, ...]]:
    """Return some files of each place, as far as they can be read."""
    chosen = {owner: _spread(files) for owner, files in members.items()}
    files = [*chain.from_iterable(chosen.values())]
    answers = prefetch(_can_be_read, files, num_threads=_THREADS, ahead=2 * _THREADS)
    readable = set(compress(files, answers))
    return {
        owner: tuple(
            Witness(file, identities[_folder_of(file)]) for file in files if file in readable
        )
        for owner, files in chosen.items()
    }


def _spread(files: list[str]) -> list[str]:
    """Return some of the files from the first to the last: neighbours may be broken together."""
    last, steps = len(files) - 1, _NUM_SAMPLES - 1
    return [files[place] for place in sorted({last * n // steps for n in range(_NUM_SAMPLES)})]


def _can_be_read(file: str) -> bool:
    try:
        read_first_byte(Path(file))
    except OSError:
        return False
    return True


def _folder_of(file: str) -> str:
    return file.rpartition(os.sep)[0] or os.sep


def _identity(folder: str) -> tuple[int, int] | None:
    try:
        status = Path(folder).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino

"""The files of an export, written beside what an earlier one left, and then put in its place.

An export may fail at its last frame: a photo that is gone, a full disk, Ctrl-C. Until then the
folder holds the earlier one, whole. Refused: to move the earlier files away first and back after a
failure, as whoever is killed moves nothing back.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from vitpose_cli.errors import InputError
from vitpose_cli.files import (
    ABANDONED_S,
    TEMPORARY_SUFFIX,
    make_folder,
    remove_left_over,
    temporary_name,
    write_error,
)
from vitpose_cli.own_files import OwnFiles

_NAME = "export"


@contextmanager
def new_files(own: OwnFiles) -> Iterator[NewFiles]:
    """Give the files that are to come into a folder; those not put in place go with the block.

    Args:
        own: The files of the folder that may be replaced.

    Raises:
        InputError: Whatever the block raises, with the names that files were to have.
    """
    folder = own.folder
    remove_left_over(folder / _NAME, least_age_s=ABANDONED_S)  # other machines may export, too
    beside = folder / temporary_name(_NAME, TEMPORARY_SUFFIX)
    shutil.rmtree(beside, ignore_errors=True)  # of a killed process of the same number
    try:
        yield NewFiles(own, beside)
    except InputError as error:
        message = error.message.replace(str(beside), str(folder))
        raise InputError(message, error.hint) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


class NewFiles:
    """Files that appear together, see `new_files`.

    Attributes:
        folder: Where they appear.
    """

    def __init__(self, own: OwnFiles, beside: Path) -> None:
        """Take the folder's own files, and the folder in it where new ones wait."""
        self.folder = own.folder
        self._own = own
        self._beside = beside

    def place(self, path: Path) -> Path:
        """Return where to write what will be at `path`, in a folder that is there.

        Raises:
            InputError: Somebody else's file is at `path`, or the folder cannot be made, or the file
                system takes the name for that of another new file.
        """
        self._own.check_free(path)
        place = self._beside / path.relative_to(self.folder)
        make_folder(place.parent)
        if os.path.lexists(place):
            raise InputError(
                f"Two frames would share the file {path}: this disk takes their names for one.",
                "Rename one of them, or write to a disk that tells upper and lower case apart.",
            )
        return place

    def write(self, path: Path, content: bytes) -> None:
        """Write what will be at `path`.

        Raises:
            InputError: As `place`, or it cannot be written.
        """
        place = self.place(path)
        try:
            place.write_bytes(content)
        except OSError as error:
            raise write_error(path, error) from error

    def put_in_place(
        self, outdated: Mapping[Path, str], begin: Callable[[], object] = lambda: None
    ) -> list[Path]:
        """Let all files appear, once own files of an earlier export are deleted.

        Args:
            outdated: Folders, with the ending of the names of the files in them that are deleted;
                empty for all. What is not in them is replaced where a new file has its name.
            begin: Called when nothing is in the way, before anything changes.

        Returns:
            What lies in these folders besides, sorted; see `OwnFiles.delete`.

        Raises:
            InputError: A file of somebody else is in the way, and nothing has changed; or files
                cannot be deleted or moved.
        """
        names = {  # by folder: of a million files, paths would be a burden
            Path(base).relative_to(self._beside): files
            for base, _, files in os.walk(self._beside, topdown=False)  # pictures, then labels
            if files
        }
        for folder, files in names.items():
            make_folder(self.folder / folder)
            for name in files:
                self._own.check_free(self.folder / folder / name)
        begin()
        others = [
            other
            for folder, ending in outdated.items()
            for other in self._own.delete([folder], ending)
        ]
        for folder, files in names.items():
            make_folder(self.folder / folder)  # deleting may have emptied it
            for name in files:
                path = self.folder / folder / name
                self._own.claim(path)
                try:
                    (self._beside / folder / name).replace(path)
                except OSError as error:
                    raise write_error(path, error) from error
        return others

"""The pictures behind labels that are merged: the same name has to mean the same picture.

Cameras name the photos of every day alike, and labels know no more than names and sizes. Files are
compared only where inputs lie in different folders, so that merging runs of one folder reads none.
"""

from __future__ import annotations

import filecmp
from collections.abc import Sequence
from pathlib import Path

from vitpose_cli.errors import InputError
from vitpose_cli.media.archives import num_bytes, photo_at
from vitpose_cli.media.frames import FrameKey, PhotoFile
from vitpose_cli.record_set import RecordSet
from vitpose_cli.records.media_root import MediaFolders


class MergedPictures:
    """The photos and videos of several inputs, compared name by name."""

    def __init__(self, inputs: Sequence[RecordSet]) -> None:
        """Take the inputs; nothing is looked for before two of them share a frame."""
        self._inputs = inputs
        self._folders: dict[int, MediaFolders | None] = {}
        self._video: str | None = None
        self._compared: set[tuple[int, int]] = set()  # inputs, as far as `_video` goes

    def check(self, key: FrameKey, numbers: Sequence[int]) -> None:
        """Refuse a name by which inputs mean different files; what is not there is passed over.

        Args:
            key: A frame; those of a video come one after the other.
            numbers: The places among the inputs of those that have it.

        Raises:
            InputError: They do.
        """
        if key.video is None or key.video != self._video:
            self._video = key.video
            self._compared.clear()
        first, *others = numbers
        for other in others:
            if (first, other) not in self._compared:
                self._compare(key.media, first, other)
                self._compared.add((first, other))

    def _compare(self, media: str, first: int, other: int) -> None:
        one_folder, other_folder = self._folder(first), self._folder(other)
        if one_folder is None or other_folder is None or one_folder == other_folder:
            return
        one, another = _file_in(one_folder, media), _file_in(other_folder, media)
        if one is not None and another is not None and _differ(one, another):
            raise InputError(
                f"{media} is {one} in {self._inputs[first].name} and {another} in "
                f"{self._inputs[other].name}, and the two files differ: these are different "
                "pictures.",
                "Label them from a common folder, so that their names differ. Where one is a copy "
                "that was saved anew, move the copies away while you merge.",
            )

    def _folder(self, number: int) -> MediaFolders | None:
        if number not in self._folders:
            self._folders[number] = self._inputs[number].found_folders()
        return self._folders[number]


def _file_in(folders: MediaFolders, media: str) -> PhotoFile | None:
    try:
        return photo_at(folders.path(media))
    except InputError:  # a name that leads out of the folder
        return None


def _differ(one: PhotoFile, other: PhotoFile) -> bool:
    """Return whether two files hold different bytes; False where one cannot be read."""
    try:
        if isinstance(one, Path) and isinstance(other, Path):
            return not one.samefile(other) and not filecmp.cmp(one, other, shallow=False)
        return num_bytes(one) != num_bytes(other) or one.read_bytes() != other.read_bytes()
    except (OSError, InputError):
        return False

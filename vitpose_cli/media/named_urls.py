"""The photos that URLs of a command line or a list name: one each, folders, globs and braces.

Folders and globs are listed on their server; a photo is taken without a look at it.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from pathlib import PurePosixPath

from vitpose_cli.errors import InputError
from vitpose_cli.media.archives import ARCHIVE_SUFFIX
from vitpose_cli.media.braces import expand_braces
from vitpose_cli.media.headers import IMAGE_SUFFIXES
from vitpose_cli.media.kinds import (
    VIDEO_SUFFIXES,
    WHAT_IS_READ,
    ending_of,
    is_visible,
    only_kinds,
)
from vitpose_cli.media.remote import is_signed, list_urls, path_of, without_secrets


class NoPhotosError(InputError):
    """A URL names no photo, and no folder with photos."""


class NamedUrls:
    """The photos that some URLs name, added URL by URL. It is false while there are none.

    Attributes:
        photos: Their URLs, each once, in the order in which they were found.
        refused: Why each URL of a list that names no photos does not.
    """

    def __init__(self, ignored: Counter[str]) -> None:
        """Begin with none; what is passed over is counted in `ignored`, by suffix."""
        self.photos: dict[str, None] = {}
        self.refused: dict[str, str] = {}
        self._ignored = ignored
        self._folders: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self.photos or self.refused)

    def common_root(self) -> str:
        """Return the folder that all of them name or lie in, `//HOST/PATH`."""
        return "/" + posixpath.commonpath([f"/{each}" for each in self._folders])

    def add(self, source: str) -> None:
        """Take the photos that a word of the command line names, braces included.

        Raises:
            NoPhotosError: It names none.
            InputError: It cannot be listed.
        """
        for url in expand_braces(source):
            self._add(url)

    def add_listed(self, entry: str) -> None:
        """Take what a line of a list names; one of a million that is no photo ends no run."""
        for url in expand_braces(entry):
            try:
                self._add(url)
            except NoPhotosError as error:
                self.refused[url] = f"{error.message} {error.hint}"

    def _add(self, url: str) -> None:
        """Take a photo at a URL without a look at it, or what lies below a folder there.

        Raises:
            NoPhotosError: It is neither.
            InputError: It cannot be listed.
        """
        shown, path = without_secrets(url), path_of(url)
        suffix = PurePosixPath(path).suffix.lower()
        is_glob = "*" in url
        is_photo = not is_glob and suffix in IMAGE_SUFFIXES
        is_other = suffix in VIDEO_SUFFIXES or suffix == ARCHIVE_SUFFIX
        if is_photo or is_other or is_signed(url):
            self._folders.add(posixpath.dirname(path))
        if is_photo:
            self.photos[url] = None
        elif is_other:
            raise NoPhotosError(
                f"{shown}: videos and archives are not read from URLs.", "Copy it first."
            )
        elif is_signed(url):
            raise NoPhotosError(
                f"{shown}: a query ('?') is of one photo, and no folder's.",
                "Name the photos themselves, in a list of a URL a line: @urls.txt.",
            )
        else:
            whole = url.partition("*")[0].rpartition("/")[0] if is_glob else url
            seen = self._add_below(url, path_of(whole).rstrip("/"))
            if seen is not None and is_glob:
                raise NoPhotosError(
                    f"No photo matches {shown}{only_kinds(seen)}.", "Check the pattern."
                )
            if seen is not None:
                raise NoPhotosError(
                    f"{shown} does not end as a photo does, so that it was looked into like a "
                    f"folder, and there is no photo in it{only_kinds(seen)}.",
                    WHAT_IS_READ,
                )

    def _add_below(self, url: str, folder: str) -> Counter[str] | None:
        """Take the photos below a folder at a URL, or that a glob matches.

        Args:
            url: The folder or glob.
            folder: Host and path of the folder.

        Returns:
            If there are none, what is there, counted by suffix.
        """
        self._folders.add(folder)
        seen = Counter[str]()
        has_photos = False
        for found in list_urls(url):
            path = PurePosixPath(path_of(found))
            parts = path.relative_to(folder).parts if path.is_relative_to(folder) else ("..",)
            if ".." in parts or not all(map(is_visible, parts)):
                continue
            if path.suffix.lower() in IMAGE_SUFFIXES:
                self.photos[found] = None
                has_photos = True
            else:
                seen[f"{ending_of(path.name)} at URLs"] += 1
        self._ignored.update(seen)
        return None if has_photos else seen

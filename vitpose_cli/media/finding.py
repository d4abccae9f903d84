"""Which photos and videos a user names on the command line: once, by name, in a stable order.

Which files the words of a command line stand for is in `named_files`, how frames are read from what
was found in `source`. An archive counts as a folder. The order of the file system was refused, as
it differs between machines that share one run.
"""

from __future__ import annotations

import os
import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vitpose_cli.errors import InputError
from vitpose_cli.files import reason_of
from vitpose_cli.media.archives import ArchiveIndex, Unreadable, read_index
from vitpose_cli.media.frames import PhotoFile, prefetch
from vitpose_cli.media.headers import IMAGE_SUFFIXES
from vitpose_cli.media.kinds import ending_of, is_archive, is_video, is_visible
from vitpose_cli.media.listed import examples
from vitpose_cli.media.named_files import NamedFiles, find_named
from vitpose_cli.media.order import natural_order
from vitpose_cli.media.remote import RemoteFile, path_of, without_secrets
from vitpose_cli.media.storage import NOWHERE, Storage

_INDEXING_THREADS = 8  # on a network share, each header is a journey
_NO_TEXT = "Its name is not UTF-8 text, so that no label file can hold it; rename the file."
_BACKSLASH = (
    "Its name has a backslash, which other programs and systems take for the end of a folder's "
    "name, so that they do not find the photo by its labels; rename the file."
)


class FoundFiles(Mapping[str, PhotoFile]):
    """Files by their media names, in order.

    Those on the disk become paths when they are asked for: a million paths take 0.4 GB.
    """

    def __init__(self, places: Mapping[str, PhotoFile | str]) -> None:
        """Take files, or where they lie on the disk."""
        self._places = places

    def __getitem__(self, media: str) -> PhotoFile:
        place = self._places[media]
        return Path(place) if isinstance(place, str) else place

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def is_video(self, media: str) -> bool:
        """Return whether a file is taken for a video; see `kinds.is_video`."""
        return is_video(self._places[media])

    def problems(self) -> list[str]:
        """Return what is wrong with files of which that is known already."""
        return [file.error for file in self._places.values() if isinstance(file, Unreadable)]

    def only(self, names: Iterable[str]) -> FoundFiles:
        """Return some of the files, in the order of `names`."""
        return FoundFiles({media: self._places[media] for media in names})


@dataclass(frozen=True, slots=True)
class FoundMedia:
    """The photos and videos that were found.

    Attributes:
        root: The folder that all of them lie below; of URLs their path, as `//PATH`.
        files: Each file by its path below `root` with forward slashes, which is its media name;
            photos before videos, each in natural order: `img9` comes before `img10`. Photos of an
            archive lie below it, in their own order; something wrong with it has its own name, and
            so has a photo whose name is no text or has a backslash.
        ignored: How many files of each suffix, in lower case, lay among them but are neither.
        storage: The places of the files.
    """

    root: Path
    files: FoundFiles
    ignored: Mapping[str, int]
    storage: Storage = NOWHERE


def find_media(sources: Sequence[str], roots: Sequence[Path] = ()) -> FoundMedia:
    """Find all photos and videos that `sources` name.

    A source is a folder (searched with everything below it), a file, a glob (`**` included), names
    with braces (`shard-{0000..0099}.tar`), or `@list.txt` with one path a line, relative to the
    list (see `listed`). A file that is named twice is taken once.
    Any of these may be at a URL instead: a folder, a photo, a glob with `*`, lines of a list. A
    line that names no photo there is a failure of its own.
    In folders, archives and globs, hidden files and the folders of runs are passed over; in folders
    and globs also what an export wrote in a folder below, and pictures and videos that were drawn,
    as far as their names say that they may have been: opening all files would take too long.

    Args:
        sources: As the user wrote them.
        roots: What names may have been relative to before: the first of them that all sources lie
            below is taken again, so that nothing gets another name.

    Raises:
        InputError: A source is missing or unreadable, is a run folder or one of its drawn copies,
            photos at URLs would have the same name, or there is no photo or video at all.
    """
    named = find_named(sources)
    common = named.common_root()
    root = next((str(root) for root in roots if Path(common).is_relative_to(root)), common)
    found = _at_urls(named, root) if named.urls else _in_folders(named, root)
    problems = found.files.problems()
    if len(problems) == len(found.files):
        raise named.nothing(sources, problems)
    return found


def _in_folders(named: NamedFiles, root: str) -> FoundMedia:
    """Return the photos and videos in files, all below `root`."""
    below = len(root.rstrip(os.sep)) + 1
    paths: dict[str, str] = {}
    refused: dict[str, str] = {}
    for path in named.files:
        name = path[below:].replace(os.sep, "/")
        paths[_media_name(name)] = path
        if reason := _why_refused(name):
            refused[_media_name(name)] = reason

    def in_order(media: str) -> tuple[bool, object]:
        return is_video(paths[media]), natural_order(media)

    ordered = sorted(paths, key=in_order)
    archives = filter(is_archive, (paths[media] for media in ordered if media not in refused))
    indices = prefetch(
        _index, map(Path, archives), num_threads=_INDEXING_THREADS, ahead=2 * _INDEXING_THREADS
    )
    files: dict[str, PhotoFile | str] = {}
    for media in ordered:
        place = paths[media]
        if media in refused:
            files[media] = Unreadable(place, refused[media])
        elif is_archive(place):
            files |= _photos_in(Path(place), media, next(indices), named.ignored)
        else:
            files[media] = place
    return FoundMedia(Path(root), FoundFiles(files), named.ignored, named.storage())


def find_media_root(sources: Sequence[str]) -> Path:
    """Return the root that `find_media` gives, without a look into archives.

    Raises:
        InputError: A source is missing or unreadable, or there is nothing at all.
    """
    return Path(find_named(sources).common_root())


def _at_urls(named: NamedFiles, root: str) -> FoundMedia:
    """Return the photos at URLs, all below `root`."""
    urls = {**named.urls.photos, **named.urls.refused}

    def name(url: str) -> str:
        place = f"//{path_of(url)}".rstrip("/")
        below = posixpath.relpath(place, root)
        return _media_name(posixpath.basename(place) if below == "." else below)

    def file(media: str) -> PhotoFile:
        remote = RemoteFile(files[media])
        reason = named.urls.refused.get(remote.url) or (_BACKSLASH if "\\" in media else None)
        return remote if reason is None else Unreadable(str(remote), reason)

    files = {name(url): url for url in urls}
    if len(files) < len(urls):
        media, count = Counter(map(name, urls)).most_common(1)[0]
        alike = [*dict.fromkeys(without_secrets(url) for url in urls if name(url) == media)]
        raise InputError(
            f"{count} URLs would all be called {media} ({examples(alike)}): names have neither "
            "protocol nor query (what follows the '?'), as a query that signs a URL changes, and "
            "`%2F`, `//` and `..` are what they stand for.",
            "Name each photo by one URL; copy photos whose URLs differ in such things to files.",
        )
    ordered = sorted(files, key=natural_order)
    photos = FoundFiles({media: file(media) for media in ordered})
    return FoundMedia(Path(root), photos, named.ignored)


def _index(path: Path) -> ArchiveIndex:
    """Return the index of an archive, of which nothing but a problem may be known."""
    try:
        return read_index(path)
    except OSError as error:
        return ArchiveIndex(problems=[f"The archive cannot be read: {reason_of(error)}."])


def _photos_in(
    path: Path, media: str, index: ArchiveIndex, ignored: Counter[str]
) -> dict[str, PhotoFile]:
    """Return the photos of an archive by their media names; what else is in it is counted."""
    photos: dict[str, PhotoFile] = {}
    for name, member in index.members.items():
        if not all(map(is_visible, name.split("/"))):
            continue
        if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES:
            reason = _why_refused(name)
            file = member if reason is None else Unreadable(str(path), reason)
            photos[f"{media}/{_media_name(name)}"] = file
        else:
            ignored[f"{ending_of(name)} in archives"] += 1
    if index.problems:
        photos[media] = Unreadable(str(path), " ".join(index.problems))
    return photos


def _media_name(name: str) -> str:
    """Return a path as a media name: always text that JSON can hold."""
    return name if name.isascii() else name.encode("utf-8", "backslashreplace").decode()


def _why_refused(name: str) -> str | None:
    """Return why others would not find a file by a label file with its name; None if they would."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return _NO_TEXT
    return _BACKSLASH if "\\" in name else None

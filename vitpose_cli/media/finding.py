"""Which photos and videos a user names on the command line.

Folders, photos, videos, globs and list files are looked at once, here; how frames are read from
what was found is in `source`. Photos are told from videos by their suffix, as opening each
of a million files to look would take longer than labelling some of them; only a WebP can be
either. An archive counts as a folder. `glob.glob` was refused, as it finds hidden files and runs,
too, and so was the order of the file system, which differs between machines that share one run.
"""

from __future__ import annotations

import errno
import os
import posixpath
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from vitpose_cli.errors import InputError
from vitpose_cli.media.archives import (
    ARCHIVE_SUFFIX,
    PACKED_ARCHIVES,
    UNPACK,
    ArchiveIndex,
    Unreadable,
    read_index,
)
from vitpose_cli.media.braces import expand_braces, has_braces
from vitpose_cli.media.frames import (
    PhotoFile,
    prefetch,
)
from vitpose_cli.media.headers import ANIMATION_BYTES, is_animated_webp
from vitpose_cli.media.images import IMAGE_SUFFIXES
from vitpose_cli.media.marks import PREVIEW, RUN_SUFFIX
from vitpose_cli.media.reading import read_start
from vitpose_cli.media.remote import RemoteFile, is_url, list_urls, path_of

if TYPE_CHECKING:
    pass

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts"}
    | {".wmv", ".flv", ".3gp", ".ogv", ".vob", ".mxf", ".dv", ".gif"}
)
"""Suffixes, in lower case, by which videos are found in a folder. Of WebP, only animations are."""

_GLOB_SIGNS = re.compile(r"[*?\[]")
_WHAT_IS_READ = (
    f"Photos end in {' '.join(sorted(IMAGE_SUFFIXES))}, archives of photos in {ARCHIVE_SUFFIX}; "
    f"videos in {' '.join(sorted(VIDEO_SUFFIXES))}."
)
_WHAT_RUNS_DO = (
    "Give the photos or videos themselves. What takes runs: `vitpose review RUN`, "
    "`vitpose select RUN`, `vitpose render SOURCE -a RUN`."
)
_INDEXING_THREADS = 8  # on a network share, each header is a journey
_DIGITS = re.compile(r"([0-9]+)")


@dataclass(frozen=True, slots=True)
class FoundMedia:
    """The photos and videos that were found.

    Attributes:
        root: The folder that all of them lie below; of URLs no more than its name.
        files: Each file by its path below `root` with forward slashes, which is its media name;
            photos before videos, each in natural order: `img9` comes before `img10`. Photos of an
            archive lie below it, in their own order; something wrong with it has its own name.
        ignored: How many files of each suffix, in lower case, lay among them but are neither.
    """

    root: Path
    files: Mapping[str, PhotoFile]
    ignored: Mapping[str, int]


def find_media(sources: Sequence[str]) -> FoundMedia:
    """Find all photos and videos that `sources` name.

    A source is a folder (searched with everything below it), a file, a glob (`**` included), names
    with braces (`shard-{0000..0099}.tar`), or `@list.txt` with one path a line, relative to the
    list, and comments after `#` at the start of a line. A file that is named twice is taken once.
    Any of these may be at a URL instead: a folder, a photo, a glob with `*`, lines of a list.
    In folders, archives and globs, hidden files and the folders of runs are passed over.

    Raises:
        InputError: A source is missing or unreadable, is a run folder or one of its drawn copies,
            or there is no photo or video at all.
    """
    finder = _find(sources)
    if finder.urls:
        return _at_urls(finder.urls, finder.ignored)
    root = finder.common_root()
    below = len(root.rstrip(os.sep)) + 1
    paths = {_media_name(path[below:]): Path(path) for path in finder.roots}

    def in_order(media: str) -> tuple[bool, object]:
        return is_video(paths[media]), _natural_order(media)

    ordered = sorted(paths, key=in_order)
    archives = filter(_is_archive, (paths[media] for media in ordered))
    indices = prefetch(_index, archives, num_threads=_INDEXING_THREADS, ahead=2 * _INDEXING_THREADS)
    files: dict[str, PhotoFile] = {}
    for media in ordered:
        path = paths[media]
        if _is_archive(path):
            files |= _photos_in(path, media, next(indices), finder.ignored)
        else:
            files[media] = path
    problems = [file.error for file in files.values() if isinstance(file, Unreadable)]
    if len(problems) == len(files):
        raise finder.nothing(sources, problems)
    return FoundMedia(Path(root), files, finder.ignored)


def find_media_root(sources: Sequence[str]) -> Path:
    """Return the root that `find_media` gives, without a look into archives.

    Raises:
        InputError: A source is missing or unreadable, or there is nothing at all.
    """
    return Path(_find(sources).common_root())


def _find(sources: Sequence[str]) -> _Finder:
    """Collect the files that `sources` name.

    Raises:
        InputError: A source is missing or unreadable, or there is nothing at all.
    """
    finder = _Finder()
    for source in sources:
        try:
            finder.add(source)
        except OSError as error:
            where = error.filename or source
            raise InputError(f"{where} cannot be read: {error.strerror}.") from error
    if not finder.roots and not finder.urls:
        raise finder.nothing(sources)
    if finder.roots and finder.urls:
        raise InputError(
            "Some sources are files and some are URLs.", "Label them in two runs; `merge` joins."
        )
    return finder


def _at_urls(urls: Mapping[str, str], ignored: Mapping[str, int]) -> FoundMedia:
    """Return the photos at URLs, of which each folder is known."""
    try:
        root = posixpath.commonpath({path_of(folder) for folder in urls.values()})
    except ValueError:
        root = ""
    files = {_media_name(posixpath.relpath(path_of(url), root or ".")): url for url in urls}
    ordered = sorted(files, key=_natural_order)
    return FoundMedia(Path(root), {media: RemoteFile(files[media]) for media in ordered}, ignored)


class _Finder:
    """Collects files from sources.

    Attributes:
        roots: By the absolute path of each file, the folder its name is to be relative to.
        urls: The same of photos at URLs.
        ignored: How many files of each suffix were passed over.
    """

    def __init__(self) -> None:
        self.roots: dict[str, str] = {}
        self.urls: dict[str, str] = {}
        self.ignored: Counter[str] = Counter()

    def common_root(self) -> str:
        """Return the folder that all files lie below.

        Raises:
            InputError: They have none.
        """
        try:
            return os.path.commonpath(set(self.roots.values()))
        except ValueError as error:
            raise InputError(
                "The sources lie on different drives.", "Label each drive in a run of its own."
            ) from error

    def nothing(self, sources: Sequence[str], problems: Sequence[str] = ()) -> InputError:
        """Return the error that says that there is nothing to label."""
        seen = ", ".join(f"{count} {suffix}" for suffix, count in self.ignored.most_common(5))
        where = ", ".join(sources) or "an empty list of sources"
        only = f" (only: {seen})" if seen else ""
        return InputError(
            " ".join([f"There is no photo or video in {where}{only}.", *problems[:3]]),
            _WHAT_IS_READ,
        )

    def add(self, source: str) -> None:
        """Take what one word of the command line names."""
        path = Path(source)
        if is_url(source):
            for url in expand_braces(source):
                self._add_url(url)
        elif source.startswith("@"):
            self._add_list(Path(source[1:]))
        elif source and is_there(path) and path.is_dir():
            folder = path.resolve()
            _check_no_run(folder)
            self._add_folder(folder)
        elif source and is_there(path):
            parent = path.parent.resolve()
            self._add_named(parent / path.name, parent)
        elif has_braces(source):
            self._add_numbered(source)
        elif _GLOB_SIGNS.search(source):
            self._add_glob(path)
        else:
            raise InputError(
                f"There is no file or folder {source!r}.", "Check its spelling; quote spaces."
            )

    def _add_named(self, path: Path, root: Path) -> None:
        """Take a file that the user named; it must be one we read."""
        _check_not_drawn(path)
        if not self._add_file(path, root):
            if _packed_suffix(path.name):
                raise InputError(f"{path} is a compressed archive.", UNPACK)
            raise InputError(
                f"{path} is neither a photo nor a video, by its suffix.",
                _WHAT_IS_READ,
            )

    def _add_file(self, path: Path, root: Path) -> bool:
        """Take a file if it holds photos or a video; whoever names it first gives the root."""
        suffix = path.suffix.lower()
        if suffix in IMAGE_SUFFIXES or suffix in VIDEO_SUFFIXES or suffix == ARCHIVE_SUFFIX:
            self.roots.setdefault(str(path), str(root))
            return True
        self.ignored[_packed_suffix(path.name) or suffix or "without suffix"] += 1
        return False

    def _add_url(self, url: str) -> None:
        """Take a photo at a URL without a look at it, or what lies below a folder there."""
        suffix = PurePosixPath(path_of(url)).suffix.lower()
        if "*" not in url and suffix in IMAGE_SUFFIXES:
            self.urls.setdefault(url, posixpath.dirname(url))
            return
        if suffix in VIDEO_SUFFIXES or suffix == ARCHIVE_SUFFIX:
            raise InputError(
                f"{url}: videos and archives are not read from URLs.", "Copy it first."
            )
        folder = url.partition("*")[0].rpartition("/")[0] if "*" in url else url.rstrip("/")
        for found in list_urls(url):
            path = PurePosixPath(path_of(found))
            parts = path.relative_to(path_of(folder)).parts if _is_below(found, folder) else ("..",)
            if ".." in parts or not all(map(_is_visible, parts)):
                continue
            if path.suffix.lower() in IMAGE_SUFFIXES:
                self.urls.setdefault(found, folder)
            else:
                self.ignored[f"{path.suffix.lower() or 'without suffix'} at URLs"] += 1

    def _add_numbered(self, source: str) -> None:
        """Take all that a name with braces stands for; globs among them may match nothing."""
        names = list(expand_braces(source))
        missing = [
            name for name in names if not _GLOB_SIGNS.search(name) and not Path(name).exists()
        ]
        if missing:
            raise InputError(
                f"{len(missing)} of the {len(names)} files that {source!r} stands for do not "
                f"exist: {_examples(missing)}.",
                "Check the numbers.",
            )
        for name in names:
            self.add(name)

    def _add_folder(self, folder: Path, root: Path | None = None) -> None:
        """Take all below `folder`; links to folders are followed, but never in a circle."""
        visited = set()
        for base, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
            here = Path(base)
            status = here.stat()
            identity = (status.st_dev, status.st_ino)
            if identity in visited or (here != folder and _is_run(names)):
                folders.clear()
                continue
            visited.add(identity)
            # In order, as of two links to one folder only the first is followed.
            folders[:] = sorted(name for name in folders if _is_visible(name))
            for name in names:
                if _is_visible(name):
                    self._add_file(here / name, root or folder)

    def _add_glob(self, pattern: Path) -> None:
        """Take all files and folders that match; names relative to the part without signs."""
        signs = [bool(_GLOB_SIGNS.search(part)) for part in pattern.parts]
        first = signs.index(True)
        base = Path(*pattern.parts[:first]).resolve()
        _check_no_run(base)
        try:
            matches = sorted(base.glob(str(Path(*pattern.parts[first:]))))
        except ValueError as error:
            raise InputError(f"The glob {str(pattern)!r} cannot be read: {error}.") from error
        runs: dict[Path, bool] = {}
        for match in matches:
            parts = match.relative_to(base).parts
            if not all(map(_is_visible, parts)) or _is_in_run(match, len(parts), runs):
                continue
            if match.is_dir():
                self._add_folder(match, base)
            else:
                self._add_file(match, base)
        if not matches:
            raise InputError(f"Nothing matches {str(pattern)!r}.", "Check the pattern.")

    def _add_list(self, path: Path) -> None:
        """Take the paths in a list file, relative to the list's folder where they lie below it."""
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise InputError(f"The list {path} is not UTF-8 text.") from error
        root = path.parent.resolve()
        named = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        for url in filter(is_url, named):
            self.add(url)
        named = [name for name in named if not is_url(name)]
        entries = [Path(os.path.normpath(root / name)) for name in named]
        missing = [name for name, entry in zip(named, entries, strict=True) if not entry.exists()]
        if missing:
            raise InputError(
                f"{len(missing)} of {len(named)} paths in {path} do not exist: "
                f"{_examples(missing)}.",
                "Paths in a list are relative to the folder of the list.",
            )
        for entry in entries:
            is_folder = entry.is_dir()
            own_root = entry if is_folder else entry.parent
            entry_root = root if entry.is_relative_to(root) else own_root
            if is_folder:
                _check_no_run(entry)
                self._add_folder(entry, entry_root)
            else:
                self._add_named(entry, entry_root)


def where_found(path: Path, sources: Sequence[str]) -> str | None:
    """Return which of some sources is a folder in which what is at `path` would be found."""
    place = path.resolve()
    for source in sources:
        folder = Path(source).resolve()
        if not (is_there(folder) and folder.is_dir() and place.is_relative_to(folder)):
            continue
        if all(map(_is_visible, place.relative_to(folder).parts)):
            return source
    return None


def is_there(path: Path) -> bool:
    """Return whether a file or folder has this name; a pattern may be too long for one.

    Raises:
        OSError: Nobody may look there.
    """
    try:
        return path.exists()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return False


def is_video(file: PhotoFile) -> bool:
    """Return whether a file is taken for a video, an animation included; none in an archive is."""
    if not isinstance(file, Path):
        return False
    suffix = file.suffix.lower()
    if suffix != ".webp":
        return suffix in VIDEO_SUFFIXES
    try:
        return is_animated_webp(read_start(file, ANIMATION_BYTES))
    except OSError:
        return False  # said when its turn comes


def _is_below(url: str, folder: str) -> bool:
    return PurePosixPath(path_of(url)).is_relative_to(path_of(folder))


def _is_archive(path: Path) -> bool:
    return path.suffix.lower() == ARCHIVE_SUFFIX


def _packed_suffix(name: str) -> str:
    """Return the ending by which a file is known for a compressed archive; empty for others."""
    return next((ending for ending in PACKED_ARCHIVES if name.lower().endswith(ending)), "")


def _index(path: Path) -> ArchiveIndex:
    """Return the index of an archive, of which nothing but a problem may be known."""
    try:
        return read_index(path)
    except OSError as error:
        return ArchiveIndex(problems=[f"The archive cannot be read: {error.strerror}."])


def _photos_in(
    path: Path, media: str, index: ArchiveIndex, ignored: Counter[str]
) -> dict[str, PhotoFile]:
    """Return the photos of an archive by their media names; what else is in it is counted."""
    photos: dict[str, PhotoFile] = {}
    for name, member in index.members.items():
        suffix = PurePosixPath(name).suffix.lower()
        if not all(map(_is_visible, name.split("/"))):
            continue
        if suffix in IMAGE_SUFFIXES:
            photos[f"{media}/{name}"] = member
        else:
            ignored[f"{suffix or 'without suffix'} in archives"] += 1
    if index.problems:
        photos[media] = Unreadable(path, " ".join(index.problems))
    return photos


def _examples(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", …" if names[3:] else "")


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and not name.endswith(RUN_SUFFIX)


def _is_run(names: Sequence[str]) -> bool:
    """Tell a run's folder, whatever it is called, by its manifest and journals."""
    return "manifest.json" in names and any(
        name.startswith("journal-") and name.endswith(".jsonl") for name in names
    )


def _check_no_run(folder: Path) -> None:
    """Refuse a run's folder where its sources are meant, and the folder of its drawn copies.

    Raises:
        InputError: It is one.
    """
    if _is_run_folder(folder):
        raise InputError(
            f"{folder} is a run folder: it holds labels, not what is to be labelled.", _WHAT_RUNS_DO
        )
    _check_not_drawn(folder)


def _check_not_drawn(path: Path) -> None:
    """Refuse what lies among the drawn copies of a run.

    Raises:
        InputError: It does.
    """
    for folder in (path, *path.parents) if PREVIEW in path.parts else ():
        if folder.name == PREVIEW and _is_run_folder(folder.parent):
            raise InputError(
                f"{path} is of the drawn copies in the run folder {folder.parent}.", _WHAT_RUNS_DO
            )


def _is_run_folder(path: Path) -> bool:
    return (path / "manifest.json").is_file() and any(path.glob("journal-*.jsonl"))


def _is_in_run(path: Path, depth: int, known: dict[Path, bool]) -> bool:
    """Tell whether a path, or one of the `depth` - 1 folders above it, is a run's folder."""
    for folder in (path, *path.parents)[:depth]:
        if folder not in known:
            known[folder] = _is_run_folder(folder)
        if known[folder]:
            return True
    return False


def _raise(error: OSError) -> None:
    raise error


def _media_name(below_root: str) -> str:
    """Return a path as a media name: forward slashes, and always text that JSON can hold."""
    name = below_root.replace(os.sep, "/")
    return name if name.isascii() else name.encode("utf-8", "backslashreplace").decode()


def _natural_order(media: str) -> tuple[list[list[str | int]], str]:
    """Return what to sort by: folder by folder, numbers by their value, then letter by letter."""
    parts = [
        [int(piece) if place % 2 else piece for place, piece in enumerate(_DIGITS.split(part))]
        for part in media.split("/")
    ]
    return parts, media

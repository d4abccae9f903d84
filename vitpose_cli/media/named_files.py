"""The files that the words of a command line name: folders, files, globs, lists, braces and URLs.

A folder is searched, but no file is opened: what is in archives, and the names and order that
photos and videos get, are in `finding`. `glob.glob` was refused, as it finds hidden files and runs,
too.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from vitpose_cli.errors import InputError
from vitpose_cli.files import reason_of
from vitpose_cli.media.archives import UNPACK
from vitpose_cli.media.braces import expand_braces, has_braces
from vitpose_cli.media.kinds import (
    DRAWN,
    LISTED,
    WHAT_IS_READ,
    ending_of,
    is_drawn,
    is_in_run,
    is_read,
    is_run,
    is_run_folder,
    is_visible,
    only_kinds,
    packed_suffix,
)
from vitpose_cli.media.listed import examples, read_list
from vitpose_cli.media.marks import PREVIEW, is_named_as_drawn
from vitpose_cli.media.named_urls import NamedUrls
from vitpose_cli.media.places import GLOB_SIGNS, is_there, split_glob
from vitpose_cli.media.remote import is_url, without_secrets
from vitpose_cli.media.storage import Storage
from vitpose_cli.own_files import FRAME_LISTS, LIST_NAME, listed_in

_WHAT_RUNS_DO = (
    "Give the photos or videos themselves. What takes runs: `vitpose review RUN`, "
    "`vitpose select RUN`, `vitpose render SOURCE -a RUN`."
)


def find_named(sources: Sequence[str]) -> NamedFiles:
    """Return the files that `sources` name, as `finding.find_media` describes them.

    Raises:
        InputError: A source is missing or unreadable, or there is nothing at all.
    """
    named = NamedFiles()
    where = ""
    try:
        for where in sources:
            named.add(where)
        named.follow_links()
    except OSError as error:
        where = error.filename or where
        raise InputError(f"{where} cannot be read: {reason_of(error)}.") from error
    if not named.files and not named.urls:
        raise named.nothing(sources)
    if named.files and named.urls:
        raise InputError(
            "Some sources are files and some are URLs.", "Label them in two runs; `merge` joins."
        )
    return named


class NamedFiles:
    """The files that some sources name, added source by source.

    Attributes:
        files: Their absolute paths, each once, in the order in which they were found.
        urls: What those of the sources name that are URLs.
        ignored: How many files of each suffix, or made by this program, were passed over.
    """

    def __init__(self) -> None:
        self.files: dict[str, None] = {}
        self.ignored: Counter[str] = Counter()
        self.urls = NamedUrls(self.ignored)
        self._own: set[str] = set()
        self._walked: set[tuple[int, int]] = set()  # folders, by device and number
        self._behind_links: list[tuple[Path, Path, bool]] = []
        self._linked: set[str] = set()  # where files that were found there really lie
        self._folders: set[str] = set()

    def common_root(self) -> str:
        """Return the folder that all sources name or lie in: `//PATH` at URLs.

        It does not depend on the files that are in them now, but where a list names files outside
        of its own folder: these are taken for themselves.

        Raises:
            InputError: They have none.
        """
        if self.urls:
            return self.urls.common_root()
        try:
            return os.path.commonpath(self._folders)
        except ValueError as error:
            raise InputError(
                "The sources lie on different drives.", "Label each drive in a run of its own."
            ) from error

    def storage(self) -> Storage:
        """Return the places of the files, as they are now."""
        return Storage.of(self.files, self._folders)

    def nothing(self, sources: Sequence[str], problems: Sequence[str] = ()) -> InputError:
        """Return the error that says that there is nothing to label."""
        where = ", ".join(map(without_secrets, sources)) or "an empty list of sources"
        said = f"There is no photo or video in {where}{only_kinds(self.ignored)}."
        return InputError(" ".join([said, *problems[:3]]), WHAT_IS_READ)

    def add(self, source: str) -> None:
        """Take what one word of the command line names."""
        path = Path(source)
        if is_url(source):
            self.urls.add(source)
        elif source.startswith("@"):
            self._add_list(Path(source[1:]))
        elif source and is_there(path) and path.is_dir():
            folder = path.resolve()
            _check_no_run(folder)
            self._folders.add(str(folder))
            self._add_folder(folder)
        elif source and is_there(path):
            parent = path.parent.resolve()
            self._folders.add(str(parent))
            self._add_named(parent / path.name)
        elif has_braces(source):
            self._add_numbered(source)
        elif GLOB_SIGNS.search(source):
            self._add_glob(path)
        else:
            raise InputError(
                f"There is no file or folder {source!r}.", "Check its spelling; quote spaces."
            )

    def _add_named(self, path: Path) -> None:
        """Take a file that the user named; it must be one we read."""
        _check_not_drawn(path)
        if not self._add_file(path):
            if packed_suffix(path.name):
                raise InputError(f"{path} is a compressed archive.", UNPACK)
            raise InputError(f"{path} is neither a photo nor a video, by its suffix.", WHAT_IS_READ)

    def _add_file(self, path: Path) -> bool:
        """Take a file if it holds photos or a video."""
        if is_read(path):
            self.files[str(path)] = None
            return True
        self.ignored[ending_of(path.name)] += 1
        return False

    def _add_found(self, path: Path, drawn: bool) -> None:
        """Take a file that nobody named, unless this program made it.

        Args:
            path: The file.
            drawn: Whether a folder on the way is named as what is drawn is.
        """
        if str(path) in self._own:
            if is_read(path):
                self.ignored[LISTED] += 1
        elif (drawn or is_named_as_drawn(path.name)) and is_read(path) and is_drawn(path):
            self.ignored[DRAWN] += 1
        else:
            self._add_file(path)

    def _learn_own(self, folder: Path) -> None:
        """Remember what this program wrote into a folder that nobody named."""
        self._own.update(str(folder / name) for name in listed_in(folder))

    def _add_numbered(self, source: str) -> None:
        """Take all that a name with braces stands for; globs among them may match nothing."""
        names = list(expand_braces(source))
        missing = [
            name for name in names if not GLOB_SIGNS.search(name) and not Path(name).exists()
        ]
        if missing:
            raise InputError(
                f"{len(missing)} of the {len(names)} files that {source!r} stands for do not "
                f"exist: {examples(missing)}.",
                "Check the numbers.",
            )
        for name in names:
            self.add(name)

    def _add_folder(self, folder: Path, drawn: bool = False) -> None:
        """Take all below `folder`, an absolute path; what links lead to comes with `follow_links`.

        Args:
            folder: The folder.
            drawn: Whether nobody named the folder, and its name is that of what is drawn.
        """
        if folder.resolve() == folder:
            self._walk(folder, folder, drawn)
        else:
            self._behind_links.append((folder, folder, drawn))

    def follow_links(self) -> None:
        """Take what was found behind links and is not among the rest, each but once.

        Last, so that a file keeps its own name whatever link to it is made later; of two links to
        one folder the first counts, of those that as few links lead to.
        """
        while self._behind_links:
            found, self._behind_links = sorted(self._behind_links), []
            for path, top, drawn in found:
                if path.is_dir():
                    self._walk(path, top, drawn, is_linked=True)
                else:
                    self._add_behind_link(path, path.parent.resolve(), drawn)

    def _walk(self, start: Path, top: Path, drawn: bool, *, is_linked: bool = False) -> None:
        """Take all below `start`, itself below `top`, which somebody named, or that very folder."""
        for base, folders, names in os.walk(start, onerror=_raise):
            here = Path(base)
            status = here.stat()
            identity = (status.st_dev, status.st_ino)
            is_known = is_linked and identity in self._walked
            if is_known or (here != top and is_run(names)):
                folders.clear()
                continue
            self._walked.add(identity)
            if here != top and (LIST_NAME in names or FRAME_LISTS in folders):
                self._learn_own(here)
            folders[:] = filter(is_visible, folders)
            links = [here / name for name in folders if (here / name).is_symlink()]
            self._behind_links += [(link, top, drawn) for link in links]
            drawn_here = drawn or any(map(is_named_as_drawn, here.relative_to(top).parts))
            real = here.resolve() if is_linked else here
            for name in filter(is_visible, names):
                if is_linked:
                    self._add_behind_link(here / name, real, drawn_here)
                else:
                    self._add_found(here / name, drawn_here)

    def _add_behind_link(self, path: Path, folder: Path, drawn: bool) -> None:
        """Take a file that nobody named, whose folder is really `folder`, if it is a new one."""
        real = str(folder / path.name)
        if real not in self.files and real not in self._linked:
            self._linked.add(real)
            self._add_found(path, drawn)

    def _add_glob(self, pattern: Path) -> None:
        """Take all files and folders that match; names relative to the part without signs."""
        above, rest = split_glob(pattern)
        base = above.resolve()
        _check_no_run(base)
        self._folders.add(str(base))
        try:
            matches = sorted(base.glob(str(rest)))
        except ValueError as error:
            raise InputError(f"The glob {str(pattern)!r} cannot be read: {error}.") from error
        runs: dict[Path, bool] = {}
        is_linked = cache(lambda folder: folder.resolve() != folder)
        places = {match.parent for match in matches}
        for folder in {each for place in places for each in (place, *place.parents)}:
            if folder != base and folder.is_relative_to(base):
                self._learn_own(folder)
        for match in matches:
            parts = match.relative_to(base).parts
            if not all(map(is_visible, parts)) or is_in_run(match, len(parts), runs):
                continue
            if match.is_dir():
                if match != base:
                    self._learn_own(match)
                self._add_folder(match, any(map(is_named_as_drawn, parts)))
                continue
            drawn = any(map(is_named_as_drawn, parts[:-1]))
            if is_linked(match.parent):
                self._behind_links.append((match, match, drawn))
            else:
                self._add_found(match, drawn)
        if not matches:
            raise InputError(f"Nothing matches {str(pattern)!r}.", "Check the pattern.")

    def _add_list(self, path: Path) -> None:
        """Take the paths in a list file, relative to the list's folder where they lie below it."""
        root = path.parent.resolve()
        for entry in read_list(path):
            if is_url(entry):
                self.urls.add_listed(entry)
                continue
            place = Path(entry)
            is_missing = not is_there(place)
            is_folder = not is_missing and place.is_dir()
            own = place if is_folder else place.parent
            self._folders.add(str(root if place.is_relative_to(root) else own))
            if is_folder:
                _check_no_run(place)
                self._add_folder(place)
            elif is_missing:
                self.files[str(place)] = None  # said when its turn comes
            else:
                self._add_named(place)


def where_found(path: Path, sources: Sequence[str]) -> str | None:
    """Return in which of some sources a search would find what is at `path`, or below it.

    In sources that are missing or unreadable nothing is found.
    """
    place = path.resolve()
    for source in sources:
        folder = Path(source).resolve()
        if is_url(source) or (folder.is_dir() and not place.is_relative_to(folder)):
            continue  # nor is a folder searched, of a million photos perhaps, to no end
        try:
            files = find_named([source]).files
        except InputError:
            continue
        if any(Path(file).is_relative_to(place) for file in files):
            return source
    return None


def _check_no_run(folder: Path) -> None:
    """Refuse a run's folder where its sources are meant, and the folder of its drawn copies.

    Raises:
        InputError: It is one.
    """
    if is_run_folder(folder):
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
        if folder.name == PREVIEW and is_run_folder(folder.parent):
            raise InputError(
                f"{path} is of the drawn copies in the run folder {folder.parent}.", _WHAT_RUNS_DO
            )


def _raise(error: OSError) -> None:
    raise error

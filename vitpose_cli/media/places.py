"""Where the words of a command line point to by themselves, whatever lies there now."""

from __future__ import annotations

import errno
import re
from pathlib import Path

from vitpose_cli.media.braces import expand_braces, has_braces
from vitpose_cli.media.kinds import is_read

GLOB_SIGNS = re.compile(r"[*?\[]")
"""What makes a pattern of a name that no file has."""


def based(source: str, base: Path) -> str:
    """Return a source whose path, or that of its list, is relative to `base` if to anything."""
    sign = "@" * source.startswith("@")
    return sign + str(base / source[len(sign) :])


def without_dots(path: Path) -> Path:
    """Return the same place without `..`, which a path needs no more than `.` where no link is.

    What is behind a link lies beside what the link points to, so that this is where `link/..` is
    taken to. In a pattern, and before anything else in a relative path, `..` stays.
    """
    place = Path()
    for part in path.parts:
        is_start = place.name in ("", "..") and not place.root
        if part != ".." or is_start or _is_pattern(place.name):
            place /= part
        else:
            place = (place.resolve() if _is_link(place) else place).parent
    return place


def _is_link(path: Path) -> bool:
    try:
        return path.is_symlink()
    except OSError:  # no link has so long a name
        return False


def _is_pattern(name: str) -> bool:
    return has_braces(name) or GLOB_SIGNS.search(name) is not None


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


def is_source_there(source: str, base: Path) -> bool:
    """Return whether there is what a source names, or the folder that a pattern looks into.

    Args:
        source: As the user wrote it.
        base: What it is relative to, if to anything.
    """
    path = base / source.removeprefix("@")
    try:
        if is_there(path):
            return True
        return _is_pattern(source) and is_there(folder_of(str(path)))
    except OSError:  # nobody may look there
        return False


def folder_of(source: str) -> Path:
    """Return the folder that a source names, or names something in: resolved, perhaps not there.

    That of a file or a list is where it lies, that of a glob ends before the first sign, and braces
    count as the first name that they stand for.

    Raises:
        OSError: Nobody may look there.
    """
    path = Path(source)
    if source.startswith("@"):
        return Path(source[1:]).parent.resolve()
    if is_there(path):
        return (path if path.is_dir() else path.parent).resolve()
    if has_braces(source):
        return folder_of(next(expand_braces(source)))
    if GLOB_SIGNS.search(source):
        return split_glob(path)[0].resolve()
    return (path.parent if is_read(path) else path).resolve()


def split_glob(pattern: Path) -> tuple[Path, Path]:
    """Return the folder that a glob is looked for in, and the rest of it."""
    first = next(place for place, part in enumerate(pattern.parts) if GLOB_SIGNS.search(part))
    return Path(*pattern.parts[:first]), Path(*pattern.parts[first:])

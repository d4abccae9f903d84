"""Writing files that are either whole or not there, and saying clearly why one cannot be written.

A file is written under a temporary name beside its final one, flushed to the disk, and renamed.
`tempfile.NamedTemporaryFile` was refused: its names do not say what they belong to, so that
leftovers of a killed process could not be told from a user's files.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from hashlib import blake2b
from pathlib import Path, PurePath
from tempfile import TemporaryFile
from typing import IO, BinaryIO

from vitpose_cli.errors import InputError

TEMPORARY_SUFFIX = ".vitpose-tmp"
NewFile = Callable[[Path], AbstractContextManager[BinaryIO]]
"""Opens a new file of a set, see `atomic_set`."""

_MAX_NAME_BYTES = 255
_NAME_BYTES = 200  # of a temporary name; process id and suffix come behind

ABANDONED_S = 86_400
"""Age from which on a temporary file of any file is nobody's: whoever writes it goes on writing."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})  # met only by who writes

_SCHEME = re.compile(r"(s3|gcs|gs|hf|https?|ftp|abfss?|az|file):", re.IGNORECASE)

_HINTS = {
    errno.ENOSPC: "The disk is full. Free some space and run the same command again.",
    errno.EDQUOT: "Your disk quota is used up. Free some space and run the same command again.",
    errno.EROFS: "The file system is read-only. Choose another place to write to.",
    errno.EACCES: "You may not write there. Choose another place, or change the permissions.",
    errno.EPERM: "You may not write there. Choose another place, or change the permissions.",
    errno.EIO: "The disk reports an error. Check it before you go on.",
}


def reason_of(error: OSError) -> str:
    """Return what the system says about an error; some have no number, and only a text."""
    return error.strerror or str(error)


def write_error(path: Path, error: OSError) -> InputError:
    """Return the error to raise when writing `path` failed with `error`."""
    hint = _HINTS.get(error.errno or 0, "Check the place to write to, or choose another.")
    return InputError(f"Cannot write {path}: {reason_of(error)}.", hint)


def make_folder(path: Path) -> None:
    """Make a folder, with those above it, where there is none.

    Raises:
        InputError: It cannot be made, or is at a URL.
    """
    if (url := _url_of(path)) is not None:
        raise InputError(
            f"Cannot write {url}: nothing is written to URLs.",
            "Write to a folder of this machine, and copy what is there when it is done.",
        )
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(path, error) from error


def read_error(path: Path | str, error: OSError) -> InputError:
    """Return the error to raise when reading `path` failed with `error`."""
    if (url := _url_of(Path(path))) is not None:
        return InputError(f"Cannot read {url}: only photos are read at URLs.", "Copy it first.")
    return InputError(f"Cannot read {path}: {reason_of(error)}.", "Check the path.")


def _url_of(path: Path) -> str | None:
    """Return the URL that was given for a path, which has lost a slash; None if it is a path."""
    start, *rest = path.parts or ("",)
    return f"{start}//{'/'.join(rest)}" if _SCHEME.fullmatch(start) else None


def is_file(path: Path) -> bool:
    """Return whether there is a file; a name from elsewhere may be too long for one.

    Raises:
        InputError: Nobody may look there.
    """
    try:
        return path.is_file()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return False
        raise read_error(path, error) from error


def check_replaceable(path: Path, is_ours: Callable[[Path], bool]) -> None:
    """Refuse to replace a file that this program did not write; an empty one holds nothing.

    Args:
        path: Where something is to be written.
        is_ours: Returns whether a file was written by the command that is to write it again.

    Raises:
        InputError: There is a file of something else, or a folder, or nobody may read it.
    """
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder.", "Name a file in it.")
        if path.is_file() and path.stat().st_size and not is_ours(path):
            raise InputError(
                f"{path} is there already, and is something else than what is to be written.",
                "Give the output another name, or move that file away.",
            )
    except OSError as error:
        raise read_error(path, error) from error


@contextmanager
def atomic_file(path: Path, *, durable: bool = True, is_new: bool = False) -> Iterator[BinaryIO]:
    """Open a file that appears as `path`, complete and on the disk, when the block ends.

    When the block raises, whatever was at `path` stays as it was and nothing is left behind.

    Args:
        path: The file; replaced where it exists.
        durable: Wait for the disk, and delete what killed processes have left of the file. What is
            made again in no time, such as one of many pictures, need not survive a power failure.
        is_new: Leave alone what is there when the block ends.

    Raises:
        InputError: The file cannot be written, or is there though it is to be new.
    """
    with atomic_set(path, durable=durable, is_new=is_new) as new_file, new_file(path) as stream:
        yield stream


@contextmanager
def atomic_set(
    path: Path, outdated: Iterable[Path] = (), *, durable: bool = True, is_new: bool = False
) -> Iterator[NewFile]:
    """Give what opens new files; all of them appear, complete and on the disk, when the block ends.

    Old and new files are never mixed: where several are written, those that they replace are
    deleted before the first one appears. When the block raises, all that was there stays.

    Args:
        path: What to call the set in an error.
        outdated: Files that the new ones take the place of.
        durable: As for `atomic_file`.
        is_new: Leave alone what has one of the names when the block ends.

    Raises:
        InputError: A file cannot be written, or what is to be written cannot be read; or one is
            there that somebody else made meanwhile.
    """
    temporaries: dict[Path, Path] = {}

    @contextmanager
    def new_file(path: Path) -> Iterator[BinaryIO]:
        number = f"-{len(temporaries)}" if temporaries else ""  # long names are alike when cut
        if path.exists() and not path.is_file() and not path.is_dir():
            raise InputError(
                f"Cannot write {path}: it is a device or a pipe.", "Give the name of a file."
            )
        if durable:
            remove_left_over(path, least_age_s=ABANDONED_S)  # other machines may write it, too
        temporary = path.with_name(temporary_name(path.name, number + TEMPORARY_SUFFIX))
        temporaries[path] = temporary
        with temporary.open("wb", buffering=1 << 20) as stream:
            yield stream
            if durable:
                stream.flush()
                os.fsync(stream.fileno())

    try:
        try:
            yield new_file
        except OSError as error:
            known = map(str, (path, *temporaries, *temporaries.values()))
            if error.errno in _FULL or error.filename is None or error.filename in known:
                raise
            raise read_error(error.filename, error) from error
        if is_new and any(new.exists() for new in temporaries):
            raise InputError(
                f"{path} exists: something else has made it meanwhile.",
                "Choose another output with -o.",
            )
        for old in outdated:
            if old not in temporaries or len(temporaries) > 1:
                old.unlink(missing_ok=True)
        for new, temporary in temporaries.items():
            temporary.replace(new)
        if durable:
            for folder in {new.parent for new in temporaries}:
                sync_folder(folder)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        for temporary in temporaries.values():
            # Renamed away by now, unless something went wrong.
            with suppress(OSError):
                temporary.unlink()


def unnamed_file(path: Path) -> IO[bytes]:
    """Return a file without a name, on the disk of `path`, for what is to be written there.

    Raises:
        InputError: It cannot be made, as `path` cannot be written.
    """
    try:
        return TemporaryFile(dir=path.parent)
    except OSError as error:
        raise write_error(path, error) from error


def temporary_name(name: str, suffix: str) -> str:
    """Return the hidden name under which this process writes a file; cut where `name` is long."""
    start = os.fsencode(name)[:_NAME_BYTES]
    return f".{start.decode(errors='ignore')}.{os.getpid()}{suffix}"


def fitted_name(start: str, ending: str) -> str:
    """Return `start` with `ending` behind it, as a name that file systems take.

    What makes it longer than 255 bytes is cut from the start, with a hash of that behind the cut.
    """
    data = os.fsencode(start)
    if len(data) + len(ending) <= _MAX_NAME_BYTES:
        return start + ending
    ending = f"~{blake2b(data, digest_size=4).hexdigest()}{ending}"
    return data[: _MAX_NAME_BYTES - len(ending)].decode(errors="ignore") + ending


def in_any_case(path: PurePath | str) -> str:
    """Return what is the same for paths that some disks, as those of macOS and Windows, confuse.

    They look at neither upper and lower case nor at how an accent is encoded.
    """
    return unicodedata.normalize("NFC", str(path)).casefold()


def has_long_name(path: PurePath) -> bool:
    """Return whether a part of a path is longer than file systems take."""
    return any(fitted_name(part, "") != part for part in path.parts)


def remove_left_over(path: Path, *, least_age_s: float = 0) -> None:
    """Delete what killed processes have left of a file or folder under temporary names.

    Their names hold the number of a process, which is looked for on this machine, and in this
    container. Windows deletes no file that is open.

    Args:
        path: What only one machine writes at a time, unless an age says that nobody writes it.
        least_age_s: Seconds since it was last written to.
    """
    start = temporary_name(path.name, TEMPORARY_SUFFIX).rpartition(str(os.getpid()))[0]
    _remove_of_the_dead(path.parent, re.escape(start), least_age_s)


def remove_all_left_over(folder: Path) -> None:
    """Do as `remove_left_over` for every file in a folder that no other machine writes to."""
    _remove_of_the_dead(folder, r"\..*\.", 0)


def _remove_of_the_dead(folder: Path, start: str, least_age_s: float) -> None:
    """Delete what ended processes have left in a folder under temporary names.

    Args:
        folder: The folder; it may be missing.
        start: How the names begin before the number of the process, as a regular expression.
        least_age_s: Seconds since they were last written to.
    """
    pattern = re.compile(rf"{start}(\d+)(-\d+)?{re.escape(TEMPORARY_SUFFIX)}")
    with suppress(OSError):
        for each in folder.iterdir():
            found = pattern.fullmatch(each.name)
            if found is None or _is_alive(int(found[1])):
                continue
            if not least_age_s or time.time() - each.stat().st_mtime >= least_age_s:
                if each.is_dir():
                    shutil.rmtree(each, ignore_errors=True)
                else:
                    with suppress(OSError):
                        each.unlink()


def _is_alive(process: int) -> bool:
    """Return whether a process of this number runs here; False on Windows, where asking ends it."""
    if os.name != "posix":
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # somebody else's
    return True


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power failure, where the system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

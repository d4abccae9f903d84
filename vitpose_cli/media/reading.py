"""Whole files from places that fail now and then: network shares, tired disks.

What may go away by itself (a lost connection, an error of the device) is tried again a few times;
what will not (a missing file, no permission) is an error at once. A read that hangs is left to the
file system: no process can take it back. Pipes and devices, which would hang for ever, are refused.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path

from vitpose_cli.media.frames import PhotoFile

WAITS_S = (0.1, 0.5, 2.0)
"""How long to wait before each further try."""

_NAMES = (
    *("EIO", "ESTALE", "ETIMEDOUT", "EAGAIN", "EBUSY", "ECONNRESET", "ECONNABORTED", "ENETDOWN"),
    *("ENETUNREACH", "ENETRESET", "EHOSTDOWN", "EHOSTUNREACH", "EREMOTEIO", "ENOTCONN", "EPIPE"),
)
_PASSING = frozenset(
    number for name in _NAMES if (number := getattr(errno, name, None)) is not None
)


def read_whole(file: PhotoFile) -> bytes:
    """Return the content of a file.

    Raises:
        OSError: It cannot be read, also after waiting.
    """
    for wait_s in WAITS_S:
        try:
            return _read(file)
        except OSError as error:
            if error.errno not in _PASSING:
                raise
        time.sleep(wait_s)
    return _read(file)


def read_start(file: PhotoFile, num_bytes: int) -> bytes:
    """Return the first bytes of a file; what is in an archive is read whole for it.

    Raises:
        OSError: It cannot be read.
        InputError: Nor can this, as its archive was changed.
    """
    if not isinstance(file, Path):
        return file.read_bytes()[:num_bytes]
    _check_regular(file)
    with file.open("rb") as opened:
        return opened.read(num_bytes)


def read_first_byte(path: Path) -> None:
    """Read one byte from where a file lies, not from the system's memory of it.

    Raises:
        OSError: It cannot be read.
    """
    _check_regular(path)
    with path.open("rb", buffering=0) as file:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        file.read(1)


def _read(file: PhotoFile) -> bytes:
    if isinstance(file, Path):
        _check_regular(file)
    return file.read_bytes()


def _check_regular(path: Path) -> None:
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))

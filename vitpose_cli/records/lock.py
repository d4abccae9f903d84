"""A lock against a second process that would write the same file.

The kernel's `flock` is preferred: it ends with its process, so that a killed run never blocks the
next one. Where it is missing (Windows, some network shares) the existence of a file stands for
the lock; one left behind by a dead process of the same machine is taken over. `fcntl.lockf` was
refused: it does not tell two writers of one process apart.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from contextlib import suppress
from pathlib import Path

import orjson

from vitpose_cli.errors import InputError
from vitpose_cli.files import write_error

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
_POLL_S = 0.05
_GRACE_S = 0.2  # enough to see that a holder has just gone


class FileLock:
    """An exclusive lock named by a path, held from `acquire` to `release`.

    Args:
        path: The lock file; it exists while the lock is held.
        subject: What is locked, for the error message, such as "The run in /data/run".
        wait_s: How long to wait for another holder to finish.
    """

    def __init__(self, path: Path, subject: str, wait_s: float = 0.0) -> None:
        self._wait_s = max(wait_s, _GRACE_S)
        self._path = path
        self._owner_path = path.with_name(f"{path.name}-owner")  # where there is no flock
        self._subject = subject
        self._handle: int | None = None
        self._owns_file = False

    def __enter__(self) -> FileLock:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            InputError: Another process holds it, or the lock file cannot be written.
        """
        deadline = time.monotonic() + self._wait_s
        while not self._try_acquire():
            if time.monotonic() >= deadline:
                raise self._refusal()
            time.sleep(_POLL_S)

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._owns_file:
            self._owns_file = False
            with suppress(OSError):
                self._owner_path.unlink()
        if self._handle is not None:
            handle, self._handle = self._handle, None
            with suppress(OSError):
                self._path.unlink()
            os.close(handle)

    def _try_acquire(self) -> bool:
        try:
            if fcntl is None:
                return self._try_own()
            return self._try_flock()
        except OSError as error:
            raise write_error(self._path, error) from error

    def _try_flock(self) -> bool:
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not self._is_current(handle):
                os.close(handle)
                return False  # its last holder removed it meanwhile: try again
        except OSError as error:
            os.close(handle)
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            if error.errno in _UNSUPPORTED:
                self._path.unlink(missing_ok=True)
                return self._try_own()
            raise
        with suppress(OSError):  # only for the message to others; a full disk must not matter
            os.ftruncate(handle, 0)
            os.write(handle, _identity())
        self._handle = handle
        return True

    def _is_current(self, handle: int) -> bool:
        try:
            return os.path.samestat(os.fstat(handle), self._path.stat())
        except FileNotFoundError:
            return False

    def _try_own(self) -> bool:
        self._owns_file = _try_create(self._owner_path)
        return self._owns_file

    def _refusal(self) -> InputError:
        """Return the error that says who holds the lock, and where that may never end, the way out.

        An owner file, and a share's memory of a lock, may outlive the machine of the holder.
        """
        is_owned = self._owner_path.exists()
        path = self._owner_path if is_owned else self._path
        holder, may_stay = "another process", is_owned
        with suppress(OSError, ValueError, KeyError, TypeError):
            told = orjson.loads(path.read_bytes())
            holder = f"process {told['pid']} on {told['host']}"
            may_stay = is_owned or told["host"] != socket.gethostname()
        hint = "Wait until it has finished, stop it, or choose another output folder."
        if may_stay:
            hint += f" If you are sure that it is gone, as after a crash of its machine: rm {path}"
        return InputError(f"{self._subject} is being written by {holder}.", hint)


def _identity() -> bytes:
    return orjson.dumps({"pid": os.getpid(), "host": socket.gethostname()})


def _try_create(path: Path) -> bool:
    """Make an owner file with our name; where a dead process left it, take it away instead.

    Only one process at a time may take it away, or it could be that of another who did so first;
    who that is says an owner file in turn.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        taking = path.with_name(f"{path.name}-dead")
        if _is_dead(path) and _try_create(taking):
            try:
                if _is_dead(path):
                    path.unlink(missing_ok=True)
            finally:
                taking.unlink(missing_ok=True)
        return False
    try:
        os.write(handle, _identity())
    except OSError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)
    return True


def _is_dead(path: Path) -> bool:
    """Return whether the process named in `path` ran on this machine and has ended."""
    try:
        holder = orjson.loads(path.read_bytes())
        if holder["host"] != socket.gethostname() or os.name != "posix":
            return False
        os.kill(int(holder["pid"]), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return False

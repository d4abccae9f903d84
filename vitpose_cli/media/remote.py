"""Photos at URLs: listed and read through fsspec, tried again where a network fails for a moment.

fsspec knows `s3://`, `gs://`, `hf://`, `http://` and many more by one interface; each brings its
own client, credentials and errors. It is loaded only when a URL is met. Videos and archives at URLs
are not read: both would be fetched many times over. What a server sends need not have an end, as a
camera's pictures have none: no more is read of what is no photo than its first bytes, and of
nothing more than a photo may have.

Which URLs are read is decided in `named_urls`.
"""

from __future__ import annotations

import errno
import io
import re
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urlsplit

from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.media.headers import MAX_PIXELS, START_BYTES, is_photo_start

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer
    from fsspec import AbstractFileSystem

RETRY_WAITS_S = (0.5, 1.0, 2.0, 4.0)
"""How long to wait before each new try, seconds."""

READ_TIMEOUT_S = 60.0
"""A photo that takes longer counts as a failed try."""

PATIENCE_S = 120.0
"""No new try begins when this has passed since the first: a server that stalls holds up a photo
for no more than this, one wait and one try."""

MAX_BYTES = 3 * MAX_PIXELS
"""What has more bytes is no photo that we read: as many as the largest one has in memory."""

_PIECE_BYTES = 1 << 26

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # one letter is a drive of Windows
_HTTP = re.compile(r"https?://", re.IGNORECASE)
_USER = re.compile(r"(?<=://)[^/\s]*@")
_QUERY = re.compile(r"(https?://[^\s?'\"]*)\?[^\s'\"]*", re.IGNORECASE)
_LASTING = (
    *(FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError),
    ssl.SSLCertVerificationError,
)
_TRANSIENT_CODES = (408, 425, 429)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A photo at a URL.

    Attributes:
        url: Where it lies.
    """

    url: str

    def read_bytes(self) -> bytes:
        """Return the photo's bytes; a failure that may pass is tried again, with longer waits.

        Raises:
            ConfigError: What the protocol needs is not installed.
            InputError: It cannot be read.
        """
        system, path = _open(self.url)
        try:
            return _tried(lambda: _read(system, path), f"{self} cannot be read")
        except _EndlessError as error:
            raise InputError(
                f"{self} has more than {MAX_BYTES:,} bytes: it is no photo, or a stream that never "
                "ends."
            ) from error

    def __str__(self) -> str:
        return without_secrets(self.url)


def is_url(source: str) -> bool:
    """Return whether a word of the command line is a URL."""
    return _URL.match(source) is not None


def is_signed(url: str) -> bool:
    """Return whether a URL has a query, as those that grant access for some hours."""
    return _QUERY.match(url) is not None


def path_of(url: str) -> str:
    """Return host and path of a URL, as copies of its files are called.

    Without protocol, user and password, the query that signs it, and dot segments, which lead no
    further up than the host (RFC 3986, section 5.2.4). `%20` of a web address is the blank that it
    stands for; what stands for no text, or for a NUL, which no file's name has, stays as it is.
    """
    plain = without_secrets(url)
    if not _HTTP.match(plain):
        return _without_dots(plain.partition("://")[2].lstrip("/"))
    parts = urlsplit(plain)
    try:
        path = unquote(parts.path, errors="strict")
    except UnicodeDecodeError:
        path = parts.path
    return _without_dots(parts.netloc + (parts.path if "\0" in path else path))


def _without_dots(path: str) -> str:
    """Return host and path without the segments `.` and `..`."""
    host, *segments = path.split("/")
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    return "/".join((host, *kept))


def without_secrets(text: str) -> str:
    """Return a URL, or a text with URLs, without users, passwords, and the queries that sign them.

    What is written down is shared, and these give access to more than labels.
    """
    return _QUERY.sub(r"\1", _USER.sub("", text))


def list_urls(url: str) -> list[str]:
    """Return the URLs of all files below a folder, or of those that a glob matches.

    Raises:
        ConfigError: What the protocol needs is not installed.
        InputError: It cannot be listed.
    """
    if _HTTP.match(url) and "*" not in url:
        url = url.rstrip("/") + "/"  # or a server's links would be taken as those of its parent
    system, path = _open(url)
    _walk_whole(system)

    def found() -> list[str]:
        paths = system.glob(path) if "*" in path else system.find(path)
        return [str(system.unstrip_protocol(each)) for each in paths]

    return _tried(found, f"{without_secrets(url)} cannot be listed")


def _walk_whole(system: AbstractFileSystem) -> None:
    """Have `find` and `glob` fail where a folder on the way cannot be listed.

    fsspec's walk from folder to folder leaves out what is in such a folder, and says nothing; what
    it is told to do about errors it forgets one folder further down.
    """
    walk = "_walk" if system.async_impl else "walk"
    setattr(system, walk, partial(getattr(system, walk), on_error=_raise_but_missing))


def _raise_but_missing(error: OSError) -> None:
    """Raise an error, but of a folder that is not there, as where a page has an outdated link."""
    if not isinstance(error, FileNotFoundError):
        raise error


def _open(url: str) -> tuple[AbstractFileSystem, str]:
    """Return the file system of a URL, of which fsspec keeps one for each place, and the path."""
    install = 'Install what it needs: pip install "vitpose-cli[remote]".'
    shown = without_secrets(url)
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise ConfigError(
            f"Reading {shown} needs fsspec, which is not installed.", install
        ) from error
    protocol, sign, place = url.partition("://")
    try:
        system, path = url_to_fs(protocol.lower() + sign + place)
    except ImportError as error:
        raise ConfigError(f"{shown} cannot be opened: {error}.", install) from error
    except ValueError as error:
        raise ConfigError(f"{shown} cannot be opened: {error}.", "Check its protocol.") from error
    return system, str(path)


class _EndlessError(Exception):
    """More bytes came than a photo has."""


class _NoPhotoError(Exception):
    """What came begins as no photo does."""


class _Bytes(io.BytesIO):
    """The bytes of a file as they come, until it turns out that it is no photo."""

    def write(self, piece: ReadableBuffer, /) -> int:
        """Take the next bytes.

        Raises:
            _NoPhotoError: They are of no photo.
            _EndlessError: They are too many.
        """
        before = self.tell()
        num_bytes = super().write(piece)
        if before < START_BYTES <= self.tell() and not is_photo_start(
            bytes(self.getbuffer()[:START_BYTES])
        ):
            raise _NoPhotoError
        if self.tell() > MAX_BYTES:
            raise _EndlessError
        return num_bytes


def _read(system: AbstractFileSystem, path: str) -> bytes:
    """Read a file, of what is no photo the beginning; give up after a while where a client can.

    Raises:
        _EndlessError: It has more bytes than a photo.
    """
    taken = _Bytes()
    try:
        if not system.async_impl:
            with system.open(path, "rb") as file:
                while piece := file.read(_PIECE_BYTES):
                    taken.write(piece)
            return taken.getvalue()
        from fsspec.asyn import sync
        from fsspec.implementations.http import HTTPFileSystem

        if not isinstance(system, HTTPFileSystem):  # a store, whose files have an end
            data: bytes = sync(system.loop, system._cat_file, path, timeout=READ_TIMEOUT_S)
            return data
        sync(system.loop, system._get_file, path, taken, timeout=READ_TIMEOUT_S)
    except _NoPhotoError:
        pass
    return taken.getvalue()


def _tried(action: Callable[[], Result], failure: str) -> Result:
    """Return what `action` returns, at the latest after as many tries as there are waits.

    Who is told how long to wait waits that long, where there is patience for it.
    """
    waits_s = iter(RETRY_WAITS_S)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return action()
        except _EndlessError:
            raise
        except Exception as error:
            wait_s = next(waits_s, None)
            asked_s = _asked_wait_s(error)
            left_s = deadline - time.monotonic()
            # Every protocol's client has errors of its own.
            if wait_s is None or _lasts(error) or left_s < 0:
                asking = f" (it asks to wait {asked_s:g} seconds)" if asked_s else ""
                said = without_secrets(_said(error))
                raise InputError(f"{failure}: {said}{asking}.") from error
        # Whom nobody can wait for is not asked any faster for that.
        time.sleep(asked_s if wait_s < asked_s <= left_s else wait_s)


def _asked_wait_s(error: Exception) -> float:
    """Return how long an overloaded server asks to wait (RFC 9110, section 10.2.3), seconds.

    A date that it names is held against the one of its answer, as clocks differ.
    """
    headers = getattr(error, "headers", None) or {}
    asked = headers.get("Retry-After", "")
    if asked.isdecimal():
        return float(asked)
    try:
        until, now = map(parsedate_to_datetime, (asked, headers.get("Date", "")))
        return max(0.0, (until - now).total_seconds())
    except (TypeError, ValueError):
        return 0.0


def _lasts(error: Exception) -> bool:
    """Return whether another try would end in the same way."""
    if type(error).__name__ == "TooManyRedirects":  # aiohttp's, which need not be there
        return True
    code = getattr(error, "status", None)
    refused = isinstance(code, int) and 400 <= code < 500 and code not in _TRANSIENT_CODES
    return refused or _is_elsewhere(error) or isinstance(error, _LASTING)


def _is_elsewhere(error: Exception) -> bool:
    """Return whether a store says that what it is asked for is in another region or store."""
    return isinstance(error, OSError) and error.errno == getattr(errno, "EREMCHG", -1)


def _said(error: Exception) -> str:
    name, text = type(error).__name__, str(error).rstrip(".")  # it becomes the end of a sentence
    where = " (AWS_DEFAULT_REGION or AWS_ENDPOINT_URL are wrong)" if _is_elsewhere(error) else ""
    return (f"{name}: {text}" if text else name) + where

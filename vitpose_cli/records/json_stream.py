"""A large JSON file, one element at a time.

COCO files grow to gigabytes, while one element of their lists is small. The standard library's
decoder reads one value at any place of a text, which is all that is needed; a parser package
(ijson) was refused. orjson, three times as fast, wants to know where a value ends: it reads the
lists of files that have one element on a line, as ours have.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8, getincrementaldecoder
from collections.abc import Iterator
from io import BufferedReader
from json import JSONDecodeError, JSONDecoder
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from vitpose_cli.errors import InputError
from vitpose_cli.files import read_error

_READ_BYTES = 1 << 20
_MAX_VALUE_CHARS = 1 << 28
_MAX_LINE_CHARS = 1 << 16  # of an element on a line of its own
_NUMBER_TAIL = 3  # a number that seems to end before ".", "e+" and the like may go on unread
_PACKED = (b"\x1f\x8b", b"PK\x03\x04")  # gzip and zip
_SPACE = re.compile(r"[ \t\n\r]*")


class Item(NamedTuple):
    """A value of a JSON file whose outermost value is an object or a list.

    Attributes:
        section: The key in the outermost object; empty where that is a list.
        position: The place (from 0) in the section's list; None where the section is no list, and
            for the empty list that announces every list.
        value: The value, as the standard library decodes it; whole numbers beyond 64 bits may
            come as floats.
    """

    section: str
    position: int | None
    value: Any


class Place(NamedTuple):
    """Where a value lies in its file.

    Attributes:
        offset: Its first byte.
        length: Bytes.
    """

    offset: int
    length: int


def stream_items(path: Path) -> Iterator[Item]:
    """Yield the values of the outermost object, and the elements of its lists one by one.

    Raises:
        InputError: The file cannot be read, or is not JSON.
    """
    try:
        with path.open("rb") as stream:
            yield from _Parser(path, stream).items()
    except OSError as error:
        raise read_error(path, error) from error


def stream_places(path: Path) -> Iterator[tuple[Item, Place]]:
    """Yield what `stream_items` yields, each with its place, so that it can be read again alone.

    Raises:
        InputError: The file cannot be read, or is not JSON.
    """
    try:
        with path.open("rb") as stream:
            parser = _Parser(path, stream)
            for item in parser.items():
                yield item, parser.place()
    except OSError as error:
        raise read_error(path, error) from error


class _Parser:
    """The unread text of a file, and what may come next in it."""

    def __init__(self, path: Path, stream: BufferedReader) -> None:
        self._path = path
        self._stream = stream
        self._decode_text = getincrementaldecoder("utf-8-sig")().decode
        self._decode_value = JSONDecoder().raw_decode
        self._text = ""
        self._at = 0
        self._passed = 0  # characters already dropped from the front of the text
        self._finished = False
        self._by_line = True  # whether the elements of this list may have lines of their own
        self._start = 0  # of the last value
        self._counted = 0  # characters of the text whose bytes are in the next number
        self._num_bytes = len(BOM_UTF8) if stream.peek(3).startswith(BOM_UTF8) else 0

    def items(self) -> Iterator[Item]:
        opening = self._peek()
        if opening == "[":
            yield from self._list("")
        elif opening == "{":
            self._at += 1
            yield from self._object()
        else:
            is_markup = opening == "<"
            raise self._error("it is XML" if is_markup else "a COCO file begins with { or [")
        if self._peek():
            raise self._error("there is something after its end")

    def place(self) -> Place:
        """Return where the last value lies."""
        self._count(self._start)
        offset = self._num_bytes
        self._count(self._at)
        return Place(offset, self._num_bytes - offset)

    def _object(self) -> Iterator[Item]:
        if self._take("}"):
            return
        while True:
            if self._peek() != '"':
                raise self._error("a name in quotes is missing")
            section = self._value()
            if not self._take(":"):
                raise self._error("a colon is missing")
            if self._peek() == "[":
                yield from self._list(section)
            else:
                yield Item(section, None, self._value())
            if self._take("}"):
                return
            if not self._take(","):
                raise self._error("a comma is missing")

    def _list(self, section: str) -> Iterator[Item]:
        self._at += 1
        self._by_line = True
        yield Item(section, None, [])
        if self._take("]"):
            return
        position = 0
        while True:
            yield Item(section, position, self._element())
            position += 1
            if self._take("]"):
                return
            if not self._take(","):
                raise self._error("a comma is missing")

    def _peek(self) -> str:
        """Return the next character that is no space, empty at the end."""
        while True:
            space = _SPACE.match(self._text, self._at)
            self._at = space.end() if space else self._at
            if self._at < len(self._text) or not self._fill(_READ_BYTES):
                return self._text[self._at : self._at + 1]

    def _take(self, character: str) -> bool:
        found = self._peek() == character
        self._at += found
        return found

    def _element(self) -> Any:
        """Return the next element of a list."""
        self._peek()
        if self._by_line:
            end = self._text.find("\n", self._at, self._at + _MAX_LINE_CHARS)
            text = self._text[self._at : end].rstrip(" \t\r").removesuffix(",") if end > 0 else ""
            try:
                value = orjson.loads(text)
            except orjson.JSONDecodeError:
                # A line may go on behind what was read; else this list has no lines.
                self._by_line = end < 0 and len(self._text) - self._at < _MAX_LINE_CHARS
            else:
                self._start = self._at
                self._at += len(text)
                return value
        return self._value()

    def _value(self) -> Any:
        self._peek()
        self._start = self._at
        wanted = _READ_BYTES
        while True:
            try:
                value, end = self._decode_value(self._text, self._at)
            except (JSONDecodeError, RecursionError) as error:
                if isinstance(error, JSONDecodeError) and self._fill(wanted):
                    wanted *= 2  # not a fixed step: a huge value would be decoded too often
                    continue
                raise self._error(getattr(error, "msg", "it is nested too deep")) from error
            except ValueError as error:
                raise self._error(str(error)) from error
            if end + _NUMBER_TAIL < len(self._text) or not self._fill(wanted):
                self._at = end
                return value

    def _fill(self, num_bytes: int) -> bool:
        """Read on, dropping what is behind; return False at the end of the file."""
        if self._finished:
            return False
        if len(self._text) - self._at > _MAX_VALUE_CHARS:
            raise self._error("it has an element that is too large to be meant")
        data = self._stream.read(num_bytes)
        self._finished = not data
        try:
            more = self._decode_text(data, self._finished)
        except UnicodeDecodeError as error:
            is_packed = data.startswith(_PACKED)
            reason = (
                "it is packed, and has to be unpacked first" if is_packed else "it is not UTF-8"
            )
            raise self._error(reason) from error
        self._count(self._at)
        self._passed += self._at
        self._text = self._text[self._at :] + more
        self._at = self._start = self._counted = 0
        return True

    def _count(self, at: int) -> None:
        """Count the bytes of the text before `at`."""
        passed = self._text[self._counted : at]
        self._num_bytes += len(passed) if passed.isascii() else len(passed.encode())
        self._counted = at

    def _error(self, reason: str) -> InputError:
        place = self._passed + self._at
        return InputError(
            f"{self._path} is not a whole JSON file: {reason} (near character {place}).",
            "It may be cut off, or be something else. Check it or make it again.",
        )

"""Headers of tar archives (POSIX.1-2001 `pax`, ustar, GNU, V7), up to the mark of the end.

The mark is a block of zeros, and zeros are also what a copy that stopped leaves of a file whose
length was set at its start. So what follows the mark must be zeros, and no more of them than the
writers of archives leave.

Python's `tarfile` was refused for this: it takes three times as long, keeps an object with all
that it read for each member, and goes on past damage or not at all.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_BLOCK = 512
_END = bytes(_BLOCK)
_RECORD = 20 * _BLOCK  # to whole ones of which archives are padded, where nobody says otherwise
_MAX_POWER = 1 << 24  # of two in a record, bytes
_MAX_TEXT = 1 << 20  # of a name; a header that announces more is damage
_WITHOUT_DATA = frozenset({b"1", b"2", b"3", b"4", b"5", b"6"})
_PAX_RECORD = re.compile(rb"(\d{1,20}) ([^=]+)=")


class DamageError(Exception):
    """An archive cannot be followed any further.

    Attributes:
        advice: What to do, a sentence.
    """

    def __init__(self, said: str, advice: str = "Copy it again from where it came.") -> None:
        super().__init__(said)
        self.advice = advice


@dataclass(frozen=True, slots=True)
class Header:
    """One member, as its header says.

    Attributes:
        name: Its whole name, which nobody has checked.
        kind: The type flag, one byte.
        offset: Where its bytes begin.
        size: How many there are.
    """

    name: str
    kind: bytes
    offset: int
    size: int


def read_headers(file: BinaryIO) -> Iterator[Header]:
    """Yield the header of every member, as they lie.

    Raises:
        OSError: The archive cannot be read.
        DamageError: It is damaged, compressed or cut off.
    """
    at = 0
    long_name: str | None = None
    long_size: int | None = None
    length = os.fstat(file.fileno()).st_size
    while True:
        file.seek(at)
        block = file.read(_BLOCK)
        if block == _END:
            _check_end(file, at, length)
            return
        kind = _kind(block, at)
        size = _size(block, at)
        offset = at + _BLOCK
        if kind in (b"L", b"K", b"x", b"X", b"g"):
            text = _text(file, size, at)
            at = offset + _padded(size)
            if kind == b"L":
                long_name = _decoded(text)
            elif kind in (b"x", b"X"):
                long_name, long_size = _pax(text, at, long_name, long_size)
            continue
        name = _name(block) if long_name is None else long_name
        if kind == b"\0" and name.endswith("/"):
            kind = b"5"  # a folder of the time before they had a type
        if kind == b"S":
            offset = _behind_sparse_map(file, block, offset)
        size = size if long_size is None else long_size
        yield Header(name, kind, offset, size)
        stored = 0 if kind in _WITHOUT_DATA else size
        if offset + stored > length:
            raise DamageError(f"is cut off at byte {length}")
        at = offset + _padded(stored)
        long_name = long_size = None


def _check_end(file: BinaryIO, at: int, length: int) -> None:
    """Check that an archive whose mark of the end is at byte `at` ends there.

    Writers pad it to whole records, of 10 KiB or, by `tar -b`, of other multiples of a power of
    two, so that its length is a multiple of one; `tar -A` leaves the padding of two archives.
    """
    power = min(length & -length, _MAX_POWER)
    record = max(_RECORD, power * (5 if length % 5 == 0 else 1))
    longest = 2 * record + 2 * _BLOCK
    file.seek(at)
    rest = file.read(longest)
    if rest.strip(b"\0"):
        behind = at + len(rest) - len(rest.lstrip(b"\0"))
        raise DamageError(
            f"goes on at byte {behind}, behind the mark of its end",
            "If it was joined from several, unpack it with `tar -i`; else copy it again.",
        )
    if length - at > longest:
        raise DamageError(f"has zeros from byte {at} on, as a copy has that stopped")


def _kind(block: bytes, at: int) -> bytes:
    """Return the type flag of a header, after a look at its checksum."""
    if not block:
        raise DamageError(f"ends at byte {at} without the mark of its end, so it may be cut off")
    if len(block) < _BLOCK:
        raise DamageError(f"is cut off at byte {at + len(block)}")
    said = _octal(block[148:156])
    plain = sum(block) - sum(block[148:156]) + 8 * 0x20
    if said != plain and said != plain - 256 * sum(byte > 127 for byte in block):
        if at == 0 and _is_packed(block):
            raise DamageError("is compressed", "Unpack it first.")
        raise DamageError(f"is damaged at byte {at}")
    return block[156:157]


def _is_packed(start: bytes) -> bool:
    return start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"))


def _size(block: bytes, at: int) -> int:
    """Return how long the member is; GNU writes eight gigabytes and more in base 256."""
    digits = block[124:136]
    size = int.from_bytes(digits[1:], "big") if digits[0] == 0x80 else _octal(digits)
    if size is None or size < 0:
        raise DamageError(f"is damaged at byte {at}")
    return size


def _octal(digits: bytes) -> int | None:
    text = digits.partition(b"\0")[0].strip(b" ")
    if not text:
        return 0
    return int(text, 8) if not text.strip(b"01234567") else None


def _name(block: bytes) -> str:
    name = block[:100].partition(b"\0")[0]
    prefix = block[345:500].partition(b"\0")[0] if block[257:263] == b"ustar\0" else b""
    return _decoded(prefix + b"/" + name if prefix else name)


def _text(file: BinaryIO, size: int, at: int) -> bytes:
    """Return the payload of a header that describes the next one."""
    text = file.read(size) if size <= _MAX_TEXT else b""
    if len(text) < size:
        raise DamageError(f"is damaged or cut off at byte {at}")
    return text


def _pax(text: bytes, at: int, name: str | None, size: int | None) -> tuple[str | None, int | None]:
    """Return name and size of the next member, where records of an extended header give them."""
    start = 0
    while record := _PAX_RECORD.match(text, start):
        stop = start + int(record[1])
        value = text[record.end() : stop - 1]
        if stop <= record.end() or stop > len(text):
            break
        if record[2] in (b"path", b"GNU.sparse.name"):
            name = _decoded(value)
        elif record[2] == b"size":
            if not value.isdigit() or len(value) > 20:
                raise DamageError(f"is damaged before byte {at}")
            size = int(value)
        start = stop
    return name, size


def _behind_sparse_map(file: BinaryIO, block: bytes, offset: int) -> int:
    """Return where the data of a file with holes begin (GNU's old format)."""
    more = block[482]
    while more:
        file.seek(offset)
        extension = file.read(_BLOCK)
        if len(extension) < _BLOCK:
            raise DamageError(f"is cut off at byte {offset + len(extension)}")
        more = extension[504]
        offset += _BLOCK
    return offset


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _decoded(name: bytes) -> str:
    return name.partition(b"\0")[0].decode("utf-8", "surrogateescape")

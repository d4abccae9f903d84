r"""The journal: one line for each finished frame, appended and never changed.

A line is `{"crc":"xxxxxxxx","frame":{...}}\n`, where the checksum is over the exact bytes of the
frame. The file is valid JSON Lines; damage anywhere is noticed, and costs only the lines it hit.
Reading looks at the front of a line and at its checksum; only a record that is wanted is parsed.

A database (SQLite) was refused: it cannot be read with a text editor, cut at any byte, or written
by many machines over a network share.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple
from zlib import crc32

import orjson

from vitpose_cli.errors import InputError
from vitpose_cli.files import read_error, write_error
from vitpose_cli.records.lock import FileLock
from vitpose_cli.records.record import FrameRecord, checksum

MAX_LINE_BYTES = 1 << 24
"""A longer line is taken for damage; 5,000 people with 133 keypoints fit into one frame."""

_FLAGS = (
    os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
)
_MARK = b'{"crc":"'
_FRAME_START = 26  # {"crc":"xxxxxxxx","frame":
_FRAME_END = -1  # the closing brace of the line
_FRAME_BRACE = re.compile(rb"\}(?=\})")
_FRONT = re.compile(
    rb'\{"crc":"[0-9a-f]{8}","frame":'
    rb'\{"media":"([^"\\]*+(?:\\.[^"\\]*+)*+)","index":(-?\d{1,18}),'
    rb'"origin":"(model|human)",("set_aside":true,)?"error":(n|'
    rb'""(?:,"ended_after":(\d{1,18}),"file_bytes":(\d{1,18}))?)?'
)


class Entry(NamedTuple):
    """Where one whole record lies in a journal, and what is needed to choose between records.

    A tuple, not a dataclass: a million of them are made while a large run is opened.

    Attributes:
        media: The file of the frame's key.
        frame_index: The index of the frame's key.
        offset: Position of the frame object in the file, bytes.
        length: Length of the frame object, bytes.
        human: Whether a person had the last word on it.
        failed: Whether it records an error.
        taken_back: Whether it says that an earlier failure counts no more.
        ended_after: Of a video that was read to its end, how many frames it has.
        file_bytes: How large its file was then.
        set_aside: Whether it never counted.
    """

    media: str
    frame_index: int
    offset: int
    length: int
    human: bool
    failed: bool
    taken_back: bool = False
    ended_after: int | None = None
    file_bytes: int | None = None
    set_aside: bool = False


@dataclass(slots=True)
class Scan:
    """A pass over one journal; its numbers are complete when `entries` is used up.

    Attributes:
        path: The journal.
        start: Where the pass begins, bytes.
        stop: Begin no line here or behind, bytes; None to go on to the end of the file.
        end: Just after the last line break that was seen, bytes.
        num_damaged: Stretches of bytes that are no whole record, without the torn tail.
        torn_bytes: Length of an unfinished last line.
    """

    path: Path
    start: int = 0
    stop: int | None = None
    end: int = 0
    num_damaged: int = 0
    torn_bytes: int = 0

    def entries(self) -> Iterator[Entry]:
        """Yield every whole record in the order of the file.

        Raises:
            InputError: The journal cannot be read.
        """
        self.end = self.start
        try:
            with self.path.open("rb", buffering=1 << 20) as stream:
                stream.seek(self.start)
                yield from self._entries(stream)
        except OSError as error:
            raise read_error(self.path, error) from error

    def _entries(self, stream: BinaryIO) -> Iterator[Entry]:
        offset = self.start
        stop = float("inf") if self.stop is None else self.stop
        line = b""
        while (offset < stop or self.torn_bytes) and (line := stream.readline(MAX_LINE_BYTES)):
            if not line.endswith(b"\n"):
                self.torn_bytes += len(line)
                tail, tail_offset = line, offset
            else:
                if self.torn_bytes:  # the first part of a monstrous line, not the last line
                    self.torn_bytes = 0
                    self.num_damaged += 1
                entry = _parse(line[:-1], offset)
                if entry is not None:
                    yield entry
                elif line != b"\n":
                    self.num_damaged += 1
                    yield from salvage(line, offset)
                self.end = offset + len(line)
            offset += len(line)
        if self.torn_bytes:
            yield from salvage(tail, tail_offset)


def salvage(damaged: bytes, offset: int) -> Iterator[Entry]:
    """Yield the whole records in a damaged line: a lost line break glues lines together.

    Args:
        damaged: The bytes of the line.
        offset: Their position in the journal.
    """
    start = damaged.find(_MARK)
    while start >= 0:
        following = damaged.find(_MARK, start + 1)
        end = _whole_end(damaged, start, following if following >= 0 else len(damaged))
        entry = _parse(damaged[start:end], offset + start)
        if entry is not None:
            yield entry
        start = following


def encode_line(record: FrameRecord) -> bytes:
    """Return the journal line of `record`, with its line break."""
    return line_of(record.to_json())


def line_of(frame: bytes) -> bytes:
    """Return the journal line of a record as JSON, with its line break."""
    return b'{"crc":"%s","frame":%s}\n' % (checksum(frame).encode(), frame)


class JournalWriter:
    """Appends records to one journal, which no other process may write meanwhile.

    Opening cuts the unfinished last line that a killed process left, or ends it with a line break
    where it holds a whole record; whole lines are never cut. One write for each line, and a line
    that could not be written whole is taken back, so the journal is whole at any moment.

    Args:
        path: The journal; made when it does not exist.
        durable: Wait for the disk after every line: for the edits of a person, which cannot be
            made again by a machine.

    Attributes:
        path: The journal.
        size: Its length, bytes.
        cut_bytes: Length of the unfinished line that was cut.

    Raises:
        InputError: Another process writes this journal, or it cannot be written.
    """

    def __init__(self, path: Path, *, durable: bool = False) -> None:
        self.path = path
        self.cut_bytes = 0
        self._durable = durable
        self._lock = FileLock(path.with_suffix(".lock"), f"The journal {path}")
        self._lock.acquire()
        try:
            self._handle = os.open(path, _FLAGS, 0o644)
            try:
                self.size = self._repair()
            except OSError:
                os.close(self._handle)
                raise
        except OSError as error:
            self._lock.release()
            raise write_error(path, error) from error

    def append(self, record: FrameRecord, *, wait: bool = True) -> Entry:
        """Write one line and return where its record lies.

        Args:
            record: What is written.
            wait: False where another line follows at once: a durable journal waits for both then.

        Raises:
            InputError: The line cannot be written, because the disk is full for example, would be
                too long, or could be read by nobody, as the journal is not where it was; it is as
                it was before.
        """
        self._check_place()
        line = encode_line(record)
        if len(line) > MAX_LINE_BYTES:
            raise InputError(f"{record.key} has {len(record.uids)} instances: too many to record.")
        start = self.size
        try:
            _write_all(self._handle, line)
            if self._durable and wait:
                os.fsync(self._handle)
        except BaseException as error:
            self._take_back(start)
            if isinstance(error, OSError):
                raise write_error(self.path, error) from error
            raise
        self.size += len(line)
        return Entry(
            media=record.key.media,
            frame_index=record.key.index,
            offset=start + _FRAME_START,
            length=len(line) - _FRAME_START - 2,
            human=record.origin == "human",
            failed=record.error is not None,
            taken_back=record.error == "",
            ended_after=record.ended_after,
            file_bytes=record.file_bytes,
            set_aside=record.set_aside,
        )

    def _check_place(self) -> None:
        """Make sure that what is written can be found again: the handle outlives the name.

        Raises:
            InputError: There is no journal of this name any more.
        """
        try:
            self.path.stat()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise InputError(
                f"{self.path} is gone: it was deleted or moved, or its disk is away.",
                "Put it back where it was; the same command goes on with it.",
            ) from error
        except OSError as error:
            raise write_error(self.path, error) from error

    def close(self) -> None:
        """Wait until the disk has everything, and let others write."""
        try:
            os.fsync(self._handle)
        except OSError as error:
            raise write_error(self.path, error) from error
        finally:
            os.close(self._handle)
            self._lock.release()

    def _take_back(self, size: int) -> None:
        """Remove what a failed write left behind `size` bytes."""
        with suppress(OSError):  # where even this fails, the line is found torn when next opened
            os.ftruncate(self._handle, size)
        self.size = os.fstat(self._handle).st_size

    def _repair(self) -> int:
        """Make the file end with a line break and return its size in bytes."""
        size = os.fstat(self._handle).st_size
        tail_start = _last_line_start(self._handle, size)
        if tail_start == size:
            return size
        tail = _read_at(self._handle, tail_start, min(size - tail_start, MAX_LINE_BYTES))
        if any(salvage(tail, tail_start)):
            _write_all(self._handle, b"\n")
            return size + 1
        os.ftruncate(self._handle, tail_start)
        self.cut_bytes = size - tail_start
        return tail_start


def _parse(line: bytes, offset: int) -> Entry | None:
    """Return the record in `line` (without line break), or None where it is damaged."""
    front = _FRONT.match(line)
    if front is None or not line.endswith(b"}}"):
        return None
    frame = line[_FRAME_START:_FRAME_END]
    if crc32(frame) != int(line[8:16], 16):
        return None
    media, index, origin, set_aside, error, ended_after, file_bytes = front.groups()
    try:
        name = orjson.loads(b'"%s"' % media) if b"\\" in media else media.decode()
    except ValueError:
        return None
    if "\0" in name:
        return None
    return Entry(
        name,
        int(index),
        offset + _FRAME_START,
        len(frame),
        origin == b"human",
        error != b"n",
        error is not None and error.startswith(b'"'),
        None if ended_after is None else int(ended_after),
        None if file_bytes is None else int(file_bytes),
        set_aside is not None,
    )


def _whole_end(damaged: bytes, start: int, limit: int) -> int:
    """Return where the record that begins at `start` is whole by its checksum, or `start`."""
    if not _FRONT.match(damaged, start, limit):
        return start
    claimed = int(damaged[start + 8 : start + 16], 16)
    checksum_so_far, at = 0, start + _FRAME_START
    for brace in _FRAME_BRACE.finditer(damaged, at, limit):
        checksum_so_far = crc32(damaged[at : brace.end()], checksum_so_far)
        at = brace.end()
        if checksum_so_far == claimed:
            return at + 1
    return start


def _write_all(handle: int, data: bytes) -> None:
    """Write `data` with one call, and the rest of a short write with further ones."""
    written = os.write(handle, data)
    while written < len(data):
        written += os.write(handle, data[written:])


def _read_at(handle: int, offset: int, length: int) -> bytes:
    os.lseek(handle, offset, os.SEEK_SET)  # os.pread does not exist everywhere
    return os.read(handle, length)


def _last_line_start(handle: int, size: int) -> int:
    """Return the position just after the last line break of a file of `size` bytes."""
    block = 1 << 16
    end = size
    while end > 0:
        start = max(0, end - block)
        found = _read_at(handle, start, end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0

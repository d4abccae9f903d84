"""How many bytes a video file says that it has.

A Matroska, WMV or FLV file that is cut off between two pictures, the first of them also inside of
one, is no error for FFmpeg, and not all programs that write such files note how long the pictures
go on. Sound may end long before or after them, so that the duration of the file is no measure, and
its bytes are.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

from vitpose_cli.media.ebml import EBML, SEGMENT, VOID, read_element

_ASF_DATA = bytes.fromhex("3626B2758E66CF11A6D900AA0062CE6C")
_ASF_PROPERTIES = bytes.fromhex("A1DCAB8C47A9CF118EE400C00C205365")
_ASF_FLAGS_AT = 72  # behind the name
_ASF_HEAD_BYTES = 24  # a name of 16 bytes and a length
_MAX_HEADER_BYTES = 1 << 24

_FLV_SIZE = b"\0\x08filesize\0"  # a name and a number of ActionScript
_FLV_START_BYTES = 1 << 14


def announced_bytes(path: Path, format_name: str) -> int | None:
    """Return where by its own heads a file ends, or its pictures do; None where it does not say.

    More bytes may follow. What was recorded live, or by a program that was killed, does not say.

    Args:
        path: The file.
        format_name: What FFmpeg calls its format.

    Raises:
        OSError: It cannot be read.
    """
    announced = {"matroska,webm": _matroska, "asf": _asf, "flv": _flv}.get(format_name)
    if announced is None:
        return None
    with path.open("rb") as file:
        return announced(file)


def _matroska(file: BinaryIO) -> int | None:
    """Go from segment to segment: FFmpeg plays what was joined byte by byte to its end."""
    there, end, any_segment = file.seek(0, os.SEEK_END), 0, False
    while end < there and (element := read_element(file, end)) is not None:
        name, start, size = element
        if name not in (EBML, SEGMENT, VOID):
            break
        if size is None:
            return None
        end = start + size
        any_segment |= name == SEGMENT
    return end if any_segment else None


def _asf(file: BinaryIO) -> int | None:
    """Take the length of the data; the index behind them may be missing."""
    header_bytes = int.from_bytes(file.read(_ASF_HEAD_BYTES)[16:], "little")
    if not _ASF_HEAD_BYTES < header_bytes < _MAX_HEADER_BYTES:
        return None
    header = file.read(header_bytes - _ASF_HEAD_BYTES)
    properties = header.partition(_ASF_PROPERTIES)[2]
    flags = properties[_ASF_FLAGS_AT : _ASF_FLAGS_AT + 1]
    is_live = not flags or flags[0] & 1
    file.seek(header_bytes)
    data = file.read(_ASF_HEAD_BYTES)
    if is_live or not data.startswith(_ASF_DATA):
        return None
    return header_bytes + int.from_bytes(data[16:], "little")


def _flv(file: BinaryIO) -> int | None:
    _, found, number = file.read(_FLV_START_BYTES).partition(_FLV_SIZE)
    announced = struct.unpack(">d", number[:8])[0] if found and len(number) >= 8 else 0.0
    return int(announced) if 0 < announced < 1 << 62 else None

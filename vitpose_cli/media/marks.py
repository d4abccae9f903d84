"""Names of run folders and of drawn files; the mark that drawn files carry.

A comment in the file itself: names say nothing about who made a picture, and a list of what was
made would be one more file to keep whole. Only the first bytes are ever looked at.
"""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path

from vitpose_cli.media.png_chunks import PNG_START
from vitpose_cli.media.reading import read_start

RUN_SUFFIX = ".vitpose"
"""Folders of this suffix hold runs, whose drawn copies must not be labelled again."""

MANIFEST = "manifest.json"
JOURNALS = "journal-*.jsonl"
"""What is in every run folder, whatever it is called."""

PREVIEW = "preview"
"""The folder of a run's drawn copies, inside of it."""

_DRAWN_NAME = re.compile(r"(sheet|worst|.+-pose)(\.[^.]*)?")  # by default and in our documentation

MARK = "drawn by vitpose"
"""The comment in every picture and video that is drawn."""

_MARK = MARK.encode()
_JPEG_START = b"\xff\xd8\xff"
_JPEG_COMMENT = b"\xff\xfe" + struct.pack(">H", 2 + len(_MARK)) + _MARK
_PNG_HEADER_BYTES = len(PNG_START) + 25  # the chunk IHDR comes first and has a fixed length
_PNG_TEXT = b"tEXtComment\0" + _MARK
_PNG_COMMENT = struct.pack(">I", len(_PNG_TEXT) - 4) + _PNG_TEXT + struct.pack(
    ">I", zlib.crc32(_PNG_TEXT)
)  # fmt: skip
_MARK_WITHIN = 256


def marked(data: bytes) -> bytes:
    """Return an encoded picture, JPEG or PNG as OpenCV writes them, with the mark in it."""
    if data.startswith(PNG_START):
        return data[:_PNG_HEADER_BYTES] + _PNG_COMMENT + data[_PNG_HEADER_BYTES:]
    # Behind the JFIF header, whose length follows its marker: nothing may come before it.
    start = 4 + struct.unpack_from(">H", data, 4)[0]
    return data[:start] + _JPEG_COMMENT + data[start:]


def is_named_as_drawn(name: str) -> bool:
    """Return whether a file or folder has a name that commands give to what they draw."""
    return _DRAWN_NAME.fullmatch(name) is not None


def is_marked(path: Path) -> bool:
    """Return whether a file is a picture with the mark.

    Raises:
        OSError: It cannot be read.
    """
    start = read_start(path, _MARK_WITHIN)
    return start.startswith((_JPEG_START, PNG_START)) and _MARK in start

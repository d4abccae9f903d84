"""Reading single stretches of bytes of several files, for indexes that keep places alone."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from vitpose_cli.errors import InputError
from vitpose_cli.files import read_error

_MAX_OPEN_FILES = 64


class PlaceReader:
    """Reads from numbered files, keeping a few of them open.

    `close` it (`contextlib.closing`); it may be used again. Not for several threads at once.

    Args:
        paths: The files; their positions are their numbers.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths
        self._open: OrderedDict[int, BinaryIO] = OrderedDict()

    def read_bytes(self, file_number: int, offset: int, length: int) -> bytes:
        """Return the bytes at a place.

        Raises:
            InputError: The file cannot be read.
        """
        try:
            stream = self._stream(file_number)
            stream.seek(offset)
            return stream.read(length)
        except OSError as error:
            raise read_error(self.paths[file_number], error) from error

    def read_object(self, file_number: int, offset: int, length: int) -> dict[str, Any]:
        """Return the JSON object at a place.

        Raises:
            InputError: The file cannot be read, or was changed since the place was found.
        """
        data = self.read_bytes(file_number, offset, length)
        try:
            value = _loads(data)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            path = self.paths[file_number]
            raise InputError(f"{path} was changed while it was read.", "Run the command again.")
        return value

    def close(self) -> None:
        """Close the files."""
        while self._open:
            self._open.popitem()[1].close()

    def _stream(self, file_number: int) -> BinaryIO:
        stream = self._open.get(file_number)
        if stream is None:
            if len(self._open) >= _MAX_OPEN_FILES:
                self._open.popitem(last=False)[1].close()
            stream = self._open[file_number] = self.paths[file_number].open("rb")
        self._open.move_to_end(file_number)
        return stream


def _loads(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return json.loads(data)  # NaN and the like, which other programs write

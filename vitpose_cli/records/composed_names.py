"""Names of photos and frames in any form of Unicode: é as one character, or as e and an accent.

A Mac and programs on it write names in the second form, most others in the first, and both look
the same. Records keep a name as the file has it. Names that others give are therefore compared as
they are, and where none is the same, with every accent put together (NFC), and then with slashes
for backslashes, as programs on Windows write them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

from vitpose_cli.media.frames import FrameKey

Value = TypeVar("Value")


def composed(name: str) -> str:
    """Return a name with its accents put together."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def plain(name: str) -> str:
    """Return a name with its accents put together, and with slashes for backslashes."""
    return composed(name).replace("\\", "/")


def extracted_frame(name: str) -> FrameKey | None:
    """Return the frame of a video that a photo's name says it is, in any form; else None."""
    return FrameKey.of_video(name) or FrameKey.of_video(plain(name))


def forms(name: str) -> tuple[str, ...]:
    """Return the forms of a name, its own first: only one where they are all the same."""
    common = plain(name)
    apart = common if common.isascii() else unicodedata.normalize("NFD", common)
    return tuple(dict.fromkeys((name, common, apart)))


def without_dot(name: str) -> str:
    """Return a name without `./` in front, which says nothing."""
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return name


class ByName(Generic[Value]):
    """Values by name, each found in other forms of its name, too."""

    def __init__(self, values: Mapping[str, Value]) -> None:
        """Take the values; of two whose names look the same, each is found by its own form."""
        self._values = values
        self._plain = {form: values[name] for name in values if (form := plain(name)) != name}

    def __iter__(self) -> Iterator[str]:
        """Yield the names in their own form."""
        return iter(self._values)

    def get(self, name: str) -> Value | None:
        """Return the value of a name, None where there is none."""
        if name in self._values:
            return self._values[name]
        form = plain(name)
        return self._plain[form] if form in self._plain else self._values.get(form)

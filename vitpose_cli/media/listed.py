"""List files, as `@list.txt` names them: one path or URL a line, or a NUL behind each.

Names of files hold what they like, spaces at either end and `#` included, so that a line is what
it is wherever a file has that very name.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from pathlib import Path

from vitpose_cli.errors import InputError
from vitpose_cli.media.places import is_there, without_dots
from vitpose_cli.media.remote import is_url

_SHOWN_CHARS = 80
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_NO_LIST = 0.9  # so much of a photo, or of text in another encoding, is not the name of a file


def read_list(path: Path) -> list[str]:
    """Return the entries of a list: URLs as they are, other paths absolute and without `..`.

    Where there is a NUL, entries end with it, as `find -print0` writes them. Spaces around a name
    and lines that begin with `#` are passed over, unless there is a file of that name. One of a
    million that is gone, or whose name is no text, ends no run: it fails when it is read.

    Raises:
        InputError: It is no text, or none of its paths exists.
        OSError: It cannot be read.
    """
    if path.name == "-" and not path.exists():
        raise InputError(
            "A list cannot be read from stdin: the same command is to find the same photos again.",
            "Write it to a file, and give that: @list.txt.",
        )
    content = path.read_bytes()
    text = content.decode("utf-8-sig", "surrogateescape")  # as the system gives names
    folder = path.parent.resolve()
    entries = list(_entries(text, folder))
    missing = [entry for entry, is_found in entries if not is_found]
    if not _is_text(content) and (
        content.startswith(_UTF_16) or len(missing) > _NO_LIST * len(entries)
    ):
        raise InputError(f"The list {path} is not UTF-8 text.")
    if missing and len(missing) == len(entries):
        raise InputError(
            f"{len(missing)} of {len(entries)} paths in {path} do not exist: {examples(missing)}.",
            "Paths in a list are relative to the folder of the list.",
        )
    return [entry if is_url(entry) else str(without_dots(folder / entry)) for entry, _ in entries]


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _entries(text: str, folder: Path) -> Iterator[tuple[str, bool]]:
    """Yield the entries of a list, and whether each is a URL or there."""
    for line in filter(None, text.split("\0" if "\0" in text else "\n")):
        name = line.strip()
        if is_url(name):
            yield name, True
            continue
        written = dict.fromkeys(filter(None, (line, line.removesuffix("\r"), name)))
        there = next((each for each in written if is_there(folder / each)), None)
        if there is not None:
            yield there, True
        elif name and not line.startswith("#"):
            yield name, False


def examples(names: Sequence[str]) -> str:
    """Return the first of some names, as an error shows them: each cut where it is long."""
    shown = [name if len(name) <= _SHOWN_CHARS else f"{name[:_SHOWN_CHARS]}…" for name in names[:3]]
    return ", ".join(shown) + (", …" if names[3:] else "")

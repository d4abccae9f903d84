"""List files, as `@list.txt` names them: one path or URL a line, or a NUL behind each.

Names of files hold what they like, spaces at either end and `#` included, so that a line is what
it is wherever a file has that very name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from vitpose_cli.errors import InputError
from vitpose_cli.media.places import is_there, without_dots
from vitpose_cli.media.remote import is_url

_SHOWN_CHARS = 80


def read_list(path: Path) -> list[str]:
    """Return the entries of a list: URLs as they are, other paths absolute and without `..`.

    Where there is a NUL, entries end with it, as `find -print0` writes them. Spaces around a name
    and lines that begin with `#` are passed over, unless there is a file of that name.

    Raises:
        InputError: It is no text, or some of its paths do not exist.
        OSError: It cannot be read.
    """
    if path.name == "-" and not path.exists():
        raise InputError(
            "A list cannot be read from stdin: the same command is to find the same photos again.",
            "Write it to a file, and give that: @list.txt.",
        )
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"The list {path} is not UTF-8 text.") from error
    folder = path.parent.resolve()
    entries = list(_entries(text, folder))
    missing = [entry for entry, is_found in entries if not is_found]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(entries)} paths in {path} do not exist: {examples(missing)}.",
            "Paths in a list are relative to the folder of the list.",
        )
    return [entry if is_url(entry) else str(without_dots(folder / entry)) for entry, _ in entries]


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

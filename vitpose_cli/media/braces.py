"""Names of numbered shards as their users write them: `shard-{0000..0099}.tar`, `{a,b}.tar`.

The notation of WebDataset, whose own parser is one of the shell's in full; here are the two forms
that name shards, one after the other but not inside each other. Shells of users expand them, too,
unless they are quoted, as they must be for a glob beside them to reach us.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from vitpose_cli.errors import InputError

MAX_NAMES = 1_000_000
"""More names than this are taken for a mistake in a number."""

_BRACES = re.compile(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}")


def has_braces(name: str) -> bool:
    """Return whether `expand_braces` makes something else of a name."""
    return _BRACES.search(name) is not None


def expand_braces(name: str) -> Iterator[str]:
    """Yield the names that a name with braces stands for, the last braces running fastest.

    Numbers keep the width of the first, if that begins with a zero; `{9..0}` counts down.

    Raises:
        InputError: There would be more than `MAX_NAMES` of them.
    """
    count = 1
    for braces in _BRACES.finditer(name):
        count *= len(_choices(braces))
    if count > MAX_NAMES:
        raise InputError(f"{name!r} stands for {count:,} names.", f"Name {MAX_NAMES:,} at most.")
    yield from _expanded(name)


def _expanded(name: str) -> Iterator[str]:
    braces = _BRACES.search(name)
    if braces is None:
        yield name
        return
    first, listed = braces[1], braces[3]
    width = len(first) if first and first.startswith("0") else 0
    for choice in _choices(braces):
        text = choice if listed is not None else f"{choice:0{width}d}"
        for rest in _expanded(name[braces.end() :]):
            yield f"{name[: braces.start()]}{text}{rest}"


def _choices(braces: re.Match[str]) -> range | list[str]:
    if braces[3] is not None:
        return braces[3].split(",")
    first, last = int(braces[1]), int(braces[2])
    step = 1 if first <= last else -1
    return range(first, last + step, step)

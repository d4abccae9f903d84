"""How the options that the labels of two runs depend on differ, in the words of the command line.

What was left out is what is taken then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

CHOICE_OF_FRAMES = frozenset({"every", "fps", "start", "end", "max-frames"})
"""The options that say which frames of videos are labelled, not how."""

KEYPOINT_THRESHOLD = "keypoint-threshold"
"""The option that is applied when labels are read, not when they are made."""

_NAMES = {"start_s": "start", "end_s": "end", "max_frames": "max-frames"}
_HASHED = re.compile(r".+ \(([0-9a-f]{16})\)")
_LEFT_OUT = {"every": 1, "start": 0.0}


def choice_of_frames(options: Mapping[str, Any]) -> str:
    """Return how many frames of videos are labelled, as on the command line; empty for all."""
    given = _given(options)
    return " ".join(f"--{name} {given[name]:g}" for name in ("every", "fps") if name in given)


def differing_options(
    before: Mapping[str, Any], now: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    """Yield the name of every option that differs and its two values, None where left out."""
    old, new = _given(before), _given(now)
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name) and not _is_same_file(old.get(name), new.get(name)):
            yield name, old.get(name), new.get(name)


def _is_same_file(old: Any, new: Any) -> bool:
    """Return whether two options name the same, such as a detector: what it holds is its hash."""
    before, now = (
        _HASHED.fullmatch(each) if isinstance(each, str) else None for each in (old, new)
    )
    return before is not None and now is not None and before[1] == now[1]


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were not left out, as they look after a trip through JSON."""
    plain: dict[str, Any] = orjson.loads(orjson.dumps(dict(options)))
    named = ((_NAMES.get(name, name), value) for name, value in plain.items())
    return {
        name: value for name, value in named if value is not None and value != _LEFT_OUT.get(name)
    }

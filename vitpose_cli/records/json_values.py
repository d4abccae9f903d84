"""What a decoded JSON value is, strictly: a bool is no number, and neither is NaN."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any, TypeGuard

import orjson

from vitpose_cli.plurals import counted

_SHOWN_CHARS = 60


def is_int(value: Any) -> TypeGuard[int]:
    """Return whether `value` is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> TypeGuard[float]:
    """Return whether `value` is a finite number."""
    return are_numbers([value], 1)


def are_numbers(values: Any, count: int) -> TypeGuard[list[float]]:
    """Return whether `values` is a list of `count` finite numbers."""
    if not isinstance(values, list) or len(values) != count or bool in map(type, values):
        return False
    try:
        return all(map(math.isfinite, values))
    except (TypeError, OverflowError):
        return False


def why_no_numbers(values: Any, count: int) -> str:
    """Return the end of a sentence on what `values` is in place of `count` finite numbers."""
    if not isinstance(values, list):
        return f"is {shown(values)}"
    if len(values) != count:
        return f"has {counted(len(values), 'value')}"
    place = next(place for place, value in enumerate(values) if not is_number(value))
    return f"has {shown(values[place])} as value {place + 1}"


def no_numbers(values: Any, count: int, name: str) -> str:
    """Return what is wrong with the field `name` of an object, which needs `count` numbers."""
    return f"needs {count} numbers in {name}, which {why_no_numbers(values, count)}"


def are_texts(values: Iterable[Any]) -> bool:
    """Return whether all texts among `values` can be written: JSON may hold half characters."""
    try:
        for value in values:
            str(value).encode()
    except UnicodeEncodeError:
        return False
    return True


def to_json(value: Any) -> bytes:
    """Return a value as JSON, also what orjson refuses: huge numbers and half characters."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value).encode()


def shown(value: Any) -> str:
    """Return a value as it stands in JSON, on one line and not too long."""
    text = json.dumps(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."

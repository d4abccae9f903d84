"""What a decoded JSON value is, strictly: a bool is no number, and neither is NaN."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any, TypeGuard

import orjson

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

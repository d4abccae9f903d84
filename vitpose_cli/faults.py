"""What pydantic finds wrong with a value, in words that know neither pydantic nor Python.

Its own messages name classes, tuples and parsers, and begin with the kind of the exception.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import NoneType
from typing import Any

from pydantic import ValidationError

from vitpose_cli.plurals import counted

_KINDS = {
    "bool": "true or false",
    "dataclass": "a mapping (key: value)",
    "dict": "a mapping (key: value)",
    "float": "a number",
    "int": "a whole number",
    "mapping": "a mapping (key: value)",
    "model": "a mapping (key: value)",
    "path": "a path",
    "string": "a text",
    "tuple": "a list",
}
"""What a value should have been, by the first word of pydantic's name of the error."""

_LONGEST_SHOWN = 100
"""Characters of a value that a message repeats."""


def fault_text(details: Mapping[str, Any]) -> str:
    """Return what is wrong with a value, without its place: one of `ValidationError.errors()`."""
    kind, message = str(details["type"]), str(details["msg"])
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return "unknown key"
    if kind in ("too_short", "too_long"):
        most = details["ctx"].get("max_length")
        if most is not None:
            return f"takes at most {counted(most, 'item')}, not {details['ctx']['actual_length']}"
        return f"needs at least {counted(details['ctx']['min_length'], 'item')}"
    if kind == "int_parsing_size":
        message = "should be a smaller number"
    elif kind.endswith(("_type", "_parsing", "_from_float")) and kind.split("_")[0] in _KINDS:
        message = f"should be {_KINDS[kind.split('_')[0]]}"
    message = message.removeprefix("Value error, ").removeprefix("Input ")
    return f"{message}{given(details.get('input'))}"


def fault_texts(error: ValidationError, whole: str) -> str:
    """Return in one line what is wrong with the parts of a value that is called `whole`."""
    return "; ".join(
        f"{'.'.join(map(str, details['loc'])) or whole}: {fault_text(details)}"
        for details in error.errors()
    )


def given(value: object) -> str:
    """Show a value that is short, with a space before it: no list, no mapping, no whole file."""
    shown = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
    is_short = isinstance(value, (str, int, float, NoneType)) and len(shown) <= _LONGEST_SHOWN
    return f" (given: {shown})" if is_short else ""

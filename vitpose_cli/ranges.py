"""What options that a user gives must be: the same on the command line and in Python.

Options that only one place checks have their range there.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeGuard, get_args, get_origin

from vitpose_cli.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def is_whole(value: object) -> TypeGuard[int]:
    """Return whether something is a whole number; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_real(value: object) -> TypeGuard[float]:
    """Return whether something is a number, also an infinite one; True, False and NaN are none."""
    return isinstance(value, Real) and not isinstance(value, bool) and value <= math.inf


@dataclass(frozen=True, slots=True)
class IntRange:
    """Whole numbers from `low` to `high`; None for without end."""

    low: int
    high: int | None = None

    def check(self, name: str, value: object) -> None:
        """Refuse what is no whole number, or none of these.

        Raises:
            ConfigError: It is neither.
        """
        high = math.inf if self.high is None else self.high
        if not is_whole(value) or not self.low <= value <= high:
            reach = "or more" if self.high is None else f"to {self.high:,}"
            raise ConfigError(f"{name} is {value!r}, expected a whole number, {self.low} {reach}.")


@dataclass(frozen=True, slots=True)
class FloatRange:
    """Numbers from `low` to `high`."""

    low: float
    high: float

    def check(self, name: str, value: object) -> None:
        """Refuse what is no number, or none of these.

        Raises:
            ConfigError: It is neither.
        """
        if not is_real(value) or not self.low <= value <= self.high:
            raise ConfigError(
                f"{name} is {value!r}, expected a number from {self.low:g} to {self.high:g}."
            )


SCORES = FloatRange(0.0, 1.0)
COUNTS = IntRange(1)
DETECTOR_SIZES = IntRange(32, 8192)
DETECTOR_TILES = IntRange(64)
SHARDS = IntRange(1, 99_999)


def check_types(options: DataclassInstance) -> None:
    """Refuse what is of another type than its option; take paths as text, and text as paths.

    Args:
        options: Of a class whose annotations are texts, as `from __future__ import annotations`
            makes them.

    Raises:
        ConfigError: Something is; also None, unless it is annotated, and a float that is NaN.
    """
    for option in fields(options):
        value = getattr(options, option.name)
        kind, or_none, _ = str(option.type).partition(" | None")
        if value is None and or_none:
            continue
        alias = getattr(sys.modules[type(options).__module__], kind, None)
        choices = get_args(alias) if get_origin(alias) is Literal else ()
        object.__setattr__(options, option.name, _typed(option.name, value, kind, choices))


def _typed(name: str, value: object, kind: str, choices: Sequence[str]) -> object:
    """Return a value as an option of this annotation holds it; with choices, it is one of them."""
    several = _SEVERAL.get(kind)
    if several is not None:
        if isinstance(value, str | Path) or not isinstance(value, Iterable):
            shown = str(value) if isinstance(value, Path) else value
            raise ConfigError(
                f"{name} is {shown!r}, expected a tuple of several.", f"Write it as ({shown!r},)."
            )
        whole, one = several
        return whole(_typed(f"one of {name}", each, one, ()) for each in value)
    if choices:
        expected, fits = f"one of {', '.join(choices)}", value in choices
    elif kind in _SINGLE:
        expected, is_one = _SINGLE[kind]
        fits = is_one(value)
    else:  # a class, perhaps imported for its name alone
        expected = kind
        fits = not kind.isidentifier() or any(each.__name__ == kind for each in type(value).__mro__)
    if not fits:
        raise ConfigError(f"{name} is {value!r}, expected {expected}.")
    if kind == "Path":
        return Path(str(value))
    return str(value) if isinstance(value, Path) else value


def _is_path(value: object) -> bool:
    return isinstance(value, str | Path)


_SINGLE: Mapping[str, tuple[str, Callable[[object], bool]]] = {
    "bool": ("True or False", lambda value: isinstance(value, bool)),
    "int": ("a whole number", is_whole),
    "float": ("a number", is_real),
    "str": ("text", _is_path),
    "Path": ("a path", _is_path),
}
_SEVERAL: Mapping[str, tuple[Callable[[Iterable[object]], object], str]] = {
    "tuple[Path, ...]": (tuple, "Path"),
    "tuple[str, ...]": (tuple, "str"),
    "frozenset[str]": (frozenset, "str"),
}

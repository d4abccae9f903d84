"""What a number or a flag that a user gives must be: the same on the command line and in Python.

Options that only one place checks have their range there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import TYPE_CHECKING

from vitpose_cli.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


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
        if not isinstance(value, Integral) or not self.low <= int(value) <= high:
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
        if not isinstance(value, Real) or not self.low <= float(value) <= self.high:
            raise ConfigError(
                f"{name} is {value!r}, expected a number from {self.low:g} to {self.high:g}."
            )


SCORES = FloatRange(0.0, 1.0)
COUNTS = IntRange(1)
DETECTOR_SIZES = IntRange(32, 8192)
SHARDS = IntRange(1, 99_999)


def check_flags(options: DataclassInstance) -> None:
    """Refuse options that take only true or false, and are something else.

    Args:
        options: Of a class whose annotations are texts, as `from __future__ import annotations`
            makes them.

    Raises:
        ConfigError: One is; also None, unless it is annotated.
    """
    for option in fields(options):
        value = getattr(options, option.name)
        is_left_out = option.type == "bool | None" and value is None
        if option.type in ("bool", "bool | None") and not (isinstance(value, bool) or is_left_out):
            raise ConfigError(f"{option.name} is {value!r}, expected True or False.")

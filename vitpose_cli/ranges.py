"""In which range a number that a user gives must lie: the same on the command line and in Python.

Options that only one place checks have their range there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real

from vitpose_cli.errors import ConfigError


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

"""Which frames are written into another program's files, and who of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from vitpose_cli.ranges import check_types
from vitpose_cli.records.composed_names import ByName

_GOOD_STATES = ("accepted", "fixed")


@dataclass(frozen=True, slots=True)
class LabelFilter:
    """Which frames are taken, and who of them.

    Attributes:
        names: By `file_name`, in any form of Unicode; None takes all.
        reviewed: Only those that a person accepted or fixed.
        categories: Names of the categories whose people are taken; empty for all. Frames in which
            is nobody of them are taken, too: that is what they say.
    """

    names: frozenset[str] | None = None
    reviewed: bool = False
    categories: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ConfigError: Something is of another type.
        """
        check_types(self)

    def among(self, names: Iterable[str]) -> tuple[LabelFilter, tuple[str, ...]]:
        """Return this selection with names as they are among those of all frames.

        Args:
            names: Those of all frames.

        Returns:
            Also the wanted names that none of the frames has, sorted.
        """
        if self.names is None:
            return self, ()
        known = ByName({name: name for name in names})
        found = {name: known.get(name) for name in self.names}
        missing = tuple(sorted(name for name, same in found.items() if same is None))
        there = frozenset(same for same in found.values() if same is not None)
        return replace(self, names=there), missing

    def takes(self, name: str, state: object) -> bool:
        """Return whether a frame is taken; of a selection that knows the names of all frames.

        Args:
            name: Its `file_name`.
            state: What a person decided, None where nobody did.
        """
        return (self.names is None or name in self.names) and (
            not self.reviewed or state in _GOOD_STATES
        )

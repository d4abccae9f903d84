"""How a job tells how far it is, to whoever shows it: a bar, lines of a log, or nobody."""

from __future__ import annotations

from typing import Protocol


class Report(Protocol):
    """Takes how far a job is."""

    def __call__(self, num_done: int, total: int | None, num_failed: int = 0, /) -> None:
        """Take counts of frames.

        Args:
            num_done: How many are done.
            total: How many there are; None while that is not known.
            num_failed: How many of those that are done could not be used. Where a share has gone,
                nothing is as fast as to fail.
        """
        ...

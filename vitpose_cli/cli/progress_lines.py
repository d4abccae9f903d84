"""Progress in a log file: a line now and then, so that a job of days is seen to live and to end."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from vitpose_cli.plurals import whole_minutes

FIRST_LINE_S = 60.0
"""When the first line is said. Shorter jobs, as of cron, leave nothing that would be mailed."""

LINE_EVERY_S = 600.0
"""How long after a line the next one comes at the latest; after a short time, sooner."""


class ProgressLines:
    """A report that says a line after one minute, two, four, eight, and then every ten minutes."""

    def __init__(self, unit: str, say: Callable[[str], None]) -> None:
        """Begin with nothing done.

        Args:
            unit: The name of what is counted, in the plural.
            say: Takes a line.
        """
        self._unit = unit
        self._say = say
        self._start: tuple[float, int] | None = None
        self._next_s = FIRST_LINE_S

    def __call__(self, num_done: int, total: int | None, num_failed: int = 0) -> None:
        """Take how many are done, there are, and failed; what is done at first was done earlier."""
        now = time.monotonic()
        if self._start is None:
            self._start = now, num_done
        began, num_before = self._start
        passed_s = now - began
        if passed_s < self._next_s or num_done == total:  # the end is said by who began
            return
        self._next_s = passed_s + min(passed_s, LINE_EVERY_S)
        rate = (num_done - num_before) / passed_s
        known = "" if total is None else f" of {total:,}"
        failed = f"{num_failed:,} of them failed, " if num_failed else ""
        line = f"{datetime.now():%Y-%m-%d %H:%M}  {num_done:,}{known} {self._unit}, {failed}"
        line += f"{rate:.3g}/s"
        if total is not None and rate > 0:
            line += f", about {whole_minutes((total - num_done) / rate)} left"
        self._say(line)

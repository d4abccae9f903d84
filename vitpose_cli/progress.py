"""How a job tells how far it is, to whoever shows it: a bar, lines of a log, or nobody."""

from __future__ import annotations

from collections.abc import Callable

Report = Callable[[int, "int | None"], None]
"""Takes how many frames are done and how many there are; None while that is not known."""

"""Numbers of things, times and lists of names, in words."""

import difflib
from collections.abc import Iterable, Sequence


def counted(number: int, what: str, many: str | None = None) -> str:
    """Return a number and what it counts, in the plural (`what` with an s, or `many`) but for 1."""
    return f"{number} {what}" if number == 1 else f"{number:,} {many or what + 's'}"


def people(number: int) -> str:
    """Return how many people there are, in words."""
    return counted(number, "person", "people")


def first_few(names: Sequence[str], most: int = 5) -> str:
    """Return the first of several names, in words."""
    return ", ".join(names[:most]) + (", …" if names[most:] else "")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a question for the likeliest of the known names, with a space; empty if none is."""
    in_any_case = {each.casefold(): each for each in known}
    close = difflib.get_close_matches(name.casefold(), in_any_case, n=1)
    return f"Did you mean {in_any_case[close[0]]!r}? " if close else ""


def whole_minutes(seconds: float) -> str:
    """Return a time as people say it, at least a minute: `3 d 4 h`, `2 h 5 min`, `12 min`."""
    minutes = max(1, round(seconds / 60))
    days, hours = minutes // 1440, minutes // 60 % 24
    if days:
        return f"{days:,} d {hours} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"


def time_taken(seconds: float) -> str:
    """Return how long something took: `2.5 s`, from ten minutes on `12 min` or `3 d 4 h`."""
    return f"{seconds:.1f} s" if seconds < 600 else whole_minutes(seconds)

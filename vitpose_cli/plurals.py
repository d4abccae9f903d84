"""Numbers of things and lists of names, in words."""

from collections.abc import Sequence


def counted(number: int, what: str, many: str | None = None) -> str:
    """Return a number and what it counts, in the plural (`what` with an s, or `many`) but for 1."""
    return f"{number} {what}" if number == 1 else f"{number:,} {many or what + 's'}"


def people(number: int) -> str:
    """Return how many people there are, in words."""
    return counted(number, "person", "people")


def first_few(names: Sequence[str]) -> str:
    """Return the first of several names, in words."""
    return ", ".join(names[:5]) + (", …" if names[5:] else "")

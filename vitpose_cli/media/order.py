"""The order in which people expect files: one for what is labelled, and for lists of it."""

from __future__ import annotations

import re

_DIGITS = re.compile(r"[0-9]+")


def natural_order(media: str) -> tuple[str, str]:
    """Return what to sort by: folder by folder, numbers by their value, then letter by letter.

    As text: of a million files, lists of texts and numbers take much longer to sort.
    """
    return _DIGITS.sub(_by_value, media.replace("/", "\0")), media


def _by_value(number: re.Match[str]) -> str:
    """Return digits as a text that sorts before all others, shorter numbers first."""
    digits = number[0].lstrip("0")
    return f"\1{chr(len(digits))}{digits}"

"""What checks of a COCO file share: where a violation is noted, and how values are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from vitpose_cli.records.json_values import shown
from vitpose_cli.records.rules import Validation

_T = TypeVar("_T")


class Findings:
    """The report about a document, filled file by file.

    Attributes:
        report: What was found.
    """

    def __init__(self, report: Validation) -> None:
        self.report = report
        self._file = ""  # what stands before each place

    def begin(self, file: str) -> None:
        """Begin with a file, which `file` stands for in the places of the report."""
        self._file = file

    def add(self, rule: str, place: str, message: str) -> None:
        """Take note of a violation."""
        self.report.add(rule, self._file + place, message)

    def is_object(self, place: str, value: Any) -> bool:
        """Return whether `value` is an object; take note if it is not."""
        if isinstance(value, dict):
            return True
        self.add("item-type", place, f"is {shown(value)}")
        return False


def in_or_add(known: set[_T], value: _T) -> bool:
    """Return whether `value` was known, and know it from now on."""
    before = len(known)
    known.add(value)
    return len(known) == before


def what_it_is(element: Mapping[str, Any], name: str) -> str:
    """Return the end of a sentence that says what stands under `name`."""
    return f"is {shown(element[name])}" if name in element else "is missing"

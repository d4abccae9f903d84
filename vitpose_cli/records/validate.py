"""Checking a COCO file against the rules that its consumers set (`rules`).

The file is streamed: what is kept of an image or annotation is its id and a few numbers, so that a
file of millions is checked in the memory of a laptop. A JSON schema was refused: most rules join
two places of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from vitpose_cli.records.checked_annotations import CheckedAnnotations
from vitpose_cli.records.checked_categories import CheckedCategories
from vitpose_cli.records.checked_images import CheckedImages
from vitpose_cli.records.checked_results import check_result
from vitpose_cli.records.findings import Findings
from vitpose_cli.records.json_stream import Item, stream_items
from vitpose_cli.records.json_values import shown
from vitpose_cli.records.rules import Validation
from vitpose_cli.records.shards import document_files

_NEEDED = ("images", "annotations", "categories")


def validate(path: Path) -> Validation:
    """Check a COCO annotation file or results file against every rule.

    Args:
        path: The file; or a glob of shards or a folder, for all files of the document. Each has to
            be whole by itself, and ids are unique over all of them.

    Raises:
        InputError: A file cannot be read, or is not JSON.
    """
    files = document_files(path)
    checker = _Checker(path)
    for file in files:
        checker.begin(f"{file.name}: " if len(files) > 1 else "")
        for item in stream_items(file):
            checker.take(item)
        checker.end()
        if checker.postponed:  # annotations before what they refer to
            for item in stream_items(file):
                if item.section == "annotations" and item.position is not None:
                    checker.annotations.check(item)
    return checker.report


class _Checker:
    """What is known of a document so far, and the report about it."""

    def __init__(self, path: Path) -> None:
        self.report = Validation(path)
        self.postponed = False
        self._findings = Findings(self.report)
        self._images = CheckedImages(self._findings)
        self._categories = CheckedCategories(self._findings)
        self.annotations = CheckedAnnotations(self._findings, self._images, self._categories)
        self._checks: Mapping[str, Callable[[Item], None]] = {
            "": lambda item: check_result(item, self._findings),
            "images": self._images.check,
            "videos": self._images.check_video,
            "categories": self._categories.check,
            "annotations": self._annotation_in_order,
        }
        self._sections: dict[str, int] = {}  # elements by section

    def begin(self, file: str) -> None:
        """Begin with a file, which `file` stands for in the places of the report."""
        self.postponed = False
        self._findings.begin(file)
        self._images.begin()
        self._categories.begin()
        self._sections.clear()

    def take(self, item: Item) -> None:
        """Check one value of the file, in the order of the file."""
        check = self._checks.get(item.section)
        if check is None:
            return
        if item.position is not None:
            self._sections[item.section] += 1
            check(item)
        elif item.section in self._sections:
            self._findings.add("section-repeated", item.section, "comes a second time")
        else:
            self._sections[item.section] = 0
            if item.value != []:
                self._findings.add(
                    "section-type", item.section, f"is {shown(item.value)}, not a list"
                )

    def end(self) -> None:
        """Check what only the end of a file shows."""
        if "" in self._sections:
            self.report.kind = "results"
            self.report.num_annotations += self._sections[""]
            if not self._sections[""]:
                self._findings.add("results-empty", "the file", "is an empty list")
            return
        for section in _NEEDED:
            if section not in self._sections:
                self._findings.add("section-missing", section, "is missing")
        self._images.end()
        self.report.num_images += self._sections.get("images", 0)
        self.report.num_annotations += self._sections.get("annotations", 0)

    def _annotation_in_order(self, item: Item) -> None:
        if self.postponed or not {"images", "categories"} <= self._sections.keys():
            self.postponed = True
        else:
            self.annotations.check(item)

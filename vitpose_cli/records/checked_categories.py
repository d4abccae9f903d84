"""Checking the categories of a COCO file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vitpose_cli.pose.keypoint_sides import flip_pairs_fault
from vitpose_cli.pose.keypoint_sigmas import sigmas_fault
from vitpose_cli.records.findings import Findings, in_or_add, what_it_is
from vitpose_cli.records.json_stream import Item
from vitpose_cli.records.json_values import are_texts, is_int, shown


class CheckedCategories:
    """The categories of a file.

    Attributes:
        num_keypoints: How many keypoints each has, by id.
    """

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self.num_keypoints: dict[int, int] = {}
        self._names: set[str] = set()
        self._keypoints: tuple[int, list[str]] | None = None  # place and names of the first
        # By their field and their keypoints: the place of the first that are stated, and they.
        self._stated: dict[tuple[str, ...], tuple[int, set[frozenset[str]] | list[float]]] = {}

    def begin(self) -> None:
        """Begin with a file, which has categories of its own."""
        self.num_keypoints.clear()
        self._names.clear()
        self._keypoints = None
        self._stated.clear()

    def check(self, item: Item) -> None:
        """Check an element of `categories`."""
        place, category = f"categories[{item.position}]", item.value
        if not self._findings.is_object(place, category):
            return
        names = category.get("keypoints", [])
        if not is_int(category.get("id")) or category["id"] < 1:
            self._findings.add("category-id", f"{place}.id", what_it_is(category, "id"))
        elif category["id"] in self.num_keypoints:
            self._findings.add("category-id-unique", f"{place}.id", f"{category['id']} comes again")
        if is_int(category.get("id")):
            count = len(names) if isinstance(names, list) else 0
            self.num_keypoints.setdefault(category["id"], count)
        name = category.get("name")
        fit = isinstance(name, str) and name.strip() and are_texts([name])
        if not fit or in_or_add(self._names, name):
            self._findings.add("category-name", f"{place}.name", what_it_is(category, "name"))
        if not names:
            self._findings.add(
                "category-without-keypoints", f"{place}.keypoints", "is missing or empty"
            )
        elif not _are_names(names):
            self._findings.add(
                "category-keypoints", f"{place}.keypoints", what_it_is(category, "keypoints")
            )
        else:
            self._alike(item, names)
            self._skeleton(f"{place}.skeleton", category, len(names))
            if (pairs := category.get("flip_pairs")) is not None:
                fault = flip_pairs_fault(pairs, names)
                meant = set() if fault else {frozenset(map(str, pair)) for pair in pairs}
                self._agreed(item, "flip_pairs", names, meant, fault)
            if (sigmas := category.get("sigmas")) is not None:
                fault = sigmas_fault(sigmas, len(names))
                self._agreed(item, "sigmas", names, sigmas, fault)

    def _alike(self, item: Item, names: list[str]) -> None:
        position, known = self._keypoints = self._keypoints or (item.position or 0, names)
        if names != known:
            place = f"categories[{item.position}].keypoints"
            self._findings.add(
                "category-keypoints-alike", place, f"are others than in categories[{position}]"
            )

    def _agreed(
        self,
        item: Item,
        what: str,
        names: list[str],
        stated: set[frozenset[str]] | list[float],
        fault: str,
    ) -> None:
        """Find a field at fault, or one that says otherwise than the first of these keypoints."""
        if not fault:
            first = (item.position or 0, stated)
            position, known = self._stated.setdefault((what, *names), first)
            if stated != known:
                fault = f"are others than in categories[{position}]"
        if fault:
            place = f"categories[{item.position}].{what}"
            self._findings.add(what.replace("_", "-"), place, fault)

    def _skeleton(self, place: str, category: Mapping[str, Any], num_keypoints: int) -> None:
        skeleton = category.get("skeleton")
        if not isinstance(skeleton, list):
            self._findings.add("skeleton", place, what_it_is(category, "skeleton"))
            return
        edges: set[tuple[int, ...]] = set()
        for position, edge in enumerate(skeleton):
            here = f"{place}[{position}]"
            if not isinstance(edge, list) or len(edge) != 2 or not all(map(is_int, edge)):
                self._findings.add("skeleton", here, f"is {shown(edge)}")
            elif not all(1 <= end <= num_keypoints for end in edge):
                self._findings.add("skeleton", here, f"{edge} is not within 1 to {num_keypoints}")
            elif edge[0] == edge[1] or in_or_add(edges, tuple(sorted(edge))):
                self._findings.add("skeleton-edge", here, f"is {edge}")


def _are_names(values: Any) -> bool:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        return False
    return are_texts(values) and all(map(str.strip, values)) and len({*values}) == len(values)

"""Categories that come from documents and go into another, so that a cat stays a cat.

Several kinds of bodies may have the same keypoints, as the animals of AP-10K do. Each document
numbers them by itself; in a common one they are numbered anew, and those of one name are one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vitpose_cli.pose.keypoints import STATEMENTS, KeypointSet


def entry_of(
    category: Mapping[str, Any], number: int = 1, agreed: KeypointSet | None = None
) -> dict[str, Any]:
    """Return a category with the keypoints and skeleton known here, and the name it has.

    Args:
        category: The category.
        number: Its id there.
        agreed: The same keypoints with the flip pairs and sigmas that it gets; None for its own.
    """
    keypoint_set = KeypointSet.from_category(category)
    if agreed is not None:
        for what in STATEMENTS:
            keypoint_set = keypoint_set.with_field(agreed, what)
    name = str(category.get("name") or keypoint_set.category)
    named = {"name": name, "supercategory": category.get("supercategory") or name}
    return keypoint_set.to_category(number) | named


def common_entry(
    categories: Sequence[Mapping[str, Any]], keypoint_set: KeypointSet
) -> dict[str, Any]:
    """Return the category that stands for everybody, where there can be only one.

    Args:
        categories: One or more with the same keypoints. One keeps its name; several become what
            their keypoints are of, such as `animal`.
        keypoint_set: Their keypoints, with what any of them states, see `common_keypoint_set`.
    """
    return entry_of(categories[0]) if len(categories) == 1 else keypoint_set.to_category()


class Categories:
    """The categories of several documents as one list.

    Attributes:
        entries: What stands in the common document: numbered from 1, all with keypoints.
    """

    def __init__(
        self,
        documents: Sequence[Sequence[Mapping[str, Any]]],
        agreed: KeypointSet | None = None,
    ) -> None:
        """Number categories in the order in which they come.

        Args:
            documents: The categories with keypoints of each document; of a run, its only one.
            agreed: See `entry_of`.
        """
        self._agreed = agreed
        self.entries: list[dict[str, Any]] = []
        self._numbers = [
            {category["id"]: self._number(category) for category in categories}
            for categories in documents
        ]

    @property
    def names(self) -> list[str]:
        """What they are called, in the order of their numbers."""
        return [entry["name"] for entry in self.entries]

    def other_than(self, name: str) -> frozenset[int]:
        """Return the numbers of all that are called otherwise; none where there is only one."""
        others = (entry["id"] for entry in self.entries if entry["name"] != name)
        return frozenset(others) if len(self.entries) > 1 else frozenset()

    def number(self, document: int, category_id: int) -> int:
        """Return the number in the common document.

        Args:
            document: Which of the documents, counted from 0.
            category_id: The number there.
        """
        return self._numbers[document][category_id]

    def default(self, document: int) -> int:
        """Return the number of those whom no annotation gives one: the first of a document."""
        return next(iter(self._numbers[document].values()))

    def renumbered(
        self, annotations: Sequence[Mapping[str, Any]], document: int
    ) -> list[Mapping[str, Any]]:
        """Return annotations of a document as they are in the common one."""
        return [
            {**annotation, "category_id": self.number(document, annotation["category_id"])}
            for annotation in annotations
        ]

    def _number(self, category: Mapping[str, Any]) -> int:
        """Return the number in the common list, where a category is put if it is new."""
        entry = entry_of(category, len(self.entries) + 1, self._agreed)
        if entry["name"] not in self.names:
            self.entries.append(entry)
        return self.names.index(entry["name"]) + 1

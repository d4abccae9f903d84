"""Images that come from documents and go into another, with the fields that no record holds.

Addresses, dates and the licence of a photo are what a published data set answers for. Licences are
numbered in each document by itself, so that in a common one they get numbers of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_OF_A_RECORD = frozenset(
    ("id", "file_name", "width", "height", "video_id", "frame_id", "timestamp", "review", "version")
)
_ID = int | float | str


class Licences:
    """The licences of several documents as one list.

    Attributes:
        entries: What stands in the common document.
    """

    def __init__(self, documents: Sequence[Sequence[Mapping[str, Any]]]) -> None:
        """Number licences; the same one in two documents is one.

        Args:
            documents: The `licenses` of each document. Its numbers are kept where they are free; to
                an id that is neither a number nor a text no image can refer.
        """
        self.entries: list[dict[str, Any]] = []
        self._numbers: list[dict[int | float | str, int]] = []
        for licences in documents:
            numbered = [(licence.get("id"), self._number(licence)) for licence in licences]
            own = {name: number for name, number in numbered if isinstance(name, _ID)}
            self._numbers.append(own)

    def fields(self, image: Mapping[str, Any], number: int) -> dict[str, Any]:
        """Return what an image holds besides that which is written of its record.

        A licence that its own document does not list is left out where another has that number.

        Args:
            image: The entry of `images`.
            number: Which of the documents it is from, counted from 0.
        """
        kept = {name: value for name, value in image.items() if name not in _OF_A_RECORD}
        licence = kept.get("license")
        if isinstance(licence, _ID) and licence in self._numbers[number]:
            kept["license"] = self._numbers[number][licence]
        elif licence in [entry["id"] for entry in self.entries]:
            del kept["license"]
        return kept

    def _number(self, licence: Mapping[str, Any]) -> int:
        """Return the number of a licence in the common list, where it is put if it is new."""
        said = {name: value for name, value in licence.items() if name != "id"}
        taken = {entry["id"] for entry in self.entries}
        for entry in self.entries:
            if {name: value for name, value in entry.items() if name != "id"} == said:
                return int(entry["id"])
        wanted = licence.get("id")
        is_free = isinstance(wanted, int) and wanted not in taken
        number = wanted if isinstance(wanted, int) and is_free else max(taken, default=0) + 1
        self.entries.append({"id": number, **said})
        return number

"""Keypoints of one list in the order and the spelling of another, by their names.

Tools write the same keypoints in orders of their own. Whatever takes several lists takes the first
one's order; this brings all that hangs on a place in a list there: names, skeleton, flip pairs and
sigmas of a category, and the numbers of its people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vitpose_cli.errors import InputError
from vitpose_cli.pose.keypoint_names import keypoint_places
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.records.record import FrameRecord

_NUMBERS = {"keypoints": 3, "keypoint_scores": 1, "keypoints_smoothed": 3}
"""Lists of an annotation with so many numbers for each keypoint."""


@dataclass(frozen=True, slots=True)
class KeypointOrder:
    """What the keypoints of one list are in another.

    Attributes:
        names: The K names in the wanted order and spelling.
        places: Where each of them is in the list that there is, from 0.
    """

    names: tuple[str, ...]
    places: tuple[int, ...]

    @classmethod
    def between(cls, wanted: Sequence[str], found: Sequence[str]) -> KeypointOrder | None:
        """Return how to bring one list into the other.

        Args:
            wanted: K names.
            found: Those that there are.

        Returns:
            None where nothing is to be done, or nothing can be: they are not the same keypoints.
        """
        if len(wanted) != len(found) or list(wanted) == list(found):
            return None
        names = [str(name) for name in wanted]
        try:
            places = keypoint_places(names, [str(name) for name in found])
        except InputError:  # spelling alone tells some of them apart, and is not the same in both
            return None
        there = tuple(place for place in places if place is not None)
        return cls(tuple(names), there) if len({*there}) == len(names) else None

    @property
    def before(self) -> list[str]:
        """The K names in the order that there is, in the wanted spelling."""
        return [name for _, name in sorted(zip(self.places, self.names, strict=True))]

    def category(self, category: Mapping[str, Any]) -> dict[str, Any]:
        """Return an entry of `categories` with its keypoints in the wanted order.

        Raises:
            InputError: Its skeleton, flip pairs or sigmas do not fit its keypoints.
        """
        own = KeypointSet.from_category(category)
        now_at = {place: number for number, place in enumerate(self.places)}
        edges = [[now_at[start] + 1, now_at[end] + 1] for start, end in own.edges]
        entry = {**category, "keypoints": [*self.names], "skeleton": edges}
        if "flip_pairs" in own.stated:
            ends = ((now_at[one], now_at[other]) for one, other in own.flip_pairs)
            entry["flip_pairs"] = [[self.names[one], self.names[other]] for one, other in ends]
        if "sigmas" in own.stated:
            entry["sigmas"] = [own.oks_sigmas[place] for place in self.places]
        return entry

    def lists(self, annotation: Mapping[str, Any]) -> dict[str, list[float]]:
        """Return the lists of a checked annotation that hang on the order, in the wanted one."""
        turned = {}
        for name, step in _NUMBERS.items():
            values = annotation.get(name)
            if isinstance(values, list) and len(values) == step * len(self.places):
                starts = (step * place for place in self.places)
                turned[name] = [one for start in starts for one in values[start : start + step]]
        return turned

    def record(self, record: FrameRecord) -> FrameRecord:
        """Return a record with its keypoints in the wanted order."""
        if record.instances is None:
            return record
        # What a person saw at first has another checksum in this order.
        review = record.review and replace(record.review, untouched="")
        instances = record.instances.with_keypoints(self.places)
        return replace(record, instances=instances, review=review, exact=True)

"""Somebody in one frame of a video, by place: whom a person recognised in a later one.

By place, as nothing else of a frame lasts: numbers of people follow from all labels before them,
and names of a model's labels from their order, which other weights may change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from vitpose_cli.errors import InputError
from vitpose_cli.records.json_values import are_numbers, is_int


@dataclass(frozen=True, slots=True)
class Sighting:
    """Somebody in a frame.

    Attributes:
        index: The frame, by its number in the video, from 0.
        box: (x0, y0, x1, y1) where the person is, frame px.
    """

    index: int
    box: tuple[float, float, float, float]

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Return the sighting that `dataclasses.asdict` made this of.

        Raises:
            InputError: It is something else.
        """
        index: Any = value.get("index") if isinstance(value, dict) else None
        box: Any = value.get("box") if isinstance(value, dict) else None
        if not is_int(index) or index < 0 or not are_numbers(box, 4):
            raise InputError("A sighting is an index from 0 and a box [x0, y0, x1, y1].")
        return cls(index, (box[0], box[1], box[2], box[3]))

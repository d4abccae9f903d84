"""Labels of single points in a file, and which keypoints of the run they are.

A file that lists its keypoints says at once which it lacks (`order_in_file`). Where every point
has a label of its own, a keypoint may be missing because nobody saw it, and a label may be one that
the annotators added, as for a ball. A label that is none of the run's is refused where it may stand
for a keypoint of the run, which would be taken from everybody without a word.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vitpose_cli.errors import InputError
from vitpose_cli.formats.corrections import SAME_NAMES
from vitpose_cli.plurals import first_few
from vitpose_cli.pose.keypoint_names import keypoint_places


class KeypointLabels:
    """The labels of points that were met in a file.

    Attributes:
        names: The K keypoints of the run.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self._places: dict[str, int | None] = {}
        self._replaced: set[int] = set()

    @property
    def others(self) -> list[str]:
        """Labels that are no keypoints of the run, in the order in which they were met."""
        return [label for label, place in self._places.items() if place is None]

    def place(self, label: str) -> int | None:
        """Return the place of a label among the keypoints of the run, None if it is none of them.

        Raises:
            InputError: Two labels are one keypoint, or one label could be two.
        """
        if label not in self._places:
            place = keypoint_places([label], self.names)[0]
            for other, taken in self._places.items():
                if place is not None and place == taken:
                    raise InputError(
                        f"Labels {other!r} and {label!r} are both keypoint {self.names[place]!r}.",
                        "Label every keypoint by its name in the run.",
                    )
            self._places[label] = place
        return self._places[label]

    def replace(self, place: int) -> None:
        """Take note that a person lacks a keypoint, as its point has another label now."""
        self._replaced.add(place)

    def check(self, path: Path) -> None:
        """Refuse labels that may stand for keypoints of the run.

        Those are keypoints that no point of the file has the label of, and exported ones whose
        point has got another label.

        Args:
            path: The file, all of whose labels were met.

        Raises:
            InputError: There are such labels.
        """
        lost = [
            name
            for place, name in enumerate(self.names)
            if place in self._replaced or place not in self._places.values()
        ]
        if self.others and lost:
            raise InputError(
                f"{path} has points labelled {first_few(self.others)}, which are no keypoints of "
                f"the run and may stand for {first_few(lost)}.",
                f"{SAME_NAMES} Points of other things must be other shapes, such as rectangles.",
            )

"""How far people moved a model's labels: what tells whether another round of corrections pays.

Read from the journals, where the labels that a person saw stay beside what the person made of them,
so that it is known however the corrections came (`review`, `import`). By weights, since each round
of training has its own: where the number no longer rises, the rounds have stopped teaching.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.geometry import box_areas
from vitpose_cli.pose.oks import oks_matrix
from vitpose_cli.records.history import changes, histories
from vitpose_cli.records.record import FrameRecord

TITLE = "What people made of the labels"
COLUMNS = ("weights", "frames", "people", "added", "removed", "mean OKS")
"""What `EditDistance.cells` are, for tables."""


@dataclass(frozen=True, slots=True)
class EditDistance:
    """How far the labels of one network were from what people made of them.

    Attributes:
        model: The hash of its weights.
        num_frames: Frames that it labelled and a person accepted or fixed.
        num_people: People in them whom it found and the person kept.
        num_added: People whom it missed.
        num_removed: People whom a person deleted.
        mean_oks: Mean OKS between label and correction of those kept, 0 to 1, 1 for nothing
            changed; None where nobody has a labelled keypoint.
    """

    model: str
    num_frames: int
    num_people: int
    num_added: int
    num_removed: int
    mean_oks: float | None

    @property
    def cells(self) -> tuple[str, ...]:
        """The numbers as text, see `COLUMNS`."""
        counts = (self.num_frames, self.num_people, self.num_added, self.num_removed)
        mean_oks = "-" if self.mean_oks is None else f"{self.mean_oks:.3f}"
        return self.model, *(f"{count:,}" for count in counts), mean_oks


def edit_distances(
    folder: Path, keys: Iterable[FrameKey], sigmas: NDArray[np.float64]
) -> tuple[EditDistance, ...]:
    """Return how far people moved the labels in some frames, by weights, the first reviewed first.

    Args:
        folder: The run folder.
        keys: Frames that a person accepted or fixed. Those that no model had labelled before do
            not count.
        sigmas: (K,) of the keypoint set.

    Raises:
        InputError: The run cannot be read.
    """
    sums: dict[str, _Sum] = {}
    for _, records in histories(folder, keys):
        pair = _model_and_person(records)
        if pair is not None:
            sums.setdefault(pair[0].model, _Sum()).add(*pair, sigmas)
    ordered = sorted(sums.items(), key=lambda each: (each[1].first_s, each[0]))
    return tuple(each.result(model) for model, each in ordered)


def _model_and_person(records: Sequence[FrameRecord]) -> tuple[FrameRecord, FrameRecord] | None:
    """Return what a model said of a frame, and what a person made of it; None where that is not so.

    Args:
        records: All of the frame, a person's in their order; the last of these counts.
    """
    decided = [record for record in records if record.review and record.instances is not None]
    if not decided:
        return None
    by_version = {record.version: record for record in records}
    seen: FrameRecord | None = decided[-1]
    while seen is not None and seen.review is not None:
        seen = by_version.pop(seen.review.previous, None)  # taken out: no circle holds it up
    if seen is None or seen.origin != "model" or seen.instances is None:
        return None
    return seen, decided[-1]


class _Sum:
    """What is summed up over the frames of one network."""

    def __init__(self) -> None:
        self.first_s = np.inf  # when the first of them was reviewed
        self._frames = self._people = self._added = self._removed = 0
        self._similarities: list[float] = []

    def add(self, model: FrameRecord, person: FrameRecord, sigmas: NDArray[np.float64]) -> None:
        """Take a frame."""
        if person.review is not None:
            self.first_s = min(self.first_s, person.review.edited_at_s)
        changed = changes(model, person)
        self._frames += 1
        self._people += len(person.uids) - changed.num_added
        self._added += changed.num_added
        self._removed += changed.num_removed
        self._similarities += _similarities(model, person, sigmas)

    def result(self, model: str) -> EditDistance:
        """Return the numbers."""
        return EditDistance(
            model=model,
            num_frames=self._frames,
            num_people=self._people,
            num_added=self._added,
            num_removed=self._removed,
            mean_oks=float(np.mean(self._similarities)) if self._similarities else None,
        )


def _similarities(
    model: FrameRecord, person: FrameRecord, sigmas: NDArray[np.float64]
) -> Iterator[float]:
    """Yield the OKS of everybody in both, as COCO measures it, with the person's for the truth."""
    before, after = model.instances, person.instances
    if before is None or after is None:
        return
    areas = box_areas(after.boxes)
    for row, uid in enumerate(person.uids):
        if uid in model.uids and after.visibility[row].any():
            was = model.uids.index(uid)
            yield float(
                oks_matrix(
                    before.keypoints[was : was + 1],
                    None,
                    after.keypoints[row : row + 1],
                    areas[row : row + 1],
                    sigmas,
                    after.visibility[row : row + 1],
                )[0, 0]
            )

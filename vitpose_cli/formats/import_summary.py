"""What an import of corrections did: what became of each frame, and all of it in numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from vitpose_cli.formats.people import Differences
from vitpose_cli.records.record import FrameRecord

Outcome = Literal["changed", "accepted", "unchanged", "conflict", "between", "unmatched"]
"""What becomes of a frame: nothing of the run changes with the last four, of which `between` are
frames of a video that lie between those that the run labels."""

LABELLED_SINCE = "it came back as the run knew it before, and keeps what was labelled since"
"""Why nothing becomes of a frame that is not as it is in the run, and brings nothing new."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one frame of the file.

    Attributes:
        name: The frame, as the run calls it where it is known there, else as the file does.
        outcome: What becomes of it.
        reason: Why nothing does, where that needs a word.
        record: What is written; None where nothing is.
        comparison: How much was corrected; None where nothing is written.
        of_model: Whether the labels until now were a model's.
    """

    name: str
    outcome: Outcome
    reason: str = ""
    record: FrameRecord | None = None
    comparison: Differences | None = None
    of_model: bool = False


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What an import did.

    Attributes:
        decisions: Frame by frame, in the order of the file; without those that are not in the run
            and have nobody in them.
        num_ignored: Shapes in the file that are no people with keypoints.
        num_left_behind: Keypoints in the file of people who were deleted there.
        num_missing: Frames of the run that are not in the file.
        num_identities_lost: People who have another identity in the file than in the document of
            the run, which keeps none.
        other_labels: Labels of single points in the file that are no keypoints of the run.
        repeated: Where people in the file have a keypoint twice, one of which is left out.
        overruled: Tasks in the file that several people labelled differently; the last one counts.
        frame_choice: Which frames of videos the run labels, as on the command line; empty for all.
    """

    decisions: Sequence[Decision]
    num_ignored: int
    num_left_behind: int
    num_missing: int
    num_identities_lost: int = 0
    other_labels: Sequence[str] = ()
    repeated: Sequence[str] = ()
    overruled: Sequence[str] = ()
    frame_choice: str = ""

    def count(self, outcome: Outcome) -> int:
        """Return how many frames of the file have this outcome."""
        return sum(each.outcome == outcome for each in self.decisions)

    @property
    def num_labelled_since(self) -> int:
        """How many of the unchanged frames are in the file as they were before a person's work."""
        return sum(each.reason == LABELLED_SINCE for each in self.decisions)

    @property
    def similarity(self) -> float | None:
        """Mean OKS between a model's labels and what a person made of them; None if unknown.

        Over all people in the frames that were changed or accepted. Where it no longer rises from
        round to round, correcting more of the same teaches the model little.
        """
        values = [
            value
            for each in self._written()
            if each.of_model and each.comparison is not None
            for value in each.comparison.similarities
        ]
        return float(np.mean(values)) if values else None

    def total(self, name: str) -> int:
        """Return the sum of a number of `Differences` over all frames that were written."""
        return sum(getattr(each.comparison, name) for each in self._written())

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        similarity = self.similarity
        return {
            "frames": {
                "changed": self.count("changed"),
                "accepted": self.count("accepted"),
                "unchanged": self.count("unchanged"),
                "labelled_since": self.num_labelled_since,
                "conflict": self.count("conflict"),
                "between": self.count("between"),
                "unmatched": self.count("unmatched"),
                "not_in_file": self.num_missing,
            },
            "people": {
                "changed": self.total("num_changed"),
                "added": self.total("num_added"),
                "removed": self.total("num_removed"),
            },
            "keypoints_changed": self.total("num_keypoints"),
            "identities_changed": self.total("num_identities"),
            "identities_lost": self.num_identities_lost,
            "mean_oks": None if similarity is None else round(similarity, 4),
            "ignored_shapes": self.num_ignored,
            "other_labels": [*self.other_labels],
            "keypoints_left_behind": self.num_left_behind,
            "repeated_keypoints": [*self.repeated],
            "overruled": [*self.overruled],
            "problems": [
                {"frame": each.name, "outcome": each.outcome, "reason": each.reason}
                for each in self.decisions
                if each.outcome in ("conflict", "unmatched")
            ],
        }

    def _written(self) -> Iterator[Decision]:
        return (each for each in self.decisions if each.record is not None)

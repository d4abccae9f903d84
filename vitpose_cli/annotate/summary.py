"""What a labelling run, or one worker's part of it, has come to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class AnnotateSummary:
    """What a run has done.

    Attributes:
        run: The run folder.
        annotations: The COCO document, a glob of its files where they are several; None where
            other workers are not done yet.
        num_frames: Frames of the run, or of this worker's part, labelled or failed.
        num_new: Of these, frames that this call worked on.
        num_people: Instances in the document; None where it was not written.
        num_failed: Frames that could not be labelled.
        seconds: Wall time of this call.
        num_photos: How many of the frames are photos; the others are of videos.
        num_videos: How many videos these are of.
        num_missing: Photos and videos in other workers' parts that came after these were done, so
            that nobody has labelled them; None where other workers are not done yet.
        missing_of: The workers whose parts these are in, as `k/n`.
    """

    run: Path
    annotations: Path | None
    num_frames: int
    num_new: int
    num_people: int | None
    num_failed: int
    seconds: float
    num_photos: int
    num_videos: int
    num_missing: int | None
    missing_of: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        paths = {"run": self.run, "annotations": self.annotations}
        return asdict(self) | {name: path and str(path) for name, path in paths.items()}

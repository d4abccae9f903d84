"""What a labelling run may be told: the options of `annotate`, checked whoever gives them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vitpose_cli.annotate.workers import ALONE
from vitpose_cli.assembly import LabelerOptions
from vitpose_cli.errors import ConfigError
from vitpose_cli.media.headers import MAX_PIXELS
from vitpose_cli.ranges import COUNTS, SHARDS, check_types, is_whole

if TYPE_CHECKING:
    from vitpose_cli.media.video import VideoOptions


@dataclass(frozen=True, slots=True)
class AnnotateOptions:
    """What to label, how, and where to.

    Attributes:
        sources: Folders, files, globs, `@list` files.
        run: The run folder.
        labeler: Weights, detector, thresholds.
        preview: Also write drawn copies into the run folder.
        extract_to: Also write the labelled frames themselves into this folder, named as in the
            document: photos as they are, frames of videos as JPEG; None for not. Only earlier
            frames of the same source are replaced there.
        worker: (k, n), k from 1: label the k-th of n parts; the last to finish writes the document.
        overwrite: Delete the labels that the run folder holds.
        refresh: Label anew, with other weights or options, what nobody has reviewed.
        video: Which frames of videos are labelled; None for all.
        max_pixels: Photos of more pixels are failures.
        track: Give the people of videos identities.
        smooth: Add smoothed keypoints of the people of videos, beside the raw ones.
        num_shards: Into how many files the document is written; None for as many as before.

    Paths may be given as text, and sources as paths.
    """

    sources: tuple[str, ...]
    run: Path
    labeler: LabelerOptions
    preview: bool = False
    extract_to: Path | None = None
    worker: tuple[int, int] = ALONE
    overwrite: bool = False
    refresh: bool = False
    video: VideoOptions | None = None
    max_pixels: int = MAX_PIXELS
    track: bool = True
    smooth: bool = False
    num_shards: int | None = None

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ConfigError: Sources are not several paths, a number is out of its range, something is
                of another type, or two options exclude each other.
        """
        check_types(self)
        COUNTS.check("max_pixels", self.max_pixels)
        if self.num_shards is not None:
            SHARDS.check("num_shards", self.num_shards)
        if not _is_worker(self.worker):
            raise ConfigError(
                f"worker is {self.worker!r}, expected (k, n) with k from 1 to n.",
                "Count from 1 to the last one.",
            )
        if self.overwrite and self.worker != ALONE:
            raise ConfigError(
                "--overwrite by one of several workers would delete the labels of the others.",
                "Delete the run folder before the workers start.",
            )
        if self.smooth and not self.track:
            raise ConfigError(
                "--smooth follows people by their identities, which --no-track leaves out.",
                "Leave out one of them.",
            )


def _is_worker(value: object) -> bool:
    """Return whether something is (k, n), whole numbers, k from 1 to n."""
    match value:
        case (number, count) if is_whole(number) and is_whole(count):
            return 1 <= number <= count
    return False

"""From a run to a queue: who is doubtful, which frames are worth a look, and why.

The workflow behind `vitpose select`. A run of a million frames is read once for its doubts; poses
and, where wanted, pictures are read of the frames that may be chosen, ten for each that will be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitpose_cli.errors import InputError
from vitpose_cli.files import check_replaceable
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.plurals import counted
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.progress import Report
from vitpose_cli.records.common_names import CommonNames, agree_on_forms
from vitpose_cli.records.folder import QUEUE, is_queue
from vitpose_cli.records.keypoint_order import KeypointOrder
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run
from vitpose_cli.select.choosing import Chooser
from vitpose_cli.select.options import SelectOptions
from vitpose_cli.select.queue_file import Choice, write_queue
from vitpose_cli.select.table import DoubtTable, read_doubts


@dataclass(frozen=True, slots=True)
class Selection:
    """What was selected.

    Attributes:
        queue: The queue that was written.
        choices: Its frames, in order.
        num_frames: Frames that could have been chosen.
        num_reviewed: Frames left out because a person has decided about them.
        num_failed: Frames left out because they could not be labelled.
        signals: The measures that people were ranked by.
    """

    queue: Path
    choices: tuple[Choice, ...]
    num_frames: int
    num_reviewed: int
    num_failed: int
    signals: tuple[str, ...]

    @property
    def kinds(self) -> Counter[str]:
        """How many frames came into the queue in which way."""
        return Counter(choice.kind for choice in self.choices)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "queue": str(self.queue),
            "num_selected": len(self.choices),
            "kinds": dict(self.kinds),
            "num_frames": self.num_frames,
            "num_reviewed": self.num_reviewed,
            "num_failed": self.num_failed,
            "signals": list(self.signals),
            "frames": [{"file_name": str(each.key), **each.as_dict()} for each in self.choices],
        }


def select_frames(options: SelectOptions, report: Report, say: Callable[[str], None]) -> Selection:
    """Choose frames of a run, and write them as a queue.

    Args:
        options: Which frames are wanted.
        report: Told after every frame that was read.
        say: Takes a sentence for the user.

    Raises:
        InputError: A run cannot be read, has nothing left to look at, or does not know the measure
            that was asked for; or the queue cannot be written, or only in place of something
            else.
    """
    queue = options.output or options.run / QUEUE
    check_replaceable(queue, is_queue)
    with Run.read(options.run) as run:
        table = _doubts(run, options.compare, report, say)
        if not len(table):
            raise InputError(
                f"{options.run} has no frame left to look at: {table.num_reviewed} are reviewed, "
                f"{table.num_failed} failed."
            )
        if table.num_alone:
            frames = counted(table.num_alone, "labelled frame")
            say(f"{options.compare} has no labels for {frames} of {options.run}.")
        chooser = Chooser(run, table, options)
        choices = chooser.choices()
        if chooser.num_unread:
            pictures = counted(chooser.num_unread, "picture")
            say(f"{pictures} could not be read, so that colours are unknown.")
        if len(choices) < options.count:
            say(_shortage(len(choices), len(table), chooser, options))
        how = {
            "signals": list(chooser.signals),
            "seed": options.seed,
            "random_share": options.random_share,
            "empty_share": options.empty_share,
            "diversity": options.diversity,
        }
        write_queue(queue, run, choices, how)
    return Selection(
        queue=queue,
        choices=tuple(choices),
        num_frames=len(table),
        num_reviewed=table.num_reviewed,
        num_failed=table.num_failed,
        signals=chooser.signals,
    )


def _shortage(num_chosen: int, num_frames: int, chooser: Chooser, options: SelectOptions) -> str:
    """Say why fewer frames were chosen than wanted."""
    frames = counted(num_chosen, "frame was", "frames were")
    if num_chosen == num_frames:
        return f"Only {frames} chosen: no other is left that is not reviewed yet."
    reasons = []
    if chooser.num_limited:
        limits = f"--min-gap {options.min_gap} leaves"
        if options.max_per_video is not None:
            limits = "--max-per-video and --min-gap leave"
        reasons.append(f"{limits} out {chooser.num_limited:,}")
    if chooser.num_spared:
        reasons.append(f"nobody was found in {chooser.num_spared:,} others, see --empty-share")
    return f"Only {frames} chosen of {num_frames:,} not reviewed yet: {'; '.join(reasons)}."


def _doubts(
    run: Run, compare: Path | None, report: Report, say: Callable[[str], None]
) -> DoubtTable:
    keypoint_set = KeypointSet.from_category(run.manifest.keypoint_set)
    records = _reported(run.records(), len(run), report)
    if compare is None:
        return read_doubts(records, keypoint_set)
    with Run.read(compare) as other:
        others = KeypointSet.from_category(other.manifest.keypoint_set).names
        order = KeypointOrder.between(keypoint_set.names, others)
        if others != keypoint_set.names and order is None:
            raise InputError(f"The runs in {run.path} and {compare} have different keypoints.")
        weights = run.manifest.weights_hash
        if weights and other.manifest.weights_hash == weights:
            say(
                f"{run.path} and {compare} are of the same weights, {run.manifest.weights_name} "
                f"({weights}): what they differ in says little of what these weights do not know. "
                "Compare with a run of others."
            )
        ours, theirs = run.done(), other.done()
        names = CommonNames()
        agree_on_forms([(CommonNames(), run.media_names), (names, lambda: map(str, theirs))])
        names.add_videos(run.video_names())

        def called_here(key: FrameKey) -> FrameKey:
            """Return the key that the run has for a frame of the other, extracted or not."""
            photo = FrameKey(str(key))
            for form in (key, photo, names(key), names(photo)):
                if form in ours and (form == key or form not in theirs):
                    return form
            return key

        if not any(called_here(key) in ours for key in theirs):
            raise InputError(
                f"The runs in {run.path} and {compare} have no frame in common.",
                "Label the same sources twice, with different weights.",
            )
        compared = other.records(called_here)
        return read_doubts(
            records, keypoint_set, others=map(order.record, compared) if order else compared
        )


def _reported(records: Iterable[FrameRecord], total: int, report: Report) -> Iterator[FrameRecord]:
    for number, record in enumerate(records, start=1):
        yield record
        report(number, total)

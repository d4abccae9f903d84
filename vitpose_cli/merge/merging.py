"""Several sets of labels as one: a person's beat a model's, and nothing is lost in silence.

A pass over all inputs at once, frame by frame in the order of their keys, so that memory does not
grow with them. Where two people said different things about a frame, one of them wins, and the
frame is listed. Mixing people of two inputs in one frame was refused: who is missing in one was
either overlooked or taken out, and the files do not say which. Identities in videos are those of
the inputs, numbered anew where two inputs mean different people, or the same, by them. From files
to a file, annotations keep what no record could hold; what a run has no place for is counted.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.formats.content import LabelledFrame
from vitpose_cli.merge.merged_identities import MergedIdentities
from vitpose_cli.merge.merged_labels import output_exists, write_merged_document, write_merged_run
from vitpose_cli.merge.merged_pictures import MergedPictures
from vitpose_cli.pose.alike_sets import with_stated
from vitpose_cli.pose.keypoints import STATEMENTS, KeypointSet
from vitpose_cli.ranges import check_types
from vitpose_cli.record_set import RecordSet, open_together
from vitpose_cli.records.body_sizes import num_without_size
from vitpose_cli.records.coco_items import listed_again
from vitpose_cli.records.coco_people import source_of
from vitpose_cli.records.coco_writer import frame_annotations, is_in_document
from vitpose_cli.records.kept_annotations import lost_in_records
from vitpose_cli.records.kept_categories import Categories, entry_of
from vitpose_cli.records.kept_images import Licences
from vitpose_cli.records.record import ROUNDING_PX, FrameRecord, Review
from vitpose_cli.records.shards import document_name, document_parts
from vitpose_cli.tracking.identities import tracked

DOCUMENT_SUFFIX = ".json"
_VIDEO_TWICE = (
    "The run has a video and frames that were extracted from it: label the two in runs of their "
    "own, and merge these."
)


@dataclass(frozen=True, slots=True)
class MergeOptions:
    """What is merged.

    Attributes:
        inputs: Run folders and COCO files; of two that count alike, the earlier one wins.
        output: A `.json` for a COCO file, anything else for a new run folder.
        human: Those of the inputs that a person made, though nothing in them says so.
        num_shards: Into how many files the document is written; None for one.

    Paths may be given as text.
    """

    inputs: tuple[Path, ...]
    output: Path
    human: tuple[Path, ...] = ()
    num_shards: int | None = None

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ConfigError: There is nothing to merge, a human input is none of the inputs, or
                something is of another type.
        """
        check_types(self)
        if not self.inputs:
            raise ConfigError("There is nothing to merge.")
        strangers = [str(path) for path in self.human if path not in self.inputs]
        if strangers:
            raise ConfigError(f"--human {strangers[0]} is none of the inputs.")


@dataclass(frozen=True, slots=True)
class Conflict:
    """A frame about which two people said different things.

    Attributes:
        file_name: The frame.
        kept: The input whose labels were taken.
        dropped: Those whose labels were not.
    """

    file_name: str
    kept: str
    dropped: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"file_name": self.file_name, "kept": self.kept, "dropped": list(self.dropped)}


@dataclass(slots=True)
class MergeSummary:
    """What came of it.

    Attributes:
        output: What was written; a glob of the files of a document in several.
        num_frames: Frames in it.
        num_people: People in them.
        num_shared: Frames that several inputs had.
        num_human: Frames on which a person had the last word.
        num_unmarked: People of files that do not say who labelled them, and who are a model's in a
            run; in a document they stay as they are.
        num_without_size: People of whom nothing says how large they are, so that nobody can measure
            or learn by them.
        left_out: How much of what the inputs hold the output has no place for, by what it is.
        conflicts: Where people differ.
    """

    output: Path
    num_frames: int = 0
    num_people: int = 0
    num_shared: int = 0
    num_human: int = 0
    num_unmarked: int = 0
    num_without_size: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    conflicts: list[Conflict] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "output": str(self.output),
            "num_frames": self.num_frames,
            "num_people": self.num_people,
            "num_shared": self.num_shared,
            "num_human": self.num_human,
            "num_unmarked": self.num_unmarked,
            "num_without_size": self.num_without_size,
            "left_out": dict(self.left_out),
            "conflicts": [conflict.as_dict() for conflict in self.conflicts],
        }


class _Entry(NamedTuple):
    """A frame and the place of its input among the inputs."""

    frame: LabelledFrame
    number: int

    @property
    def record(self) -> FrameRecord:
        """The labels of the frame."""
        return self.frame.record


def merge_labels(options: MergeOptions) -> MergeSummary:
    """Write one set of labels from several.

    Raises:
        InputError: An input cannot be read or lists a frame twice, inputs have different
            keypoints or state different pairs or sigmas of them, or mean different pictures by the
            same name; or the output exists or cannot be written.
    """
    there = document_parts(options.output)
    if options.output.exists() or there:
        raise output_exists(there[0] if there else options.output)
    inputs = open_together(options.inputs)
    agreed = _agreed_set(inputs)
    num_shards = options.num_shards
    is_document = options.output.suffix == DOCUMENT_SUFFIX
    count = num_shards or 1 if is_document else 1
    summary = MergeSummary(document_name(options.output, count))
    licences = Licences([each.licences for each in inputs])
    categories = Categories([each.categories for each in inputs], agreed)
    frames = _merged(inputs, options, summary, licences, categories, agreed.sigmas)
    merged = _counted(frames, summary)
    if is_document:
        entries = licences.entries, categories.entries
        write_merged_document(options.output, merged, inputs, num_shards, *entries)
    else:
        lost = categories.other_than(str(inputs[0].category.get("name")))
        records = _without_originals(merged, summary, lost)
        category = entry_of(inputs[0].category, agreed=agreed)
        write_merged_run(options.output, records, inputs, num_shards, category)
    return summary


def _agreed_set(inputs: Sequence[RecordSet]) -> KeypointSet:
    """Return the keypoints of all inputs, with the flip pairs and sigmas that any states.

    Raises:
        InputError: They have different ones, or state different things of them.
    """
    sets = [(each.name, each.keypoint_set) for each in inputs]
    first, agreed = sets[0]
    for name, other in sets[1:]:
        if other.names != agreed.names:
            raise InputError(
                f"{first} and {name} have different keypoints.",
                "Merge those of the same keypoints; `vitpose train` takes files of several lists.",
            )
    for what in STATEMENTS:
        agreed = with_stated(agreed, sets, what)
    return agreed


def _merged(
    inputs: Sequence[RecordSet],
    options: MergeOptions,
    summary: MergeSummary,
    licences: Licences,
    categories: Categories,
    sigmas: NDArray[np.float64],
) -> Iterator[LabelledFrame]:
    """Yield what counts of every frame, sorted by key."""
    passes = [
        _entries(each, number, each.path in options.human) for number, each in enumerate(inputs)
    ]
    together = heapq.merge(*passes, key=lambda entry: (entry.record.key, entry.number))
    identities = MergedIdentities(sigmas)
    pictures = MergedPictures(inputs)
    video: str | None = None
    for key, group in groupby(together, key=lambda entry: entry.record.key):
        if key.video != video:
            video = key.video
            identities.begin()
        entries = sorted(group, key=_precedence)
        best = entries[0]
        _check_listed_once(entries, inputs)
        _check_same_picture(entries, inputs, pictures)
        summary.num_shared += len(entries) > 1
        record = best.record if video is None else _in_video(entries, identities)
        differing = [
            entry.number
            for entry in entries[1:]
            if entry.record.origin == "human"
            and not (same_labels(record, entry.record) and identities.agree_with(entry.record))
        ]
        if differing:
            dropped = tuple(inputs[number].name for number in differing)
            name = str(best.record.key)
            summary.conflicts.append(Conflict(name, inputs[best.number].name, dropped))
        image: dict[str, Any] = {}
        for entry in reversed(entries):
            image |= licences.fields(entry.frame.image, entry.number)
        yield best.frame._replace(
            record=record,
            image=image,
            originals=categories.renumbered(best.frame.originals, best.number),
            category_id=categories.default(best.number),
        )


def _in_video(entries: Sequence[_Entry], identities: MergedIdentities) -> FrameRecord:
    """Return the first of the records of a video's frame, with what is known of it as such.

    That is the identities of all inputs, and the time, which an extracted frame has not.
    """
    best, *others = (entry.record for entry in entries)
    if best.time_s is None:
        times_s = (other.time_s for other in others)
        time_s = next((each for each in times_s if each is not None), None)
        best = replace(best, time_s=time_s, exact=True)
    people = [
        (entry.number, entry.record.instances)
        for entry in entries[1:]
        if entry.record.instances is not None
    ]
    return identities.given_to(best, entries[0].number, people)


def _entries(labels: RecordSet, number: int, human: bool) -> Iterator[_Entry]:
    frames = labels.stored_frames()  # a merged run keeps what lies outside of the picture, too
    if labels.manifest is not None:
        records = (frame.record for frame in frames)
        frames = map(LabelledFrame, tracked(labels.manifest, records))
    for frame in frames:
        record = frame.record
        if human and record.review is None and record.error is None:
            record = replace(record, review=Review("accepted"), exact=True)
        yield _Entry(frame._replace(record=record), number)


def _precedence(entry: _Entry) -> tuple[bool, bool, bool, bool, int]:
    """Return what to sort by: a person's decision, draft, labels, then a model's, then an error."""
    record, review = entry.record, entry.record.review
    decided = review is not None and review.state != "draft"
    by_model = record.origin == "model"
    return not decided, review is None, by_model, record.error is not None, entry.number


def same_labels(one: FrameRecord, other: FrameRecord) -> bool:
    """Return whether two records say the same of who is where, and whether the frame is good.

    People may come in any order; boxes, visibility and visible keypoints count.
    """
    if one.rejected or other.rejected:
        return one.rejected == other.rejected
    if one.instances is None or other.instances is None:
        return one.instances is other.instances
    theirs = _said(other)
    if len(one.instances) != len(theirs):
        return False
    for person in _said(one):
        alike = np.flatnonzero((np.abs(theirs - person) <= ROUNDING_PX).all(axis=1))
        if not len(alike):
            return False
        theirs = np.delete(theirs, alike[0], axis=0)
    return True


def _said(record: FrameRecord) -> NDArray[np.float64]:
    """Return (N, 4 + 3K) boxes and keypoints as a document has them, cut at the picture.

    What a document cannot hold is no difference: records of a run and of a file are compared.
    """
    rows = [[*each["bbox"], *each["keypoints"]] for each in frame_annotations(record, 1, 1)]
    return np.array(rows, np.float64)


def _check_listed_once(entries: Sequence[_Entry], inputs: Sequence[RecordSet]) -> None:
    number, count = Counter(entry.number for entry in entries).most_common(1)[0]
    if count > 1:
        hint = "" if inputs[number].manifest is None else _VIDEO_TWICE
        raise listed_again(inputs[number].name, entries[0].record.key, hint)


def _check_same_picture(
    entries: Iterable[_Entry], inputs: Sequence[RecordSet], pictures: MergedPictures
) -> None:
    sized = [entry for entry in entries if entry.record.size_wh is not None]
    for entry in sized[1:]:
        if entry.record.size_wh != sized[0].record.size_wh:
            names = [inputs[each.number].name for each in (sized[0], entry)]
            sizes = [" x ".join(map(str, each.record.size_wh or ())) for each in (sized[0], entry)]
            raise InputError(
                f"{entry.record.key} is {sizes[0]} px in {names[0]} and {sizes[1]} px in "
                f"{names[1]}: these are different pictures.",
                "Label them from a common folder, so that their names differ.",
            )
    if len(sized) > 1:
        pictures.check(sized[0].record.key, [entry.number for entry in sized])


def _counted(frames: Iterable[LabelledFrame], summary: MergeSummary) -> Iterator[LabelledFrame]:
    for frame in frames:
        people = frame.record.instances
        if people is not None and is_in_document(frame.record):
            summary.num_frames += 1
            summary.num_people += len(people)
            summary.num_without_size += num_without_size(people)
        summary.num_human += frame.record.origin == "human"
        if frame.num_others:
            summary.left_out["annotations without keypoints"] += frame.num_others
        yield frame


def _without_originals(
    frames: Iterable[LabelledFrame], summary: MergeSummary, lost_categories: Set[int]
) -> Iterator[FrameRecord]:
    """Yield the records, for a run, and count what is lost with the annotations behind them."""
    for frame in frames:
        record = frame.record
        summary.left_out += lost_in_records(frame.originals)
        numbers = frame.category_ids(frame.category_id)
        if others := sum(number in lost_categories for number in numbers):
            summary.left_out["categories"] += others
        if record.review is None:
            summary.num_unmarked += sum(source_of(each) is None for each in frame.original_people)
        yield record

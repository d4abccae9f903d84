"""What a source of people holds once its labels are read, and what every kind of source shares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from zlib import crc32

from vitpose_cli.errors import InputError
from vitpose_cli.plurals import counted
from vitpose_cli.pose.instances import Detections
from vitpose_cli.pose.keypoints import STATEMENTS, KeypointSet
from vitpose_cli.records.body_sizes import SIZE_HINT
from vitpose_cli.records.coco import CocoDocument
from vitpose_cli.records.composed_names import ByName
from vitpose_cli.training.data_options import Source, SourceOptions
from vitpose_cli.training.fingerprints import Fingerprint
from vitpose_cli.training.labels import WITHOUT_SIZE
from vitpose_cli.training.people import LabelledFrames


@dataclass(frozen=True, slots=True)
class OpenedSource:
    """A source whose labels are read; of its photos it is only known whether they are there.

    Attributes:
        frames: The people who can be trained on or measured, with their frames.
        truth: All labels of these frames as a COCO document, for measuring; who is not wanted is
            marked as neither to be found nor to be missed. Without images where nothing is
            measured: it would fill memory to the end.
        dropped: How many people, keypoints and photos were left out, by the reason.
        fingerprint: What the source holds, in short.
        boxes: Boxes by `file_name` to measure with; None for those of the people.
        notes: Sentences on options that do nothing with what the source holds.
    """

    frames: LabelledFrames
    truth: CocoDocument
    dropped: Mapping[str, int]
    fingerprint: Fingerprint
    boxes: ByName[Detections] | None = None
    notes: tuple[str, ...] = ()

    @property
    def keypoint_set(self) -> KeypointSet:
        """What the keypoints of its people are."""
        return self.frames.people.keypoint_set

    def called(self, name: str, use: str | None) -> OpenedSource:
        """Return the same people with a set of another name.

        Args:
            name: The name.
            use: What the head of this name does with them, for a note; None for no note.
        """
        own, people = self.keypoint_set, self.frames.people
        if own.name == name:
            return self
        notes = self.notes
        if use is not None:
            notes += (
                f"{self.truth.path}: the keypoints of {own.name} are those of {name}, whose head "
                f"{use}, too.",
            )
        people = replace(people, keypoint_set=replace(own, name=name))
        return replace(self, frames=replace(self.frames, people=people), notes=notes)

    def with_set(self, keypoints: KeypointSet) -> OpenedSource:
        """Return the same people with a set of the same names, and a note if its own is overruled.

        Args:
            keypoints: The set that all sources of its name share.
        """
        own, frames, known, notes = self.keypoint_set, self.frames, self.fingerprint, self.notes
        for what in STATEMENTS:
            if own.says_the_same(keypoints, what):
                continue
            said = keypoints.text_of(what)
            frames = replace(frames, identity=f"{frames.identity} {said}")
            known = replace(known, files=f"{known.files} {said}", people=f"{known.people} {said}")
            if what in own.stated:
                notes += (
                    f"`{what}` of {own.name} are those of data.train "
                    f"({said}), not those of {self.truth.path} "
                    f"({own.text_of(what)}).",
                )
        people = replace(frames.people, keypoint_set=keypoints)
        return replace(self, frames=replace(frames, people=people), fingerprint=known, notes=notes)


def dropped_sentence(dropped: Mapping[str, int]) -> str:
    """Say what was left out, and how many of each; empty where nothing was."""
    return ", ".join(f"{reason} ({count:,})" for reason, count in dropped.items())


def outside_split(options: Source, sizes: Mapping[str, int], what: str) -> InputError | None:
    """Return the error of a source whose `split` takes nothing that has labels; None if it does.

    Args:
        options: The source.
        sizes: Frames with labels of each group that is taken as a whole; at least one.
        what: What a group is: `video`, `folder`, `photo`, `photo or video`, or `crop`.
    """
    if any(in_split(group, options.split) for group in sizes):
        return None
    path = options.annotations if options.kind == "coco" else options.path
    start, end = options.split
    groups = counted(len(sizes), what, "photos and videos" if " " in what else None)
    whole = ""
    if what not in ("photo", "crop"):
        kind = what.rpartition(" ")[2]
        whole = f" ({counted(sum(sizes.values()), 'frame')}): a {kind} is taken as a whole"
    parted = "give each side a file of its own, without `split`: `vitpose split` leaves none empty"
    unparted = "leave out `split`, and `data.validation` with it"
    several = len(sizes) > 1 and options.kind == "coco"
    return InputError(
        f"{path}: `split` [{start:g}, {end:g}] takes none of the {groups} with labels{whole}.",
        f"Label more, or {parted if several else unparted}.",
    )


def nobody(options: Source, dropped: Counter[str], num_photos: int) -> InputError:
    """Return the error of a source in whose `num_photos` nobody is left."""
    path = options.annotations if options.kind == "coco" else options.path
    missing = dropped["photos missing"]
    if missing:
        return InputError(
            f"{path}: {missing} of {num_photos} photos are missing, and nobody is left.",
            "Check `images` of this source.",
        )
    own = "include" if options.kind == "coco" else "repeat_of"
    size = f"{SIZE_HINT} Else label" if dropped[WITHOUT_SIZE] else "Label"
    return InputError(
        f"Nobody in {path} can be learnt from: "
        f"{dropped_sentence(+dropped) or 'no annotation fits'}.",
        f"{size} some keypoints, or check `{own}`, `split`, `min_score`, `human_weight` and "
        "`model_weight` of this source.",
    )


def in_split(group: str, split: tuple[float, float]) -> bool:
    """Tell whether a group of photos is of the part [from, to) of all, the same in every run."""
    return split[0] <= crc32(group.encode()) / 2**32 < split[1]


def spread(chosen: list[int], options: SourceOptions) -> list[int]:
    """Return at most `limit` of these, spread evenly."""
    if options.limit is None or len(chosen) <= options.limit:
        return chosen
    return [chosen[index * len(chosen) // options.limit] for index in range(options.limit)]


def identity(fingerprint: Fingerprint, options: SourceOptions) -> str:
    """Return a text that changes with the people taken, and with how and from where."""
    return f"{fingerprint.people} {options.model_dump_json()}"

"""Everything a run learns from and is measured on, opened once and kept for all stages.

Sources of one keypoint set become one course; sources of several sets become several, each with
its own head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.media.frames import FrameFailure
from vitpose_cli.models.vitpose import is_head_name
from vitpose_cli.plurals import counted
from vitpose_cli.pose.keypoints import KEYPOINT_SETS, KeypointSet, keypoint_set
from vitpose_cli.training.agreed_sets import agreed_sets
from vitpose_cli.training.cache import CroppedPeople, Progress, crop_people, readable_people
from vitpose_cli.training.crops import Crops, DeviceCrops, FrameCrops, HostCrops, JoinedCrops
from vitpose_cli.training.data_options import DataOptions, Source
from vitpose_cli.training.fingerprints import DataFingerprint, images_hash
from vitpose_cli.training.memory import machine_memory_bytes, processes_here
from vitpose_cli.training.opened_source import OpenedSource, dropped_sentence
from vitpose_cli.training.overlap import overlap_notes
from vitpose_cli.training.people import EndlessOrder, People
from vitpose_cli.training.sources import open_data_source
from vitpose_cli.training.teachers import Teacher

MISSING_SHARE = 0.01
"""More missing photos than this are a wrong path rather than bad luck."""

CACHE_SCALE = 1.25
"""Size of a kept crop relative to the largest input; with the context of 1.5, 5/6 of its detail."""


@dataclass(frozen=True, slots=True)
class Material:
    """What one head can learn from.

    Attributes:
        people: All people of its keypoint set; points and boxes are px of `crops`.
        crops: Their pixels.
        identity: A text that changes whenever the crops would.
    """

    people: People
    crops: Crops
    identity: str


@dataclass(frozen=True, slots=True)
class OpenedData:
    """The sources of a run, their labels read, no photo yet.

    Attributes:
        train: The sources to learn from, in the order of the configuration.
        validation: The sources to measure on.
        options: The configuration.
    """

    train: Sequence[OpenedSource]
    validation: Sequence[OpenedSource]
    options: DataOptions

    @property
    def keypoint_sets(self) -> dict[str, KeypointSet]:
        """Those to learn or to measure by name, in the order in which they come up."""
        return self.learnt_sets | _sets(_people(self.validation))

    @property
    def learnt_sets(self) -> dict[str, KeypointSet]:
        """Those that there is something to learn from: a `repeat` of 0 shows nobody."""
        return _sets([one for one in _people(self.train) if one.repeats.any()])

    def with_sets(self, sets: Mapping[str, KeypointSet]) -> OpenedData:
        """Return the same people, whose keypoints are what `sets` say of them by name, if any."""
        train, validation = (
            [one.with_set(sets.get(one.keypoint_set.name, one.keypoint_set)) for one in sources]
            for sources in (self.train, self.validation)
        )
        return OpenedData(train, validation, self.options)

    @property
    def epoch_length(self) -> float:
        """How many people an epoch shows on average, by their repeats."""
        return _epoch_length(_people(self.train))

    @property
    def notes(self) -> list[str]:
        """Sentences about what was left out, is spoken of and not there, or is on both sides."""
        several = self.keypoint_sets if len(self.keypoint_sets) > 1 else {}
        names = ", ".join(f"{one.name} ({one.num_keypoints})" for one in several.values())
        return [
            *(
                f"{source.truth.path}: left out {dropped_sentence(source.dropped)}."
                for source in (*self.train, *self.validation)
                if source.dropped
            ),
            *(note for source in (*self.train, *self.validation) for note in source.notes),
            *overlap_notes(
                zip(self.train, self.options.train, strict=True),
                zip(self.validation, self.options.validation, strict=True),
            ),
            *(
                [f"The files have several lists of keypoints; each gets a head: {names}."]
                * bool(names)
            ),
        ]


def open_data(options: DataOptions, *, labelled: bool = True) -> OpenedData:
    """Read the labels of all sources.

    Args:
        options: The sources.
        labelled: Whether people without keypoints are of no use.

    Raises:
        ConfigError: An epoch would show nobody.
        InputError: A file is missing or damaged, too many photos are missing, boxes to measure
            with are of other photos, two files mean different keypoints by one name or state
            different flip pairs, or a name that no head can have.
    """
    train, validation = _opened(options, labelled=labelled)
    for source, asked in zip(validation, options.validation, strict=True):
        _check_boxes(source, asked)
    for source in (*train, *validation):
        check_missing(source, (), options)
        name, path = source.keypoint_set.name, source.truth.path
        if labelled and not is_head_name(name):
            raise InputError(
                f"{path} calls its category {name!r}, as no head can be called: PyTorch has a "
                "use of its own for dots and some words.",
                f"Rename the category in {path}.",
            )
    sets = agreed_sets(train, validation)
    _check_shown(_people(train))
    return OpenedData(train, validation, options).with_sets(sets)


def _opened(
    options: DataOptions, *, labelled: bool
) -> tuple[list[OpenedSource], list[OpenedSource]]:
    """Open all sources; the same keypoints have one order and name: of a pack, or the first."""
    asked = (*options.train, *options.validation)
    known = [keypoint_set(one.keypoint_set) for one in asked if one.kind == "pack"]
    opened = []
    for number, one in enumerate(asked):
        measured = number >= len(options.train)
        source = open_data_source(
            one,
            options.threads,
            purpose="measuring" if measured else "training" if labelled else "pretraining",
            keypoints=[each.names for each in known],
        )
        own = source.keypoint_set
        same = next((each for each in known if each.names == own.names), own)
        if own.name not in KEYPOINT_SETS:
            use = "is measured on them" if measured else "learns them"
            taught = labelled and (measured or source.frames.people.repeats.any())
            source = source.called(same.name, use if taught else None)
        opened.append(source)
        known.append(source.keypoint_set)
    return opened[: len(options.train)], opened[len(options.train) :]


def check_room(
    data: OpenedData, inputs_wh: Sequence[tuple[int, int]], device: torch.device
) -> None:
    """Refuse crops that memory cannot hold: the system would end the process without a word.

    Args:
        data: The opened sources.
        inputs_wh: See `load_material`.
        device: See `load_material`; what is to be kept on a GPU leaves memory source by source.

    Raises:
        InputError: All that are in memory at a time take more than this machine has for each of
            its processes, which all have their own.
    """
    total_bytes = machine_memory_bytes()
    if total_bytes is None or data.options.cache not in ("ram", "device"):
        return
    people = [one for one in _people(data.train) if one.keypoint_set.name in data.learnt_sets]
    width, height = _kept_wh(data.options, inputs_wh)
    one_by_one = data.options.cache == "device" and device.type != "cpu"
    num_people = (max if one_by_one else sum)(map(len, people))
    wanted_bytes = num_people * 3 * width * height
    if wanted_bytes > total_bytes:
        count = processes_here()
        each = f" for each of its {count} processes, which all keep their own" * (count > 1)
        raise InputError(
            f"The crops of {num_people:,} people take {wanted_bytes / 2**30:.1f} GiB, "
            f"and this machine has {total_bytes / 2**30:.1f} GiB of memory{each}.",
            "Set data.cache to disk (a file in the run folder) or none, or data.cache_wh smaller.",
        )


def load_material(
    data: OpenedData,
    inputs_wh: Sequence[tuple[int, int]],
    device: torch.device,
    folder: Path,
    progress: Progress = lambda done, total: None,
    note: Callable[[str], None] = lambda text: None,
) -> Mapping[str, Material]:
    """Cut everybody's crop, or find it, and return what each head learns from.

    Args:
        data: The opened sources.
        inputs_wh: Width and height of the inputs of all networks that will see the crops, px; they
            serve the largest.
        device: Where the network runs.
        folder: Where `disk` keeps its files.
        progress: Told of the progress, source after source.
        note: Told of photos that could not be read.

    Raises:
        ConfigError: An epoch would show nobody whose photo can be read.
        InputError: Too many photos cannot be read, or the crops do not fit.
    """
    options = data.options
    check_room(data, inputs_wh, device)
    size_wh = _kept_wh(options, inputs_wh)
    parts: dict[str, list[Material]] = {}
    for source in data.train:
        if source.keypoint_set.name not in data.learnt_sets:
            continue
        group = parts.setdefault(source.keypoint_set.name, [])
        cut = None
        if options.cache == "none":
            people, failures = readable_people(source.frames, progress)
        else:
            kept_in = folder if options.cache == "disk" else None
            cut = crop_people(
                source.frames, size_wh, options.context, folder=kept_in, progress=progress
            )
            people, failures = cut.people, cut.failures
        check_missing(source, failures, options)
        if not len(people):
            raise _nothing_read(source, failures)
        if failures:
            note(_unreadable(source, failures))
        kind = "cut anew" if options.cache == "none" else f"{size_wh} {options.context}"
        identity = f"{source.frames.identity} {kind} {images_hash(people)}"
        group.append(Material(people, _store(source, cut, options, device), identity))
    _check_shown([part.people for group in parts.values() for part in group])
    return {name: _joined(group) for name, group in parts.items()}


def learnt_from(
    data: OpenedData, material: Mapping[str, Material], teachers: Mapping[str, Teacher]
) -> DataFingerprint:
    """Return in short what a run learns from and is measured on, to know it again."""
    return DataFingerprint(
        tuple(source.fingerprint for source in data.train),
        {name: images_hash(own.people) for name, own in material.items()},
        tuple(source.fingerprint for source in data.validation),
        {name: teacher.identity for name, teacher in teachers.items()},
    )


def check_missing(
    source: OpenedSource, failures: Sequence[FrameFailure], options: DataOptions
) -> None:
    """Refuse a source of which too much is not there.

    Args:
        source: The source.
        failures: Its frames that could not be read.
        options: Whether that is allowed.

    Raises:
        InputError: More than `MISSING_SHARE` of its photos are missing or unreadable.
    """
    absent = source.dropped.get("photos missing", 0)
    total = len(source.frames.keys) + absent
    lost = absent + len(failures)
    if lost <= MISSING_SHARE * total or options.allow_missing:
        return
    example = f" ({failures[0].key}: {failures[0].error})" if failures else ""
    raise InputError(
        f"{source.truth.path}: {lost} of {total} photos are missing or unreadable{example}.",
        "Check `images` of this source; --allow-missing trains on the rest.",
    )


def _kept_wh(options: DataOptions, inputs_wh: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return width and height of a kept crop, px."""
    width, height = max(inputs_wh, key=lambda size: size[0] * size[1])
    return options.cache_wh or (round(width * CACHE_SCALE), round(height * CACHE_SCALE))


def _store(
    source: OpenedSource, cut: CroppedPeople | None, options: DataOptions, device: torch.device
) -> Crops:
    """Return where the crops of a source's people come from; photos, if they were not cut."""
    if cut is None:
        return FrameCrops(source.frames, options.threads)
    return DeviceCrops(cut.pixels, device) if options.cache == "device" else HostCrops(cut.pixels)


def _epoch_length(people: Sequence[People]) -> float:
    repeats = np.concatenate([part.repeats for part in people])
    return EndlessOrder(repeats, ()).epoch_length


def _check_shown(people: Sequence[People]) -> None:
    """Refuse people of whom an epoch shows nobody."""
    if not _epoch_length(people):
        raise ConfigError(
            f"An epoch would show nobody: `repeat` leaves none of {sum(map(len, people))} people.",
            "Give a source of data.train a greater `repeat`.",
        )


def _nothing_read(source: OpenedSource, failures: Sequence[FrameFailure]) -> InputError:
    """Return the error of a source without a photo that can be read."""
    photos, first = counted(len(source.frames.keys), "photo"), failures[0]
    return InputError(
        f"None of the {photos} of {source.truth.path} can be read ({first.key}: {first.error}).",
        "Check `images` of this source, or leave it out.",
    )


def _unreadable(source: OpenedSource, failures: Sequence[FrameFailure]) -> str:
    """Return a sentence about photos that could not be read."""
    count, first = counted(len(failures), "photo"), failures[0]
    return (
        f"{source.truth.path}: left out {count} that cannot be read ({first.key}: {first.error})."
    )


def _joined(parts: Sequence[Material]) -> Material:
    """Return several groups of people as one."""
    if len(parts) == 1:
        return parts[0]
    sizes = [int(part.people.images.max(initial=-1)) + 1 for part in parts]
    starts = np.cumsum([0, *sizes])
    people = [
        replace(part.people, images=part.people.images + start)
        for part, start in zip(parts, starts, strict=False)
    ]
    crops = JoinedCrops([part.crops for part in parts], starts)
    return Material(People.joined(people), crops, " ".join(part.identity for part in parts))


def _sets(people: Iterable[People]) -> dict[str, KeypointSet]:
    return {one.keypoint_set.name: one.keypoint_set for one in people}


def _people(sources: Sequence[OpenedSource]) -> list[People]:
    return [source.frames.people for source in sources]


def _check_boxes(source: OpenedSource, options: Source) -> None:
    """Refuse boxes to measure with that are of other photos."""
    names = [image["file_name"] for image in source.truth.images]
    if (
        source.boxes is None
        or options.kind == "pack"
        or any(source.boxes.get(name) is not None for name in names)
    ):
        return
    theirs = next((f"but {name!r}" for name in source.boxes), "nor any other")
    raise InputError(
        f"{options.boxes} names none of the photos to measure on: not {names[0]!r}, {theirs}.",
        f"`boxes` of this source must be of the photos of {options.annotations}.",
    )

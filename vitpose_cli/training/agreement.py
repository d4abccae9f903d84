"""What a run must agree with: with what it was begun with, and with what its other processes see.

Each process takes its share of one list of people. Lists that are not the same would be noticed by
nobody: some people would be shown twice, and others never.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from vitpose_cli.errors import InputError
from vitpose_cli.runtime import Process
from vitpose_cli.training.checkpoints import Position, RunState
from vitpose_cli.training.data import OpenedData
from vitpose_cli.training.data_options import DataOptions
from vitpose_cli.training.fingerprints import (
    DataFingerprint,
    Fingerprint,
    check_same_read,
    check_same_sets,
    check_same_sources,
    same_people,
)
from vitpose_cli.training.process import gathered


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a process begins with.

    Attributes:
        sources: What was opened, to learn from and then to measure on.
        learnt_from: What it learns from.
        unread: Sentences about photos that could not be read.
        position: How far the run is.
    """

    sources: tuple[Fingerprint, ...]
    learnt_from: DataFingerprint
    unread: tuple[str, ...]
    position: Position

    @classmethod
    def of(
        cls,
        data: OpenedData,
        learnt_from: DataFingerprint,
        unread: Sequence[str],
        position: Position,
    ) -> Beginning:
        """Sum up what a process has opened, read and loaded."""
        sources = tuple(source.fingerprint for source in (*data.train, *data.validation))
        return cls(sources, learnt_from, tuple(unread), position)


def check_sources(
    saved: RunState, data: OpenedData, heads: Collection[str], note: Callable[[str], None]
) -> None:
    """Refuse to go on with other labels than a run was begun with.

    Args:
        saved: What the run goes on with.
        data: The sources as they are.
        heads: The heads of the network for them.
        note: Told of photos that have come or gone, where they may.

    Raises:
        ConfigError: They are others.
    """
    if saved.data is None:
        return
    check_same_sets({*saved.heads, *saved.data.read}, {*heads, *data.learnt_sets})
    learnt, measured = (
        tuple(source.fingerprint for source in sources) for sources in (data.train, data.validation)
    )
    measured_before = measured if saved.data.measured is None else saved.data.measured
    before, now = (*saved.data.sources, *measured_before), (*learnt, *measured)
    for text in check_same_sources(before, now, allow_missing=data.options.allow_missing):
        note(text)
    if saved.position.best is not None and not same_people(measured_before, measured):
        note("No later AP is compared with the best so far, which is of other photos.")


def check_read(begun: DataFingerprint | None, now: DataFingerprint, options: DataOptions) -> None:
    """Refuse to go on with other photos than could be read when a run was begun.

    Args:
        begun: What it learnt from then; None where nothing says so.
        now: What it would learn from.
        options: Whether photos may come and go.

    Raises:
        ConfigError: They are others.
    """
    if begun is not None:
        check_same_read(begun.read, now.read, allow_missing=options.allow_missing)


def check_alike(own: Beginning, process: Process) -> None:
    """Refuse to train where the processes do not see the same; all must come here.

    Raises:
        InputError: One sees other labels, can read other photos, or is elsewhere in the run.
    """
    first, *others = gathered(own, process)
    differences = [
        difference
        for rank, other in enumerate(others, start=1)
        for difference in _differences(first, other, rank)
    ]
    if differences:
        raise InputError(
            "The processes of this training do not see the same:\n  " + "\n  ".join(differences),
            "Keep labels, photos and the run's folder on a file system that all machines share, "
            "and mend or leave out photos that cannot be read.",
        )


def _differences(first: Beginning, other: Beginning, rank: int) -> list[str]:
    """Say what a process sees otherwise than the first."""
    found = [
        f"{theirs.path}: {theirs.num_people:,} people in {theirs.num_photos:,} photos in process "
        f"{rank}, {ours.num_people:,} in {ours.num_photos:,} in process 0, or labelled otherwise."
        for ours, theirs in zip(first.sources, other.sources, strict=True)
        if ours.people != theirs.people
    ]
    if not found and first.learnt_from.read != other.learnt_from.read:
        found += [
            f"Process {number}: {text}"
            for number, one in ((0, first), (rank, other))
            for text in one.unread or ("all photos can be read.",)
        ]
    if first.position != other.position:
        found.append(
            f"Process {rank} begins with {_place(other.position)}, process 0 with "
            f"{_place(first.position)}."
        )
    return found


def _place(position: Position) -> str:
    return f"stage {position.stage + 1}, after step {position.step}"

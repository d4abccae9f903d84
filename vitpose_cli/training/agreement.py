"""What a run must agree with: with what it was begun with, and with what its other processes see.

Each process takes its share of one list of people. Lists that are not the same would be noticed by
nobody: some people would be shown twice, and others never.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.models.checkpoint import POSITION_TABLE
from vitpose_cli.runtime import Process
from vitpose_cli.training.checkpoints import Position, RunState
from vitpose_cli.training.data import OpenedData
from vitpose_cli.training.data_options import DataOptions
from vitpose_cli.training.fingerprints import DataFingerprint, Fingerprint, same_people
from vitpose_cli.training.network import Network
from vitpose_cli.training.process import gathered
from vitpose_cli.training.teachers import Teacher

_MOVED = "Since the run was begun photos have come or gone, or been replaced"
_MOVED_HINT = (
    "Put the photos back as they were, or choose another folder with --output; --allow-missing "
    "goes on with those that are there."
)


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a process begins with.

    Attributes:
        learnt_from: What it learns from, and is measured on.
        unread: Sentences about photos that could not be read.
        position: How far the run is.
    """

    learnt_from: DataFingerprint
    unread: tuple[str, ...]
    position: Position


def check_begun(
    saved: RunState,
    data: OpenedData,
    network: Network,
    teachers: Mapping[str, Teacher],
    note: Callable[[str], None],
) -> None:
    """Refuse to go on with other labels or other networks than a run was begun with.

    Args:
        saved: What the run goes on with.
        data: The sources as they are.
        network: What the run would begin with.
        teachers: By head, whom it would learn from.
        note: Told of photos that have come or gone, where they may.

    Raises:
        ConfigError: They are others.
    """
    measured = [source.fingerprint for source in data.validation]
    now = [*(source.fingerprint for source in data.train), *measured]
    pairs = [*zip(saved.data.opened, now, strict=True)]
    for change in _moved(pairs, allow_missing=data.options.allow_missing):
        note(f"{_MOVED}: {change}.")
    if _shapes(saved.stage["model"]) != _shapes(network.model.state_dict()):
        raise ConfigError(
            "model.weights is another network now than when the run was begun.",
            "Put the file back as it was, or choose another folder with --output.",
        )
    begun = saved.data.teachers
    if any(name in begun and begun[name] != one.identity for name, one in teachers.items()):
        raise ConfigError(
            "distill.teacher is another network now than when the run was begun.",
            "Put the file back as it was, or choose another folder with --output.",
        )
    if saved.position.best is not None and not same_people(saved.data.measured, measured):
        note("No later AP is compared with the best so far, which is of other photos.")


def check_read(begun: DataFingerprint, now: DataFingerprint, options: DataOptions) -> None:
    """Refuse to go on without photos that could be read when a run was begun, or with more.

    Args:
        begun: What it learnt from then.
        now: What it would learn from.
        options: Whether photos may come and go.

    Raises:
        ConfigError: They are others.
    """
    if begun.read != now.read and not options.allow_missing:
        raise ConfigError(
            "Since the run was begun photos have come or gone: others can be read than then.",
            _MOVED_HINT,
        )


def check_alike(own: Beginning, process: Process) -> None:
    """Refuse to train where the processes do not see the same; all must come here.

    Raises:
        InputError: One sees other labels, can read other photos, has another teacher, or is
            elsewhere in the run.
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
            "Keep labels, photos, weights and the run's folder on a file system that all machines "
            "share, and mend or leave out photos that cannot be read.",
        )


def _differences(first: Beginning, other: Beginning, rank: int) -> list[str]:
    """Say what a process sees otherwise than the first."""
    pairs = zip(first.learnt_from.opened, other.learnt_from.opened, strict=True)
    found = [
        f"{theirs.path}: {theirs.counts} in process {rank}, {ours.counts} in process 0, or "
        "labelled otherwise."
        for ours, theirs in pairs
        if ours.people != theirs.people
    ]
    if not found and first.learnt_from.read != other.learnt_from.read:
        found += [
            f"Process {number}: {text}"
            for number, one in ((0, first), (rank, other))
            for text in one.unread or ("all photos can be read.",)
        ]
    if first.learnt_from.teachers != other.learnt_from.teachers:
        found.append(f"Process {rank} learns from another distill.teacher than process 0.")
    if first.position != other.position:
        found.append(
            f"Process {rank} begins with {_place(other.position)}, process 0 with "
            f"{_place(first.position)}."
        )
    return found


def _place(position: Position) -> str:
    return f"stage {position.stage + 1}, after step {position.step}"


def _shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    """Return the shapes of a network's tensors that are those of every stage."""
    return {name: value.shape for name, value in state.items() if name != POSITION_TABLE}


def _moved(
    pairs: Sequence[tuple[Fingerprint, Fingerprint]], *, allow_missing: bool
) -> Iterable[str]:
    """Return of which sources photos have come, gone or been replaced; refuse other labels.

    Args:
        pairs: Each source as a run was begun with it, and as it is.
        allow_missing: Whether photos may.

    Raises:
        ConfigError: Labels are others, or photos that may not.
    """
    changed = [(then, now) for then, now in pairs if then.people != now.people]
    # A file may be there twice, to learn from and to measure on.
    relabelled = dict.fromkeys(_change(*pair) for pair in changed if pair[0].files != pair[1].files)
    moved = dict.fromkeys(_change(*pair) for pair in changed if pair[0].files == pair[1].files)
    if relabelled:
        raise ConfigError(
            "The run was begun with other labels:\n  " + "\n  ".join(relabelled),
            "Choose another folder with --output to begin with these, or delete that of the run.",
        )
    if moved and not allow_missing:
        raise ConfigError(f"{_MOVED}:\n  " + "\n  ".join(moved), _MOVED_HINT)
    return moved


def _change(before: Fingerprint, now: Fingerprint) -> str:
    if before.counts == now.counts:
        return f"{now.path}: {now.counts}, as many as then, but not the same"
    return f"{now.path}: {before.counts} then, {now.counts} now"

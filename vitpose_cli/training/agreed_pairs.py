"""Which keypoints change places in mirrored crops: one answer for all sources of a set.

A statement beats what is read from names, and that of a file to learn from beats that of a file to
measure on.
"""

from __future__ import annotations

from collections.abc import Sequence

from vitpose_cli.errors import InputError
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.training.opened_source import OpenedSource


def agreed_sets(
    train: Sequence[OpenedSource], validation: Sequence[OpenedSource]
) -> dict[str, KeypointSet]:
    """Return the keypoint sets of all sources by name, each with the pairs that count for it.

    Raises:
        InputError: Two files mean different keypoints by one name, or state different pairs.
    """
    parts: dict[str, tuple[list[OpenedSource], list[OpenedSource]]] = {}
    for role, sources in enumerate((train, validation)):
        for source in sources:
            parts.setdefault(source.keypoint_set.name, ([], []))[role].append(source)
    return {name: _agreed(*of_set) for name, of_set in parts.items()}


def _agreed(train: Sequence[OpenedSource], validation: Sequence[OpenedSource]) -> KeypointSet:
    """Return the set of the sources of one name."""
    first, *others = (*train, *validation)
    own = first.keypoint_set
    for other in others:
        if other.keypoint_set.names != own.names:
            raise InputError(
                f"{first.truth.path} and {other.truth.path} have different keypoints, both called "
                f"{own.name!r}.",
                "Rename the category in one of them, or give both the same keypoints.",
            )
    stating = _stating(train) or _stating(validation)
    if not stating:
        return own
    pairs = stating[0].keypoint_set
    for other in stating[1:]:
        if other.keypoint_set.flip_pairs != pairs.flip_pairs:
            raise InputError(
                f"{stating[0].truth.path} and {other.truth.path} state different `flip_pairs` of "
                f"{own.name!r}: {pairs.pairs_text}, and {other.keypoint_set.pairs_text}.",
                "State the same in both, or leave `flip_pairs` out of one: that of the other "
                "counts for both.",
            )
    return own.with_stated(pairs.flip_pairs)


def _stating(sources: Sequence[OpenedSource]) -> list[OpenedSource]:
    return [source for source in sources if source.keypoint_set.pairs_stated]

"""Which keypoints change places in mirrored crops: one answer for a set and its head.

The statement of a file to learn from beats that of a file to measure on, that of any file the pairs
of a head to start from, and these what is read from names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

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


def with_pairs_of(
    sets: Mapping[str, KeypointSet], theirs: Mapping[str, KeypointSet], known: Mapping[str, str]
) -> dict[str, KeypointSet]:
    """Return our sets; those whose pairs no file states have the pairs of the weights.

    Args:
        sets: Our sets by name.
        theirs: Those of the heads of the weights.
        known: Which of theirs shows the same as ours, for some.
    """
    return {
        name: own
        if own.pairs_stated or name not in known
        else replace(own, flip_pairs=theirs[known[name]].flip_pairs)
        for name, own in sets.items()
    }


def pair_notes(
    sets: Mapping[str, KeypointSet],
    theirs: Mapping[str, KeypointSet],
    known: Mapping[str, str],
    weights: str,
) -> Iterator[str]:
    """Yield where our sets and those of `weights` say different pairs, and which count."""
    for name, head in known.items():
        own, other = sets[name], theirs[head]
        if own.flip_pairs == other.flip_pairs:
            continue
        if own.pairs_stated:
            yield (
                f"`flip_pairs` of {name} are those of the files ({own.pairs_text}), no longer "
                f"those of {weights} ({other.pairs_text})."
            )
        else:
            yield (
                f"No file states `flip_pairs` of {name}: they are those of {weights} "
                f"({other.pairs_text}), not what names say ({own.pairs_text})."
            )


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

"""Which keypoints change places in mirrored crops, and their sigmas: one answer for set and head.

The statement of a file to learn from beats that of a file to measure on, that of any file what the
head to start from has, and this what is read from names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from vitpose_cli.errors import InputError
from vitpose_cli.pose.alike_sets import nearest_sets, with_stated
from vitpose_cli.pose.keypoints import STATEMENTS, KeypointSet
from vitpose_cli.training.opened_source import OpenedSource


def agreed_sets(
    train: Sequence[OpenedSource], validation: Sequence[OpenedSource]
) -> dict[str, KeypointSet]:
    """Return the keypoint sets of all sources by name, each with what counts for it.

    Raises:
        InputError: Two files mean different keypoints by one name, or state different pairs
            or sigmas.
    """
    parts: dict[str, tuple[list[OpenedSource], list[OpenedSource]]] = {}
    for role, sources in enumerate((train, validation)):
        for source in sources:
            parts.setdefault(source.keypoint_set.name, ([], []))[role].append(source)
    return {name: _agreed(*of_set) for name, of_set in parts.items()}


def said_of(
    sets: Mapping[str, KeypointSet], theirs: Mapping[str, KeypointSet]
) -> dict[str, KeypointSet]:
    """Return our sets with the pairs and sigmas that the heads of weights have, by our names.

    Left out are those of which no head has all keypoints.

    Args:
        sets: Our sets by name.
        theirs: Those of the heads of the weights.
    """
    return {
        name: _said_of(sets[name], theirs[head])
        for name, head in nearest_sets(sets, theirs).items()
        if {*sets[name].names} <= {*theirs[head].names}
    }


def with_statements_of(
    sets: Mapping[str, KeypointSet], said: Mapping[str, KeypointSet]
) -> dict[str, KeypointSet]:
    """Return our sets; the pairs and sigmas that no file states are those of the weights.

    Args:
        sets: Our sets by name.
        said: What the weights say of some of them.
    """
    agreed = dict(sets)
    for name, other in said.items():
        for what in STATEMENTS:
            if what not in sets[name].stated:
                agreed[name] = agreed[name].with_field(other, what)
    return agreed


def statement_notes(
    sets: Mapping[str, KeypointSet], said: Mapping[str, KeypointSet], weights: str
) -> Iterator[str]:
    """Yield where our sets and those of `weights` say different things, and which count."""
    for name, other in said.items():
        own = sets[name]
        for what in STATEMENTS:
            if own.says_the_same(other, what):
                continue
            if what in own.stated:
                yield (
                    f"`{what}` of {name} are those of the files ({own.text_of(what)}), no longer "
                    f"those of {weights} ({other.text_of(what)})."
                )
            else:
                yield (
                    f"No file states `{what}` of {name}: they are those of {weights} "
                    f"({other.text_of(what)}), not what names say ({own.text_of(what)})."
                )


def _said_of(own: KeypointSet, other: KeypointSet) -> KeypointSet:
    """Return a set with the pairs and sigmas of one that has all its keypoints."""
    places = {name: place for place, name in enumerate(own.names)}
    pairs = (
        sorted((places[other.names[one]], places[other.names[partner]]))
        for one, partner in other.flip_pairs
        if {other.names[one], other.names[partner]} <= places.keys()
    )
    sigmas = dict(zip(other.names, other.oks_sigmas, strict=True))
    return replace(
        own,
        flip_pairs=tuple(sorted((low, high) for low, high in pairs)),
        oks_sigmas=tuple(sigmas[name] for name in own.names),
        stated=other.stated,
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
    categories = {source.keypoint_set.category for source in (first, *others)}
    for what in STATEMENTS:
        called = (
            [(_title(source, len(categories) > 1), source.keypoint_set) for source in sources]
            for sources in (train, validation)
        )
        stating = (sets for sets in called if any(what in each.stated for _, each in sets))
        own = with_stated(own, next(stating, []), what)
    return own


def _title(source: OpenedSource, several: bool) -> str:
    """Return what to call a source, with its category where they are several."""
    path = str(source.truth.path)
    return f"{path} (category {source.keypoint_set.category!r})" if several else path

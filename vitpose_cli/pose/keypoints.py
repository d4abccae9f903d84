"""Keypoint sets: the names of a pose's points and all that follows from them.

Built-in sets are read from `keypoint_tables`; any other set comes from the `categories` entry of a
COCO file, so that nobody has to write a plug-in for their animal. Flip pairs and upper bodies are
derived from the names for both alike, and so are sigmas of own keypoints, unless a category states
its pairs or sigmas itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from math import inf
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.plurals import did_you_mean
from vitpose_cli.pose.keypoint_names import Words, canonical_words
from vitpose_cli.pose.keypoint_sides import (
    flip_pairs,
    flip_pairs_fault,
    has_side,
    is_upper_body,
    side_of,
)
from vitpose_cli.pose.keypoint_sigmas import UNKNOWN_SIGMA, sigmas_fault
from vitpose_cli.pose.keypoint_tables import OTHER_NAMES, TABLES, PublishedSet

Pair = tuple[int, int]
Side = Literal["left", "right", "centre"]
Stated = Literal["flip_pairs", "sigmas"]

_HINT_ON_SKELETON = "Write pairs of keypoint numbers, counted from 1, or leave the skeleton out."

STATEMENTS: tuple[Stated, ...] = ("flip_pairs", "sigmas")
"""The fields of a `categories` entry that overrule what names say."""


@dataclass(frozen=True, slots=True)
class KeypointSet:
    """The K keypoints of one kind of body.

    Attributes:
        name: What the set is called here, as in `keypoint_set(name)`.
        category: What COCO files call the kind of body: `person`, `animal`.
        names: K names; built-in sets use snake case with `left_` and `right_` in front.
        edges: Pairs of positions (0-based) that a drawing joins.
        flip_pairs: Pairs of positions that change places when the picture is mirrored. A set
            without pairs must not be mirrored unless its keypoints have no sides.
        oks_sigmas: K sigmas, the spread of human labels relative to the body's size.
        upper_body: Positions above the hips.
        source: Where the numbers come from.
        stated: What a file states, so that it is not read from names.
    """

    name: str
    category: str
    names: tuple[str, ...]
    edges: tuple[Pair, ...]
    flip_pairs: tuple[Pair, ...]
    oks_sigmas: tuple[float, ...]
    upper_body: tuple[int, ...]
    source: str
    stated: frozenset[Stated] = field(default=frozenset(), compare=False)

    def __post_init__(self) -> None:
        positions = range(self.num_keypoints)
        paired = list(chain.from_iterable(self.flip_pairs))
        named = set(positions)
        rules = {
            "names must differ": len(set(self.names)) == len(positions),
            "edges must join named keypoints": named.issuperset(chain.from_iterable(self.edges)),
            "flip pairs must be of named keypoints": named.issuperset(paired),
            "flip pairs must not share a keypoint": len(set(paired)) == len(paired),
            "every name needs one sigma": len(self.oks_sigmas) == len(positions),
            "sigmas must be above 0 and finite": all(0 < each < inf for each in self.oks_sigmas),
            "upper_body must be of named keypoints": named.issuperset(self.upper_body),
        }
        for rule, holds in rules.items():
            if not holds:
                raise InputError(f"Keypoint set {self.name!r} is wrong: {rule}.")

    @property
    def num_keypoints(self) -> int:
        """K, the number of keypoints."""
        return len(self.names)

    @property
    def flip_order(self) -> NDArray[np.int64]:
        """(K,) int64: `keypoints[:, flip_order]` renames the points of a mirrored picture."""
        order = np.arange(self.num_keypoints)
        for left, right in self.flip_pairs:
            order[[left, right]] = right, left
        return order

    @property
    def mirrorable(self) -> bool:
        """Whether it is known what left and right are: nobody knows of `kp0` to `kp3`."""
        return bool(self.flip_pairs)

    def text_of(self, what: Stated) -> str:
        """Return a field in a sentence: `kp0 - kp1, kp2 - kp3`, `0.025, 0.1`, or `none`."""
        if what == "sigmas":
            return ", ".join(f"{sigma:g}" for sigma in self.oks_sigmas)
        pairs = (f"{self.names[one]} - {self.names[other]}" for one, other in self.flip_pairs)
        return ", ".join(pairs) or "none"

    def says_the_same(self, other: KeypointSet, what: Stated) -> bool:
        """Tell whether a field is the same in a set of the same keypoints."""
        if what == "sigmas":
            return self.oks_sigmas == other.oks_sigmas
        return self.flip_pairs == other.flip_pairs

    def with_field(self, other: KeypointSet, what: Stated) -> KeypointSet:
        """Return the set with a field of another one of the same keypoints.

        It is stated where the other one states it.
        """
        stated = (self.stated - {what}) | (other.stated & {what})
        if what == "sigmas":
            return replace(self, oks_sigmas=other.oks_sigmas, stated=stated)
        return replace(self, flip_pairs=other.flip_pairs, stated=stated)

    @property
    def one_sided(self) -> tuple[int, ...]:
        """Positions of keypoints with a side and without a partner on the other."""
        paired = set(chain.from_iterable(self.flip_pairs))
        named = enumerate(self.names)
        return tuple(index for index, name in named if has_side(name) and index not in paired)

    def shows_the_same(self, other: KeypointSet) -> bool:
        """Tell whether heatmaps of both mean the same; all but the names may differ.

        Flip pairs and sigmas are among that: they say how a picture is mirrored and how near is
        near, not what a map shows.
        """
        return self.names == other.names

    @property
    def sides(self) -> tuple[Side, ...]:
        """The side of the body that each of the K keypoints is on, by its name and partner."""
        sides: list[Side] = ["centre"] * self.num_keypoints
        for one, other in self.flip_pairs:
            for position, partner in ((one, other), (other, one)):
                side = side_of(self.names[position], self.names[partner])
                sides[position] = side or "centre"
        return tuple(sides)

    @property
    def sigmas(self) -> NDArray[np.float64]:
        """(K,) float64 OKS sigmas."""
        return np.array(self.oks_sigmas, np.float64)

    @staticmethod
    def from_category(category: Mapping[str, Any]) -> KeypointSet:
        """Build the set that a COCO file's `categories` entry describes.

        Names that match a built-in set, however they are spelled, give that built-in set. Else
        flip pairs and upper body are read from the names, and every sigma is that of the
        human keypoint of this name, or `UNKNOWN_SIGMA`. A skeleton counts from 1 as COCO says,
        or from 0 where it names keypoint 0, as some tools write it. `flip_pairs`, pairs of names,
        has the last word on which keypoints change places; empty, it forbids mirroring. `sigmas`,
        K numbers in the order of the keypoints, has it on the sigmas. A built-in set with pairs or
        sigmas of a file keeps its name.

        Args:
            category: The entry; `keypoints` is needed, the others are not. A set that is not built
                in is called as it, `custom` if it has no name.

        Raises:
            InputError: There are no keypoint names, one comes twice, or skeleton, flip pairs or
                sigmas do not fit them.
        """
        label = str(category.get("name") or "custom")
        names = _names_of(category, label)
        words = [canonical_words(each) for each in names]
        for built_in in KEYPOINT_SETS.values():
            if words in _spellings(built_in):
                return _with_stated(built_in, category, names, label)
        try:
            bones = [(int(start), int(end)) for start, end in category.get("skeleton") or ()]
        except (TypeError, ValueError) as error:
            raise InputError(
                f"Category {label!r}: the skeleton is not a list of pairs of numbers.",
                _HINT_ON_SKELETON,
            ) from error
        first = 0 if any(0 in bone for bone in bones) else 1
        there = range(first, len(names) + first)
        stray = [bone for bone in bones if bone[0] not in there or bone[1] not in there]
        if stray:
            raise InputError(
                f"Category {label!r} has {len(names)} keypoints, and its skeleton joins "
                f"{stray[0][0]} and {stray[0][1]}.",
                _HINT_ON_SKELETON,
            )
        built = _complete(
            PublishedSet(
                name=label,
                category=label,
                names=names,
                edges=tuple((start - first, end - first) for start, end in bones),
                oks_sigmas=_usual_sigmas(names),
                source="the categories of a COCO file",
            )
        )
        return _with_stated(built, category, names, label)

    def to_category(self, id: int = 1) -> dict[str, Any]:
        """Return the `categories` entry of a COCO file, with its 1-based skeleton.

        Flip pairs and sigmas are in it where they are stated or other than the names say.
        """
        stated: dict[str, Any] = {}
        if "flip_pairs" in self.stated or self.flip_pairs != flip_pairs(self.names):
            pairs = ([self.names[one], self.names[other]] for one, other in self.flip_pairs)
            stated["flip_pairs"] = list(pairs)
        if "sigmas" in self.stated or self.oks_sigmas != _usual_sigmas(self.names):
            stated["sigmas"] = list(self.oks_sigmas)
        return {
            "id": id,
            "name": self.category,
            "supercategory": self.category,
            "keypoints": list(self.names),
            "skeleton": [[start + 1, end + 1] for start, end in self.edges],
            **stated,
        }


def keypoint_set(name: str) -> KeypointSet:
    """Return the built-in set of this name.

    Raises:
        ConfigError: There is none; the hint names the likeliest.
    """
    if name in KEYPOINT_SETS:
        return KEYPOINT_SETS[name]
    raise ConfigError(
        f"There is no keypoint set {name!r}.",
        f"{did_you_mean(name, KEYPOINT_SETS)}There are: {', '.join(KEYPOINT_SETS)}.",
    )


def _names_of(category: Mapping[str, Any], label: str) -> tuple[str, ...]:
    """Return the keypoint names of a `categories` entry."""
    names = category.get("keypoints")
    if not isinstance(names, list | tuple) or not names:
        raise InputError(
            f"Category {label!r} has no keypoint names.",
            "A COCO-keypoint file lists them under categories[].keypoints.",
        )
    texts = tuple(str(name) for name in names)
    again = next((name for place, name in enumerate(texts) if name in texts[:place]), None)
    if again is not None:
        raise InputError(
            f"Category {label!r} has the keypoint {again!r} twice.",
            "Give each of its keypoints a name of its own.",
        )
    return texts


def _with_stated(
    known: KeypointSet, category: Mapping[str, Any], names: Sequence[str], label: str
) -> KeypointSet:
    """Return a set with the flip pairs and sigmas that a `categories` entry states.

    Raises:
        InputError: They are no pairs of its keypoints, or no sigmas of as many.
    """
    pairs, sigmas = (category.get(what) for what in STATEMENTS)
    if pairs is not None:
        if fault := flip_pairs_fault(pairs, names):
            raise InputError(
                f"Category {label!r}: flip_pairs {fault}.",
                "Write pairs of its keypoint names, each name once: "
                '[["kp1", "kp2"], ["kp3", "kp4"]].',
            )
        at = {name: position for position, name in enumerate(names)}
        ends = (sorted((at[str(one)], at[str(other)])) for one, other in pairs)
        ordered = tuple(sorted((low, high) for low, high in ends))
        known = replace(known, flip_pairs=ordered, stated=known.stated | {"flip_pairs"})
    if sigmas is not None:
        if fault := sigmas_fault(sigmas, len(names)):
            raise InputError(
                f"Category {label!r}: sigmas {fault}.",
                "Write one number above 0 for each of its keypoints, in their order, as 0.025 "
                "of an eye and 0.107 of a hip; or leave sigmas out.",
            )
        numbers = tuple(map(float, sigmas))
        known = replace(known, oks_sigmas=numbers, stated=known.stated | {"sigmas"})
    return known


def _usual_sigmas(names: Sequence[str]) -> tuple[float, ...]:
    """Return the sigmas of keypoints of which no file states any."""
    words = [canonical_words(each) for each in names]
    for built_in in KEYPOINT_SETS.values():
        if words in _spellings(built_in):
            return built_in.oks_sigmas
    return tuple(_HUMAN_SIGMAS.get(each, UNKNOWN_SIGMA) for each in words)


def _spellings(built_in: KeypointSet) -> Iterator[list[Words]]:
    """Yield the words of a built-in set's names, here and in the files of its data set."""
    others = OTHER_NAMES.get(built_in.name, {})
    for names in (built_in.names, [others.get(name, name) for name in built_in.names]):
        yield [canonical_words(name) for name in names]


def _complete(table: PublishedSet) -> KeypointSet:
    """Turn a table into a set by reading the rest off its names."""
    return KeypointSet(
        **table._asdict(),
        flip_pairs=flip_pairs(table.names),
        upper_body=tuple(index for index, each in enumerate(table.names) if is_upper_body(each)),
    )


KEYPOINT_SETS: Mapping[str, KeypointSet] = MappingProxyType(
    {table.name: _complete(table) for table in TABLES}
)
"""The built-in sets by name."""

_HUMAN_SIGMAS = MappingProxyType(
    {
        canonical_words(name): sigma
        for known in ("halpe26", "wholebody", "coco")
        for name, sigma in zip(
            KEYPOINT_SETS[known].names, KEYPOINT_SETS[known].oks_sigmas, strict=True
        )
    }
)

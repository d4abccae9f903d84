"""Keypoint sets of several files or weights: which are the same, or most alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vitpose_cli.errors import InputError
from vitpose_cli.pose.keypoints import KeypointSet, Stated


def with_stated(
    own: KeypointSet, others: Sequence[tuple[str, KeypointSet]], what: Stated
) -> KeypointSet:
    """Return a set with a field of those of the same keypoints that state it, if any does.

    Args:
        own: The set.
        others: All that count alike, each behind what to call it; the set itself may be of them.
        what: The field.

    Raises:
        InputError: Two of them state different things.
    """
    stating = [each for each in others if what in each[1].stated]
    for name, said in stating[1:]:
        first, counting = stating[0]
        if not said.says_the_same(counting, what):
            raise InputError(
                f"{first} and {name} state different `{what}` of {own.name!r}: "
                f"{counting.text_of(what)}, and {said.text_of(what)}.",
                f"State the same in both, or leave `{what}` out of one: that of the other counts "
                "for both.",
            )
    return own.with_field(stating[0][1], what) if stating else own


def same_sets(ours: Mapping[str, KeypointSet], theirs: Mapping[str, KeypointSet]) -> dict[str, str]:
    """Return which of `their` sets shows the same as each of ours, by our name; for some, none.

    It is the one of our name, or else the first: animals of AP-10K and of APT-36K have the same
    keypoints, and a file tells nothing more of them.
    """
    found = {}
    for name, own in ours.items():
        alike = [other for other, one in theirs.items() if own.shows_the_same(one)]
        if alike:
            found[name] = name if name in alike else alike[0]
    return found


def nearest_sets(
    ours: Mapping[str, KeypointSet], theirs: Mapping[str, KeypointSet]
) -> dict[str, str]:
    """Return which of `their` sets has most of the keypoints of each of ours, by our name.

    It is the one of `same_sets` where there is one, and the first of several that have as many;
    those come first of which there is the same. Left out are ours of which none has a keypoint.
    """
    found = same_sets(ours, theirs)
    for name, own in ours.items():
        common = {other: len({*own.names} & {*one.names}) for other, one in theirs.items()}
        if name not in found and any(common.values()):
            found[name] = max(common, key=common.__getitem__)
    return found

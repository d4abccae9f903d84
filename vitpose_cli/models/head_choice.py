"""Which decoder of a foreign checkpoint is meant, and which keypoint set it labels.

Foreign files do not say what their keypoints are. It follows from the order of the experts, from
which expert was folded in, from the number of keypoints, or from the user; never from a file name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vitpose_cli.errors import WeightsError
from vitpose_cli.models.key_maps import (
    EXPERT_SETS,
    HUGGING_FACE,
    JOINT_SETS,
    ForeignNetwork,
    folded_expert,
)
from vitpose_cli.pose.keypoints import KEYPOINT_SETS, keypoint_set


@dataclass(frozen=True, slots=True)
class HeadChoice:
    """A decoder of a foreign network.

    Attributes:
        keypoint_set: What it labels.
        name: What it is called there.
        expert: The expert to fold into the encoder; None where there is nothing to fold.
        notes: What had to be assumed, one sentence each.
    """

    keypoint_set: str
    name: str
    expert: int | None = None
    notes: tuple[str, ...] = ()


def choose_head(network: ForeignNetwork, wanted: str | None) -> HeadChoice:
    """Find the head of the `wanted` keypoint set; by default the main one.

    Raises:
        ConfigError: There is no keypoint set of this name.
        WeightsError: The network has no such head, or several sets may be meant.
    """
    if wanted is not None:
        keypoint_set(wanted)
    main = _main_head(network)
    choices = _choices(network)
    if wanted is None:
        own = [one for one in choices.values() if one.name == main]
        return own[0] if len(own) == 1 else _assume(own, _counts(network)[main])
    if wanted in choices:
        return choices[wanted]
    lost = network.layout is HUGGING_FACE and network.has_open_experts
    raise WeightsError(
        f"The file has no head for {wanted}, only for {', '.join(choices)}.",
        "Hugging Face's ViTPose+ files keep the COCO head alone; the others are in the original "
        f"files: `vitpose weights list` names one for {wanted}."
        if lost
        else "Choose one of these with --keypoint-set, or another file.",
    )


def all_heads(network: ForeignNetwork, wanted: str | None) -> tuple[HeadChoice, ...]:
    """Return every head whose keypoint set is known; that of `choose_head` first.

    Raises:
        ConfigError, WeightsError: As `choose_head`.
    """
    first = choose_head(network, wanted)
    by_head: dict[str, list[HeadChoice]] = {}
    for one in _choices(network).values():
        by_head.setdefault(one.name, []).append(one)
    others = (one[0] for name, one in by_head.items() if name != first.name and len(one) == 1)
    return (first, *others)


def _choices(network: ForeignNetwork) -> dict[str, HeadChoice]:
    """Return the heads that a file offers by keypoint set, the main head's first."""
    counts = _counts(network)
    if network.has_open_experts:
        if network.num_experts != len(EXPERT_SETS):
            raise WeightsError(
                f"The file has {network.num_experts} experts, ViTPose+ has {len(EXPERT_SETS)}.",
                "Which data set each of them belongs to is not known.",
            )
        names = zip(EXPERT_SETS, counts, strict=False)
        return {
            each: HeadChoice(each, head, expert=index) for index, (each, head) in enumerate(names)
        }
    expert = folded_expert(network)
    if expert is not None and expert < len(EXPERT_SETS):
        return {EXPERT_SETS[expert]: HeadChoice(EXPERT_SETS[expert], _main_head(network))}
    published = dict(zip(("coco", *JOINT_SETS), counts, strict=False))
    if len(counts) > 1 and all(
        counts[head] == KEYPOINT_SETS[each].num_keypoints for each, head in published.items()
    ):
        return {each: HeadChoice(each, head) for each, head in published.items()}
    return _told_by_number(counts)


def _told_by_number(counts: dict[str, int]) -> dict[str, HeadChoice]:
    """Return the heads by the keypoint sets that their numbers of keypoints allow.

    Of several heads with the number of a set only the main one can be meant; which of its
    associates has that set, nothing tells.
    """
    main, *further = counts
    choices: dict[str, HeadChoice] = {}
    for each in _sets_with(counts[main]) if not further else KEYPOINT_SETS:
        count = KEYPOINT_SETS[each].num_keypoints
        heads = [head for head in counts if counts[head] == count]
        if len(heads) == 1:
            choices[each] = HeadChoice(each, heads[0])
        elif main in heads:
            note = f"{len(heads)} heads have {count} keypoints: the main one is taken for {each}."
            choices[each] = HeadChoice(each, main, notes=(note,))
    return dict(sorted(choices.items(), key=lambda item: item[1].name != main))


def _assume(own: list[HeadChoice], count: int) -> HeadChoice:
    """Take COCO for 17 keypoints of unknown kind, and refuse to guess anything else."""
    names = _sets_with(count)
    if names[0] != "coco":
        raise WeightsError(
            f"The file has {count} keypoints, which may be {' or '.join(names)}.",
            f"Say which with --keypoint-set {'|'.join(names)}.",
        )
    others = " or ".join(names[1:])
    note = f"{count} keypoints: taken for coco; if they are {others}, say so with --keypoint-set."
    return replace(own[0], notes=(*own[0].notes, note))


def _sets_with(count: int) -> list[str]:
    """Return the keypoint sets with `count` keypoints."""
    names = [name for name, each in KEYPOINT_SETS.items() if each.num_keypoints == count]
    if not names:
        raise WeightsError(
            f"The head has {count} keypoints, and no keypoint set has.",
            f"The keypoint sets: {', '.join(KEYPOINT_SETS)}.",
        )
    return names


def _main_head(network: ForeignNetwork) -> str:
    """Return the name of the head that is no associate."""
    return next(iter(_counts(network)))


def _counts(network: ForeignNetwork) -> dict[str, int]:
    """Return the number of keypoints of every head: of the main one, then of the associates."""
    order = sorted(network.heads, key=_head_order)
    return {name: len(network.heads[name]["final.weight"]) for name in order}


def _head_order(name: str) -> int:
    """Order heads: the main one, then the associates by number."""
    number = name.rpartition(".")[2]
    return int(number) + 1 if number.isdigit() else 0

"""Which decoder of a foreign checkpoint is meant, and which keypoint set it labels.

Foreign files do not say what their keypoints are. It follows from the order of the experts, from
which expert was folded in, from the number of keypoints, or from the user; never from a file name.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    main, *further = sorted(network.heads, key=_head_order)
    choices = _choices(network, main, further)
    if wanted is None:
        first = next(iter(choices.values()))
        count = len(network.heads[main]["final.weight"])
        if not network.has_open_experts and not further and len(choices) > 1:
            return _assume(first, list(choices), count)
        return first
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
    main, *further = sorted(network.heads, key=_head_order)
    if not further:  # then all choices are one head, and what its keypoints are is decided
        return (first,)
    others = _choices(network, main, further).values()
    return (first, *(one for one in others if one.keypoint_set != first.keypoint_set))


def _choices(network: ForeignNetwork, main: str, further: list[str]) -> dict[str, HeadChoice]:
    """Return the heads that a file offers by keypoint set, the main head's first."""
    if network.has_open_experts:
        if network.num_experts != len(EXPERT_SETS):
            raise WeightsError(
                f"The file has {network.num_experts} experts, ViTPose+ has {len(EXPERT_SETS)}.",
                "Which data set each of them belongs to is not known.",
            )
        names = zip(EXPERT_SETS, [main, *further], strict=False)
        return {
            each: HeadChoice(each, head, expert=index) for index, (each, head) in enumerate(names)
        }
    expert = folded_expert(network)
    if expert is not None and expert < len(EXPERT_SETS):
        return {EXPERT_SETS[expert]: HeadChoice(EXPERT_SETS[expert], main)}
    fitting = _sets_with(len(network.heads[main]["final.weight"]))
    choices = {each: HeadChoice(each, main) for each in fitting}
    if further:
        choices = {fitting[0]: choices[fitting[0]]}
    waiting = list(JOINT_SETS)
    for head in further:
        count = len(network.heads[head]["final.weight"])
        each = next((s for s in waiting if KEYPOINT_SETS[s].num_keypoints == count), None)
        if each is not None:
            waiting.remove(each)
            choices[each] = HeadChoice(each, head)
    return choices


def _assume(first: HeadChoice, names: list[str], count: int) -> HeadChoice:
    """Take COCO for 17 keypoints of unknown kind, and refuse to guess anything else."""
    others = " or ".join(names[1:])
    if first.keypoint_set != "coco":
        raise WeightsError(
            f"The file has {count} keypoints, which may be {' or '.join(names)}.",
            f"Say which with --keypoint-set {'|'.join(names)}.",
        )
    note = f"{count} keypoints: taken for coco; if they are {others}, say so with --keypoint-set."
    return HeadChoice("coco", first.name, notes=(note,))


def _sets_with(count: int) -> list[str]:
    """Return the keypoint sets with `count` keypoints."""
    names = [name for name, each in KEYPOINT_SETS.items() if each.num_keypoints == count]
    if not names:
        raise WeightsError(
            f"The head has {count} keypoints, and no keypoint set has.",
            f"The keypoint sets: {', '.join(KEYPOINT_SETS)}.",
        )
    return names


def _head_order(name: str) -> int:
    """Order heads: the main one, then the associates by number."""
    number = name.rpartition(".")[2]
    return int(number) + 1 if number.isdigit() else 0

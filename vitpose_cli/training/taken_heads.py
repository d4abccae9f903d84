"""Which heads a network takes over from the weights that it starts from, whole or in part.

Heatmaps of a keypoint are one row of a head's last layer, so heads of partly the same keypoints
share what lies before it, and these rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from vitpose_cli.models.checkpoint import CheckpointHeader
from vitpose_cli.plurals import first_few
from vitpose_cli.pose.alike_sets import nearest_sets
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.training.network import head_tensors


@dataclass(frozen=True, slots=True)
class TakenHeads:
    """What the heads of a network take from weights.

    Attributes:
        weights: What to call the weights.
        nearest: The head of the weights that has most keypoints of each head, by name; heads are
            not in it of whose keypoints no head of the weights has any.
        rows: Where the rows of a head come from: by its name, for each of its keypoints that are
            there, the place here and the place there.
        drawn: The heads that start anew, wholly or in part, and why.
    """

    weights: str
    nearest: Mapping[str, str]
    rows: Mapping[str, Mapping[int, int]]
    drawn: Mapping[str, str]

    @staticmethod
    def of(ours: CheckpointHeader, theirs: CheckpointHeader | None, weights: str) -> TakenHeads:
        """Compare the heads of a network with those of the weights that it starts from."""
        nearest = {} if theirs is None else nearest_sets(ours.keypoint_sets, theirs.keypoint_sets)
        rows, drawn = {}, {}
        for name, head in ours.heads.items():
            if theirs is None or not theirs.heads:
                drawn[name] = f"{weights} has no heads"
                continue
            if name not in nearest:
                drawn[name] = f"{weights} has none of its keypoints"
                continue
            other = theirs.heads[nearest[name]]
            if ours.stride != theirs.stride:
                drawn[name] = f"model.stride is {ours.stride}, that of {weights} {theirs.stride}"
            elif head.kind != other.kind:
                drawn[name] = f"model.head is {head.kind}, that of {weights} {other.kind}"
            else:
                rows[name] = _rows(head.keypoint_set, other.keypoint_set)
                there, count = len(rows[name]), head.keypoint_set.num_keypoints
                if there < count:
                    drawn[name] = f"{weights} has {there} of its {count} keypoints"
        return TakenHeads(weights, nearest, rows, drawn)

    def tensors(
        self, state: Mapping[str, Tensor], stored: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return the tensors of all heads of which something is taken over.

        Args:
            state: Of the network, drawn.
            stored: Of the weights.
        """
        taken = {}
        for name, rows in self.rows.items():
            for key, value in head_tensors(stored, self.nearest[name], name).items():
                taken[key] = value
                if key.startswith(f"heads.{name}.final."):
                    chosen = value[torch.tensor([*rows.values()])].to(state[key].dtype)
                    taken[key] = state[key].index_copy(0, torch.tensor([*rows]), chosen)
        return taken

    def notes(self, ours: CheckpointHeader, theirs: CheckpointHeader) -> Iterator[str]:
        """Yield what a user should know of what is taken over, and what is not."""
        for name, head in ours.heads.items():
            other = self.nearest.get(name)
            called = "" if other in (name, None) else f", where it is called {other}"
            if name not in self.drawn:
                yield f"The head {name} is taken over from {self.weights}{called}."
            elif name in self.rows:
                missing = head.keypoint_set.num_keypoints - len(self.rows[name])
                yield (
                    f"The head {name} is taken over from {self.weights}{called}, for "
                    f"{len(self.rows[name])} of its keypoints; the other {missing} start anew."
                )
            else:
                yield f"The head {name} starts anew: {self.drawn[name]}."
        if ours.heads:
            yield from self._left_notes(ours, theirs)

    def _left_notes(self, ours: CheckpointHeader, theirs: CheckpointHeader) -> Iterator[str]:
        """Yield which keypoints of the weights the new ones will not label."""
        kept = [{*own.names} for own in ours.keypoint_sets.values()]
        left = []
        for name, other in theirs.keypoint_sets.items():
            if any(own.issuperset(other.names) for own in kept):
                continue
            takers = [own for own in self.rows if self.nearest[own] == name]
            taken = {each for own in takers for each in ours.keypoint_sets[own].names}
            lost = [each for each in other.names if each not in taken]
            if not takers and name not in self.drawn:
                left.append(name)
            elif takers and lost:
                yield (
                    f"Of the {other.num_keypoints} keypoints that {self.weights} labels as {name}, "
                    f"the new weights will not label {len(lost)}: {first_few(lost)}."
                )
        if left:
            yield (
                f"What {self.weights} labels as {', '.join(left)}, the new weights will not: no "
                "source has these keypoints. People who have them in data.validation would keep "
                "the head."
            )


def _rows(own: KeypointSet, other: KeypointSet) -> dict[int, int]:
    """Return the place of each keypoint that both have, and its place in the other set."""
    places = {name: place for place, name in enumerate(other.names)}
    return {place: places[name] for place, name in enumerate(own.names) if name in places}

"""Which frames, once each has a doubt: the doubtful, but not all of the same kind.

Frames are taken one after the other, each the best by doubt less its nearness to those taken: the
maximal marginal relevance of Carbonell & Goldstein (SIGIR 1998), whose second half alone is the
farthest-point choice of Sener & Savarese (ICLR 2018, "core-set"). Farthest points alone were
refused: they are the odd ones, and not the wrong ones.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.select.likeness import Neighbourhood


@dataclass(slots=True)
class VideoLimits:
    """How many frames of one video may be taken, and how near to each other; photos are free.

    Attributes:
        max_per_video: Most frames of one video; None for any number.
        min_gap: Least difference of the frame numbers of two frames of a video.
    """

    max_per_video: int | None
    min_gap: int
    _taken: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def admitted(self, frames: Iterable[int], keys: Sequence[FrameKey]) -> Iterator[int]:
        """Take and yield those frames, numbers of `keys`, that may be taken beside those before."""
        for frame in frames:
            if self.admits(keys[frame]):
                self.take(keys[frame])
                yield frame

    def admits(self, key: FrameKey) -> bool:
        """Return whether a frame may be taken beside those that were."""
        if key.video is None:
            return True
        taken = self._taken[key.video]
        if self.max_per_video is not None and len(taken) >= self.max_per_video:
            return False
        place = bisect_left(taken, key.index)
        return all(
            abs(key.index - near) >= self.min_gap for near in taken[max(0, place - 1) : place + 1]
        )

    def take(self, key: FrameKey) -> None:
        """Take a frame."""
        if key.video is not None:
            insort(self._taken[key.video], key.index)


def pick_varied(
    doubts: NDArray[np.float32],
    keys: Sequence[FrameKey],
    neighbourhood: Neighbourhood,
    limits: VideoLimits,
    diversity: float,
) -> Iterator[int]:
    """Yield frames in the order of their choice, until none is admitted any more.

    Args:
        doubts: (F,) in (0, 1).
        keys: The F frames.
        neighbourhood: Of these frames.
        limits: Told of every choice.
        diversity: How much of its doubt a frame loses if it is the same as one that was chosen.
    """
    left = np.ones(len(keys), bool)
    while left.any():
        worth = np.where(left, doubts - diversity * neighbourhood.nearness, -np.inf)
        best = int(worth.argmax())
        left[best] = False
        if limits.admits(keys[best]):
            limits.take(keys[best])
            neighbourhood.choose(best)
            yield best


def interleaved(*lists: Iterable[int]) -> list[int]:
    """Return several lists as one, each spread evenly over it and in its own order."""
    placed = []
    for number, frames in enumerate(map(list, lists)):
        placed += [((at + 0.5) / len(frames), number, frame) for at, frame in enumerate(frames)]
    return [frame for *_, frame in sorted(placed)]

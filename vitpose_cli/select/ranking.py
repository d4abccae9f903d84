"""From measures of different units to one number: ranks, their weighted mean, and that of a frame.

Ranks need no calibration and bear any scale; scores of two networks, or of two sets of photos, mean
different things. A learned combination was refused: it would have to be learned for every set.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.pose.signals import SIGNALS

_POWER = 4


def ranks(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the share of known values below each, equal ones counted half; NaN stays NaN.

    Args:
        values: (N,).

    Returns:
        (N,) float32 in (0, 1).
    """
    known = ~np.isnan(values)
    ranked = np.full(len(values), np.nan, np.float32)
    _, inverse, counts = np.unique(values[known], return_inverse=True, return_counts=True)
    if len(counts):
        middles = np.cumsum(counts) - counts / 2
        ranked[known] = (middles / counts.sum())[inverse]
    return ranked


def signal_ranks(signals: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """Return how doubtful each of N people is by each measure, (N,) in (0, 1), 1 most doubtful.

    Measures that say the same of everybody, or nothing, are left out.

    Args:
        signals: Measures (N,) by the names of `SIGNALS`; NaN where unknown.
    """
    found = {}
    for name, values in signals.items():
        known = values[~np.isnan(values)]
        if len(known) and known.min() < known.max():
            found[name] = ranks(values if SIGNALS[name].doubtful == "high" else -values)
    return found


def frame_doubts(people: NDArray[np.float32], starts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return how doubtful frames are, as ranks (F,) in (0, 1).

    The sum of the fourth powers of their people's doubts: nearly that of the most doubtful person,
    but more where several are doubtful. By the plain sum a frame would win by being crowded, which
    is best for each frame reviewed and worst for each person; by the mean it is the other way
    round (`benchmarks/select_curve.py`).

    Args:
        people: (N,) doubts in (0, 1), sorted by frame.
        starts: (F,) the first person of each frame; every frame has somebody.
    """
    if not len(starts):
        return np.zeros(0, np.float32)
    return ranks(np.add.reduceat(people.astype(np.float64) ** _POWER, starts))


def combined(signal_ranks: Mapping[str, NDArray[np.float32]], count: int) -> NDArray[np.float32]:
    """Return the weighted mean of the known ranks of each of `count` people, 0.5 if none is."""
    total, weights = np.zeros(count), np.zeros(count)
    for name, column in signal_ranks.items():
        known = ~np.isnan(column)
        total[known] += SIGNALS[name].weight * column[known]
        weights[known] += SIGNALS[name].weight
    doubts = np.full(count, 0.5, np.float32)
    np.divide(total, weights, out=doubts, where=weights > 0, casting="same_kind")
    return doubts

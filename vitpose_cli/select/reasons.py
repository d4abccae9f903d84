"""Why a frame was chosen, in sentences for the person who looks at it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.pose.signals import SIGNALS

AT_RANDOM = "Drawn at random, to tell how good labels are where nothing seems doubtful."
BEGUN = "A person has begun here, but not decided yet."
NOBODY = "Nobody was found here; drawn at random, to see whether that is true."
MISSED = "The other run sees somebody here whom this run lacks."
ALIKE = "No measure tells this person from the others."

_MOST_REASONS = 3
_REMARKABLE = 0.8  # rank from which on a measure is worth a word


def reasons(
    person: int,
    num_people: int,
    signals: Mapping[str, NDArray[np.float32]],
    signal_ranks: Mapping[str, NDArray[np.float32]],
    row: int,
) -> list[str]:
    """Say what is doubtful about one person.

    Args:
        person: Their place in the frame, from 0.
        num_people: How many the frame has; a `person` beyond them is somebody whom it lacks.
        signals: Measures (N,) by name.
        signal_ranks: Their ranks (N,) in (0, 1).
        row: The person's row in both.

    Returns:
        One to three sentences, the most remarkable first, which also says who it is. Agreement with
        the other run is no reason, however few agree.
    """
    if person >= num_people:
        return [MISSED]
    who = "" if num_people == 1 else f"Person {person + 1} of {num_people}: "
    known = {name: float(column[row]) for name, column in signal_ranks.items()}
    by_rank = sorted(
        (
            name
            for name, rank in known.items()
            if not np.isnan(rank) and not (name == "disagreement" and signals[name][row] == 0)
        ),
        key=lambda name: (known[name] < _REMARKABLE, -known[name] * SIGNALS[name].weight),
    )
    told = [name for name in by_rank if known[name] >= _REMARKABLE][:_MOST_REASONS] or by_rank[:1]
    if not told:
        return [_begun(who, ALIKE)]
    values = {name: float(signals[name][row]) for name in told}
    first, *others = told
    return [
        _sentence(who, first, values[first], known[first], " of all people"),
        *(_sentence("", name, values[name], known[name], "") for name in others),
    ]


def _sentence(who: str, name: str, value: float, rank: float, whom: str) -> str:
    words = SIGNALS[name].words.format(value=value, agreement=1 - value)
    return _begun(who, f"{words}; more doubtful than {min(99, round(100 * rank))} %{whom}.")


def _begun(who: str, text: str) -> str:
    text = f"{who}{text[0].lower()}{text[1:]}"
    return text[0].upper() + text[1:]

"""Which crops of a pack are held out: those that the configurations here measure on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.training.opened_source import in_split
from vitpose_cli.training.packs import Pack

HELD_OUT = (0.0, 0.03)
"""The `split` of the sources of `validation` in the configurations."""

CONTEXT = 1.5
"""How much larger the crops of the packs are than the padded box in their middle."""


def are_held_out(pack: Pack) -> NDArray[np.bool_]:
    """Return (N,) whether each crop is held out."""
    keys = pack.keys()
    return np.array([in_split(str(key), HELD_OUT) for key in keys])

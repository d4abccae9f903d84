"""Which crops of a pack are held out: those that the configurations here measure on."""

from __future__ import annotations

from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.training.packs import Pack

HELD_OUT = 0.03
"""Their share: the crops whose names hash below it, as `split` in the configurations says."""

CONTEXT = 1.5
"""How much larger the crops of the packs are than the padded box in their middle."""


def are_held_out(pack: Pack) -> NDArray[np.bool_]:
    """Return (N,) whether each crop is held out."""
    keys = pack.keys()
    return np.array([crc32(str(key).encode()) / 2**32 < HELD_OUT for key in keys])

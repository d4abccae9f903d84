"""How long threads of PyTorch keep a processor while they wait for each other; set before it loads.

GNU's OpenMP, on which PyTorch computes, has a thread that is done spin some 300,000 times before it
sleeps. Where another program wants the processor, the thread that the others wait for gets none.
"""

from __future__ import annotations

import os

_FEW_SPINS = "1000"


def spin_little() -> None:
    """Have threads sleep soon, in this process and those that it starts.

    Alone on two cores labelling takes a twentieth longer; beside a busy program less than half of
    the time, beside two a third (`benchmarks/shared_processor.py`). What a user has set stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _FEW_SPINS)

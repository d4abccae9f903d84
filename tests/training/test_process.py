import os
import signal

import numpy as np
import pytest
import torch

from vitpose_cli.errors import InputError
from vitpose_cli.training.config import StageOptions
from vitpose_cli.training.process import (
    check_memory,
    explained_memory,
    machine_memory_bytes,
    stop_asked,
)

STAGE = StageOptions(steps=1, batch_size=64, accumulate=2)


def test_running_out_of_memory_is_explained() -> None:
    with (
        pytest.raises(InputError, match="32 crops of 192 x 256 px") as caught,
        explained_memory(1, STAGE),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory.")
    assert "stages.1.accumulate=4" in caught.value.hint
    assert "stages.1.batch_size=32" in caught.value.hint
    with pytest.raises(InputError), explained_memory(0, STAGE):
        np.empty(2**50, np.uint8)
    with pytest.raises(InputError, match="4 crops of"), explained_memory(0, STAGE, world_size=8):
        raise MemoryError
    with pytest.raises(InputError), explained_memory(0, STAGE):
        torch.empty(2**50)
    with pytest.raises(RuntimeError, match="shapes"), explained_memory(0, STAGE):
        raise RuntimeError("shapes do not match")


def test_what_cannot_fit_is_refused_before_the_system_kills_it() -> None:
    check_memory(0, STAGE, kept_bytes=19, total_bytes=10)
    with pytest.raises(InputError, match="do not fit") as caught:
        check_memory(0, STAGE, kept_bytes=25, total_bytes=10)
    assert "stages.0.accumulate=10" in caught.value.hint  # five times smaller
    assert "stages.0.batch_size=12" in caught.value.hint
    assert (machine_memory_bytes() or 2**30) > 2**28


def test_signals_wait_for_the_end_of_a_step() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_asked() as asked:
        assert not asked()
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked()
    assert signal.getsignal(signal.SIGTERM) == before

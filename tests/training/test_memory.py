import numpy as np
import pytest
import torch

from vitpose_cli.errors import InputError
from vitpose_cli.training.config import StageOptions
from vitpose_cli.training.memory import (
    check_pass,
    explained_memory,
    machine_memory_bytes,
    too_large_step,
)
from vitpose_cli.training.process import Placement

STAGE = StageOptions(steps=1, batch_size=64, accumulate=2)


def test_running_out_of_memory_is_explained() -> None:
    with (
        pytest.raises(InputError, match="32 crops of 192 x 256 px") as caught,
        explained_memory(too_large_step(1, STAGE)),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory.")
    assert "stages.1.accumulate=4" in caught.value.hint
    assert "stages.1.batch_size=32" in caught.value.hint
    too_large = too_large_step(0, STAGE, world_size=8)
    with pytest.raises(InputError), explained_memory(too_large):
        np.empty(2**50, np.uint8)
    with pytest.raises(InputError, match="4 crops of"), explained_memory(too_large):
        raise MemoryError
    with pytest.raises(InputError), explained_memory(too_large):
        torch.empty(2**50)
    with pytest.raises(InputError), explained_memory(too_large):
        raise RuntimeError("CUDA error: out of memory")  # a GPU that has no room for torch itself
    with pytest.raises(RuntimeError, match="shapes"), explained_memory(too_large):
        raise RuntimeError("shapes do not match")


def test_what_cannot_fit_is_refused_before_the_system_kills_it() -> None:
    total_bytes = machine_memory_bytes()
    assert total_bytes is not None
    assert total_bytes > 2**28
    cpu, gpu = (Placement(torch.device(kind)) for kind in ("cpu", "cuda"))
    check_pass(0, STAGE, total_bytes * 19 // 10, cpu)
    check_pass(0, STAGE, total_bytes * 25 // 10, gpu)  # which says so itself
    with pytest.raises(InputError, match="does not fit") as caught:
        check_pass(0, STAGE, total_bytes * 25 // 10, cpu)
    assert "stages.0.accumulate=10" in caught.value.hint  # five times smaller
    assert "stages.0.batch_size=12" in caught.value.hint

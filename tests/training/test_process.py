import os
import signal

import numpy as np
import pytest
import torch

from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.training.config import StageOptions
from vitpose_cli.training.process import (
    check_memory,
    explained_memory,
    machine_memory_bytes,
    meeting_place,
    stop_asked,
    too_large_step,
)

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


@pytest.mark.parametrize(
    ("hosts", "first"),
    [
        ("node7", "node7"),
        ("gpu-a12,gpu-b3", "gpu-a12"),
        ("node[07-09,12],other", "node07"),
        ("rack2-n[3,5-6].site", "rack2-n3.site"),
    ],
)
def test_tasks_of_a_slurm_step_meet_at_its_first_host(hosts: str, first: str) -> None:
    step = {"SLURM_STEP_NODELIST": hosts, "SLURM_JOB_ID": "4812345", "SLURM_STEP_ID": "2"}
    assert meeting_place(step) == f"tcp://{first}:27347"
    assert meeting_place(step | {"MASTER_PORT": "999"}) == f"tcp://{first}:999"
    assert meeting_place(step | {"MASTER_PORT": "999", "MASTER_ADDR": "here"}) == "env://"


def test_processes_that_cannot_meet_are_told_what_starts_them() -> None:
    for environment in ({}, {"MASTER_ADDR": "here"}, {"SLURM_STEP_NODELIST": "node7"}):
        with pytest.raises(ConfigError, match="where they meet") as caught:
            meeting_place(environment)
        assert "torchrun" in caught.value.hint

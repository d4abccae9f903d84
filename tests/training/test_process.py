import os
import signal

import pytest

from vitpose_cli.errors import ConfigError
from vitpose_cli.training.process import meeting_place, stop_asked


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

import random

import numpy as np
import pytest
import torch

from vitpose_cli.errors import ConfigError
from vitpose_cli.runtime import (
    Process,
    has_fast,
    num_reader_threads,
    own_gpu,
    resolve_device,
    resolve_precision,
    seed_everything,
    why_no_gpu,
)

CPU = torch.device("cpu")


def test_resolve_device_finds_the_cpu_and_auto() -> None:
    assert resolve_device("cpu") == CPU
    expected = "cuda" if torch.cuda.is_available() else None
    assert expected is None or resolve_device("auto").type == expected


@pytest.mark.parametrize("name", ["gpu", "cpu:0", "cuda:x", "cuda:-1", "cuda:99", "auto:0", ""])
def test_resolve_device_refuses_what_is_not_here(name: str) -> None:
    with pytest.raises(ConfigError):
        resolve_device(name)


def test_a_gpu_that_is_not_here_is_told_with_what_may_hide_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    with pytest.raises(ConfigError) as refused:
        resolve_device("cuda:99")
    assert "There is no device cuda:99 here" in refused.value.message
    hint = refused.value.hint or ""
    built = torch.version.cuda or torch.version.hip
    assert ("'2,3'" if built else "built without CUDA") in hint
    assert "--device auto" in hint
    assert "built without CUDA" in why_no_gpu(None, {"CUDA_VISIBLE_DEVICES": "0"})
    assert "nvidia-smi" in why_no_gpu("13.0", {})


def test_resolve_precision_takes_only_what_the_hardware_has() -> None:
    assert resolve_precision("fp32", CPU) == torch.float32
    fast = has_fast(torch.bfloat16, CPU)
    assert resolve_precision("auto", CPU) == (torch.bfloat16 if fast else torch.float32)
    if not fast:
        with pytest.raises(ConfigError, match="emulated"):
            resolve_precision("bf16", CPU)
    with pytest.raises(ConfigError, match="Unknown precision"):
        resolve_precision("half", CPU)


def test_seed_everything_repeats_every_global_generator() -> None:
    def draw() -> tuple[float, float, float]:
        seed_everything(7)
        return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002

    assert draw() == draw()


def test_a_gpu_gets_a_reader_for_each_core_and_a_network_on_the_cpu_keeps_them() -> None:
    assert num_reader_threads(torch.device("cpu")) == 4
    assert 4 <= num_reader_threads(torch.device("cuda")) <= 32


def test_process_reads_torchrun_then_a_slurm_step() -> None:
    torchrun = {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "SLURM_PROCID": "0"}
    assert Process.from_environment(torchrun) == Process(3, 8, 1)
    step = {"SLURM_PROCID": "2", "SLURM_STEP_NUM_TASKS": "4", "SLURM_LOCALID": "2"}
    assert Process.from_environment(step) == Process(2, 4, 2)
    batch_script = {"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}
    assert Process.from_environment(batch_script) == Process()


def test_a_task_that_is_shown_one_gpu_takes_it() -> None:
    step = {"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4", "SLURM_LOCALID": "1"}
    assert own_gpu(1, step) == 0
    assert own_gpu(2, step) == 1
    torchrun = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}
    assert own_gpu(1, step | torchrun) == 1  # too many processes, which is refused
    assert own_gpu(1, {}) == 0


def test_process_reads_a_slurm_array_that_starts_anywhere() -> None:
    array = {
        "SLURM_ARRAY_TASK_ID": "12",
        "SLURM_ARRAY_TASK_COUNT": "3",
        "SLURM_ARRAY_TASK_MIN": "10",
    }
    assert Process.from_array(array) == Process(2, 3)
    for text in ("--5", "1.5", "one"):
        with pytest.raises(ConfigError, match=f"RANK='{text}' is not an integer"):
            Process.from_environment({"RANK": text, "WORLD_SIZE": "8"})
    with pytest.raises(ConfigError, match="outside"):
        Process.from_array({**array, "SLURM_ARRAY_TASK_ID": "20"})

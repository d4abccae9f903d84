"""Where and how a network runs: device, number format, seed, and this process among others.

Decided once, at the start of a command, and handed down as values. Nothing here trusts a name: a
number format is taken only if the hardware computes in it. torch's own `is_bf16_supported` counts
emulation as support, and on a CPU without the instructions bf16 is several times slower than fp32.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from vitpose_cli.errors import ConfigError

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_CPU_FEATURES = {
    torch.bfloat16: ("amx_bf16", "avx512_bf16", "avx10_1", "bf16", "sve_bf16"),
    torch.float16: ("amx_fp16",),
}


def resolve_device(name: str = "auto") -> torch.device:
    """Return the device called `name`: auto, cpu, cuda, cuda:N or mps.

    `auto` is the first of cuda, mps, cpu that this machine has. A plain `cuda` is the GPU of this
    process: the one of its local rank under torchrun or srun, else the first; see `own_gpu`.

    Raises:
        ConfigError: There is no such device here.
    """
    kind, _, index = name.partition(":")
    if kind == "auto" and not index:
        kind = _best_device_kind()
    if kind not in ("cpu", "cuda", "mps") or (index and not (kind == "cuda" and index.isdecimal())):
        raise ConfigError(f"Unknown device {name!r}.", "Use auto, cpu, cuda, cuda:N or mps.")
    if kind == "cpu":
        return torch.device("cpu")
    if kind == "mps":
        if not torch.backends.mps.is_available():
            raise ConfigError("This machine has no mps device.", "Use --device auto.")
        return torch.device("mps")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    number = int(index) if index else own_gpu(count)
    if number >= count:
        raise ConfigError(
            f"There is no device cuda:{number} here (CUDA devices: {count}).",
            f"{why_no_gpu(torch.version.cuda or torch.version.hip)} --device auto takes what "
            "is there.",
        )
    return torch.device("cuda", number)


def why_no_gpu(built_for: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """Return the most likely reason why a GPU is not there.

    Args:
        built_for: The version of CUDA or ROCm that PyTorch was built for; None for neither.
        environment: The variables of the process.
    """
    if built_for is None:
        return (
            f"PyTorch {torch.__version__} was built without CUDA: install a build with it, see "
            "https://pytorch.org/get-started."
        )
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return (
            f"CUDA_VISIBLE_DEVICES is {visible!r}: GPUs are counted from 0 among those that it "
            "names. Where that is right, check the driver with nvidia-smi."
        )
    return "Check the driver with nvidia-smi."


def own_gpu(count: int, environment: Mapping[str, str] = os.environ) -> int:
    """Return the number of this process's GPU among `count`.

    With `--gpus-per-task=1` srun shows each task one GPU alone, which is number 0 in all of them.
    torchrun shows everybody all of them.

    Raises:
        ConfigError: The environment contradicts itself.
    """
    if count == 1 and "RANK" not in environment:
        return 0
    return Process.from_environment(environment).local_rank


def resolve_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the number format called `name` (auto, fp32, bf16 or fp16) for `device`.

    `auto` is bf16 where the hardware computes in it, else fp16 on a CUDA GPU, else fp32.

    Raises:
        ConfigError: The format is unknown, or `device` would only emulate it.
    """
    if name == "auto":
        if has_fast(torch.bfloat16, device):
            return torch.bfloat16
        return torch.float16 if device.type == "cuda" else torch.float32
    if name not in _DTYPES:
        raise ConfigError(f"Unknown precision {name!r}.", "Use auto, fp32, bf16 or fp16.")
    dtype = _DTYPES[name]
    if not has_fast(dtype, device):
        raise ConfigError(
            f"{device} does not compute in {name}; it would be emulated, slower than fp32.",
            "Use auto.",
        )
    return dtype


def precision_name(dtype: torch.dtype) -> str:
    """Return what a number format is called on the command line."""
    return next(name for name, each in _DTYPES.items() if each == dtype)


def precisions(device: torch.device) -> list[str]:
    """Return the number formats in which `device` computes, by their names."""
    return [name for name, dtype in _DTYPES.items() if has_fast(dtype, device)]


def has_fast(dtype: torch.dtype, device: torch.device) -> bool:
    """Say whether the hardware of `device` multiplies matrices in `dtype` without emulation."""
    if dtype == torch.float32:
        return True
    if device.type == "cuda":
        return dtype == torch.float16 or torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "mps":
        return dtype == torch.float16
    features = _cpu_features()
    return any(features.get(feature) for feature in _CPU_FEATURES[dtype])


def num_reader_threads(device: torch.device) -> int:
    """Return how many threads should decode photos for a network on `device`.

    A network on the CPU needs the cores itself; a GPU is fed by all of them.
    """
    if device.type == "cpu":
        return 4
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(max(cores or 1, 4), 32)


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, numpy and torch (every device)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - libraries draw from the global generator
    torch.manual_seed(seed)


@dataclass(frozen=True, slots=True)
class Process:
    """This process among those that do one job together.

    Attributes:
        rank: Its number, 0 to world_size - 1.
        world_size: How many there are.
        local_rank: Its number on this machine, which is also its GPU.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Process:
        """Read what torchrun, or srun, has written into the environment; alone without either.

        A batch script outside srun also sees `SLURM_NTASKS`, yet runs once: only variables of a
        job step count.

        Raises:
            ConfigError: The variables contradict each other.
        """
        if "RANK" in environment and "WORLD_SIZE" in environment:
            names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        elif "SLURM_PROCID" in environment and "SLURM_STEP_NUM_TASKS" in environment:
            names = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")
        else:
            return cls()
        return cls._checked(names, environment)

    @classmethod
    def from_array(cls, environment: Mapping[str, str] = os.environ) -> Process:
        """Read this task's place in a Slurm array; else as `from_environment`.

        For work that is split without talking: array tasks do not run at the same time.

        Raises:
            ConfigError: The variables contradict each other.
        """
        if "SLURM_ARRAY_TASK_COUNT" not in environment:
            return cls.from_environment(environment)
        names = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "")
        first = _integer(environment, "SLURM_ARRAY_TASK_MIN", 0)
        return cls._checked(names, environment, first)

    @classmethod
    def _checked(
        cls, names: tuple[str, str, str], environment: Mapping[str, str], first: int = 0
    ) -> Process:
        rank = _integer(environment, names[0], 0) - first
        world_size = _integer(environment, names[1], 1)
        if not 0 <= rank < world_size:
            raise ConfigError(
                f"{names[0]}={environment.get(names[0])} is outside {names[1]}={world_size}.",
                "Number the tasks consecutively, as in --array=0-7.",
            )
        return cls(rank, world_size, _integer(environment, names[2], 0))


def _best_device_kind() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _cpu_features() -> Mapping[str, bool | int | str]:
    capabilities = getattr(torch.cpu, "get_capabilities", None)
    if capabilities is not None:
        features: Mapping[str, bool | int | str] = capabilities()
        return features
    older = {"avx512_bf16": "_is_avx512_bf16_supported", "amx_bf16": "_is_amx_tile_supported"}
    return {
        feature: bool(check())
        for feature, name in older.items()
        if (check := getattr(torch.cpu, name, None)) is not None
    }


def _integer(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, str(default))
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"The environment variable {name}={text!r} is not an integer.") from None

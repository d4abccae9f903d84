"""This process: where it learns, the group it joins, the signals it hears."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from types import FrameType
from typing import Any, TypeVar

import torch
from torch import distributed

from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.runtime import Process, resolve_device, resolve_precision
from vitpose_cli.training.config import StageOptions, TrainConfig

_PATIENCE = timedelta(days=1)
"""How long processes wait for each other. One may have slower disks, or be the one that computes
AP, and torch's own ten minutes would end the run. They are not needed to notice a process that has
died: torchrun does, and so do the others at their next word through gloo, by its connection, which
is closed then. One that has failed and still lives is noticed by nobody: see `process_group`."""

_FIRST_PORT, _NUM_PORTS = 15_000, 15_000
"""Where processes under srun meet: below the ports that Linux gives to whoever asks for any."""

_CLOSED = ("Connection closed by peer", "Connection reset by peer")
"""What gloo says of a process that has died; torch has no type of its own for it."""

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a network learns.

    Attributes:
        device: The device of this process.
        dtype: Number format of the network's products.
        process: This process among those that learn together.
    """

    device: torch.device
    dtype: torch.dtype = torch.float32
    process: Process = field(default_factory=Process)

    @classmethod
    def of(cls, config: TrainConfig) -> Placement:
        """Find what a configuration asks for.

        Raises:
            ConfigError: It is not here, or there are too few people in a step for all processes.
        """
        process = Process.from_environment()
        for number, stage in enumerate(config.stages):
            _check_passes(number, stage, process.world_size)
        device = resolve_device(config.device)
        dtype = resolve_precision(config.precision, device)
        return cls(device, dtype, process)

    @property
    def leads(self) -> bool:
        """Whether this process writes files and speaks to the user."""
        return self.process.rank == 0


@contextmanager
def stop_asked(process: Process | None = None) -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C and SIGTERM wait for the end of a step; yield whether one has come.

    To whichever of the processes it came: all are told so at once, and must ask equally often. That
    takes a tenth of a millisecond, and no GPU waits for it.
    """
    asked, together = threading.Event(), process or Process()

    def agreed() -> bool:
        if together.world_size == 1:
            return asked.is_set()
        found = torch.tensor(int(asked.is_set()))
        distributed.all_reduce(found, distributed.ReduceOp.MAX)
        return bool(found.item())

    if threading.current_thread() is not threading.main_thread():
        yield agreed
        return

    def ask(_number: int, _frame: FrameType | None) -> None:
        asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield agreed
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def process_group(placement: Placement) -> Iterator[None]:
    """Join the other processes, if there are any; leave them in good order when all is done.

    One that fails, or is interrupted, does not leave: NCCL would wait for the others to leave, too,
    and they wait for its part of a step. It is to end, with `termination.leave`.

    Raises:
        ConfigError: Nobody says where they meet.
        InputError: Another process has ended before the work was done.
    """
    process = placement.process
    if process.world_size == 1:
        yield
        return
    # What is said on the CPU goes through gloo, so that no GPU waits for it.
    backend = "cpu:gloo,cuda:nccl" if placement.device.type == "cuda" else "gloo"
    distributed.init_process_group(
        backend,
        init_method=meeting_place(),
        timeout=_PATIENCE,
        rank=process.rank,
        world_size=process.world_size,
    )
    try:
        yield
    except RuntimeError as error:
        if not any(text in str(error) for text in _CLOSED):
            raise
        raise InputError(
            "Another process of this training has ended.",
            "It has said why, if it could; the same command goes on from the last checkpoint.",
        ) from error
    distributed.destroy_process_group()


def meeting_place(environment: Mapping[str, str] = os.environ) -> str:
    """Return where the processes of one training meet, as torch takes it.

    torchrun has written it into the environment. srun has not, but all of its tasks see the same
    list of hosts, of which the first runs the first task, and the same numbers of job and step,
    from which a port follows.

    Raises:
        ConfigError: Nobody says it.
    """
    if {"MASTER_ADDR", "MASTER_PORT"} <= environment.keys():
        return "env://"
    host = environment.get("MASTER_ADDR") or _first_host(environment.get("SLURM_STEP_NODELIST", ""))
    port = environment.get("MASTER_PORT")
    numbers = [environment.get(f"SLURM_{name}", "") for name in ("JOB_ID", "STEP_ID")]
    if not port and all(number.isdecimal() for number in numbers):
        job, step = map(int, numbers)
        port = str(_FIRST_PORT + (job + step) % _NUM_PORTS)
    if not host or not port:
        raise ConfigError(
            "There are several processes, and neither MASTER_ADDR and MASTER_PORT nor Slurm say "
            "where they meet.",
            "Start them with torchrun, or with srun.",
        )
    return f"tcp://{host}:{port}"


def _first_host(hosts: str) -> str:
    """Return the first of Slurm's list of hosts: `node07` of `node[07-09,12],other`."""
    first = re.match(r"([^\[,]*)(?:\[([^\],-]+)[^\]]*\])?([^\[,]*)", hosts)
    return "".join(part or "" for part in first.groups()) if first else ""


def gathered(value: _Value, process: Process) -> list[_Value]:
    """Return what each process gives here, by rank; all must come here."""
    if process.world_size == 1:
        return [value]
    values: list[Any] = [None] * process.world_size
    distributed.all_gather_object(values, value)
    return values


@contextmanager
def leader_first(process: Process) -> Iterator[None]:
    """Let the first process be through with the block before the others begin it.

    They find what it has written, if they see its folder. Where it fails they end with it, as it
    does not come to where they wait.
    """
    if process.rank > 0:
        gathered(None, process)
    yield
    if process.rank == 0:
        gathered(None, process)


def _check_passes(number: int, options: StageOptions, world_size: int) -> None:
    """Refuse a stage in whose steps a pass would have nobody."""
    size, parts = options.batch_size, options.accumulate
    if size >= parts * world_size:
        return
    processes = f" on each of {world_size} processes" if world_size > 1 else ""
    raise ConfigError(
        f"stages.{number}: batch_size {size} is too small for accumulate {parts}{processes}: "
        "a pass would have nobody.",
        f"Give batch_size {parts * world_size} or more, or a smaller accumulate.",
    )

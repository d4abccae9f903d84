"""This process among others: the group it joins, and the signals it hears."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import torch
from torch import distributed

from vitpose_cli.runtime import Process


@contextmanager
def stop_asked() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C and SIGTERM wait for the end of a step; yield whether one has come."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def ask(_number: int, _frame: FrameType | None) -> None:
        asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def process_group(process: Process, device: torch.device) -> Iterator[None]:
    """Join the other processes, if there are any."""
    if process.world_size == 1:
        yield
        return
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, rank=process.rank, world_size=process.world_size)
    try:
        yield
    finally:
        distributed.destroy_process_group()

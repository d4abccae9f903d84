"""Faults of the world around a process: what the system, a clock or a library may do to it.

Each is called in a process of a test before its command starts (see `launcher`).
"""

from __future__ import annotations

import errno
import itertools
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray


def reads_fail_now_and_then() -> None:
    """Let every seventh read of a photo fail as a network share does, and some be slow."""
    read, calls = Path.read_bytes, itertools.count()

    def failing(path: Path) -> bytes:
        if path.suffix == ".jpg":
            call = next(calls)
            if call % 7 == 3:
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))
            if call % 40 == 5:
                time.sleep(0.3)
        return read(path)

    setattr(Path, "read_bytes", failing)  # noqa: B010


def servers_get_little_patience() -> None:
    """Give up reading from servers in seconds instead of minutes, and after eight megabytes."""
    import vitpose_cli.media.remote as remote

    for name, value in {
        "READ_TIMEOUT_S": 2.0, "RETRY_WAITS_S": (0.05, 0.1, 0.2, 0.4), "PATIENCE_S": 3.9,
        "MAX_BYTES": 8_000_000,
    }.items():  # fmt: skip
        setattr(remote, name, value)


def outages_are_looked_at_often() -> None:
    """Look every moment whether storage is back, and for as many seconds as `PATIENCE_S` says."""
    import vitpose_cli.annotate.outages as outages

    setattr(outages, "LOOK_EVERY_S", 0.05)  # noqa: B010
    setattr(outages, "PATIENCE_S", float(os.environ.get("PATIENCE_S", "60")))  # noqa: B010


def the_disk_fails_for_a_while() -> None:
    """Let no photo be read as long as there is the file that `FAILING` says."""
    outages_are_looked_at_often()
    opened, failing = Path.open, Path(os.environ["FAILING"])

    def refusing(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.suffix in (".jpg", ".tar", ".avi") and failing.exists():
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return opened(path, *arguments, **options)

    setattr(Path, "open", refusing)  # noqa: B010


def one_photo_cannot_be_read() -> None:
    """Let every read of `a/photo 7.jpg` fail."""
    read = Path.read_bytes

    def failing(path: Path) -> bytes:
        if path.name == "photo 7.jpg":
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return read(path)

    setattr(Path, "read_bytes", failing)  # noqa: B010


def steps_take_their_time() -> None:
    """Let each step of a training take so long that a test can count them as they are written."""
    from vitpose_cli.training.stage import Stage

    step = Stage.step

    def slow(stage: Stage, *arguments: Any, **options: Any) -> Any:
        time.sleep(0.05)
        return step(stage, *arguments, **options)

    setattr(Stage, "step", slow)  # noqa: B010


def the_clock_jumps() -> None:
    """Let the wall clock go back and forth by hours."""
    generator, now = random.Random(0), time.time

    def jumping() -> float:
        return now() + generator.uniform(-1e5, 1e5)

    time.time = jumping


def cutting_chokes_on_narrow_photos() -> None:
    """Let the warp of crops fail in photos 119 px wide, as a library may on a rare picture."""
    import vitpose_cli.models.engine as engine

    warp = getattr(engine, "warp_crops")  # noqa: B009

    def choking(image: NDArray[np.uint8], *arguments: Any, **options: Any) -> Any:
        if image.shape[1] == 119:
            raise RuntimeError("this picture is too narrow for me")
        return warp(image, *arguments, **options)

    setattr(engine, "warp_crops", choking)  # noqa: B010


def detection_chokes_on_narrow_photos() -> None:
    """Let OpenCV refuse to stretch photos 119 px wide to what the detector takes."""
    resize = cv2.resize

    def choking(image: NDArray[np.uint8], *arguments: Any, **options: Any) -> Any:
        if image.shape[1] == 119:
            raise cv2.error("this picture is too narrow for me")
        return resize(image, *arguments, **options)

    setattr(cv2, "resize", choking)  # noqa: B010


def _spoil_network(spoil: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Let the network see of some crops what `spoil` makes of them."""
    convolve = torch.nn.Conv2d.forward

    def spoilt(layer: torch.nn.Conv2d, inputs: torch.Tensor) -> torch.Tensor:
        return convolve(layer, spoil(inputs) if inputs.shape[1] == 3 else inputs)

    setattr(torch.nn.Conv2d, "forward", spoilt)  # noqa: B010


def _white(crops: torch.Tensor) -> torch.Tensor:
    """Return which normalised crops are white to a quarter, (B, 1, 1, 1)."""
    return ((crops > 2.1).float().mean(dim=(1, 2, 3)) > 0.25)[:, None, None, None]


def the_network_chokes_on_white_photos() -> None:
    """Let a pass of the network fail that has a crop of a white photo among others."""

    def spoil(crops: torch.Tensor) -> torch.Tensor:
        if _white(crops).any():
            raise RuntimeError("too bright for me\nand this is where")
        return crops

    _spoil_network(spoil)


def the_network_overflows_on_white_photos() -> None:
    """Let the numbers of white photos become too large, as fp16 may."""
    _spoil_network(lambda crops: torch.where(_white(crops), torch.inf, crops))


def the_network_knows_only_black() -> None:
    """Let every pass of the network fail that has something else than black crops."""

    def spoil(crops: torch.Tensor) -> torch.Tensor:
        if (crops > 0).any():
            raise IndexError("no such colour")
        return crops

    _spoil_network(spoil)


def the_network_dies_later() -> None:
    """Let the network fail from its sixth pass on, as a GPU that has fallen off its bus."""
    calls = itertools.count()

    def spoil(crops: torch.Tensor) -> torch.Tensor:
        if next(calls) >= 5:
            raise RuntimeError("CUDA error: unspecified launch failure")
        return crops

    _spoil_network(spoil)


def memory_is_short() -> None:
    """Let a pass of the network fail that has more than two crops."""
    multiply = torch.nn.Linear.forward

    def failing(layer: torch.nn.Linear, crops: torch.Tensor) -> torch.Tensor:
        if crops.shape[0] > 2:
            raise torch.OutOfMemoryError
        return multiply(layer, crops)

    setattr(torch.nn.Linear, "forward", failing)  # noqa: B010


def no_layer_finds_memory() -> None:
    """Let every layer of a detector or network fail as where the host has no memory left."""

    def failing(layer: torch.nn.Conv2d, inputs: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9")

    setattr(torch.nn.Conv2d, "forward", failing)  # noqa: B010


def devices_are_full() -> None:
    """Let no network find room on its device, as on a GPU that another program holds."""

    def failing(module: torch.nn.Module, *arguments: Any, **options: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    setattr(torch.nn.Module, "to", failing)  # noqa: B010


def processor_computes_in_bf16() -> None:
    """Have a processor with instructions for bf16."""
    import vitpose_cli.runtime as runtime

    setattr(runtime, "_cpu_features", lambda: {"avx512_bf16": True})  # noqa: B010


def processor_lacks_bf16() -> None:
    """Have a processor without instructions for bf16."""
    import vitpose_cli.runtime as runtime

    setattr(runtime, "_cpu_features", dict)  # noqa: B010


def killed_at_a_file_operation() -> None:
    """Be killed just before the file operation whose number `KILLED_AT` says, from 1."""
    calls, number = itertools.count(1), int(os.environ["KILLED_AT"])

    def counted(operation: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*arguments: Any, **options: Any) -> Any:
            if next(calls) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return operation(*arguments, **options)

        return counting

    for name in ("fsync", "mkdir", "replace", "rmdir", "unlink", "write"):
        setattr(os, name, counted(getattr(os, name)))


def a_run_is_read_late() -> None:
    """Let a review know what `READ_BYTES` hold of a run alone, until there is `READ_ON`, a file."""
    from vitpose_cli.review import run_table

    setattr(run_table, "_READ_BYTES", int(os.environ["READ_BYTES"]))  # noqa: B010
    read_rest, go_on = run_table.RunTable._read_rest, Path(os.environ["READ_ON"])

    def late(table: run_table.RunTable) -> None:
        while not go_on.exists() and not table._ended.wait(0.01):
            pass
        read_rest(table)

    setattr(run_table.RunTable, "_read_rest", late)  # noqa: B010


def a_signal_comes_while_workers_are_started() -> None:
    """Send the signal `NUMBER` before the first worker is started; each also gets Ctrl-C at once.

    A terminal sends that to all of them.
    """
    from multiprocessing.context import SpawnProcess

    start, calls = SpawnProcess.start, itertools.count()

    def disturbed(process: SpawnProcess) -> None:
        if next(calls) == 0:
            os.kill(os.getpid(), int(os.environ["NUMBER"]))
        start(process)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGINT)

    setattr(SpawnProcess, "start", disturbed)  # noqa: B010

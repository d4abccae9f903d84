"""The memory of this machine: how much there is, and what to say of what does not fit."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from vitpose_cli.errors import InputError, is_out_of_memory
from vitpose_cli.plurals import counted
from vitpose_cli.training.config import StageOptions
from vitpose_cli.training.process import Placement


@contextmanager
def explained_memory(explanation: InputError) -> Iterator[None]:
    """Say what to do when something does not fit into memory.

    Args:
        explanation: What it is, and what to do.

    Raises:
        InputError: It did not fit: the explanation.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise explanation from error


def too_large_step(
    number: int, options: StageOptions, world_size: int = 1, parts: int = 2
) -> InputError:
    """Return the error for a step whose pass does not fit into memory.

    Args:
        number: Which stage, from 0.
        options: Its options.
        world_size: How many processes share the step.
        parts: In how many parts the pass might fit.
    """
    width, height = options.input_wh
    return InputError(
        f"A pass of {counted(pass_size(options, world_size), 'crop')} of {width} x {height} px "
        "does not fit into memory.",
        f"--set stages.{number}.accumulate={parts * options.accumulate} learns the same in "
        "smaller passes, but for the batch statistics of a classic decoder; "
        f"--set stages.{number}.batch_size={max(1, options.batch_size // parts)} "
        "takes fewer people a step; model.activation_checkpointing saves memory, too.",
    )


def check_pass(number: int, options: StageOptions, kept_bytes: int, placement: Placement) -> None:
    """Refuse a pass that a CPU's memory cannot hold; a GPU says so itself.

    The system would kill the process without a word.

    Args:
        number: Which stage, from 0.
        options: Its options.
        kept_bytes: What one pass keeps for its backward half, estimated.
        placement: Where it learns.

    Raises:
        InputError: Even half of the estimate does not fit.
    """
    total_bytes = machine_memory_bytes()
    if placement.device.type != "cpu" or total_bytes is None or kept_bytes <= 2 * total_bytes:
        return
    parts = math.ceil(2 * kept_bytes / total_bytes)
    raise too_large_step(number, options, placement.process.world_size, parts)


def pass_size(options: StageOptions, world_size: int) -> int:
    """Return how many crops one process has in one pass of a step, at most."""
    return math.ceil(options.batch_size / (options.accumulate * world_size))


def machine_memory_bytes() -> int | None:
    """Return this process's part of the memory of its machine; None where nobody says.

    Processes that torchrun or srun has started on one machine have equal parts.
    """
    if not hasattr(os, "sysconf"):  # Windows
        return None
    total_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return total_bytes // processes_here()


def processes_here(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many processes of this training are on this machine.

    Slurm lists the tasks of all machines, as `4(x2),3`; the first are taken for this one's.
    """
    listed = environment.get("LOCAL_WORLD_SIZE") or environment.get("SLURM_STEP_TASKS_PER_NODE", "")
    number = re.match(r"[1-9]\d*", listed)
    return int(number[0]) if number else 1

"""The numbers of a run: one line of JSON for each, and who wants to know of them.

Losses stay on the device until a line is due, since reading one makes a GPU wait.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from vitpose_cli.files import atomic_file, read_error, write_error

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

Line = Mapping[str, Any]


class Observer(Protocol):
    """Who is told what happens: the terminal, TensorBoard."""

    def note(self, text: str) -> None:
        """Hear a sentence for the user."""
        ...

    def prepare(self, done: int, total: int) -> None:
        """Hear how many photos of a source have been read."""
        ...

    def line(self, line: Line) -> None:
        """Hear a line of metrics, as it goes to the file."""
        ...


class JoinedObserver:
    """Observers as one."""

    def __init__(self, *observers: Observer | None) -> None:
        """Tell all of these that are there."""
        self._observers = [one for one in observers if one is not None]

    def note(self, text: str) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.note(text)

    def prepare(self, done: int, total: int) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.prepare(done, total)

    def line(self, line: Line) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.line(line)


class Silence:
    """An observer that tells nobody: of several processes, for all but the first."""

    def note(self, text: str) -> None:
        """Say nothing."""

    def prepare(self, done: int, total: int) -> None:
        """Say nothing."""

    def line(self, line: Line) -> None:
        """Say nothing."""


class StepAxis:
    """One axis for the steps of all stages, one after the other."""

    def __init__(self) -> None:
        """Begin with no stage."""
        self._lengths: dict[int, int] = {}

    def place(self, line: Line) -> int:
        """Return where a line lies: its step, behind all steps of earlier stages.

        Args:
            line: The next line; those of earlier stages have been placed.
        """
        stage, step = int(line["stage"]), int(line["step"])
        self._lengths[stage] = max(step, self._lengths.get(stage, 0))
        return step + sum(steps for other, steps in self._lengths.items() if other < stage)


class MetricsFile:
    """`metrics.jsonl`: appended, and cut where a resumed run takes up."""

    def __init__(self, path: Path, *, keep: tuple[int, int] | None, measured: bool = True) -> None:
        """Open the file.

        Args:
            path: The file.
            keep: Keep lines up to this stage and step; None starts anew.
            measured: Whether the measurement of that step is kept, too; else it is made again.

        Raises:
            InputError: The file cannot be read or written.
        """
        self.path = path
        lines = read_metrics(path) if keep is not None and path.exists() else []
        with atomic_file(path) as stream:
            for line in lines:
                place = (line["stage"], line["step"])
                again = not measured and place == keep and line["kind"] == "validation"
                if keep is not None and place <= keep and not again:
                    stream.write(_encoded(line))

    def append(self, line: Line) -> None:
        """Write one line.

        Raises:
            InputError: It cannot be written.
        """
        try:
            handle = os.open(self.path, os.O_WRONLY | os.O_APPEND)
            try:
                os.write(handle, _encoded(line))
            finally:
                os.close(handle)
        except OSError as error:
            raise write_error(self.path, error) from error


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return all whole lines of a metrics file; a number that was not finite is NaN.

    Raises:
        InputError: The file cannot be read.
    """
    try:
        texts = path.read_bytes().split(b"\n")
    except OSError as error:
        raise read_error(path, error) from error
    lines = []
    for text in texts[:-1]:
        try:
            line = json.loads(text)
        except ValueError:
            continue  # the tail of a killed process, glued to nothing
        lines.append({name: math.nan if value is None else value for name, value in line.items()})
    return lines


def _encoded(line: Line) -> bytes:
    """Return a line as JSON, which has no numbers that are not finite."""
    values = {name: None if _is_lost(value) else value for name, value in line.items()}
    return json.dumps(values).encode() + b"\n"


def _is_lost(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


@dataclass(slots=True)
class Meter:
    """What happens between two lines.

    Attributes:
        losses: The loss of each step, on the device.
        norms: The length of each step's gradient, on the device.
        num_people: People seen by all processes.
        wait_s: Seconds spent waiting for batches, or making them where nothing runs beside.
        start_s: When the first step began.
    """

    losses: list[Tensor] = field(default_factory=list)
    norms: list[Tensor] = field(default_factory=list)
    num_people: int = 0
    wait_s: float = 0.0
    start_s: float = field(default_factory=time.perf_counter)

    def add(self, loss: Tensor, norm: Tensor, num_people: int) -> None:
        """Count a step."""
        self.losses.append(loss)
        self.norms.append(norm)
        self.num_people += num_people

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do something that takes none of the steps' time."""
        began_s = time.perf_counter()
        yield
        self.start_s += time.perf_counter() - began_s

    def skips(self) -> list[bool]:
        """Return of each step whether its gradient was not finite."""
        norms = torch.stack(self.norms).tolist() if self.norms else []
        return [not math.isfinite(norm) for norm in norms]

    def numbers(self, device: torch.device, num_left: int) -> dict[str, float]:
        """Return the numbers of a line, `num_left` steps before the end of the stage."""
        losses, norms = torch.stack(self.losses).tolist(), torch.stack(self.norms).tolist()
        finite = [norm for norm in norms if math.isfinite(norm)]
        span_s = time.perf_counter() - self.start_s
        return {
            "loss": sum(losses) / len(losses),
            "gradient_norm": sum(finite) / max(len(finite), 1),
            "people_per_s": round(self.num_people / span_s, 2),
            "left_s": round(num_left * span_s / len(losses)),
            "data_share": round(self.wait_s / span_s, 4),
            "memory_mib": peak_memory_mib(device),
        }


def peak_memory_mib(device: torch.device) -> int:
    """Return the most memory that was in use: the GPU's, or the process's; 0 where unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) >> 20
    if resource is None:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak >> (20 if sys.platform == "darwin" else 10)

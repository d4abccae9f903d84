"""Metrics for TensorBoard, where it is installed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vitpose_cli.training.metrics import Line, StepAxis

_CURVES = ("loss", "lr", "gradient_norm", "people_per_s", "data_share", "memory_mib")


class TensorBoard:
    """An observer that writes event files; stages follow one another on one axis."""

    def __init__(self, writer: Any, earlier: Iterable[Line] = ()) -> None:
        """Write with a `SummaryWriter`.

        Args:
            writer: The writer.
            earlier: The lines of a run that goes on: where its axis does.
        """
        self._writer = writer
        self._axis = StepAxis()
        for line in earlier:
            self._axis.place(line)

    @classmethod
    def open(cls, folder: Path, earlier: Iterable[Line] = ()) -> TensorBoard | None:
        """Return a writer to `folder`; None where TensorBoard is not installed."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return None
        writer: Any = SummaryWriter
        return cls(writer(str(folder)), earlier)

    def note(self, text: str) -> None:
        """Say nothing."""

    def prepare(self, done: int, total: int) -> None:
        """Say nothing."""

    def line(self, line: Line) -> None:
        """Write the numbers of a line."""
        at = self._axis.place(line)
        if line["kind"] == "train":
            numbers = {f"train/{name}": line[name] for name in _CURVES}
        else:
            numbers = {
                f"{source}/{name}": value
                for source, values in line["sources"].items()
                for name, value in values.items()
                if value is not None
            }
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, at)
        self._writer.flush()

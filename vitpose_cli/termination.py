"""Signals that end a program, taken as Ctrl-C; small, as it is loaded before all else."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any


def end_as_interrupted() -> dict[int, Any]:
    """Let SIGTERM (batch systems send it before they kill) end this process as Ctrl-C does.

    So does a terminal that is closed, unless `nohup` has this program outlive it.

    Returns:
        The handlers until now of the signals that were taken.
    """
    before: dict[int, Any] = {signal.SIGTERM: signal.signal(signal.SIGTERM, _interrupt)}
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, _hang_up)
    return before


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _hang_up(_number: int, _frame: FrameType | None) -> None:
    signal.raise_signal(signal.SIGTERM)  # whoever waits for that one now

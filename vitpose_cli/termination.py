"""How a program ends: signals taken as Ctrl-C, and leaving; loaded before all else, so small."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn


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


def was_interrupted(error: BaseException) -> bool:
    """Return whether an exception came of Ctrl-C, or was raised while that was handled.

    Python up to 3.11 wraps what is raised in `__set_name__`, as while a library is loaded, into a
    RuntimeError.
    """
    chain: list[BaseException] = [error]
    for each in chain:
        if isinstance(each, KeyboardInterrupt):
            return True
        before = (each.__cause__, each.__context__)
        chain += [one for one in before if one is not None and one not in chain]
    return False


def leave(code: int) -> NoReturn:
    """End this process with an exit code; at once if others still count on it in a training.

    The interpreter would first take down torch's connections, which may wait for those others.
    """
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):  # whoever listened is gone, or the disk is full
                stream.flush()
        os._exit(code)
    sys.exit(code)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _hang_up(_number: int, _frame: FrameType | None) -> None:
    signal.raise_signal(signal.SIGTERM)  # whoever waits for that one now

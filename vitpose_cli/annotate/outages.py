"""Waiting for the place where photos and videos lie, while it is away.

A server is rebooted, a network is mended, a disk is plugged in again, and a run over a weekend goes
on. Work is taken up again from the journal, as by a new process, so that nothing that was under way
is half done. To wait for ever was refused: somebody has to learn of it, by an exit code.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import TypeVar

from vitpose_cli.media.storage import StorageGoneError
from vitpose_cli.plurals import time_taken

PATIENCE_S = 12 * 3600.0
"""How long a place is waited for, seconds: until somebody comes in the morning."""

LOOK_EVERY_S = 5.0
"""How long between two looks whether it is back, seconds."""

Item = TypeVar("Item")


def through_outages(
    begin: Callable[[], Iterable[Item]], say: Callable[[str], None]
) -> Iterator[Item]:
    """Yield what `begin` yields, which is called again where storage had gone and is back.

    Args:
        begin: Begins with what is still to be done.
        say: Takes a sentence for the user.

    Raises:
        StorageGoneError: It does not come back.
    """
    while True:
        try:
            yield from begin()
        except StorageGoneError as error:
            wait_out(error, say)
        else:
            return


def wait_out(error: StorageGoneError, say: Callable[[str], None]) -> None:
    """Wait until something can be read again.

    Args:
        error: Says what could not be read.
        say: Takes a sentence for the user.

    Raises:
        StorageGoneError: It is `error`, after half a day.
    """
    say(
        f"{_now()}  {error.message} Waiting until it is back, {PATIENCE_S / 3600:g} hours at most; "
        "Ctrl-C ends the run, and the same command goes on."
    )
    start = time.monotonic()
    while True:
        time.sleep(LOOK_EVERY_S)
        passed_s = time.monotonic() - start
        if error.is_over:
            say(f"{_now()}  {error.place} is back after {time_taken(passed_s)}: going on.")
            return
        if passed_s >= PATIENCE_S:
            raise error


def _now() -> str:
    return f"{datetime.now():%Y-%m-%d %H:%M}"

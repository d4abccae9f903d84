"""Real processes of commands and scripts without their start: forks of one that has all loaded.

Tests start it a thousand times, and each would spend seconds on importing torch. This module is
both ends: a program that waits on stdin for what to fork, and the `Launcher` of it. The start
itself, and the end of an interpreter, are proved where tests start `runs.command`. All forks share
one seed of hashes, so `test_hash_seeds.py` proves that what is written hangs on no order of a set.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

POLL_S = 0.002
BESIDE_OTHERS = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
"""Variables of a process that shares the machine, and has no network."""

_NOT_LOADED = ("vitpose_cli.models.hub_detector", "vitpose_cli.__main__")
"""Brings transformers, which hardly any command needs; and what forks run, which runpy warns of."""

_OF_NO_TEST = dict(os.environ)
"""The environment in which the libraries are loaded, whichever test is the first to want them."""


@cache
def shared_launcher() -> Launcher:
    """Return the launcher of this process of tests."""
    started = Launcher()
    atexit.register(started.end)
    return started


class Launcher:
    """Starts commands in forks; one serves all tests of a process, see `shared_launcher`.

    Args:
        bare: Load torch alone, for tests of what else is loaded, and of what a library does as it
            is loaded.
    """

    def __init__(self, *, bare: bool = False) -> None:
        self._folder = TemporaryDirectory()
        self._num_started = 0
        self._num_asked = 0
        self._process = subprocess.Popen(
            [sys.executable, __file__, *(["--bare"] if bare else [])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=_OF_NO_TEST | BESIDE_OTHERS,
        )  # fmt: skip

    def start(
        self,
        *arguments: str | Path,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        max_file_bytes: int | None = None,
        fault: str | None = None,
        script: Path | None = None,
    ) -> Fork:
        """Start `vitpose ARGUMENTS`.

        Args:
            arguments: Of the command line.
            environment: Variables to add to those of this process.
            cwd: Where it runs; here, if None.
            max_file_bytes: No file can be written beyond this, as on a full disk.
            fault: The name of a function in `injections` that spoils the process first.
            script: Start `python SCRIPT ARGUMENTS` instead.
        """
        self._num_started += 1
        base = Path(self._folder.name) / str(self._num_started)
        for suffix in (".out", ".err"):
            base.with_suffix(suffix).touch()
        pid = self.ask(
            arguments=[str(each) for each in arguments],
            environment=os.environ | BESIDE_OTHERS | dict(environment or {}),
            cwd=str(cwd or Path.cwd()), max_file_bytes=max_file_bytes, base=str(base), fault=fault,
            script=str(script) if script else None,
        )  # fmt: skip
        return Fork(self, pid, base)

    def run(self, *arguments: str | Path, **options: Any) -> Fork:
        """Run `vitpose ARGUMENTS` to its end."""
        fork = self.start(*arguments, **options)
        fork.wait()
        return fork

    def ask(self, **question: Any) -> Any:
        """Exchange one line with the process that forks.

        What it answers to a question whose asker was interrupted meanwhile is passed over.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._num_asked += 1
        number = self._num_asked
        self._process.stdin.write(json.dumps([number, question]) + "\n")
        self._process.stdin.flush()
        answered = 0
        while answered != number:
            answered, answer = json.loads(self._process.stdout.readline())
        return answer

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process that forks."""
        self._process.send_signal(number)

    def end(self) -> None:
        """End the process that forks."""
        self._process.communicate(timeout=60)
        self._folder.cleanup()


@dataclass
class Fork:
    """A process that was started.

    Attributes:
        launcher: Its parent.
        pid: Its number.
        base: Where its output goes, without suffix.
        returncode: As that of `Popen`; None while it runs.
    """

    launcher: Launcher
    pid: int
    base: Path
    returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while it runs."""
        if self.returncode is None:
            self.returncode = self.launcher.ask(poll=self.pid)
        return self.returncode

    def wait(self, timeout_s: float = 240) -> int:
        """Wait for the end; kill what takes longer."""
        deadline = time.monotonic() + timeout_s
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                self.kill()
                raise TimeoutError(f"{self.stderr}")
            self._sleep(deadline - time.monotonic())
        return code

    def _sleep(self, most_s: float) -> None:
        """Sleep until it ends, for so long at most; for a moment where no system wakes us then.

        Asking again and again would take a tenth of a processor from what is waited for.
        """
        if not hasattr(os, "pidfd_open"):
            time.sleep(POLL_S)
            return
        handle = os.pidfd_open(self.pid)
        try:
            end = select.poll()
            end.register(handle, select.POLLIN)
            end.poll(max(most_s, 0) * 1000)
        finally:
            os.close(handle)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once and wait for that."""
        if self.poll() is None:
            self.send_signal(signal.SIGKILL)
            self.wait()

    @property
    def stdout(self) -> str:
        """What it has printed."""
        return self.base.with_suffix(".out").read_text()

    @property
    def stderr(self) -> str:
        """What it has said."""
        return self.base.with_suffix(".err").read_text()


def _load_all() -> None:
    """Load the command line and its libraries."""
    # Whatever commands import lazily, so that forks find it loaded.
    import torch._dynamo  # noqa: F401 - by optimisers, also where nothing is compiled

    import vitpose_cli
    from vitpose_cli.cli.app import command_line
    from vitpose_cli.models.catalog import load_catalog

    for each in pkgutil.walk_packages(vitpose_cli.__path__, "vitpose_cli."):
        if each.name not in _NOT_LOADED:
            importlib.import_module(each.name)
    command_line()
    load_catalog()


def _serve() -> None:
    """Fork what is asked for on stdin, until it ends."""
    if "--bare" in sys.argv:
        import torch  # noqa: F401
    else:
        _load_all()
    for each in list(getattr(weakref.finalize, "_registry")):  # noqa: B009
        each.atexit = False  # torch's, by the hundred, which would undo what ends anyway
    gc.freeze()  # or the first collection of each fork would copy all that is loaded
    ended: dict[int, int] = {}  # an end is told once, and who asked may have been interrupted
    for line in sys.stdin:
        number, question = json.loads(line)
        if "poll" in question:
            answer = ended.get(question["poll"])
            if answer is None:
                pid, status = os.waitpid(question["poll"], os.WNOHANG)
                if pid:
                    answer = ended[pid] = os.waitstatus_to_exitcode(status)
        else:
            answer = os.fork()
            if answer == 0:
                _become(question)
            ended.pop(answer, None)  # numbers come again
        print(json.dumps([number, answer]), flush=True)


def _become(question: dict[str, Any]) -> None:
    """Be the command line, or a script, from here on."""
    code: Any = None
    try:
        for number, suffix in ((1, ".out"), (2, ".err")):
            handle = os.open(question["base"] + suffix, os.O_WRONLY)
            os.dup2(handle, number)
            os.close(handle)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.environ.clear()
        os.environ.update(question["environment"])
        os.chdir(question["cwd"])
        if question["max_file_bytes"] is not None:
            import resource

            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (question["max_file_bytes"],) * 2)
        if question["fault"] is not None:
            import injections

            getattr(injections, question["fault"])()
        script = question["script"]
        sys.argv = [script or "vitpose", *question["arguments"]]
        if script is None:
            sys.path[0] = question["cwd"]  # as `python -m` has it
            runpy.run_module("vitpose_cli", run_name="__main__", alter_sys=True)
        else:
            sys.path[0] = str(Path(script).parent)
            runpy.run_path(script, run_name="__main__")
        code = 0
    except SystemExit as left:
        code = left.code or 0
        if isinstance(code, str):
            sys.stderr.write(f"{code}\n")
            code = 1
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        # What of the end may wait for ever, or speak; taking down torch would cost more than all.
        getattr(threading, "_shutdown")()  # noqa: B009
        getattr(atexit, "_run_exitfuncs")()  # noqa: B009
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1 if code is None else code)


if __name__ == "__main__":
    _serve()

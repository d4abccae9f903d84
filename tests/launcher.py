"""Real processes of the command line without their start: forks of one that has all loaded.

Tests of faults kill hundreds of processes, and each would spend seconds on importing torch. This
module is both ends: a program that waits on stdin for what to fork, and the `Launcher` of it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

POLL_S = 0.002


class Launcher:
    """Starts commands in forks. Use it as a context manager."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory()
        self._num_started = 0
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        )  # fmt: skip

    def __enter__(self) -> Launcher:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=60)
        self._folder.cleanup()

    def start(
        self,
        *arguments: str | Path,
        environment: Mapping[str, str] | None = None,
        max_file_bytes: int | None = None,
        fault: str | None = None,
    ) -> Fork:
        """Start `vitpose ARGUMENTS`.

        Args:
            arguments: Of the command line.
            environment: Variables to add.
            max_file_bytes: No file can be written beyond this, as on a full disk.
            fault: The name of a function in `injections` that spoils the process first.
        """
        self._num_started += 1
        base = Path(self._folder.name) / str(self._num_started)
        pid = self.ask(
            arguments=[str(each) for each in arguments], environment=dict(environment or {}),
            max_file_bytes=max_file_bytes, base=str(base), fault=fault,
        )  # fmt: skip
        return Fork(self, pid, base)

    def run(self, *arguments: str | Path, **options: Any) -> Fork:
        """Run `vitpose ARGUMENTS` to its end."""
        fork = self.start(*arguments, **options)
        fork.wait()
        return fork

    def ask(self, **question: Any) -> Any:
        """Exchange one line with the process that forks."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


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

    def wait(self, timeout_s: float = 120) -> int:
        """Wait for the end; kill what takes longer."""
        deadline = time.monotonic() + timeout_s
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                self.kill()
                raise TimeoutError(f"{self.stderr}")
            time.sleep(POLL_S)
        return code

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once and wait for that."""
        if self.poll() is None:
            self.send(signal.SIGKILL)
            self.wait()

    @property
    def stdout(self) -> str:
        """What it has printed."""
        return self.base.with_suffix(".out").read_text()

    @property
    def stderr(self) -> str:
        """What it has said."""
        return self.base.with_suffix(".err").read_text()


def _serve() -> None:
    """Fork what is asked for on stdin, until it ends."""
    # Whatever annotate imports lazily, so that forks find it loaded.
    import vitpose_cli.annotate.devices
    import vitpose_cli.annotate.labelling
    import vitpose_cli.cli.app
    import vitpose_cli.media.video  # noqa: F401

    for line in sys.stdin:
        question = json.loads(line)
        if "poll" in question:
            pid, status = os.waitpid(question["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            answer = os.fork()
            if answer == 0:
                _become(question)
        print(json.dumps(answer), flush=True)


def _become(question: dict[str, Any]) -> None:
    """Be the command line from here on."""
    code = 70
    try:
        for number, suffix in ((1, ".out"), (2, ".err")):
            handle = os.open(question["base"] + suffix, os.O_WRONLY | os.O_CREAT, 0o600)
            os.dup2(handle, number)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.environ.update(question["environment"])
        if question["max_file_bytes"] is not None:
            import resource

            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (question["max_file_bytes"],) * 2)
        if question["fault"] is not None:
            import injections

            getattr(injections, question["fault"])()
        from vitpose_cli.cli.app import run

        code = run(question["arguments"])
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    _serve()

"""One worker process for each device, started by one command and shown as one run.

Each is a worker of `annotate` like those of a batch system, with its own journal: a worker that
dies takes nothing with it, and what it left undone is done by the next call. Threads in one process
were refused, as decoding and journalling for several GPUs do not fit into one interpreter's lock;
so was one queue for all, whose lock a killed worker takes into its grave.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from time import monotonic
from types import FrameType

from vitpose_cli.annotate.labelling import annotate_part, prepare
from vitpose_cli.annotate.notices import say_what_came_late
from vitpose_cli.annotate.options import AnnotateOptions
from vitpose_cli.annotate.summary import AnnotateSummary
from vitpose_cli.annotate.workers import ALONE
from vitpose_cli.errors import ExitCode, PartialRunError, VitposeError
from vitpose_cli.progress import Report
from vitpose_cli.records.folder import clear_run
from vitpose_cli.runtime import resolve_device

_REPORT_EVERY_S = 0.1
_STOP_WAIT_S = 30.0
_LOGGER = "vitpose_cli"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Progress:
    num_done: int
    total: int | None
    num_failed: int


@dataclass(frozen=True, slots=True)
class _Warning:
    text: str
    kind: str  # the format that it was made by


@dataclass(slots=True)
class _Worker:
    """A worker process, seen from its parent.

    Attributes:
        device: What it works on.
        process: The process.
        messages: What it says.
        progress: What it said last of its progress.
        end: What it ended with; None until then, and where it died.
    """

    device: str
    process: SpawnProcess
    messages: Connection
    progress: _Progress | None = None
    end: AnnotateSummary | VitposeError | None = None


def annotate_on(
    devices: Sequence[str], options: AnnotateOptions, report: Report, say: Callable[[str], None]
) -> AnnotateSummary:
    """Label with a process on every device; else as `labelling.annotate`.

    As one of several workers itself, this call is as many workers as it has devices, so that all
    of them must have the same number.

    Raises:
        ConfigError: There is no such device here; nothing was begun.
        PartialRunError: A worker died; the others have finished their parts.
        VitposeError: What a worker raised; the others have finished their parts.
    """
    started = monotonic()
    for device in devices:  # or the error of one would come after hours of the others
        resolve_device(device)
    if options.overwrite:
        # Whatever a worker would raise, before anything is lost.
        prepare(replace(options, labeler=replace(options.labeler, device=devices[0])))
        clear_run(options.run)
    workers = []
    number, count = options.worker
    for place, device in enumerate(devices):
        part = ((number - 1) * len(devices) + place + 1, count * len(devices))
        labeler = replace(options.labeler, device=device)
        workers.append(replace(options, labeler=labeler, worker=part, overwrite=False))
    with _started(workers) as running:
        _listen(running, report, say)
    summary = _joined(running, monotonic() - started)
    say_what_came_late(
        summary.num_missing, summary.missing_of, say, of_this_command=options.worker == ALONE
    )
    return summary


@contextmanager
def _started(parts: Sequence[AnnotateOptions]) -> Iterator[list[_Worker]]:
    """Run the workers; stop those that still run when the block ends."""
    context = multiprocessing.get_context("spawn")
    workers: list[_Worker] = []
    try:
        with _undisturbed():
            for part in parts:
                mine, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(part, theirs))
                process.start()
                theirs.close()
                workers.append(_Worker(part.labeler.device, process, mine))
        yield workers
    finally:
        for worker in workers:
            if worker.process.is_alive() and worker.end is None:
                worker.process.terminate()
        for worker in workers:
            worker.process.join(_STOP_WAIT_S)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.messages.close()


def _listen(workers: Sequence[_Worker], report: Report, say: Callable[[str], None]) -> None:
    """Pass on what the workers say until all have ended."""
    speaking = {worker.messages: worker for worker in workers}
    said: set[str] = set()
    while speaking:
        for ready in wait(list(speaking)):
            worker = speaking[ready]  # type: ignore[index]
            try:
                message = worker.messages.recv()
            except (EOFError, OSError):
                del speaking[worker.messages]
                if speaking and (loss := _loss(worker)):
                    say(f"{loss} The others go on.")
                continue
            if isinstance(message, _Progress):
                worker.progress = message
                _report(workers, report)
            elif isinstance(message, _Warning):
                _log.warning("%s", message.text, extra={"kind": message.kind})
            elif isinstance(message, str):
                if message not in said:
                    said.add(message)
                    say(message)
            else:
                worker.end = message


def _report(workers: Sequence[_Worker], report: Report) -> None:
    """Report for all workers together, once every one has said how far it was at its start."""
    known = [worker.progress for worker in workers if worker.progress is not None]
    if len(known) == sum(worker.process.is_alive() or bool(worker.progress) for worker in workers):
        totals = [progress.total for progress in known if progress.total is not None]
        complete = len(totals) == len(workers)
        report(
            sum(progress.num_done for progress in known),
            sum(totals) if complete else None,
            sum(progress.num_failed for progress in known),
        )


def _joined(workers: Sequence[_Worker], seconds: float) -> AnnotateSummary:
    """Return what all workers have done together.

    Raises:
        PartialRunError: One of them died.
        VitposeError: What one of them raised.
    """
    for worker in workers:
        if isinstance(worker.end, VitposeError):
            raise worker.end
    dead = [worker for worker in workers if worker.end is None]
    if dead:
        causes = ", ".join(f"{worker.device} ({_cause(worker.process)})" for worker in dead)
        hint = "The same command goes on with what is missing."
        if "SIGKILL" in causes:
            hint += (
                " So does a system end who takes too much memory: fewer devices, a smaller "
                "--batch-size or --max-pixels take less."
            )
        raise PartialRunError(
            f"{len(dead)} of {len(workers)} workers died: {causes}. The others are done.", hint
        )
    ends = [worker.end for worker in workers if isinstance(worker.end, AnnotateSummary)]
    num_new = sum(end.num_new for end in ends)
    written = [end for end in ends if end.annotations is not None]
    if written:
        # One that ended while the mark of an earlier call stood for another has missed more.
        last = min(written, key=lambda end: (end.num_missing or 0, -end.num_frames))
        return replace(last, num_new=num_new, seconds=seconds)
    return replace(
        ends[0],
        num_frames=sum(end.num_frames for end in ends),
        num_new=num_new,
        num_failed=sum(end.num_failed for end in ends),
        seconds=seconds,
        num_photos=sum(end.num_photos for end in ends),
        num_videos=sum(end.num_videos for end in ends),
    )


def _loss(worker: _Worker) -> str | None:
    """Say what became of a worker that ends before its part is done, which may be days before all.

    What it could not begin for is most likely the same for all, and told once, at the end.
    """
    if worker.end is None:
        worker.process.join(_STOP_WAIT_S)
        return f"The worker on {worker.device} died ({_cause(worker.process)})."
    if isinstance(worker.end, VitposeError) and worker.progress is not None:
        return f"The worker on {worker.device} has stopped: {worker.end.message}"
    return None


def _cause(process: SpawnProcess) -> str:
    code = process.exitcode or 0
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _work(options: AnnotateOptions, messages: Connection) -> None:
    """Label one part in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    parent = ToParent(messages)
    logging.getLogger(_LOGGER).addHandler(parent)
    last_report = 0.0

    def report(num_done: int, total: int | None, num_failed: int = 0) -> None:
        nonlocal last_report
        if monotonic() - last_report >= _REPORT_EVERY_S or num_done == total:
            last_report = monotonic()
            parent.send(_Progress(num_done, total, num_failed))

    try:
        parent.send(annotate_part(options, report, parent.send))
    except VitposeError as error:
        parent.send(error)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    except BrokenPipeError:  # the parent is gone
        sys.exit(ExitCode.INTERRUPTED)


class ToParent(logging.Handler):
    """Hands messages and warnings to the process that has the terminal, from any thread."""

    def __init__(self, messages: Connection) -> None:
        """Take the connection to that process; nobody else may write into it."""
        super().__init__(logging.WARNING)
        self._messages = messages
        self._sending = threading.Lock()

    def send(self, message: object) -> None:
        """Send one message, whole before the next one begins."""
        with self._sending:
            self._messages.send(message)

    def emit(self, record: logging.LogRecord) -> None:
        """Send one warning."""
        self.send(_Warning(record.getMessage(), str(record.msg)))


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    """Stop this process when its parent is gone, even where that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(ExitCode.INTERRUPTED)  # a journal is whole at any moment


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Put Ctrl-C off, and what else interrupts, until the block ends.

    A terminal sends Ctrl-C to every process; only this one is to hear it, and tells the others:
    those that are started in the block have it blocked from their first moment.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in numbers
        if callable(signal.getsignal(number))
    }
    masked = hasattr(signal, "pthread_sigmask")
    if masked:
        resource_tracker.ensure_running()  # or the first start would, and unblock Ctrl-C
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        if masked:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])

"""What the terminal shows: data on stdout, talk on stderr, progress, and errors as text.

The one place that knows about colours and terminals. Commands print results through `print_json`
or `stdout`, and everything else through `stderr`.
"""

from __future__ import annotations

import errno
import gc
import logging
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from io import FileIO, TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn

import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from tqdm import tqdm

from vitpose_cli.cli.progress_lines import ProgressLines
from vitpose_cli.errors import ExitCode, VitposeError, is_out_of_memory, memory_error
from vitpose_cli.files import read_error, write_error
from vitpose_cli.models.hub import endpoint_error
from vitpose_cli.progress import Report
from vitpose_cli.termination import end_as_interrupted, was_interrupted

_REFUSED = frozenset(
    {errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.EIO, errno.ESTALE}
)
"""What a file system says to who may not look, asks for too much, or meets a tired disk."""

_MIN_COLUMNS = 20  # some programs say 0 where they know of no terminal
_FILE_WIDTH = 10_000  # characters: in files and pipes nothing is cut or wrapped
_WARNINGS_OF_A_KIND = 3  # a folder of many videos would fill the screen otherwise
_WARNINGS_OF_EACH = 20
_PLACEHOLDER = re.compile(r"%[^a-z%]*[a-z]")
_UNSEEN = re.compile(  # our own lines are indented
    r"\n(?!  )|[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]"
)


def _output() -> Console:
    """Return what prints on stdout: as wide as the terminal, where it is one."""
    # What is closed is None, until `open_closed_streams` is called.
    told = (sys.stdout is not None and sys.stdout.isatty()) or "COLUMNS" in os.environ
    return Console(highlight=False, width=None if told else _FILE_WIDTH)


if (columns := os.environ.get("COLUMNS", "")).isdigit() and int(columns) < _MIN_COLUMNS:
    del os.environ["COLUMNS"]  # rich prints nothing in no columns, and tqdm no bar
stdout = _output()
stderr = Console(stderr=True, highlight=False)


def open_closed_streams() -> None:
    """Give a program whose stdin, stdout or stderr is closed (`>&-`) ones that lead nowhere.

    Otherwise the next file that is opened has the number of one of them, and whatever a library
    prints is written into that file.
    """
    for number, name, mode in (0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w"):
        try:
            os.fstat(number)
        except OSError:  # the lowest free number is given
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            stream = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115, to the end
            setattr(sys, name, stream)


class _Talk(FileIO):
    """What stderr is written to: talk that finds no room, or no terminal any more, is dropped.

    No command fails, or leaves labels out, because nobody can be told of them. That a reader has
    left is an end that was asked for.
    """

    def write(self, data: Any, /) -> int:
        """Write all of it, as nobody else does where nothing is buffered, or drop the rest."""
        view = memoryview(data)
        num_done = 0
        while num_done < view.nbytes:
            try:
                written = super().write(view[num_done:])
            except BrokenPipeError:
                raise
            except OSError:
                break
            if written is None:  # a terminal that does not wait is not ready
                break
            num_done += written
        return view.nbytes


def talk_without_failing() -> None:
    """Let all that writes on stderr, libraries and progress bars included, go on where it is full.

    A console of Windows stays as it is, as is what a test has in the place of stderr.
    """
    talk = sys.stderr
    buffer = getattr(talk, "buffer", None)
    if isinstance(talk, TextIOWrapper) and type(getattr(buffer, "raw", buffer)) is FileIO:
        raw: Any = _Talk(talk.fileno(), "w", closefd=False)  # as Python itself does with -u
        sys.stderr = TextIOWrapper(raw, talk.encoding, talk.errors, write_through=True)


def print_json(value: Any) -> None:
    """Print `value` on stdout as one JSON object, indented for people; in UTF-8, as JSON is."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
    sys.stdout.flush()
    sys.stdout.buffer.write(orjson.dumps(value, option=options))
    sys.stdout.buffer.flush()


def figures(*columns: str, title: str = "") -> Table:
    """Return a table of numbers whose first column says what they are of; rows are added to it.

    Without lines between them, ten columns fit into a terminal of 80 characters.
    """
    shown = f"\n{title}" if title else None
    table = Table(title=shown, title_justify="left", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number else "left")
    return table


def note(text: str) -> None:
    """Say something on stderr."""
    _say("", "", text)


def warn(text: str) -> None:
    """Warn on stderr."""
    _say("warning: ", "yellow", text)


def warn_of_each(sentences: Sequence[str]) -> None:
    """Warn of the first of many things on stderr, by a command whose `--json` lists all."""
    for sentence in sentences[:_WARNINGS_OF_EACH]:
        warn(sentence)
    if num_more := len(sentences[_WARNINGS_OF_EACH:]):
        warn(f"... and {num_more:,} more; --json lists all.")


def show_error(error: VitposeError) -> None:
    """Print an error and its hint on stderr."""
    _say("error: ", "red", error.message)
    if error.hint:
        _say("hint:  ", "dim", error.hint)


def _say(label: str, style: str, text: str) -> None:
    text = printable(text)
    # On the line of a bar it would stand behind it.
    with tqdm.external_write_mode(sys.stderr) if sys.stderr.isatty() else nullcontext():
        try:
            stderr.print(f"[{style}]{label}[/{style}]{text}" if label else text, soft_wrap=True)
        except MemoryError:  # as what is said may be about
            sys.stderr.write(f"{label}{text}\n")


def printable(text: str) -> str:
    r"""Return a text as it is printed by `rich`: names may hold what commands a terminal.

    Names of files, keypoints and keys of weights files come from strangers: control signs, and
    those that turn the direction of writing, are spelled out (`\x1b`), and brackets are no markup.
    """
    return escape(_UNSEEN.sub(lambda found: repr(found[0])[1:-1], text))


class WarningsAsTalk(logging.Handler):
    """Shows what the package logs as warnings on stderr: each text once, and few of a kind.

    Of a kind are records of one format, or of one `kind`, as what another process has formatted.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said: dict[str, set[str]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record that was not shown before, unless enough of its kind were."""
        kind = str(getattr(record, "kind", record.msg))
        text, of_kind = record.getMessage(), self._said.setdefault(kind, set())
        if text not in of_kind:
            of_kind.add(text)
            if len(of_kind) <= _WARNINGS_OF_A_KIND:
                warn(text)

    def say_rest(self) -> None:
        """Say how many warnings of each kind were not shown, as of a folder of many videos."""
        for kind, of_kind in self._said.items():
            if (num_more := len(of_kind) - _WARNINGS_OF_A_KIND) > 0:
                warn(f"{num_more:,} more like these: {_PLACEHOLDER.sub('…', kind)}")


def guarded(run: Callable[[], object], *, interrupted: str = "interrupted.") -> int:
    """Run the command line; turn errors and interruptions into text and an exit code.

    Typer itself ends with SystemExit: 0 for help, 2 for wrong usage, 130 for Ctrl-C. An exception
    that is not ours is a bug: one line says so, or the whole trace when `VITPOSE_DEBUG` is set.

    Args:
        run: The command line.
        interrupted: What to say to whoever interrupts it.
    """
    try:
        return _told(run, interrupted)
    except BrokenPipeError:
        return ExitCode.UNHEARD
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # rich's and Typer's way to end then
            return ExitCode.UNHEARD
        raise


def _told(run: Callable[[], object], interrupted: str) -> int:
    """Run the command line as `guarded` does, as long as somebody listens."""
    try:
        with _terminated_like_interrupted(), _flushed():
            run()
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):
            raise
        code = end.code if isinstance(end.code, int) else ExitCode.OK
        if code == ExitCode.INTERRUPTED:
            note(interrupted)
        return code
    except KeyboardInterrupt:  # outside of what Typer guards, as while it takes in the options
        note(interrupted)
        return ExitCode.INTERRUPTED
    except VitposeError as error:
        show_error(error)
        return error.exit_code
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001, nobody else shows it
        if was_interrupted(error):
            note(interrupted)
            return ExitCode.INTERRUPTED
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            # Whoever writes files says which; what is left is what is printed.
            show_error(write_error(Path("the output"), error))
            return ExitCode.INPUT
        if os.environ.get("VITPOSE_DEBUG"):
            traceback.print_exc()
            return ExitCode.BUG
        if isinstance(error, OSError) and error.errno in _REFUSED and error.filename is not None:
            # Who only asks whether something is there need not know that one may be refused.
            show_error(read_error(error.filename, error))
            return ExitCode.INPUT
        if is_out_of_memory(error):
            show_error(memory_error(error))
            return ExitCode.INPUT
        if isinstance(error, ValueError) and (wrong := endpoint_error()) is not None:
            show_error(wrong)  # libraries that load models import huggingface_hub, which needs it
            return wrong.exit_code
        _say("bug: ", "red", f"{type(error).__name__}: {error}")
        note("Please report it with the trace that VITPOSE_DEBUG=1 shows.")
        return ExitCode.BUG
    return ExitCode.OK


@contextmanager
def _flushed() -> Iterator[None]:
    """Write out what was printed while errors can still be told; what fails is dropped."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Let signals end a run as Ctrl-C does, until the block ends."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = end_as_interrupted()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def starting() -> Iterator[None]:
    """Show on a terminal that libraries are being loaded, which takes seconds.

    What they make stays to the end. Nothing is gained by looking for garbage among it, now or when
    leaving, and a tenth of the time to the first label is lost.
    """
    gc.disable()
    try:
        with stderr.status("starting …") if stderr.is_terminal else nullcontext():
            yield
    finally:
        if "triton" not in sys.modules:  # whose bindings report as leaked what is alive at the end
            gc.freeze()
        gc.enable()


@contextmanager
def busy(doing: str) -> Iterator[None]:
    """Show on a terminal what is being done and for how long, where nobody knows how far it is.

    Args:
        doing: What, as in `comparing`.
    """
    if not stderr.is_interactive:
        yield
        return
    # Only here: it takes time, and most programs that call this one have no terminal.
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description} …"), TimeElapsedColumn()
    with Progress(*columns, console=stderr, transient=True, redirect_stdout=False) as shown:
        shown.add_task(doing, total=None)
        yield


@contextmanager
def progress(unit: str, opening: str | None = None) -> Iterator[Report]:
    """Show a progress bar with rate and remaining time on stderr; in a log, a line now and then.

    Args:
        unit: The name of what is counted, in the plural.
        opening: What is done until something is counted, where it takes long; see `busy`.

    Yields:
        A `Report`. What is done at the first call was done earlier and does not count for the rate.
    """
    if not sys.stderr.isatty():
        yield ProgressLines(unit, note)
        return
    bars: list[tqdm[NoReturn]] = []
    spinner = ExitStack()
    if opening is not None:
        spinner.enter_context(busy(opening))

    def report(num_done: int, total: int | None, num_failed: int = 0) -> None:
        if not bars:
            spinner.close()
            bars.append(tqdm(total=total, initial=num_done, unit=f" {unit}", dynamic_ncols=True))
        (bar,) = bars
        bar.total = total
        bar.set_postfix_str(f"{num_failed:,} failed" if num_failed else "", refresh=False)
        bar.update(num_done - bar.n)

    try:
        yield report
    finally:
        spinner.close()
        for bar in bars:
            bar.close()

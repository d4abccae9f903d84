"""The command line: every command by name, and the one error boundary.

Commands import their workflow when they run, so that `vitpose --help` loads no torch.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from functools import cache
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from typer.main import get_command

from vitpose_cli import __version__
from vitpose_cli.cli import (
    annotate,
    bench,
    diff,
    evaluate,
    export,
    history,
    importing,
    merge,
    render,
    review,
    select,
    sheet,
    split,
    stats,
    train,
    validate,
    weights,
)
from vitpose_cli.cli.console import (
    WarningsAsTalk,
    guarded,
    open_closed_streams,
    stdout,
    talk_without_failing,
)
from vitpose_cli.cli.help import Command, Group
from vitpose_cli.errors import ConfigError

app = typer.Typer(
    name="vitpose",
    help="Label people and animals with ViTPose: photos and videos in, COCO-keypoint files out.\n\n"
    "Begin with `vitpose annotate photos/ --preview`; each command explains itself with --help.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 2 wrong options, 3 unusable input or output, 4 unusable weights, "
    "5 done but some frames failed, 130 interrupted, 1 a bug.",
)
_COMMANDS: dict[str, dict[str, Callable[..., None]]] = {
    "Label": {"annotate": annotate.annotate, "render": render.render, "bench": bench.bench},
    "Look and correct": {
        "select": select.select,
        "review": review.review,
        "history": history.history,
        "sheet": sheet.sheet,
        "export": export.export,
        "import": importing.import_labels,
    },
    "Sets of labels": {
        "stats": stats.stats,
        "diff": diff.diff,
        "merge": merge.merge,
        "split": split.split,
        "validate": validate.validate,
    },
    "Networks": {"train": train.train, "evaluate": evaluate.evaluate},
}
for _section, _commands in _COMMANDS.items():
    for _name, _command in _commands.items():
        app.command(_name, cls=Command, rich_help_panel=_section)(_command)
app.add_typer(weights.app, name="weights", cls=Group, rich_help_panel="Networks")


_INTERRUPTED = {
    **dict.fromkeys(
        ("annotate", "train", "weights"),
        "interrupted; the same command goes on where this one stopped.",
    ),
    "render": "interrupted; the same command draws anew, from the labels that are there.",
}
"""What to say of commands that keep something when they are interrupted."""


def _show_version(wanted: bool) -> None:
    if wanted:
        stdout.print(f"vitpose {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Label people and animals with ViTPose: photos and videos in, COCO-keypoint files out."""
    encoding = sys.getfilesystemencoding()
    if encoding != "utf-8":  # the same name would be another one in a run
        raise ConfigError(
            f"Names of files are read as {encoding} here, but runs hold them as UTF-8.",
            "Set PYTHONUTF8=1, or a UTF-8 locale such as LC_ALL=C.UTF-8.",
        )


@cache
def command_line() -> Any:
    """Return all commands with their options as Click has them; they are put together once."""
    return get_command(app)


def run(arguments: list[str] | None = None) -> int:
    """Run the command line with `arguments` (default: the process's own); return its exit code."""
    open_closed_streams()
    talk_without_failing()
    if isinstance(sys.stdout, TextIOWrapper):  # a terminal of another encoding than the names
        sys.stdout.reconfigure(errors="backslashreplace")
    # Damaged photos are reported by us, once; OpenCV reads this when it is first imported.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")
    warnings = WarningsAsTalk()
    logging.getLogger("vitpose_cli").addHandler(warnings)
    words = sys.argv[1:] if arguments is None else arguments
    interrupted = _INTERRUPTED.get(words[0] if words else "", "interrupted.")

    def command() -> None:
        try:
            command_line()(args=arguments)
        finally:
            warnings.say_rest()

    return guarded(command, interrupted=interrupted)

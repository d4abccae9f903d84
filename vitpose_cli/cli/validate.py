"""`vitpose validate`: whether every consumer accepts a COCO file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table

from vitpose_cli.cli import options
from vitpose_cli.cli.console import busy, note, print_json, printable, stdout
from vitpose_cli.errors import ExitCode
from vitpose_cli.plurals import counted

if TYPE_CHECKING:
    from vitpose_cli.records.rules import Validation

_COLOURS = {"error": "red", "warning": "yellow"}


def validate(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A COCO annotation file, results file, run folder, or a glob of shards in quotes.",
        ),
    ],
    json: options.Json = False,
) -> None:
    """Check a COCO file against the rules of all common readers.

    Ends with exit code 3 where some program would lose or refuse labels; warnings alone are fine.

    Examples:
      vitpose validate photos.vitpose/annotations.json
      vitpose validate --json person_keypoints.json
    """
    from vitpose_cli.records.validate import validate as check

    with busy("checking"):
        report = check(file)
    if json:
        print_json(report.as_dict())
    else:
        _show(report)
    if report.num_errors:
        raise typer.Exit(ExitCode.INPUT)


def _show(report: Validation) -> None:
    """Print the violations rule by rule, errors first, each rule's hint once, and a sentence."""
    shown = sorted(report.violations, key=lambda each: each.severity)
    hints = {each.rule: each for each in shown}
    if shown:
        table = Table("rule", Column("place", no_wrap=True), "what is there")
        for rule, last in hints.items():
            name = f"[{_COLOURS[last.severity]}]{rule}[/]"
            for each in shown:
                if each.rule == rule:
                    table.add_row(name, printable(each.place), printable(each.message))
                    name = ""
            unseen = report.counts[rule] - sum(each.rule == rule for each in shown)
            if unseen:
                table.add_row("", f"... and {unseen} more", "")
            table.add_section()
        stdout.print(table)
    for rule, last in hints.items():
        stdout.print(
            f"[{_COLOURS[last.severity]}]{last.severity} {rule}[/]: {printable(last.hint)}"
        )
    what = "annotation" if report.kind == "annotations" else "result"
    no_images = "" if report.kind == "annotations" else " (no annotation file)"
    verdict = "not valid" if report.num_errors else "valid"
    note(
        f"{report.path}: {verdict}; {counted(report.num_images, 'image')}, "
        f"{counted(report.num_annotations, what)}{no_images}, "
        f"{counted(report.num_errors, 'error')}, {counted(report.num_warnings, 'warning')}."
    )
    if report.num_errors and report.kind == "annotations":
        note(
            "`vitpose merge FILE -o NEW.json` numbers everything anew and adds what is missing, or "
            "says what has to be mended by hand first; names of files stay as they are."
        )

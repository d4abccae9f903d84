"""`vitpose validate`: whether every consumer accepts a COCO file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from vitpose_cli.cli import options
from vitpose_cli.cli.console import note, print_json, stdout
from vitpose_cli.errors import ExitCode

if TYPE_CHECKING:
    from vitpose_cli.records.rules import Validation

_COLOURS = {"error": "red", "warning": "yellow"}


def validate(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A COCO annotation file or results file.")
    ],
    json: options.Json = False,
) -> None:
    """Check a COCO file: every rule that pycocotools, CVAT, FiftyOne, mmpose and others set.

    Ends with exit code 3 when something is wrong that loses labels somewhere; warnings alone are
    fine.

    [bold]Examples[/bold]

      vitpose validate photos.vitpose/annotations.json

      vitpose validate --json person_keypoints.json
    """
    from vitpose_cli.records.validate import validate as check

    report = check(file)
    if json:
        print_json(report.as_dict())
    else:
        _show(report)
    if report.num_errors:
        raise typer.Exit(ExitCode.INPUT)


def _show(report: Validation) -> None:
    """Print the violations, the hint of each rule once, and a sentence."""
    if report.violations:
        table = Table()
        for column in ("severity", "rule", "place", "what is there"):
            table.add_column(column, overflow="fold")
        for each in report.violations:
            colour = _COLOURS[each.severity]
            severity = f"[{colour}]{each.severity}[/{colour}]"
            table.add_row(severity, each.rule, escape(each.place), escape(each.message))
        stdout.print(table)
    hints = {each.rule: each.hint for each in report.violations}
    for rule, count in report.counts.items():
        stdout.print(f"[bold]{rule}[/bold] ({count}): {escape(hints[rule])}")
    what = "annotations" if report.kind == "annotations" else "results (no annotation file)"
    verdict = "not valid" if report.num_errors else "valid"
    note(
        f"{report.path}: {verdict}; {report.num_images} images, {report.num_annotations} {what}, "
        f"{report.num_errors} errors, {report.num_warnings} warnings."
    )

"""`vitpose history`: what happened to the labels of one frame."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.cells import cell_len
from rich.table import Table

from vitpose_cli.cli import options
from vitpose_cli.cli.console import busy, print_json, printable, stdout
from vitpose_cli.plurals import counted, people

if TYPE_CHECKING:
    from vitpose_cli.records.history import Changes, Version


_COLUMNS = ("version", "by", "when", "state", "people", "changed", "counts")
_LONGEST_WORD = 16  # a hash of weights; longer ones are broken where the terminal is narrow
_GAP = 2  # between columns


def history(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder.", show_default=False)],
    key: Annotated[
        str,
        typer.Argument(
            metavar="KEY",
            help="The frame, by its file_name in annotations.json: a/b.jpg or "
            "clip.mp4/frame_000123.jpg.",
            show_default=False,
        ),
    ],
    json: options.Json = False,
) -> None:
    """Show who changed what in the labels of one frame, and when.

    Example:
      vitpose history photos.vitpose holiday/img_0042.jpg
    """
    from vitpose_cli.records.history import frame_history

    with busy("looking for it"):
        versions = frame_history(run, key)
    name = str(versions[0].record.key)
    if json:
        print_json({"frame": name, "versions": [_fields(version) for version in versions]})
        return
    rows = [tuple(map(printable, _row(version))) for version in versions]
    table = Table(
        title=printable(name),
        title_justify="left",
        box=None,
        padding=(0, _GAP, 0, 0),
        pad_edge=False,
    )
    widths = _widths(list(zip(_COLUMNS, *rows, strict=True)), stdout.width)
    for column, width in zip(_COLUMNS, widths, strict=True):
        table.add_column(column, width=width, overflow="fold")
    for row in rows:
        table.add_row(*row)
    stdout.print(table)


def _widths(columns: Sequence[Sequence[str]], total: int) -> list[int | None]:
    """Return how wide each column is, at least as its longest word; None where they do not fit.

    Args:
        columns: The texts of each.
        total: How many signs fit into a line.
    """
    longest = [max(cell_len(word) for text in texts for word in text.split()) for texts in columns]
    widths = [min(width, _LONGEST_WORD) for width in longest]
    free = total - sum(widths) - _GAP * (len(widths) - 1)
    if free < 0:
        return [None] * len(columns)
    for place, texts in enumerate(columns):
        more = min(free, max(map(cell_len, texts)) - widths[place])
        widths[place] += more
        free -= more
    return [*widths]


def _fields(version: Version) -> dict[str, Any]:
    record = version.record
    review = record.review
    return {
        "version": record.version,
        "origin": record.origin,
        "model": record.model,
        "reviewer": None if review is None else review.reviewer,
        "tool": None if review is None else review.tool,
        "edited_at_s": None if review is None else review.edited_at_s or None,
        "state": None if review is None else review.state,
        "previous": None if review is None else review.previous,
        "num_people": None if record.instances is None else len(record.instances),
        "error": record.error,
        "changes": version.changes,
        "counts": version.counts,
        "set_aside": record.set_aside,
    }


def _row(version: Version) -> tuple[str, ...]:
    record, changes = version.record, version.changes
    review = record.review
    model = f"model {record.model}" if record.model else "not known"
    by = "a person" if record.origin == "human" else model
    when = ""
    if review is not None:
        by = (review.reviewer or by) + f" in {review.tool}" * bool(review.tool)
        if review.edited_at_s:
            local = datetime.fromtimestamp(review.edited_at_s, UTC).astimezone()
            when = local.isoformat(" ", "seconds")
    state = "" if review is None else review.state
    people = record.error if record.instances is None else str(len(record.instances))
    changed = "" if changes is None else _words(changes)
    counts = "set aside" if record.set_aside else "yes" * version.counts
    return record.version, by, when, state, people or "", changed, counts


def _words(step: Changes) -> str:
    """Return what was changed in words."""
    parts = [
        f"{people(step.num_added)} added" * bool(step.num_added),
        f"{step.num_removed} removed" * bool(step.num_removed),
        f"{counted(step.num_moved, 'keypoint')} moved (up to {step.max_move_px} px)"
        * bool(step.num_moved),
        counted(step.num_visibility, "visibility", "visibilities") * bool(step.num_visibility),
        counted(step.num_boxes, "box", "boxes") * bool(step.num_boxes),
        counted(step.num_recognised, "identity", "identities") * bool(step.num_recognised),
    ]
    return ", ".join(filter(None, parts)) or "nothing"

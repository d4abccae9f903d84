"""`vitpose stats`: labels in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from vitpose_cli.cli import options
from vitpose_cli.cli.console import busy, figures, note, print_json, printable, stdout
from vitpose_cli.plurals import counted, people

if TYPE_CHECKING:
    from vitpose_cli.stats import LabelStats

_BAR = 30


def stats(
    labels: options.Labels,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Also write a page with charts."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Count people, keypoints, scores, and how much is reviewed.

    Of a run, it also tells how near a model's labels were to what people made of them (mean OKS),
    by the hash of its weights: where it no longer rises from round to round, correcting more of
    the same teaches the model little.

    Examples:
      vitpose stats photos.vitpose --html stats.html
    """
    from vitpose_cli.stats import check_page, measure, write_page

    if html is not None:
        check_page(html)  # before a large run is read for nothing
    with busy("counting"):
        found = measure(labels)
    if html is not None:
        write_page(found, labels.name, html)
        note(f"charts -> {html}")
    if json:
        print_json(found.as_dict())
    else:
        _show(found)


def _show(found: LabelStats) -> None:
    """Print the tables."""
    from vitpose_cli.edit_distance import COLUMNS, TITLE
    from vitpose_cli.stats import PEOPLE_BINS, SCORE_BINS

    num_of_videos = found.num_frames - found.num_photos
    videos = f", {num_of_videos:,} of {counted(found.num_videos, 'video')}" * bool(num_of_videos)
    failed = f", {found.num_failed:,} failed" if found.num_failed else ""
    rejected = f", {found.num_rejected:,} more rejected" if found.num_rejected else ""
    stdout.print(
        f"{people(found.num_people)} in {counted(found.num_frames, 'frame')} "
        f"({counted(found.num_photos, 'photo')}{videos}; "
        f"{found.num_empty:,} without people{failed}){rejected}"
    )
    states = ", ".join(f"{count:,} {state}" for state, count in sorted(found.states.items()))
    stdout.print(f"{found.reviewed_share:.1%} of the frames reviewed: {states}")
    if found.corrections:
        corrections = figures(*COLUMNS, title=TITLE)
        for each in found.corrections:
            corrections.add_row(*map(printable, each.cells))
        stdout.print(corrections)
    stdout.print(_histogram("people in a frame", "frames", PEOPLE_BINS, found.people_per_frame))
    keypoints = figures("keypoint", "labelled", "hidden", "mean score", title="Keypoints")
    for row in found.keypoints:
        keypoints.add_row(
            printable(row.name),
            f"{row.labelled:.1%}",
            f"{row.hidden:.1%}",
            "-" if row.mean_score is None else f"{row.mean_score:z.2f}",
        )
    stdout.print(keypoints)
    if any(found.scores):
        stdout.print(_histogram("score of people, from", "people", SCORE_BINS, found.scores))


def _histogram(title: str, unit: str, bins: Sequence[str], counts: Sequence[int]) -> Table:
    """Return counts with bars; empty bins at both ends left out."""
    table = Table(title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column(title, justify="right")
    table.add_column(unit, justify="right")
    table.add_column("")
    filled = [number for number, count in enumerate(counts) if count]
    for number in range(filled[0], filled[-1] + 1) if filled else ():
        bar = "█" * round(_BAR * counts[number] / max(counts))
        table.add_row(bins[number], f"{counts[number]:,}", bar)
    return table

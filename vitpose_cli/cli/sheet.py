"""`vitpose sheet`: a contact sheet of labelled people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from vitpose_cli.cli import options
from vitpose_cli.cli.console import busy, note
from vitpose_cli.plurals import counted, people


def sheet(
    labels: options.Labels,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", help="A .png or .jpg picture, or an .html page."
        ),
    ] = Path("sheet.png"),
    images: options.LabelledImages = None,
    number: Annotated[
        int, typer.Option("-n", "--number", min=1, metavar="N", help="How many people.")
    ] = 48,
    order: Annotated[
        Literal["worst", "best", "sampled"],
        typer.Option("--order", help="By score, worst or best first, or a random sample."),
    ] = "worst",
    columns: Annotated[
        int, typer.Option("--columns", min=1, metavar="N", help="People in a row.")
    ] = 8,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="Another seed gives another random sample.")
    ] = 0,
) -> None:
    """Show many labelled people on one picture, worst first.

    By score, at most one person of each 15 frames of a video is shown, as far as there are enough.

    Examples:
      vitpose sheet photos.vitpose
      vitpose sheet photos.vitpose --order sampled -n 200 -o sheet.html
    """
    from vitpose_cli.annotate.notices import say_what_would_be_labelled
    from vitpose_cli.records.folder import known_sources
    from vitpose_cli.sheet import SheetOptions, make_sheet

    wanted = SheetOptions(
        labels=labels,
        output=output,
        images=images,
        number=number,
        order=order,
        columns=columns,
        seed=seed,
    )
    with busy("drawing"):
        made = make_sheet(wanted)
    note(f"{people(made.num_people)} -> {output}")
    if made.unread:
        first = made.unread[0]
        pictures = counted(len(made.unread), "picture")
        note(f"{pictures} could not be read, such as {first.key}: {first.error}")
    say_what_would_be_labelled(output, known_sources(labels), note)

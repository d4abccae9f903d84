"""`vitpose diff`: how two sets of labels differ."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitpose_cli.cli import options
from vitpose_cli.cli.console import busy, figures, note, print_json, printable, stdout
from vitpose_cli.plurals import counted, people

if TYPE_CHECKING:
    from vitpose_cli.difference import Difference


def diff(
    first: Annotated[Path, typer.Argument(metavar="A", help="A run folder or a COCO file.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    worst: Annotated[
        int,
        typer.Option(
            "--worst", "-n", min=0, metavar="N", help="How many of the worst cases to list."
        ),
    ] = 20,
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture",
            "-o",
            metavar="FILE",
            help="Draw the worst cases into a .jpg or .png, A left and B right.",
        ),
    ] = None,
    images: options.LabelledImages = None,
    json: options.Json = False,
) -> None:
    """Compare two sets of labels of the same frames.

    Examples:
      vitpose diff small.vitpose large.vitpose --picture worst.jpg
      vitpose diff photos.vitpose corrected.json --json
    """
    from vitpose_cli.annotate.notices import say_what_would_be_labelled
    from vitpose_cli.difference import DiffOptions, compare
    from vitpose_cli.records.folder import known_sources

    with busy("comparing"):
        found = compare(DiffOptions(first, second, worst, picture, images))
    if json:
        print_json(found.as_dict())
    else:
        _show(found)
    if picture is not None and worst:
        drawn = f"{counted(len(found.worst), 'worst case')} -> {picture}"
        note(drawn if found.worst else f"Nobody differs, so {picture} is not drawn.")
        labelled = [*known_sources(first), *known_sources(second)]
        say_what_would_be_labelled(picture, labelled, note)


def _show(found: Difference) -> None:
    """Print the tables."""
    stdout.print(
        f"{counted(found.num_frames, 'frame')} in both, {found.num_frames_first:,} in A alone, "
        f"{found.num_frames_second:,} in B alone"
    )
    mean_oks = "-" if found.mean_oks != found.mean_oks else f"{found.mean_oks:.3f}"
    stdout.print(
        f"{people(found.num_people)} in both, {found.num_people_first:,} in A alone, "
        f"{found.num_people_second:,} in B alone; mean OKS {mean_oks}"
    )
    table = figures("keypoint", "both", "only A", "only B", "median px", "95 % px", "OKS")
    for row in found.keypoints:
        numbers = ("-",) * 3
        if row.num_both:
            numbers = (f"{row.median_px:.1f}", f"{row.far_px:.1f}", f"{row.mean_oks:.3f}")
        table.add_row(
            printable(row.name),
            f"{row.num_both:,}",
            f"{row.num_first:,}",
            f"{row.num_second:,}",
            *numbers,
        )
    stdout.print(table)
    for person in found.worst:
        stdout.print(f"OKS {person.oks:.3f}  {printable(str(person.key))}", soft_wrap=True)

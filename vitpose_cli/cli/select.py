"""`vitpose select`: choose the frames that a person should look at next."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from vitpose_cli.cli import options
from vitpose_cli.cli.console import note, print_json, printable, progress, stdout

if TYPE_CHECKING:
    from vitpose_cli.select.selection import Selection

_ROWS_SHOWN = 10


def select(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)],
    count: Annotated[
        int, typer.Option("--count", "-n", metavar="N", help="How many frames.")
    ] = 200,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="The queue; RUN/queue.json if left out."
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            metavar="SIGNAL",
            help="Go by one measure alone: mean_keypoint_score, min_keypoint_score, "
            "second_peak_ratio, peak_width, flip_disagreement, implausibility, overlap, "
            "box_margin, jump, disagreement.",
        ),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(
            "--compare",
            metavar="RUN2",
            help="A run over the same frames with other weights: where the two differ is doubtful.",
        ),
    ] = None,
    random_share: Annotated[
        float,
        typer.Option("--random-share", min=0, max=1, help="Share drawn from all with people."),
    ] = 0.15,
    empty_share: Annotated[
        float,
        typer.Option(
            "--empty-share",
            min=0,
            max=1,
            help="Share drawn where nobody was found; more where frames with people are too few, "
            "none at all with 0.",
        ),
    ] = 0.05,
    diversity: Annotated[
        float,
        typer.Option(
            "--diversity", min=0, help="How much of its doubt a frame loses that is like others."
        ),
    ] = 0.2,
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            "-i",
            metavar="DIR",
            help="Also tell frames apart by their colours: the folder of the photos and videos.",
        ),
    ] = None,
    max_per_video: Annotated[
        int | None, typer.Option("--max-per-video", metavar="N", help="Most frames of one video.")
    ] = None,
    min_gap: Annotated[
        int, typer.Option("--min-gap", metavar="N", help="Frames between two of one video.")
    ] = 15,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same queue.")] = 0,
    json: options.Json = False,
) -> None:
    """Choose the frames that a person should look at next, and say why.

    First those that somebody has begun but not decided, then the most doubtful ones that nobody
    has reviewed, varied, with some drawn at random. The queue is a COCO file for
    `vitpose review RUN --queue FILE`, with reasons in words for each frame.

    [bold]Examples[/bold]

      vitpose select photos.vitpose -n 200

      vitpose select small.vitpose --compare large.vitpose -o queue.json

      vitpose select clips.vitpose --by jump --max-per-video 20
    """
    from vitpose_cli.select.options import SelectOptions
    from vitpose_cli.select.selection import select_frames

    chosen = SelectOptions(
        run=run,
        count=count,
        output=output,
        by=by,
        compare=compare,
        random_share=random_share,
        empty_share=empty_share,
        diversity=diversity,
        images=images,
        seed=seed,
        max_per_video=max_per_video,
        min_gap=min_gap,
    )
    with progress("frames") as report:
        selection = select_frames(chosen, report=report, say=note)
    if json:
        print_json(selection.as_dict())
    else:
        _show(selection)


def _show(selection: Selection) -> None:
    """Print the head of the queue, and say on stderr what was done."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("frame", overflow="fold")
    table.add_column("why")
    for choice in selection.choices[:_ROWS_SHOWN]:
        table.add_row(*map(printable, (str(choice.key), choice.reasons[0])))
    if len(selection.choices) > _ROWS_SHOWN:
        table.add_row("…", f"and {len(selection.choices) - _ROWS_SHOWN} more")
    stdout.print(table)
    kinds: Counter[str] = selection.kinds
    begun = f"{kinds['draft']} begun before, " if kinds["draft"] else ""
    note(
        f"{len(selection.choices)} of {selection.num_frames} frames -> {selection.queue}: "
        f"{begun}{kinds['doubtful']} doubtful, {kinds['random']} at random, {kinds['empty']} "
        f"without people ({selection.num_reviewed} reviewed before)"
    )

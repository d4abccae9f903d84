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
            "--output", "-o", metavar="FILE", help="The queue to write. Default: RUN/queue.json."
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            metavar="SIGNAL",
            help="Go by one signal alone: mean_keypoint_score, min_keypoint_score, "
            "second_peak_ratio, peak_width, flip_disagreement, implausibility, overlap, "
            "box_margin, jump or disagreement.",
        ),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(
            "--compare",
            metavar="RUN2",
            help="Another run over the same frames with other weights: frames where the two differ "
            "are doubtful.",
        ),
    ] = None,
    random_share: Annotated[
        float,
        typer.Option(
            "--random-share",
            min=0,
            max=1,
            metavar="SHARE",
            help="Share of the frames that is drawn at random among those with people.",
        ),
    ] = 0.15,
    empty_share: Annotated[
        float,
        typer.Option(
            "--empty-share",
            min=0,
            max=1,
            metavar="SHARE",
            help="Share that is drawn among frames where nobody was found; more where those with "
            "people do not suffice, except with 0.",
        ),
    ] = 0.05,
    diversity: Annotated[
        float,
        typer.Option(
            "--diversity",
            min=0,
            metavar="FACTOR",
            help="How strongly to avoid frames that are alike; 0 not at all.",
        ),
    ] = 0.2,
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            "-i",
            metavar="DIR",
            help="The folder of the photos and videos, to tell frames apart by their colours as "
            "well.",
        ),
    ] = None,
    max_per_video: Annotated[
        int | None,
        typer.Option("--max-per-video", metavar="N", help="Take at most N frames of each video."),
    ] = None,
    min_gap: Annotated[
        int, typer.Option("--min-gap", metavar="N", help="Frames of a video are at least N apart.")
    ] = 15,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="The same seed gives the same queue.")
    ] = 0,
    json: options.Json = False,
) -> None:
    """Choose the frames that are most worth correcting.

    First frames that somebody has begun but not decided, then the most doubtful and varied of
    those that nobody has reviewed, with some at random. The queue is a COCO file for
    `vitpose review RUN --queue FILE`, with the reasons for each frame in words.

    Examples:
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

"""`vitpose split`: labels in parts for training and validation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from vitpose_cli.cli import options
from vitpose_cli.cli.console import busy, note, print_json
from vitpose_cli.plurals import counted, people


def split(
    labels: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|FILE", help="A run folder, or a COCO-keypoint file.", show_default=False
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="DIR", help="Gets train.json and val.json."),
    ] = Path("split"),
    val: Annotated[
        float, typer.Option("--val", min=0, max=1, help="Share of frames for validation.")
    ] = 0.2,
    test: Annotated[
        float, typer.Option("--test", min=0, max=1, help="Share of frames for test.json.")
    ] = 0.0,
    by: Annotated[
        Literal["folder", "video"],
        typer.Option(
            "--by",
            help="What is never torn apart: a folder, or a video (photos are dealt one by one).",
        ),
    ] = "video",
    reviewed: Annotated[
        bool, typer.Option("--reviewed", help="Take the frames that a person accepted or fixed.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same parts.")] = 0,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace the files of an earlier split; delete what is not wanted any more.",
        ),
    ] = False,
    json: options.Json = False,
) -> None:
    """Deal labels out for training and validation, without scenes that are in both.

    The parts hardly change when photos are added later: who goes where follows from the names.

    [bold]Examples[/bold]

      vitpose split photos.vitpose --reviewed -o parts/

      vitpose split person_keypoints.json --val 0.1 --test 0.1 --by folder
    """
    from vitpose_cli.split import SplitOptions, split_labels

    wanted = SplitOptions(labels, output, val, test, by, reviewed, seed, overwrite)
    with busy("splitting"):
        parts = split_labels(wanted)
    if json:
        print_json({name: part.as_dict() for name, part in parts.items()})
        return
    for name, part in parts.items():
        note(
            f"{name:>5}: {counted(part.num_frames, 'frame')} of "
            f"{counted(part.num_groups, 'group')}, {people(part.num_people)} -> {part.path}"
        )

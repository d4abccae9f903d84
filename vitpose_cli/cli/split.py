"""`vitpose split`: labels in parts for training and validation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from vitpose_cli.cli import options
from vitpose_cli.cli.console import busy, note, print_json
from vitpose_cli.plurals import counted, people


def split(
    labels: options.Labels,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="The folder for train.json, val.json and test.json.",
        ),
    ] = Path("split"),
    val: Annotated[
        float,
        typer.Option(
            "--val", min=0, max=1, metavar="SHARE", help="Share of the frames for validation."
        ),
    ] = 0.2,
    test: Annotated[
        float,
        typer.Option(
            "--test", min=0, max=1, metavar="SHARE", help="Share of the frames for testing."
        ),
    ] = 0.0,
    by: Annotated[
        Literal["folder", "video"],
        typer.Option(
            "--by",
            help="What stays together: the frames of a folder, or of a video (photos are dealt one "
            "by one).",
        ),
    ] = "video",
    reviewed: Annotated[
        bool, typer.Option("--reviewed", help="Only frames that a person accepted or fixed.")
    ] = False,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="The same seed gives the same parts.")
    ] = 0,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace the files of an earlier split, and delete those that are not wanted any "
            "more.",
        ),
    ] = False,
    json: options.Json = False,
) -> None:
    """Part labels into training and validation.

    Frames of one video, or folder, are never in both. The parts follow from the names of the
    frames, so that they hardly change when photos are added.

    Examples:
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

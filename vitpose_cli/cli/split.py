"""`vitpose split`: labels in parts for training and validation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from vitpose_cli.cli import options
from vitpose_cli.cli.console import busy, note, print_json, warn
from vitpose_cli.errors import ConfigError
from vitpose_cli.plurals import counted, first_few, people

_SUBJECTS_SHOWN = 100  # of each part


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
        Literal["folder", "video"] | None,
        typer.Option(
            "--by",
            help="What stays together: the frames of a folder, or of a video (photos are dealt one "
            "by one). Without it: of a video.",
        ),
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option(
            "--subject",
            metavar="REGEX",
            help="Instead of --by: frames in whose names this regular expression finds the same "
            "text stay together, as with 'P[0-9]+' P01/before/a.mp4 and after/P01_b.jpg do. With "
            "brackets in it, the text in these counts.",
        ),
    ] = None,
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

    Frames of one video, folder or subject are never in both. The parts follow from the names of the
    frames, so that they hardly change when photos are added. Where one video, folder or subject
    holds so much that a part is far from its share, that is told.

    Examples:
      vitpose split photos.vitpose --reviewed -o parts/
      vitpose split person_keypoints.json --val 0.1 --test 0.1 --by folder
      vitpose split clinic.vitpose --subject 'P[0-9]+' --val 0.3
    """
    from vitpose_cli.split import SplitOptions, split_labels

    if by is not None and subject is not None:
        raise ConfigError("--by and --subject exclude each other.", "Give one of them.")
    wanted = SplitOptions(
        labels, output, val, test, by or "video", subject, reviewed, seed, overwrite
    )
    with busy("splitting"):
        parts = split_labels(wanted)
    if json:
        print_json({name: part.as_dict() for name, part in parts.items()})
        return
    for name, part in parts.items():
        groups = counted(part.num_groups, "group")
        if part.subjects is not None:
            shown = first_few(part.subjects, _SUBJECTS_SHOWN)
            groups = f"{counted(part.num_groups, 'subject')} ({shown})"
        note(
            f"{name:>5}: {counted(part.num_frames, 'frame')} of {groups}, "
            f"{people(part.num_people)} -> {part.path}"
        )
    for part in parts.values():
        if part.note:
            warn(part.note)

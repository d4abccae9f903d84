"""`vitpose export`: labels in the files of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitpose_cli.cli import options
from vitpose_cli.cli.console import note, print_json


def export(
    subject: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|FILE",
            help="A run folder, or a COCO-keypoint file.",
            show_default=False,
        ),
    ],
    format: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            metavar="coco|cvat|labelstudio|fiftyone|yolo|results",
            help="What to write; docs/formats.md says what each keeps and how to load it.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="The file (coco, results) or folder (the others) to write.",
            show_default=False,
        ),
    ],
    only: Annotated[
        Path | None,
        typer.Option(
            "--only",
            metavar="FILE",
            help="Take the frames that this COCO file names: a queue, or a part of a split.",
        ),
    ] = None,
    reviewed: Annotated[
        bool, typer.Option("--reviewed", help="Take the frames that a person accepted or fixed.")
    ] = False,
    split: Annotated[
        str,
        typer.Option(
            "--split",
            metavar="NAME",
            help="The part of a dataset that they are: train, val or test for yolo.",
        ),
    ] = "",
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            "-i",
            metavar="DIR",
            help="Where the photos and videos lie. Default: where they were labelled.",
        ),
    ] = None,
    pictures: Annotated[
        str,
        typer.Option(
            "--pictures",
            metavar="link|copy|none",
            help="What yolo and fiftyone get of the photos; frames of videos are extracted.",
        ),
    ] = "link",
    image_url: Annotated[
        str,
        typer.Option(
            "--image-url", metavar="PREFIX", help="What labelstudio loads photos by, before a path."
        ),
    ] = "/data/local-files/?d=",
    image_ids: Annotated[
        Path | None,
        typer.Option(
            "--image-ids",
            metavar="FILE",
            help="Ground truth whose image ids results get. Default: ids as in annotations.json.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what an earlier export wrote to OUT.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Write labels for CVAT, Label Studio, FiftyOne, Ultralytics, or an evaluation server.

    What a person corrects there comes back with `vitpose import`.

    [bold]Examples[/bold]

      vitpose export photos.vitpose --format cvat -o for-cvat/

      vitpose export photos.vitpose --format labelstudio --only queue.json -o for-ls/

      vitpose export photos.vitpose --format yolo --reviewed --split train -o dataset/
    """
    from vitpose_cli.formats.content import Selection, open_content, selected_names
    from vitpose_cli.formats.table import format_named
    from vitpose_cli.formats.written import WriteOptions, placing
    from vitpose_cli.identities import with_track_ids

    chosen = format_named(format)
    settings = WriteOptions(split, images, placing(pictures), image_url, image_ids, overwrite)
    selection = Selection(None if only is None else selected_names(only), reviewed)
    content = open_content(subject, selection, with_track_ids)
    content.check_not_empty()
    written = chosen.write(content, output, settings)
    if json:
        print_json(written.as_dict())
        return
    files = ", ".join(map(str, written.files[:3])) + (", …" if written.files[3:] else "")
    note(f"{written.num_instances} people in {written.num_images} frames -> {files}")
    for sentence in written.notes:
        note(sentence)

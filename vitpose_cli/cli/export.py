"""`vitpose export`: labels and networks in the files of other programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vitpose_cli.cli import options
from vitpose_cli.cli.console import busy, note, print_json, starting
from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.plurals import counted, first_few, people

if TYPE_CHECKING:
    from vitpose_cli.formats.content import Content
    from vitpose_cli.formats.label_filter import LabelFilter
    from vitpose_cli.formats.table import Format

_NETWORK_SUFFIXES = (".onnx", ".safetensors")
_OF_FORMATS = {
    "split": "split",
    "images": "images",
    "pictures": "pictures",
    "image_url": "url",
    "image_ids": "truth",
    "shards": "num_shards",
}
"""Parameters that only some formats have a use for, and what `WriteOptions` calls them."""


def export(
    context: typer.Context,
    subject: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|FILE",
            help="A run folder or COCO-keypoint file; for a network the folder of a training run, "
            "a weights file or a catalog name.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="The file (coco, results, csv) or folder (other formats) to write. Names that end "
            "in .onnx or .safetensors mean the network.",
            show_default=False,
        ),
    ],
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            metavar="coco|cvat|labelstudio|fiftyone|yolo|results|csv|openpose|pose2sim|controlnet",
            help="The format of labels; docs/formats.md says what each keeps and how to load it.",
            show_default=False,
        ),
    ] = None,
    fold: Annotated[
        str | None,
        typer.Option(
            "--fold",
            metavar="NAME",
            help="Keep this keypoint set of a network that knows several, as a plain ViT with one "
            "decoder.",
        ),
    ] = None,
    only: Annotated[
        Path | None,
        typer.Option(
            "--only",
            metavar="FILE",
            help="Only the frames that this COCO file names: a queue, or a part of a split.",
        ),
    ] = None,
    reviewed: Annotated[
        bool, typer.Option("--reviewed", help="Only frames that a person accepted or fixed.")
    ] = False,
    category: Annotated[
        list[str] | None,
        typer.Option(
            "--category",
            metavar="NAME",
            help="Only labels of this category; may be given again for others with the same "
            "keypoints.",
        ),
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            "--split",
            metavar="NAME",
            help="For yolo: train, val or test. For cvat: the name of the subset.",
        ),
    ] = "",
    images: options.LabelledImages = None,
    pictures: Annotated[
        Literal["link", "copy", "none"],
        typer.Option(
            "--pictures",
            help="For yolo and fiftyone: how they get the photos. Frames of videos are extracted.",
        ),
    ] = "link",
    image_url: Annotated[
        str | None,
        typer.Option(
            "--image-url",
            metavar="PREFIX",
            help="For labelstudio: what comes before the path of a photo. Default: "
            "/data/local-files/?d=FOLDER/, with the name of the folder that was labelled.",
        ),
    ] = None,
    image_ids: Annotated[
        Path | None,
        typer.Option(
            "--image-ids",
            metavar="FILE",
            help="For results: a ground truth file whose ids of images and categories to use. "
            "Default: those of the run or file.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what an earlier export wrote to OUT.")
    ] = False,
    shards: options.Shards = None,
    json: options.Json = False,
) -> None:
    """Write labels for other programs, or a network as ONNX.

    Corrections come back with `vitpose import`. A network in ONNX takes any number of crops at
    once and is compared with the original before it is written.

    Examples:
      vitpose export photos.vitpose --format cvat -o for-cvat/
      vitpose export photos.vitpose --format labelstudio --only photos.vitpose/queue.json -o for-ls/
      vitpose export photos.vitpose --format yolo --reviewed --split train -o dataset/
      vitpose export clips.vitpose --format csv -o clips.csv
      vitpose export videos.vitpose --format pose2sim -o pose/
      vitpose export labels.json --format coco --category horse -o horses.json
      vitpose export runs/finetune -o model.onnx
      vitpose export runs/vitpose-plus-b --fold ap10k -o animals.safetensors
    """
    if output.suffix in _NETWORK_SUFFIXES:
        if format is not None:
            raise ConfigError(
                f"{output} is a network, --format is for labels.", "Leave one of them out."
            )
        options.refuse_useless(
            context,
            ("only", "reviewed", "category", *_OF_FORMATS),
            f"with {output}, which is a network",
            "Leave what is for labels out.",
        )
        _export_network(subject, output, fold, overwrite=overwrite, json=json)
        return
    if fold is not None:
        raise ConfigError(
            "--fold is for networks.", "Let OUT end in .onnx or .safetensors, or leave it out."
        )
    if format is None:
        raise ConfigError(
            "What shall be written? Labels need --format, a network an OUT that ends in "
            ".onnx or .safetensors.",
            "For example --format cvat.",
        )
    from vitpose_cli.formats.content import open_content, selected_names
    from vitpose_cli.formats.label_filter import LabelFilter
    from vitpose_cli.formats.table import format_named
    from vitpose_cli.formats.written import WriteOptions
    from vitpose_cli.tracking.identities import identified
    from vitpose_cli.tracking.smoothed_labels import for_document

    chosen = format_named(format)
    options.refuse_useless(
        context,
        [name for name, field in _OF_FORMATS.items() if field not in chosen.options],
        f"with --format {format}",
        "Leave it out, or choose the format that it is for.",
    )
    if image_url is not None:
        where = "beside --image-url, which says it"
        options.refuse_useless(context, ["images"], where, "Give one of the two.")
    settings = WriteOptions(split, images, pictures, image_url, image_ids, overwrite, shards)
    wanted = None if only is None else selected_names(only)
    selection = LabelFilter(wanted, reviewed, tuple(category or ()))
    with busy("exporting"):
        content = open_content(subject, selection, for_document if chosen.smoothed else identified)
        content.check_not_empty()
        written = chosen.write(content, output, settings)
    missing = _missing_names(content, subject, only, selection)
    written = replace(written, notes=(*missing, *written.notes, *_lost_categories(content, chosen)))
    if json:
        print_json(written.as_dict())
        return
    files = ", ".join(map(str, written.files[:3])) + (", …" if written.files[3:] else "")
    frames = counted(written.num_images, "frame")
    note(f"{people(written.num_instances)} in {frames} -> {files}")
    for sentence in written.notes:
        note(sentence)


def _missing_names(
    content: Content, subject: Path, only: Path | None, selection: LabelFilter
) -> Iterator[str]:
    """Yield a sentence if frames that --only names are not written."""
    if selection.names is not None and content.missing:
        yield (
            f"{len(content.missing):,} of {counted(len(selection.names), 'frame')} of {only} are "
            f"not labelled in {subject}, such as {content.missing[0]}."
        )


def _lost_categories(content: Content, chosen: Format) -> Iterator[str]:
    """Yield a sentence if people of several categories become those of one."""
    if len(content.categories) > 1 and not chosen.categories:
        names = first_few([str(category.get("name")) for category in content.categories])
        yield (
            f"Everybody is written as {content.category['name']}: only coco, csv, results and yolo "
            f"tell the categories ({names}) apart."
        )


def _export_network(
    subject: Path, output: Path, fold: str | None, *, overwrite: bool, json: bool
) -> None:
    """Write a network with one head, without experts."""
    with starting():
        from vitpose_cli.models.catalog import resolve_weights
        from vitpose_cli.models.checkpoint import (
            head_named,
            load_model,
            read_header,
            save_checkpoint,
        )
        from vitpose_cli.models.network_output import check_network_output
        from vitpose_cli.models.onnx_file import write_onnx
        from vitpose_cli.models.trained import is_training_run

    is_known = is_training_run(subject) or (subject / "config.json").exists()
    if subject.is_dir() and not is_known:
        raise InputError(
            f"{subject} is no folder of a training run.",
            "Give one, a weights file or a catalog name; labels are exported with --format.",
        )
    weights = resolve_weights(subject if is_training_run(subject) else str(subject))
    head = head_named(read_header(weights), fold, of=subject, option="--fold NAME")
    check_network_output(output, (weights,), overwrite=overwrite)
    model = load_model(weights, head=head)
    facts = {"path": str(output), "weights": str(weights), "keypoint_set": head}
    width, height = model.header.input_wh
    said = f"{weights} -> {output}: {head}, {width} x {height} px"
    if output.suffix == ".onnx":
        difference = write_onnx(model, output)
        facts_of_file = {**facts, "max_difference": difference}
        said += f"; differs from torch by at most {difference:.2g}"
    else:
        save_checkpoint(output, model.state_dict(), model.header)
        facts_of_file = {**facts, "max_difference": 0.0}
    print_json(facts_of_file) if json else note(said + ".")

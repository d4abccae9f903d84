"""`vitpose weights`: what is published, fetching it, and converting the files of other projects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from vitpose_cli.cli import options
from vitpose_cli.cli.console import note, print_json, printable, stdout
from vitpose_cli.cli.help import Command
from vitpose_cli.errors import ConfigError, WeightsError
from vitpose_cli.plurals import counted

if TYPE_CHECKING:
    from vitpose_cli.models.catalog import DetectorModel, PoseWeights
    from vitpose_cli.models.convert import Conversion

app = typer.Typer(
    help="List, show, download and convert weights.", no_args_is_help=True, rich_markup_mode=None
)

_SHOWN_AS = {
    "here": "downloaded",
    "input_wh": "input",
    "size_mb": "size, MB",
    "box_ap": "COCO box AP",
}
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="A catalog name: NAME or NAME:KEYPOINT_SET.")
]


@app.command("list", cls=Command)
def list_weights(
    text: Annotated[
        str,
        typer.Argument(metavar="[TEXT]", help="Only names and keypoint sets that contain this."),
    ] = "",
    json: options.Json = False,
) -> None:
    """List published pose weights and detectors.

    Weights with several keypoint sets are used as NAME:KEYPOINT_SET; NAME alone means the first.

    Examples:
      vitpose weights list
      vitpose weights list wholebody
    """
    from vitpose_cli.models.catalog import load_catalog, pose_weights

    rows = [row for row in pose_weights() if text in row.full_name]
    detectors = {name: each for name, each in load_catalog().detectors.items() if text in name}
    if json:
        print_json(
            {
                "pose": [_pose_facts(row) for row in rows],
                "detectors": [_detector_facts(name, each) for name, each in detectors.items()],
            }
        )
        return
    if rows:
        stdout.print(_pose_table(rows))
        note("AP of each set's own validation split as published; PCKh for mpii.")
    if detectors:
        stdout.print(_detector_table(detectors))
    if not rows and not detectors:
        raise ConfigError(
            f"No weights have {text!r} in their name.", "`vitpose weights list` lists all."
        )


@app.command(cls=Command)
def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A catalog name, NAME or NAME:KEYPOINT_SET; a converted or trained weights file; "
            "or the folder of a training run.",
        ),
    ],
    json: options.Json = False,
) -> None:
    """Show facts about weights: of published ones, or what a file of them says.

    Examples:
      vitpose weights show vitpose-b
      vitpose weights show runs/finetune
    """
    from vitpose_cli.models.catalog import find_pose_weights, is_catalog_name, load_catalog

    detectors = load_catalog().detectors
    if name in detectors:
        facts = _detector_facts(name, detectors[name])
    elif is_catalog_name(name):
        row = find_pose_weights(name)
        facts = _pose_facts(row)
        facts |= {"hash": _hash_here(row), "note": facts.pop("note")}
    else:
        facts = _file_facts(name)
    if json:
        print_json(facts)
        return
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    if not facts.pop("pinned", True):
        facts["revision"] += " (not pinned)"
    if "input_wh" in facts:
        facts["input_wh"] = "{} x {} px".format(*facts["input_wh"])
    for head in facts.pop("heads", ()):
        facts[f"head {head['name']}"] = (
            f"{head['kind']}, {counted(len(head['keypoints']), 'keypoint')}, {head['alignment']}"
        )
    for key, value in facts.items():
        if value not in (None, ""):
            word = {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
            name_of_fact = _SHOWN_AS.get(key, key.replace("_", " "))
            table.add_row(f"[bold]{name_of_fact}[/bold]", printable(word))
    stdout.print(table)


@app.command(cls=Command)
def pull(
    name: Name,
    keypoint_set: options.KeypointSetName = None,
    json: options.Json = False,
) -> None:
    """Download weights for later, and print their path.

    Examples:
      vitpose weights pull vitpose-b
      vitpose weights pull vitpose-plus-l:wholebody
      vitpose weights pull dfine-s
    """
    from vitpose_cli.models.catalog import (
        download_detector,
        find_pose_weights,
        load_catalog,
        resolve_weights,
    )

    detectors = load_catalog().detectors
    if name in detectors:
        path = download_detector(detectors[name])
    else:
        row = find_pose_weights(name, keypoint_set)
        path = resolve_weights(row.full_name)
    if json:
        print_json({"name": name, "path": str(path)})
    else:
        stdout.print(str(path), markup=False, soft_wrap=True)


@app.command(cls=Command)
def convert(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A checkpoint of ViTPose, ViTPose+, easy_ViTPose or mmpose 1.x, or a Hugging Face "
            "folder.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The .safetensors file to write.")
    ],
    keypoint_set: options.KeypointSetName = None,
    half: Annotated[
        bool, typer.Option("--half", help="Store matrices in float16, in half the size.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the output file.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Convert weights of another project, without running any code in them.

    Examples:
      vitpose weights convert vitpose-b.pth -o vitpose-b.safetensors
      vitpose weights convert vitpose+_base.pth -o animals.safetensors --keypoint-set ap10k
    """
    if output.suffix != ".safetensors":
        raise ConfigError(f"{output} must end in .safetensors.", "That is the format of weights.")
    from vitpose_cli.models.checkpoint import save_checkpoint
    from vitpose_cli.models.convert import convert_file, halved
    from vitpose_cli.models.network_output import check_network_output
    from vitpose_cli.models.weights_files import weights_hash

    check_network_output(output, (file,), overwrite=overwrite)
    conversion = convert_file(file, keypoint_set=keypoint_set)
    for sentence in conversion.notes:
        note(sentence)
    state = halved(conversion.state) if half else conversion.state
    save_checkpoint(output, state, conversion.header)
    if json:
        facts = {"path": str(output), "hash": weights_hash(output), **_header_facts(conversion)}
        print_json(facts)
    else:
        note(_sentence(conversion, output))


def _pose_facts(row: PoseWeights) -> dict[str, Any]:
    """Return everything known about a published pose file."""
    from vitpose_cli.models.hub import find_cached

    repository = row.repository
    here = repository is None or find_cached(repository.repo, row.file.file, row.revision)
    metric = "PCKh@0.5" if row.keypoint_set == "mpii" else "AP"
    return {
        "name": row.full_name,
        "keypoint_set": row.keypoint_set,
        "variant": row.model.variant,
        "head": row.model.head,
        "alignment": row.alignment,
        "region": row.region,
        "accuracy": row.file.accuracy,
        "metric": metric if row.file.accuracy is not None else None,
        "size_mb": row.file.size_mb,
        "licence": row.model.licence,
        "repository": repository.repo if repository else None,
        "file": row.file.file,
        "revision": row.revision,
        "pinned": row.is_pinned,
        "sha256": row.file.sha256,
        "here": bool(here),
        "note": row.model.note,
    }


def _hash_here(row: PoseWeights) -> str | None:
    """Return by which hash runs name published weights; None where they are not pulled yet."""
    from vitpose_cli.models.catalog import resolve_weights
    from vitpose_cli.models.conversions import find_converted
    from vitpose_cli.models.hub import find_cached
    from vitpose_cli.models.weights_files import weights_hash

    if row.repository is None:
        return weights_hash(resolve_weights(row.full_name))
    pulled = find_cached(row.repository.repo, row.file.file, row.revision)
    path = pulled and find_converted(pulled, row.keypoint_set)
    return weights_hash(path) if path else None


def _file_facts(name: str) -> dict[str, Any]:
    """Return what a weights file, or the best one of a training run, says about itself."""
    from vitpose_cli.models.catalog import resolve_weights
    from vitpose_cli.models.checkpoint import read_header
    from vitpose_cli.models.trained import is_training_run
    from vitpose_cli.models.weights_files import is_ours, weights_hash

    given = Path(name)
    if given.exists() and not is_ours(given) and not is_training_run(given):
        raise WeightsError(
            f"{name} carries no vitpose header, which says what weights are.",
            f"Weights of other projects are translated by `vitpose weights convert {name}`.",
        )
    path = resolve_weights(name)
    header = read_header(path, backbone=True)
    return {
        "path": str(path),
        "hash": weights_hash(path),
        "variant": header.variant,
        "input_wh": header.input_wh,
        "stride": header.stride,
        "attention": header.attention.pattern,
        "experts": header.num_experts,
        "heads": [
            {
                "name": head_name,
                "kind": head.kind,
                "alignment": head.alignment,
                "keypoints": head.keypoint_set.names,
            }
            for head_name, head in header.heads.items()
        ],
        "source": header.source,
        "licence": header.licence,
    }


def _detector_facts(name: str, detector: DetectorModel) -> dict[str, Any]:
    """Return everything known about a published detector."""
    from vitpose_cli.models.hub import find_cached

    return {
        "name": name,
        "box_ap": detector.box_ap,
        "size_mb": detector.size_mb,
        "licence": detector.licence,
        "repository": detector.repo,
        "revision": detector.revision,
        "pinned": detector.is_pinned,
        "here": bool(find_cached(detector.repo, "model.safetensors", detector.revision)),
        "note": detector.note,
    }


def _pose_table(rows: list[PoseWeights]) -> Table:
    """Lay pose weights out, a line for each model."""
    table = _table("Pose weights", name="left", keypoint_sets="left", MB="right", licence="left")
    models: dict[str, list[PoseWeights]] = {}
    for row in rows:
        models.setdefault(row.name, []).append(row)
    for name, of_model in models.items():
        sets = [f"{row.keypoint_set} {row.file.accuracy or ''}".rstrip() for row in of_model]
        lines = [", ".join(sets[start : start + 2]) for start in range(0, len(sets), 2)]
        sizes = sorted({row.file.size_mb for row in of_model})
        size = "-".join(str(each) for each in (sizes[:1] + sizes[1:][-1:]))
        table.add_row(name, ",\n".join(lines), size, of_model[0].model.licence)
    return table


def _detector_table(detectors: dict[str, DetectorModel]) -> Table:
    """Lay detectors out."""
    table = _table("Detectors", name="left", box_AP="right", MB="right", licence="left")
    for name, each in detectors.items():
        table.add_row(name, f"{each.box_ap:.1f}", str(each.size_mb), each.licence)
    return table


def _table(title: str, **columns: Literal["left", "right"]) -> Table:
    """Make a table that a narrow terminal does not cut."""
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name, justify in columns.items():
        table.add_column(name.replace("_", " "), justify=justify, no_wrap=True)
    return table


def _header_facts(conversion: Conversion) -> dict[str, Any]:
    """Return what a converted file is."""
    (head,) = conversion.header.heads.values()
    return {
        "layout": conversion.layout,
        "variant": conversion.header.variant,
        "head": head.kind,
        "keypoint_set": head.keypoint_set.name,
        "alignment": head.alignment,
        "region": head.region,
        "input_wh": conversion.header.input_wh,
        "notes": conversion.notes,
    }


def _sentence(conversion: Conversion, output: Path) -> str:
    """Say what was converted into what."""
    (head,) = conversion.header.heads.values()
    width, height = conversion.header.input_wh
    return (
        f"{conversion.layout}: {conversion.header.variant}, {head.kind} decoder, "
        f"{head.keypoint_set.name} ({head.keypoint_set.num_keypoints} keypoints, "
        f"{head.alignment} alignment), {width} x {height} px -> {output}"
    )

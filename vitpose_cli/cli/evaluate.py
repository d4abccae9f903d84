"""`vitpose evaluate`: how good labels are, against ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vitpose_cli.cli import options
from vitpose_cli.cli.console import (
    busy,
    figures,
    note,
    print_json,
    printable,
    progress,
    starting,
    stdout,
)
from vitpose_cli.errors import ConfigError, PartialRunError
from vitpose_cli.plurals import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vitpose_cli.evaluate.coco_subsets import Subset
    from vitpose_cli.evaluate.evaluation import Evaluation


_OF_LABELLING = (
    "weights",
    "keypoint_set",
    "gt_boxes",
    "boxes",
    "detector",
    "detector_size",
    "detector_tile",
    "flip_test",
    "device",
    "precision",
    "batch_size",
)


def evaluate(
    context: typer.Context,
    annotations: Annotated[
        Path,
        typer.Option(
            "--annotations", "-a", metavar="FILE", help="The ground truth, a COCO-keypoint file."
        ),
    ],
    images: Annotated[
        Path | None,
        typer.Option("--images", "-i", metavar="DIR", help="The folder of its photos and videos."),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            "--predictions",
            "-p",
            metavar="RUN|FILE",
            help="Measure these labels and run no network: a run folder, COCO results, or a COCO "
            "file (in which keypoints with v=0 count as missed).",
        ),
    ] = None,
    weights: options.Weights = "tiny",
    keypoint_set: options.KeypointSetName = None,
    gt_boxes: Annotated[
        bool, options.network_option("--gt-boxes", help="Take the boxes of the ground truth.")
    ] = False,
    truncate: Annotated[
        Literal["upper", "lower", "left", "right", "limb"] | None,
        typer.Option(
            "--truncate",
            help="Cut the photo of everybody so that this part of the body is left (limb: one "
            "photo for each limb), with the boxes of the ground truth.",
        ),
    ] = None,
    boxes: options.Boxes = None,
    detector: options.DetectorName = None,
    detector_size: options.DetectorSize = None,
    detector_tile: options.DetectorTile = None,
    flip_test: options.FlipTest = True,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    batch_size: options.BatchSize = "auto",
    json: options.Json = False,
) -> None:
    """Measure labels or weights against ground truth.

    Prints COCO AP and AR, PCK, and a table by keypoint; where the ground truth allows, also AP
    of body, feet, face and hands, AP of crowded photos, and PCKh.

    Examples:
      vitpose evaluate -a person_keypoints.json -i photos/ --gt-boxes
      vitpose evaluate -a person_keypoints.json -p photos.vitpose
      vitpose evaluate -a person_keypoints.json -i photos/ --truncate upper
    """
    finder = detector or detector_size or detector_tile
    if truncate is not None and (predictions or boxes or finder):
        raise ConfigError(
            "--truncate cuts photos and labels them now, with the boxes of the ground truth.",
            "Give --images; leave out --predictions, --boxes and what is said of a detector.",
        )
    if predictions is not None and images is None:
        options.refuse_useless(
            context,
            _OF_LABELLING,
            "beside --predictions, which measures labels that are there",
            "Leave one or the other out; --images labels photos now.",
        )
    if gt_boxes and (boxes or finder):
        raise ConfigError(
            "--gt-boxes, --boxes and --detector exclude each other: boxes come from one of them.",
            "Give one of them; --detector-size and --detector-tile go with a detector alone.",
        )
    if predictions is not None and images is None:
        with starting():  # without the network's libraries
            from vitpose_cli.evaluate.evaluated_labels import evaluate_predictions, run_of_document

        run = run_of_document(predictions)
        if run is not None:
            note(
                f"{predictions} has no places for keypoints with v=0, and they count as missed; "
                f"the run knows them: -p {run}"
            )
        with busy("measuring"):
            result = evaluate_predictions(annotations, predictions)
    elif images is not None and predictions is None:
        with starting():
            from vitpose_cli.assembly import LabelerOptions
            from vitpose_cli.evaluate.evaluated_weights import evaluate_cut_bodies, evaluate_weights

        chosen = LabelerOptions(
            weights=weights,
            keypoint_set=keypoint_set,
            detector=detector,
            detector_size=detector_size,
            detector_tile=detector_tile,
            boxes=boxes,
            device=device,
            precision=precision,
            batch_size=options.parse_batch_size(batch_size),
            flip_test=flip_test,
            box_threshold=0.0,
        )
        with progress("photos") as report:
            if truncate is None:
                result = evaluate_weights(annotations, images, chosen, report, gt_boxes=gt_boxes)
            else:
                result = evaluate_cut_bodies(annotations, images, chosen, report, truncate)
    else:
        raise ConfigError(
            "Evaluate needs either --images (to label them now) or --predictions (run or file).",
            "For labels that exist: --predictions photos.vitpose",
        )
    if json:
        print_json(result.as_dict() | ({} if truncate is None else {"truncate": truncate}))
    else:
        _show(result)
    if result.failures:
        raise _partial(result)


def _partial(result: Evaluation) -> PartialRunError:
    """Name the first photos that could not be labelled; return what the command ends with."""
    from vitpose_cli.annotate.notices import FAILURES_SHOWN

    for failure in result.failures[:FAILURES_SHOWN]:
        note(f"{failure.file_name}: {failure.error}")
    photos = counted(result.num_images, "photo")
    return PartialRunError(
        f"{result.num_failed} of {photos} could not be labelled, and count as without people.",
        "All of them are in what --json prints.",
    )


def _show(result: Evaluation) -> None:
    """Print the tables."""
    from vitpose_cli.evaluate.coco_metrics import or_none
    from vitpose_cli.evaluate.coco_subsets import Subset
    from vitpose_cli.evaluate.head_pck import PCKH_THRESHOLDS
    from vitpose_cli.evaluate.keypoint_table import PCK_THRESHOLDS

    summary = figures(*result.coco, title="COCO keypoints")
    summary.add_row(*map(_shown, or_none(result.coco).values()))
    stdout.print(summary)
    if result.parts:
        whole = Subset(result.coco, result.num_people)
        _show_subsets("By part of the body", "part", {**result.parts, "whole": whole})
    if result.crowding:
        _show_subsets("By how crowded photos are", "photos", result.crowding)
    columns = ("keypoint", "labelled", "OKS", *_at("PCK", PCK_THRESHOLDS))
    table = figures(*columns, title="By keypoint")
    for row in result.keypoints:
        table.add_row(printable(row.name), str(row.count), *map(_shown, (row.oks, *row.pck)))
    stdout.print(table)
    if result.pckh is not None:
        columns = ("keypoint", "labelled", *_at("PCKh", PCKH_THRESHOLDS))
        table = figures(*columns, title=f"PCKh by {result.pckh.by}")
        for each in result.pckh.rows:
            table.add_row(printable(each.name), str(each.count), *map(_shown, each.pckh))
        stdout.print(table)
    note(result.counts_sentence())


def _show_subsets(title: str, kind: str, subsets: Mapping[str, Subset]) -> None:
    """Print the table of AP and AR by something; `--json` has the other metrics, too."""
    from vitpose_cli.evaluate.coco_metrics import or_none

    names = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR")
    table = figures(kind, "people", *names, title=title)
    for name, subset in subsets.items():
        values = or_none(subset.coco)
        table.add_row(name, str(subset.num_people), *(_shown(values[one]) for one in names))
    stdout.print(table)


def _at(measure: str, thresholds: Iterable[float]) -> list[str]:
    return [f"{measure}@{threshold}" for threshold in thresholds]


def _shown(value: float | None) -> str:
    """Write a number, or that nothing was measured."""
    return "-" if value is None else f"{value:.3f}"

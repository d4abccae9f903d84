"""`vitpose bench`: how fast this machine labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from vitpose_cli.cli import options
from vitpose_cli.cli.console import figures, note, print_json, starting, stdout

if TYPE_CHECKING:
    from vitpose_cli.bench.machine_speed import MachineSpeed


def bench(
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--source",
            metavar="SOURCE",
            help="Photos or videos to measure on; may be given several times. Default: made-up "
            "photos of three people each.",
        ),
    ] = None,
    weights: options.Weights = "tiny",
    keypoint_set: options.KeypointSetName = None,
    detector: options.DetectorName = None,
    detector_size: options.DetectorSize = None,
    detector_tile: options.DetectorTile = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    compile: options.Compile = None,
    flip_test: options.FlipTest = True,
    json: options.Json = False,
) -> None:
    """Measure how fast this machine labels, and what limits it.

    Takes less than half a minute with small weights. Rates of other sizes are estimates.

    Examples:
      vitpose bench
      vitpose bench --weights vitpose-b --detector dfine-s --source photos/
    """
    with starting():
        from vitpose_cli.assembly import LabelerOptions
        from vitpose_cli.bench.machine_speed import BenchOptions
        from vitpose_cli.bench.machine_speed import bench as measure

    labeler = LabelerOptions(
        weights=weights,
        keypoint_set=keypoint_set,
        detector=detector,
        detector_size=detector_size,
        detector_tile=detector_tile,
        device=device,
        precision=precision,
        compiled=compile,
        flip_test=flip_test,
    )
    found = measure(BenchOptions(labeler, tuple(source or ())), say=note)
    if json:
        print_json(found.as_dict())
    else:
        _show(found)


def _show(found: MachineSpeed) -> None:
    """Print the tables."""
    flips = ", each crop seen twice" if found.flip_test else ""
    stdout.print(
        f"{found.weights} ({found.variant}) on {found.device}, {found.precision}, "
        f"{found.num_threads} CPU threads{flips}; "
        f"a large matrix product reaches {found.matrix_tflops:.2f} TFLOP/s"
    )
    batches = figures("batch", "crops/s", "of the matrix rate")
    for row in found.batches:
        batches.add_row(str(row.batch), f"{row.crops_per_s:,.1f}", f"{row.matrix_share:.0%}")
    stdout.print(batches)
    stages = figures("stage", "photos/s")
    for name, rate in found.stages.items():
        stages.add_row(f"{name} (slowest)" if name == found.limit else name, f"{rate:,.1f}")
    stages.add_row("all together", f"{found.photos_per_s:,.1f}")
    stdout.print(stages)
    stdout.print(f"{found.num_photos} photos, {found.people_per_photo:.1f} people in each")
    if found.sizes:
        stdout.print(_sizes(found))
    for sentence in found.advice:
        stdout.print(sentence)


def _sizes(found: MachineSpeed) -> Table:
    """Return the table of other sizes of the network."""
    sizes = figures("size", "photos/s", "photos a day")
    for name, rate in found.sizes.items():
        about = "" if name == found.variant else "~"
        sizes.add_row(name, f"{about}{rate:,.2f}", f"{about}{rate * 86_400:,.0f}")
    return sizes

"""`vitpose train`: fine-tune on any COCO-keypoint file, or train from scratch."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table

from vitpose_cli.cli import options
from vitpose_cli.cli.console import (
    busy,
    figures,
    note,
    print_json,
    printable,
    starting,
    stderr,
    stdout,
)

if TYPE_CHECKING:
    from vitpose_cli.training.metrics import Observer
    from vitpose_cli.training.plan import TrainingPlan

_OPENING = "reading labels, opening videos"
_ROWS_SHOWN = 12
_COLUMNS = (
    *("stage", "step", "epoch", "loss", "lr", "gradient_norm"),
    *("people_per_s", "left_s", "data_share", "memory_mib"),
)


def train(
    config: Annotated[
        Path,
        typer.Option(
            "--config", "-c", metavar="FILE", help="The YAML file that describes the run."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="RUN",
            help="The folder of the run. Default: runs/NAME of FILE.",
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change an option of the file, as in optimizer.lr=1e-4.",
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            metavar="auto|cpu|cuda|cuda:N|mps",
            help="Instead of the device that the file says.",
        ),
    ] = None,
    allow_missing: Annotated[
        bool,
        typer.Option(
            "--allow-missing", help="Train even if more than 1 % of the photos are missing."
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Only check everything, and print the options that are not as by default, "
            "parameter groups, people, memory and steps.",
        ),
    ] = False,
    json: options.Json = False,
) -> None:
    """Train or fine-tune a network as a YAML file describes.

    The folder of the run gets all options, weights, metrics and report.html. After an
    interruption, the same command goes on where it stopped.

    Examples:
      vitpose train --config examples/train/finetune.yaml
      vitpose train -c finetune.yaml -o runs/hands --set optimizer.lr=1e-4 --dry-run
      torchrun --nproc-per-node 8 -m vitpose_cli train -c examples/train/vitpose-b.yaml
    """
    with starting():
        from vitpose_cli.config import load_config
        from vitpose_cli.runtime import Process
        from vitpose_cli.training.config import TrainConfig
        from vitpose_cli.training.loop import train as train_network
        from vitpose_cli.training.plan import plan_training

    changes = list(overrides or ())
    if device is not None:
        changes.append(f"device={device}")
    if allow_missing:
        changes.append("data.allow_missing=true")
    resolved = load_config(TrainConfig, config, changes)
    folder = output or Path("runs") / config.stem
    if dry_run:
        with busy(_OPENING):
            plan = plan_training(resolved, folder)
        print_json(plan.as_dict()) if json else _show_plan(plan)
        return
    leads = Process.from_environment().rank == 0
    with _watching(shown=leads and sys.stderr.isatty()) as observer:
        outcome = train_network(resolved, folder, observer)
    if not leads:
        return
    if json:
        print_json(
            {
                "weights": str(outcome.weights),
                "best_ap": outcome.best,
                "report": str(outcome.report),
            }
        )
    else:
        measured = "" if outcome.best is None else f", AP {outcome.best:.3f}"
        note(f"weights {outcome.weights}{measured}; report {outcome.report}")


class _Talk:
    """Tells of a run line by line, where nobody watches."""

    def note(self, text: str) -> None:
        note(text)

    def prepare(self, done: int, total: int) -> None:
        if done == total:
            note(f"read {total:,} photos")

    def line(self, line: Mapping[str, Any]) -> None:
        note(_as_text(line))


class _Screen:
    """Shows a run as a table that grows and moves on."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._rows: deque[Mapping[str, Any]] = deque(maxlen=_ROWS_SHOWN)
        self._measured = ""

    def note(self, text: str) -> None:
        self._live.console.print(printable(text), soft_wrap=True)

    def prepare(self, done: int, total: int) -> None:
        self._live.update(f"reading photos: {done:,} of {total:,}")

    def line(self, line: Mapping[str, Any]) -> None:
        if line["kind"] == "validation":
            self._measured = _as_text(line)
        else:
            self._rows.append(line)
        table = Table(caption=self._measured, caption_justify="left")
        for name in _COLUMNS:
            table.add_column(_label(name).replace("_", " "), justify="right")
        for row in self._rows:
            table.add_row(*(_cell(name, row[name]) for name in _COLUMNS))
        self._live.update(table)


@contextmanager
def _watching(*, shown: bool) -> Iterator[Observer]:
    """Show what happens: a live table on a terminal, else a line for each line of metrics.

    Args:
        shown: Whether to draw. Of processes that share a terminal the first one alone may: others,
            which are told nothing, would draw over it what they began with.
    """
    if not shown:
        yield _Talk()
        return
    opening = Spinner("dots", f"{_OPENING} …")  # of many videos it takes a while
    with Live(opening, console=stderr, refresh_per_second=4) as live:
        yield _Screen(live)


def _as_text(line: Mapping[str, Any]) -> str:
    place = f"stage {line['stage'] + 1} step {line['step']}"
    if line["kind"] == "validation":
        return f"{place}: AP {line['AP']:.4f}"
    cells = (f"{_label(name)} {_cell(name, line[name])}" for name in _COLUMNS[2:])
    return f"{place}: {', '.join(cells)}"


def _label(name: str) -> str:
    return "left" if name == "left_s" else name


def _cell(name: str, value: float) -> str:
    if name == "stage":
        return str(int(value) + 1)
    if name == "left_s":
        return str(timedelta(seconds=value))
    if name == "data_share":
        return f"{value:.1%}"
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def _show_plan(plan: TrainingPlan) -> None:
    """Print what a run would do; last what is looked at most."""
    stdout.print(plan.changed, markup=False, soft_wrap=True)
    of_group = ("layer", "rate x", "weight decay", "tensors", "parameters")
    groups = figures(*of_group, title="Parameter groups")
    for group in plan.groups:
        groups.add_row(
            str(group.layer),
            f"{group.rate_scale:.4g}",
            f"{group.weight_decay:g}",
            str(group.num_tensors),
            f"{group.num_parameters:,}",
        )
    stdout.print(groups)
    for source in plan.sources:
        stdout.print(
            f"{source['for']}: {source['path']}: {source['people']:,} people "
            f"({source['keypoint_set']}) in {source['photos']:,} photos",
            markup=False,
            soft_wrap=True,
        )
    for text in plan.notes:
        stdout.print(text, markup=False, soft_wrap=True)
    for name, head in plan.heads.items():
        stdout.print(f"head {name}: {head}", markup=False)
    for name, text in plan.teachers.items():
        stdout.print(f"teacher of {name}: {text}", markup=False)
    learning, total = plan.trainable
    stdout.print(f"{learning:,} of {total:,} parameters learn, on {plan.device} in {plan.dtype}")
    of_stage = ("input", "steps", "epochs", "batch", "peak lr", "weights MiB", "activations MiB")
    stages = figures(*of_stage, title="Stages")
    for stage in plan.stages:
        stages.add_row(
            "x".join(map(str, stage.input_wh)),
            f"{stage.steps:,}",
            f"{stage.epochs:g}",
            str(stage.batch_size),
            f"{stage.peak_lr:g}",
            f"{stage.weights_mib:,}",
            f"~{stage.activations_mib:,}",
        )
    stdout.print(stages)

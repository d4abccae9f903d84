"""The report of a training run: one HTML file that opens anywhere, without a network.

Curves are those of `charts`; pictures are inside the file.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from vitpose_cli.charts import Axes, Point, figure, html_page, line_chart
from vitpose_cli.files import atomic_file
from vitpose_cli.plurals import counted
from vitpose_cli.training.checkpoints import RunFolder
from vitpose_cli.training.metrics import StepAxis, read_metrics


def write_report(folder: RunFolder, best: float | None) -> None:
    """Write `report.html` from the run's metrics, pictures and configuration.

    Args:
        folder: The run.
        best: The AP of its best weights; None where there are none.

    Raises:
        InputError: The metrics cannot be read, or the report cannot be written.
    """
    axis = StepAxis()
    lines = [line | {"at": axis.place(line)} for line in read_metrics(folder.metrics)]
    trained = [line for line in lines if line["kind"] == "train"]
    measured = [line for line in lines if line["kind"] == "validation"]
    parts = [
        f"<h1>Training run {escape(folder.path.name)}</h1>",
        f"<p>{_summary(trained, measured, best)}</p>",
        "<div class=curves>",
        *_curves(trained, measured),
        "</div>",
        _table(measured),
        *_pictures(
            folder,
            "samples-*.jpg",
            "What the network was shown",
            "Crops of each stage: with their keypoints and with the heatmaps that were asked for; "
            "of a pre-training with what was left of them and what the network drew in the end.",
        ),
        *_pictures(
            folder,
            "worst-*.jpg",
            "Where it is worst",
            "The people with the lowest OKS at the last measurement: the truth, and beside "
            "it what the network says.",
        ),
        "<h2>Configuration</h2>",
        f"<pre>{escape(folder.config.read_text(encoding='utf-8'))}</pre>",
    ]
    page = html_page(folder.path.name, "".join(parts))
    with atomic_file(folder.report) as stream:
        stream.write(page.encode())


def _curves(
    trained: Sequence[Mapping[str, Any]], measured: Sequence[Mapping[str, Any]]
) -> list[str]:
    def points(name: str, lines: Sequence[Mapping[str, Any]]) -> list[Point]:
        return [(line["at"], line[name]) for line in lines if math.isfinite(line[name])]

    losses: dict[str, list[Point]] = {}
    for line in trained:
        if line["loss"] > 0 and math.isfinite(line["loss"]):
            name = f"stage {line['stage'] + 1}"
            losses.setdefault(name, []).append((line["at"], line["loss"]))
    sources: dict[str, list[Point]] = {}
    for line in measured:
        for name, numbers in line["sources"].items():
            if numbers["AP"] is not None:
                sources.setdefault(name, []).append((line["at"], numbers["AP"]))
    return [
        figure("Loss", line_chart(losses, Axes(logarithmic=True))),
        figure("AP", line_chart(sources)),
        figure("Learning rate", line_chart({"": points("lr", trained)})),
        figure("Gradient norm before clipping", line_chart({"": points("gradient_norm", trained)})),
        figure("People a second", line_chart({"": points("people_per_s", trained)})),
    ]


def _summary(
    trained: Sequence[Mapping[str, Any]], measured: Sequence[Mapping[str, Any]], best: float | None
) -> str:
    if not trained:
        return "Nothing was trained yet."
    last = trained[-1]
    text = f"{counted(last['at'], 'step')}; last loss {last['loss']:.3g}"
    places = [line["at"] for line in measured if line["AP"] == best]
    if best is not None and places:
        when = f"after step {places[-1]:,}" if places[-1] else "before the first step"
        text += f"; best AP {best:.3f} {when}"
    if measured:
        text += f"; last AP {measured[-1]['AP']:.3f}"
    return text + f"; peak memory {max(line['memory_mib'] for line in trained):,} MiB."


def _table(measured: Sequence[Mapping[str, Any]]) -> str:
    """Return the last measurement of every source."""
    if not measured:
        return ""
    sources: Mapping[str, Mapping[str, float | None]] = measured[-1]["sources"]
    names = list(next(iter(sources.values())))
    head = "".join(f"<th>{escape(name)}</th>" for name in ("last measurement", *names))
    rows = [
        f"<tr><td>{escape(source)}</td>"
        + "".join(f"<td>{_shown(numbers[name])}</td>" for name in names)
        + "</tr>"
        for source, numbers in sources.items()
    ]
    return f"<h2>Validation</h2><table><tr>{head}</tr>{''.join(rows)}</table>"


def _shown(value: float | None) -> str:
    """Return a number; a dash where there is none, as nobody has that size."""
    return "-" if value is None else f"{value:.3f}"


def _pictures(folder: RunFolder, pattern: str, title: str, text: str) -> list[str]:
    files = sorted(folder.pictures.glob(pattern))
    if not files:
        return []
    images = [
        f'<img alt="{escape(file.stem)}" src="data:image/jpeg;base64,'
        f'{base64.b64encode(file.read_bytes()).decode()}">'
        for file in files
    ]
    return [f"<h2>{escape(title)}</h2><p>{escape(text)}</p>", *images]

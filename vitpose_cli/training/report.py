"""The report of a training run: one HTML file that opens anywhere, without a network.

Curves are drawn as SVG here: a hundred lines that never change their looks, instead of a plotting
library, or scripts from somewhere else. Pictures are inside the file.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from vitpose_cli.records.files import atomic_file
from vitpose_cli.training.checkpoints import RunFolder
from vitpose_cli.training.metrics import read_metrics

_WIDTH, _HEIGHT = 640, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 12, 28
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9")

Point = tuple[float, float]

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1360px; padding: 0 1rem;
       color: #222; background: #fff; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.curves { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; } figcaption { font-weight: 600; }
svg text { font: 11px system-ui, sans-serif; fill: #555; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem; text-align: right;
        border-bottom: 1px solid #ddd; } td:first-child, th:first-child { text-align: left; }
img { max-width: 100%; border: 1px solid #ddd; }
pre { background: #f6f6f6; padding: 1rem; overflow-x: auto; }
"""


def write_report(folder: RunFolder) -> None:
    """Write `report.html` from the run's metrics, pictures and configuration.

    Raises:
        InputError: The metrics cannot be read, or the report cannot be written.
    """
    lines = _with_global_steps(read_metrics(folder.metrics))
    trained = [line for line in lines if line["kind"] == "train"]
    measured = [line for line in lines if line["kind"] == "validation"]
    parts = [
        f"<h1>Training run {escape(folder.path.name)}</h1>",
        f"<p>{_summary(trained, measured)}</p>",
        "<div class=curves>",
        *_curves(trained, measured),
        "</div>",
        _table(measured),
        *_pictures(
            folder,
            "samples-*.jpg",
            "What the network was shown",
            "The first crops of each stage with their keypoints, and with the heatmaps "
            "that were asked for.",
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
    page = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(folder.path.name)}"
        f"</title><style>{_STYLE}</style><body>{''.join(parts)}</body></html>"
    )
    with atomic_file(folder.report) as stream:
        stream.write(page.encode())


def curve(title: str, series: Mapping[str, Sequence[Point]], *, logarithmic: bool = False) -> str:
    """Return an SVG figure of lines by name.

    Args:
        title: What is drawn.
        series: Points (x, y) of each line; lines without points are left out.
        logarithmic: Draw powers of ten at equal distances; needs positive values.
    """
    shown = {name: list(points) for name, points in series.items() if points}
    if not shown:
        return ""
    xs = [x for points in shown.values() for x, _ in points]
    ys = [math.log10(y) if logarithmic else y for points in shown.values() for _, y in points]
    x_ticks, y_ticks = ticks(min(0, *xs), max(xs)), ticks(min(ys), max(ys))
    x_low, x_high = x_ticks[0], max(x_ticks[-1], max(xs))
    y_low, y_high = min(y_ticks[0], *ys), max(y_ticks[-1], *ys)

    def place(x: float, y: float) -> Point:
        across = (x - x_low) / ((x_high - x_low) or 1)
        up = (y - y_low) / ((y_high - y_low) or 1)
        return (
            _LEFT + across * (_WIDTH - _LEFT - _RIGHT),
            _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM),
        )

    marks = []
    for value in y_ticks:
        x, y = place(x_low, value)
        label = _number(10**value if logarithmic else value)
        marks.append(f'<path d="M{x:.1f} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#e4e4e4"/>')
        marks.append(f'<text x="{x - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for value in x_ticks:
        x, _ = place(value, y_low)
        label = _number(value)
        marks.append(f'<text x="{x:.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{label}</text>')
    for number, (name, points) in enumerate(shown.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        placed = [place(x, math.log10(y) if logarithmic else y) for x, y in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        marks.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        marks += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>'
            for x, y in placed[:: max(1, len(placed) // 40)]
        ]
        if len(shown) > 1:
            height = _TOP + 12 + 14 * number
            marks.append(
                f'<text x="{_WIDTH - _RIGHT - 4}" y="{height}" text-anchor="end" '
                f'style="fill:{colour}">{escape(name)}</text>'
            )
    return (
        f"<figure><figcaption>{escape(title)}</figcaption><svg width={_WIDTH} height={_HEIGHT} "
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}">{"".join(marks)}</svg></figure>'
    )


def ticks(low: float, high: float) -> list[float]:
    """Return round numbers, about five, from just below `low` to `high`."""
    span = (high - low) or abs(high) or 1.0
    rough = span / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.floor(low / step)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _with_global_steps(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Count steps over all stages."""
    lengths: dict[int, int] = {}
    for line in lines:
        lengths[line["stage"]] = max(line["step"], lengths.get(line["stage"], 0))
    return [
        line
        | {
            "at": line["step"]
            + sum(lengths[stage] for stage in range(line["stage"]) if stage in lengths)
        }
        for line in lines
    ]


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
            sources.setdefault(name, []).append((line["at"], numbers["AP"]))
    return [
        curve("Loss", losses, logarithmic=True),
        curve("AP", sources),
        curve("Learning rate", {"": points("lr", trained)}),
        curve("Gradient norm before clipping", {"": points("gradient_norm", trained)}),
        curve("People a second", {"": points("people_per_s", trained)}),
    ]


def _summary(trained: Sequence[Mapping[str, Any]], measured: Sequence[Mapping[str, Any]]) -> str:
    if not trained:
        return "Nothing was trained yet."
    last = trained[-1]
    text = f"{last['at']:,} steps; last loss {last['loss']:.3g}"
    if measured:
        best = max(measured, key=lambda line: line["AP"])
        text += (
            f"; best AP {best['AP']:.3f} after step {best['at']:,}, last {measured[-1]['AP']:.3f}"
        )
    return text + f"; peak memory {max(line['memory_mib'] for line in trained):,} MiB."


def _table(measured: Sequence[Mapping[str, Any]]) -> str:
    """Return the last measurement of every source."""
    if not measured:
        return ""
    sources: Mapping[str, Mapping[str, float]] = measured[-1]["sources"]
    names = list(next(iter(sources.values())))
    head = "".join(f"<th>{escape(name)}</th>" for name in ("last measurement", *names))
    rows = [
        f"<tr><td>{escape(source)}</td>"
        + "".join(f"<td>{numbers[name]:.3f}</td>" for name in names)
        + "</tr>"
        for source, numbers in sources.items()
    ]
    return f"<h2>Validation</h2><table><tr>{head}</tr>{''.join(rows)}</table>"


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


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 and value == round(value) else f"{value:.3g}"

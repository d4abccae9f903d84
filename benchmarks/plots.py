"""Draw the figures in `rows.json` as the plots of `README.md`.

    python benchmarks/plots.py

`rows.json` holds what `annotate_speed.py --json` and `video_speed.py --json` printed and what
`gpu.py --device cpu` wrote. Bars lie on their side, which the charts of the package do not: their
names are long.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from vitpose_cli.charts import COLOURS

HERE = Path(__file__).parent
LEFT, RIGHT, TOP, BAR, STEP, WIDTH = 190, 60, 28, 15, 19, 640
OURS, OTHERS, WHOLE = COLOURS[0], COLOURS[7], COLOURS[6]
PEERS = {
    "transformers": "transformers",
    "one_by_one": "plain loop",
    "rtmlib": "rtmlib (ONNX Runtime)",
    "ours": "vitpose",
}
STAGES = {
    "network": COLOURS[0],
    "encode": COLOURS[1],
    "decode": COLOURS[2],
    "draw": COLOURS[3],
}


@dataclass(frozen=True)
class Bar:
    """A bar of one piece or several, each a length and a colour."""

    name: str
    pieces: Sequence[tuple[float, str]]

    @property
    def length(self) -> float:
        """Of all pieces."""
        return sum(length for length, _ in self.pieces)


def peers(rows: dict[str, Any]) -> list[Bar]:
    """Return the people that each way labels in a CPU second, for each size of network."""
    return [
        Bar(f"{variant}: {label}", [(row["crops"] / row[way]["cpu_s"], colour)])
        for variant, row in rows.items()
        for way, label in PEERS.items()
        for colour in [OURS if way == "ours" else OTHERS]
    ]


def stages(rows: dict[str, Any]) -> list[Bar]:
    """Return the CPU time of a frame: each stage alone, and `render` without labels."""
    bars = []
    for name, row in rows.items():
        alone = [(1000 / row[stage]["cpu_fps"], colour) for stage, colour in STAGES.items()]
        bars.append(Bar(f"{name}: stages alone", alone))
        bars.append(Bar(f"{name}: render", [(1000 / row["label and render"]["cpu_fps"], WHOLE)]))
    return bars


def folders(rows: dict[str, Any]) -> list[Bar]:
    """Return the photos a second that a folder is labelled with, by size and people."""
    found = {**rows["pipeline"], "1920x1080 video, 3 people": rows["video"]}
    return [Bar(name, [(row["photos_per_s"], OURS)]) for name, row in found.items()]


def batches(rows: dict[str, Any]) -> list[Bar]:
    """Return the crops a second of the network alone, at its best batch size and one by one."""
    bars = []
    for name, row in rows["network"].items():
        if isinstance(row, dict) and "best" in row:
            best = max(row["maps"], key=row["maps"].__getitem__)
            bars.append(Bar(f"{name}, batch {best}", [(row["best"], OURS)]))
            bars.append(Bar(f"{name}, batch 1", [(row["maps"]["1"], OTHERS)]))
    return bars


def chart(title: str, bars: Sequence[Bar], legend: dict[str, str]) -> str:
    """Return bars as SVG, each with its number behind it."""
    height = TOP + STEP * (len(bars) + bool(legend)) + 8
    scale = (WIDTH - LEFT - RIGHT) / max(bar.length for bar in bars)
    marks = [text(8, 18, title, 'font-weight="600"')]
    for number, bar in enumerate(bars):
        x, y = float(LEFT), TOP + STEP * number
        marks.append(text(LEFT - 8, y + 12, bar.name, 'text-anchor="end"'))
        for length, colour in bar.pieces:
            marks.append(
                f'<rect x="{x:.1f}" y="{y}" width="{length * scale:.1f}" height="{BAR}" '
                f'fill="{colour}"/>'
            )
            x += length * scale
        marks.append(text(x + 6, y + 12, f"{bar.length:.3g}"))
    for number, (name, colour) in enumerate(legend.items()):
        x, y = LEFT + 90 * number, TOP + STEP * len(bars) + 2
        marks.append(f'<rect x="{x}" y="{y}" width="10" height="10" fill="{colour}"/>')
        marks.append(text(x + 15, y + 9, name))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}"><rect width="{WIDTH}" height="{height}" fill="#fff"/>'
        f'<g font-family="system-ui, sans-serif" font-size="12" fill="#333">{"".join(marks)}</g>'
        "</svg>\n"
    )


def text(x: float, y: float, words: str, extra: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {extra}>{escape(words)}</text>'


def main() -> None:
    rows = json.loads((HERE / "rows.json").read_text(encoding="utf-8"))
    speed, stage_rates, cpu = rows["annotate_speed"], rows["video_speed"], rows["cpu"]
    plots = {
        "annotate_speed": chart("People labelled in a CPU second, fp32", peers(speed), {}),
        "video_stages": chart("CPU milliseconds of a frame of video", stages(stage_rates), STAGES),
        "folder_speed": chart("Photos a second, tiny, boxes given", folders(cpu), {}),
        "network_speed": chart("Crops a second of the network alone, fp32", batches(cpu), {}),
    }
    for name, plot in plots.items():
        (HERE / f"{name}.svg").write_text(plot, encoding="utf-8")


if __name__ == "__main__":
    main()

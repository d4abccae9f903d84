"""Lines and bars as SVG, and the page they stand on: one file that opens anywhere, also offline.

Three hundred lines that never change their looks, instead of a plotting library that takes seconds
to load, or scripts from somewhere else. Colours are those of Okabe and Ito (2008), which
colour-blind people tell apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#000000", "#999999")

Point = tuple[float, float]

_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 12, 28
_AXIS_TITLE = 18
_LEGEND_LINE = 14
_MOST_MARKS = 40
_LETTER = 6.5  # px, about as wide as one is
_ROW = 17  # px from one lying bar to the next
_ROW_LENGTH = 480
_FONT = 'font-family="system-ui, sans-serif" font-size="11" fill="#555"'

PAGE_START = (
    "<!doctype html><html lang=en><meta charset=utf-8><meta name=generator content=vitpose>"
)
"""What every page of this program begins with, and is known by."""

PAGE_SUFFIXES = (".html", ".htm")
"""How the name of a page ends; with another one it might take the place of other data."""

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1360px; padding: 0 1rem;
       color: #222; background: #fff; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.curves { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; } figcaption { font-weight: 600; }
table { border-collapse: collapse; margin: 1rem 0 2rem; }
td, th { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid #ddd; }
td:first-child, th:first-child { text-align: left; }
img { max-width: 100%; border: 1px solid #ddd; }
pre { background: #f6f6f6; padding: 1rem; overflow-x: auto; }
"""


@dataclass(frozen=True, slots=True)
class Axes:
    """How a chart is laid out.

    Attributes:
        x_title: What is along; empty for no words.
        y_title: What is up; empty for no words.
        logarithmic: Draw powers of ten at equal distances upwards; needs positive values.
        counts: Upwards are counts: numbers stand at whole ones alone.
        size_wh: Of the drawing, px.
    """

    x_title: str = ""
    y_title: str = ""
    logarithmic: bool = False
    counts: bool = False
    size_wh: tuple[int, int] = (640, 240)


def line_chart(series: Mapping[str, Sequence[Point]], axes: Axes = Axes()) -> str:
    """Return lines by name as SVG; empty where no line has a point.

    Args:
        series: Points (x, y) of each line; lines without points are left out.
        axes: How it is laid out.
    """
    shown = {
        name: [(x, math.log10(y) if axes.logarithmic else y) for x, y in points]
        for name, points in series.items()
        if points
    }
    if not shown:
        return ""
    frame = _Frame.around([point for points in shown.values() for point in points], axes)
    marks = frame.marks()
    for number, points in enumerate(shown.values()):
        colour = COLOURS[number % len(COLOURS)]
        placed = [frame.place(x, y) for x, y in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        marks.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        marks += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>'
            for x, y in placed[:: max(1, len(placed) // _MOST_MARKS)]
        ]
    if len(shown) > 1:
        marks += frame.legend(shown)
    return _svg(marks, axes)


def bar_chart(bars: Sequence[tuple[str, float]], axes: Axes = Axes()) -> str:
    """Return bars from zero upwards as SVG; empty where there are none.

    Where room is short, not every bar is named: the names go on in steps that a reader knows.

    Args:
        bars: What stands below each bar, and its height, 0 or more.
        axes: How it is laid out; never logarithmic.
    """
    if not bars:
        return ""
    points = [(0.0, 0.0), (float(len(bars)), max(height for _, height in bars))]
    frame = _Frame.around(points, axes)
    marks = frame.marks(x_numbers=False)
    step = _naming_step([name for name, _ in bars], frame.width / len(bars))
    for number, (name, height) in enumerate(bars):
        left, top = frame.place(number + 0.1, height)
        right, bottom = frame.place(number + 0.9, 0)
        marks.append(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
            f'height="{bottom - top:.1f}" fill="{COLOURS[0]}"><title>{escape(name)}: '
            f"{_number(height)}</title></rect>"
        )
        if number % step == 0:
            marks.append(_text((left + right) / 2, bottom + 15, escape(name), "middle"))
    return _svg(marks, axes)


def named_bars(bars: Sequence[tuple[str, float]], title: str = "") -> str:
    """Return bars that lie below each other, every one with its name, as SVG; empty without any.

    Args:
        bars: The name before each bar, and its length, 0 or more.
        title: What the lengths are.
    """
    if not bars:
        return ""
    left = 12 + math.ceil(_LETTER * max(len(name) for name, _ in bars)) + 6
    bottom = _TOP + _ROW * len(bars)
    numbers = ticks(0, max(length for _, length in bars))
    full = max(numbers[-1], *(length for _, length in bars)) or 1.0
    marks = []
    for number in numbers:
        x = left + _ROW_LENGTH * number / full
        marks.append(f'<path d="M{x:.1f} {_TOP}V{bottom}" stroke="#e4e4e4"/>')
        marks.append(_text(x, bottom + 16, _number(number), "middle"))
    for row, (name, length) in enumerate(bars):
        top = _TOP + _ROW * row + 2
        marks.append(
            f'<rect x="{left}" y="{top}" width="{_ROW_LENGTH * length / full:.1f}" '
            f'height="{_ROW - 4}" fill="{COLOURS[0]}"><title>{escape(name)}: '
            f"{_number(length)}</title></rect>"
        )
        marks.append(_text(left - 6, top + 10, escape(name), "end"))
    marks.append(_text(left + _ROW_LENGTH / 2, bottom + 34, escape(title), "middle"))
    return _svg(marks, Axes(size_wh=(left + _ROW_LENGTH + 2 * _RIGHT, bottom + 42)))


def _naming_step(names: Sequence[str], bar_px: float) -> int:
    """Return the least n so that every n-th name has room, from the first one on."""
    for step in range(1, len(names)):
        if max(map(len, names[::step])) * _LETTER + 6 <= step * bar_px:
            return step
    return len(names)


def figure(title: str, svg: str) -> str:
    """Return a chart with its title above, for a page; empty if the chart is."""
    return f"<figure><figcaption>{escape(title)}</figcaption>{svg}</figure>" if svg else ""


def html_page(title: str, body: str) -> str:
    """Return a whole HTML file; `body` is HTML already."""
    return (
        f"{PAGE_START}<title>{escape(title)}</title>"
        f"<style>{_STYLE}</style><body>{body}</body></html>"
    )


def is_page(path: Path) -> bool:
    """Return whether a file is a page of this program.

    Raises:
        OSError: It cannot be read.
    """
    start = PAGE_START.encode()
    with path.open("rb") as file:
        return file.read(len(start)) == start


def ticks(low: float, high: float) -> list[float]:
    """Return round numbers, about five, from just below `low` to `high`."""
    span = (high - low) or abs(high) or 1.0
    rough = span / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.floor(low / step)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


@dataclass(frozen=True, slots=True)
class _Frame:
    """The area between the axes, and the values at its edges."""

    axes: Axes
    x_ticks: list[float]
    y_ticks: list[float]
    x_range: Point
    y_range: Point

    @classmethod
    def around(cls, points: Sequence[Point], axes: Axes) -> _Frame:
        xs, ys = zip(*points, strict=True)
        x_ticks, y_ticks = ticks(min(0, *xs), max(xs)), ticks(min(ys), max(ys))
        if axes.counts:
            y_ticks = [value for value in y_ticks if value == round(value)]
        return cls(
            axes,
            x_ticks,
            y_ticks,
            (x_ticks[0], max(x_ticks[-1], *xs)),
            (min(y_ticks[0], *ys), max(y_ticks[-1], *ys)),
        )

    @property
    def left(self) -> int:
        return _LEFT + (_AXIS_TITLE if self.axes.y_title else 0)

    @property
    def bottom(self) -> int:
        return self.axes.size_wh[1] - _BOTTOM - (_AXIS_TITLE if self.axes.x_title else 0)

    @property
    def width(self) -> int:
        return self.axes.size_wh[0] - self.left - _RIGHT

    def place(self, x: float, y: float) -> Point:
        across = (x - self.x_range[0]) / ((self.x_range[1] - self.x_range[0]) or 1)
        up = (y - self.y_range[0]) / ((self.y_range[1] - self.y_range[0]) or 1)
        return self.left + across * self.width, self.bottom - up * (self.bottom - _TOP)

    def marks(self, *, x_numbers: bool = True) -> list[str]:
        """Return grid lines, numbers and titles."""
        marks = []
        right = self.axes.size_wh[0] - _RIGHT
        for value in self.y_ticks:
            x, y = self.place(self.x_range[0], value)
            label = _number(10**value if self.axes.logarithmic else value)
            marks.append(f'<path d="M{x:.1f} {y:.1f}H{right}" stroke="#e4e4e4"/>')
            marks.append(_text(x - 6, y + 4, label, "end"))
        for value in self.x_ticks if x_numbers else ():
            x, _ = self.place(value, self.y_range[0])
            marks.append(_text(x, self.bottom + 20, _number(value), "middle"))
        if self.axes.x_title:
            x, y = self.left + self.width / 2, self.axes.size_wh[1] - 8
            marks.append(_text(x, y, escape(self.axes.x_title), "middle"))
        if self.axes.y_title:
            middle = (self.bottom + _TOP) / 2
            turned = f'transform="rotate(-90 14 {middle})"'
            marks.append(_text(14, middle, escape(self.axes.y_title), "middle", turned))
        return marks

    def legend(self, lines: Mapping[str, Sequence[Point]]) -> list[str]:
        """Return the names in the colours of their lines, in the corner where fewest lines are."""
        ends = [self.place(*points[-1])[1] for points in lines.values()]
        height = _LEGEND_LINE * len(lines)
        above = sum(end < (self.bottom + _TOP) / 2 for end in ends) * 2 < len(ends)
        top = _TOP + 12 if above else self.bottom - height + 4
        x = self.axes.size_wh[0] - _RIGHT - 4
        return [
            _text(
                x,
                top + _LEGEND_LINE * number,
                escape(name),
                "end",
                f'style="fill:{COLOURS[number % len(COLOURS)]}"',
            )
            for number, name in enumerate(lines)
        ]


def _svg(marks: Sequence[str], axes: Axes) -> str:
    width, height = axes.size_wh
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}"><rect width="{width}" height="{height}" fill="#fff"/>'
        f"<g {_FONT}>{''.join(marks)}</g></svg>"
    )


def _text(x: float, y: float, text: str, anchor: str, extra: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {extra}>{text}</text>'


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 and value == round(value) else f"{value:.3g}"

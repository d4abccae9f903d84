"""Charts: numbers on the axes, marks inside of the frame, files that stand alone."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitpose_cli.charts import (
    Axes,
    bar_chart,
    figure,
    html_page,
    line_chart,
    named_bars,
    ticks,
)
from vitpose_cli.pose.keypoints import keypoint_set

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 3))
SIDES = ("x", "y", "width", "height")
SVG = "{http://www.w3.org/2000/svg}"


@given(low=NUMBERS, span=st.floats(1e-3, 1e6))
def test_ticks_are_few_round_and_start_below(low: float, span: float) -> None:
    marks = ticks(low, low + span)
    assert 3 <= len(marks) <= 12
    assert marks[0] <= low + 1e-9 * max(1, abs(low))
    assert marks[-1] <= low + span * (1 + 1e-6) + 1e-6 * abs(low)
    steps = {round((b - a) / (marks[1] - marks[0]), 3) for a, b in pairwise(marks)}
    assert steps <= {1.0}


def test_ticks_of_a_single_value_exist() -> None:
    assert ticks(0, 0)
    assert 5.0 in ticks(5, 5)


def test_lines_stay_inside_of_their_frame() -> None:
    chart = line_chart(
        {"a": [(0, 0.5), (10, 2e-3)], "b": [(5, 1e-2)], "none": []}, Axes(logarithmic=True)
    )
    found = re.findall(r'points="([^"]+)"', chart)
    assert len(found) == 2
    for pair in " ".join(found).split():
        x, y = map(float, pair.split(","))
        assert 64 <= x <= 628
        assert 12 <= y <= 212
    assert line_chart({"a": []}) == figure("Nothing", "") == ""


@given(
    st.lists(
        st.tuples(st.text(max_size=8), st.floats(0, 1e9, allow_subnormal=False)),
        min_size=1,
        max_size=40,
    )
)
def test_bars_stand_on_the_axis(bars: list[tuple[str, float]]) -> None:
    axes = Axes("people", "photos", size_wh=(400, 200))
    root = ElementTree.fromstring(bar_chart(_printable(bars), axes))
    rectangles = list(root.iter(f"{SVG}rect"))[1:]  # after the background
    assert len(rectangles) == len(bars)
    for rectangle in rectangles:
        x, y, width, height = (
            float(rectangle.attrib[name]) for name in ["x", "y", "width", "height"]
        )
        assert 0 <= x < x + width <= 400
        assert 12 - 0.1 <= y <= y + height <= 200
    assert bar_chart([]) == ""


@pytest.mark.parametrize("name", ["coco", "wholebody"])
def test_every_lying_bar_has_its_name_beside_it(name: str) -> None:
    names = keypoint_set(name).names
    bars = [(each, number / len(names)) for number, each in enumerate(names)]
    root = ElementTree.fromstring(named_bars(bars, "share of people"))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    texts = {element.text: element.attrib for element in root.iter(f"{SVG}text")}
    assert {*names, "share of people", "0"} <= {*texts}
    rows = []
    for (each, length), rectangle in zip(bars, list(root.iter(f"{SVG}rect"))[1:], strict=True):
        x, y, across, up = (float(rectangle.attrib[side]) for side in SIDES)
        assert across == pytest.approx(length * 480, abs=30)
        assert x + across <= width
        assert y < float(texts[each]["y"]) < y + up < height
        assert 6.5 * len(each) < float(texts[each]["x"]) < x  # in the drawing, before the bar
        rows.append(float(texts[each]["y"]))
    assert min(b - a for a, b in pairwise(rows)) > 11  # px, the size of the letters
    assert named_bars([]) == ""


@given(st.lists(st.integers(0, 7), min_size=1, max_size=6))
def test_counts_have_no_parts(counts: list[int]) -> None:
    chart = bar_chart([("", float(count)) for count in counts], Axes(counts=True))
    texts = [each.text or "" for each in ElementTree.fromstring(chart).iter(f"{SVG}text")]
    assert all(text.isdigit() for text in texts if text)
    assert "0" in texts


def test_names_below_bars_do_not_meet() -> None:
    names = [*(f"{number / 20:.2f}" for number in range(19)), "0.95 and more"]
    chart = bar_chart([(name, 1.0) for name in names], Axes(counts=True))
    shown = [
        (float(each.attrib["x"]), each.text)
        for each in ElementTree.fromstring(chart).iter(f"{SVG}text")
        if each.text in names
    ]
    assert len(shown) == 10
    assert min(b - a for (a, _), (b, _) in pairwise(shown)) > 4 * 6.5


def test_names_are_text_and_never_markup() -> None:
    chart = line_chart({"<b>": [(0, 1), (1, 2)], "&": [(0, 1), (1, 3)]}, Axes("<x>", "<y>"))
    texts = {element.text for element in ElementTree.fromstring(chart).iter(f"{SVG}text")}
    assert {"<b>", "&", "<x>", "<y>"} <= texts
    page = html_page("<t>", figure("<f>", chart))
    assert "<f>" not in page
    assert "&lt;t&gt;" in page


def _printable(bars: list[tuple[str, float]]) -> list[tuple[str, float]]:
    return [("".join(c for c in name if c.isprintable()), height) for name, height in bars]

"""What a command writes takes the place of what it wrote before, and of nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from label_cases import make_record, make_run
from video_cases import write_video

from vitpose_cli.difference import DiffOptions, compare
from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.media.video_sink import VideoSink
from vitpose_cli.pose.instances import Instances
from vitpose_cli.render.options import RenderOptions
from vitpose_cli.render.rendering import render
from vitpose_cli.select.options import SelectOptions
from vitpose_cli.select.selection import select_frames
from vitpose_cli.sheet import SheetOptions, make_sheet
from vitpose_cli.stats import measure, write_page

PHOTOS = ["a.jpg", "b.png"]


def draw_sheet(run: Path, output: Path) -> None:
    make_sheet(SheetOptions(run, output))


def draw_difference(run: Path, output: Path) -> None:
    compare(DiffOptions(run, run.with_name("moved"), picture=output))


def draw_photo(run: Path, output: Path) -> None:
    source = str(run.parent / "photos" / "a.jpg")
    render(RenderOptions((source,), output, run), lambda *_: None, lambda _: None)


def draw_folder(run: Path, output: Path) -> None:
    source = str(run.parent / "photos")
    render(RenderOptions((source,), output.parent, run), lambda *_: None, lambda _: None)


def write_charts(run: Path, output: Path) -> None:
    write_page(measure(run), "charts", output)


def choose(run: Path, output: Path) -> None:
    select_frames(SelectOptions(run, output=output), lambda *_: None, lambda _: None)


PICTURES = (draw_sheet, draw_difference, draw_photo, draw_folder)
COMMANDS = [
    *((command, "a.jpg") for command in PICTURES),
    *((command, "b.png") for command in PICTURES[:2]),
    (draw_sheet, "page.html"),
    (write_charts, "page.html"),
    (choose, "queue.json"),
]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for name in PHOTOS:
        cv2.imwrite(str(tmp_path / "photos" / name), np.zeros((480, 640, 3), np.uint8))
    sources = (str(tmp_path / "photos"),)
    records = [make_record(name) for name in PHOTOS]
    moved = [replace(each, instances=moved_by(5, each.instances)) for each in records]
    make_run(tmp_path / "moved", moved, sources=sources)
    return make_run(tmp_path / "run", records, sources=sources)


def moved_by(px: float, people: Instances | None) -> Instances:
    assert people is not None
    return replace(people, keypoints=people.keypoints + np.float32(px))


@pytest.mark.parametrize(("command", "name"), COMMANDS)
def test_only_what_was_written_before_is_replaced(
    run: Path, tmp_path: Path, command: Callable[[Path, Path], None], name: str
) -> None:
    output = tmp_path / "out" / name
    output.parent.mkdir()
    output.touch()  # as mktemp makes it
    for _ in range(2):
        command(run, output)
        assert output.stat().st_size > 0
    for foreign in (tmp_path / "photos" / "a.jpg", run / "annotations.json"):
        before = foreign.read_bytes()
        shutil.copy(foreign, output)
        with pytest.raises(InputError, match="is there already"):
            command(run, output)
        assert output.read_bytes() == before


def test_a_video_takes_the_place_of_a_drawn_one_alone(tmp_path: Path) -> None:
    drawn, shot = tmp_path / "drawn.mp4", write_video(tmp_path / "shot.mp4", num=2)
    for _ in range(2):
        with VideoSink(drawn) as sink:
            sink.write(Frame(FrameKey("drawn.mp4", 0), np.zeros((48, 64, 3), np.uint8)))
    before = shot.read_bytes()
    with pytest.raises(InputError, match="is there already"):
        VideoSink(shot)
    assert shot.read_bytes() == before

"""A few frames out of many, and what is made of them: cut-outs and colours."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from label_cases import COCO, make_people

from vitpose_cli.media.cutouts import cut_out
from vitpose_cli.media.frames import Frame, FrameFailure, FrameKey
from vitpose_cli.media.lookup import read_frames
from vitpose_cli.media.thumbnails import colour_thumbnail
from vitpose_cli.pose.instances import Instances


def make_clip(path: Path, num_frames: int = 12) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(num_frames):
            grey = np.full((48, 64, 3), 20 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode())


def test_photos_and_frames_of_videos_come_in_the_order_of_their_keys(tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mp4")
    for name, level in (("b.png", 10), ("a.png", 90)):
        cv2.imwrite(str(tmp_path / name), np.full((8, 8, 3), level, np.uint8))
    (tmp_path / "c.png").write_bytes(b"no picture")
    paths = {name: tmp_path / name for name in ("a.png", "b.png", "c.png", "clip.mp4")}
    keys = [FrameKey("clip.mp4", 7), FrameKey("b.png"), FrameKey("clip.mp4", 2)]
    keys += [FrameKey("c.png"), FrameKey("a.png"), FrameKey("clip.mp4", 99)]
    frames = list(read_frames(paths, keys))
    assert [frame.key for frame in frames] == [
        FrameKey("a.png"), FrameKey("b.png"), FrameKey("c.png"),
        FrameKey("clip.mp4", 2), FrameKey("clip.mp4", 7), FrameKey("clip.mp4", 99),
    ]  # fmt: skip
    levels = [frame.image.mean() for frame in frames if isinstance(frame, Frame)]
    assert levels == pytest.approx([90, 10, 40, 140], abs=4)
    failures = [frame.key for frame in frames if isinstance(frame, FrameFailure)]
    assert failures == [FrameKey("c.png"), FrameKey("clip.mp4", 99)]


def test_people_are_drawn_where_they_are_in_the_cut_out() -> None:
    image = np.full((480, 640, 3), 90, np.uint8)
    people = make_people(2, 3)
    plain = cut_out(image, Instances.empty(17), people.boxes[0], (120, 160), COCO)
    drawn = cut_out(image, people, people.boxes[0], (120, 160), COCO)
    assert plain.shape == drawn.shape == (160, 120, 3)
    middle = plain[40:120, 30:90]
    assert (middle == 90).all()
    assert (drawn != plain).any(axis=2).sum() > 100


def test_colours_are_those_of_the_places() -> None:
    image = np.zeros((64, 96, 3), np.uint8)
    image[:, 48:] = 255
    grid = colour_thumbnail(image, 8)
    assert grid.shape == (8, 8, 3)
    np.testing.assert_allclose(grid[:, :4, 0], 0, atol=0.01)
    np.testing.assert_allclose(grid[:, 4:, 0], 1, atol=0.01)

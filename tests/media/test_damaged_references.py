"""Damage in what other pictures build on: none of these is handed out, even if shown before."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from motion_jpeg_cases import textured
from video_cases import Video, frames_and_failures, frames_of, number, write_video

OPEN = {"x264-params": "open-gop=1:bframes=3:b-pyramid=normal"}
CLIP = Video(num=36, gop=12, size_wh=(240, 180), draw=textured)
VIDEOS = {
    "h264.mp4": CLIP,
    "open.mp4": replace(CLIP, options=OPEN),
    "open.mkv": replace(CLIP, options=OPEN),
    "av1.mp4": replace(CLIP, codec="libsvtav1", options={"preset": "12"}),
    "mpeg4.mp4": replace(CLIP, codec="mpeg4", options={"bf": "2"}),
    "h264.ts": CLIP,
}


@pytest.mark.parametrize("name", VIDEOS)
def test_no_wrong_picture_is_handed_out(tmp_path: Path, name: str) -> None:
    path = write_video(tmp_path / name, VIDEOS[name])
    data = path.read_bytes()
    whole = {number(each.image): each.image for each in frames_of(path)}
    with av.open(str(path)) as container:
        packets = [each for each in container.demux(video=0) if each.size]
    places = [(each.pos or 0, each.size) for each in packets]
    num_noticed = 0
    for index in range(3, 33):
        start = places[index][0] + places[index][1] // 3
        noise = np.random.default_rng(index).bytes(40)
        path.write_bytes(data[:start] + noise + data[start + len(noise) :])
        frames, failures = frames_and_failures(path)
        if not failures:
            continue  # noise may happen to be another picture
        num_noticed += 1
        for frame in frames:
            np.testing.assert_array_equal(frame.image, whole[number(frame.image)])
        if not name.endswith(".ts"):
            shown = [number(frame.image) for frame in frames]
            assert shown == list(range(len(shown)))
            assert [failure.key.index for failure in failures] == [len(frames)]
            assert len(frames) >= index - 8
    assert num_noticed >= 5


def test_a_lost_begin_of_a_keyframe_spoils_what_builds_on_it(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.ts", VIDEOS["h264.ts"])
    data = path.read_bytes()
    whole = {number(each.image): each.image for each in frames_of(path)}
    with av.open(str(path)) as container:
        packets = [each for each in container.demux(video=0) if each.size]
    (start,) = [each.pos or 0 for each in packets if each.is_keyframe][1:2]
    for lost in (188, 400, 940):
        path.write_bytes(data[: start + 188] + data[start + 188 + lost :])
        frames, failures = frames_and_failures(path)
        assert failures
        for frame in frames:
            np.testing.assert_array_equal(frame.image, whole[number(frame.image)])
        assert number(frames[-1].image) == 35


def test_av1_that_does_not_keep_to_its_standard_is_read_all_the_same(tmp_path: Path) -> None:
    before = os.sched_getscheduler(0) if hasattr(os, "sched_getscheduler") else None
    path = write_video(tmp_path / "a.mp4", VIDEOS["av1.mp4"])
    if before is not None:
        assert os.sched_getscheduler(0) == before  # other tests' processes inherit it
    odd = tmp_path / "a.obu"
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        # RGB, with half as many colours as pixels: no picture needs to know.
        change = BitStreamFilterContext("av1_metadata=matrix_coefficients=0", stream)
        parts = [bytes(part) for each in container.demux(stream) for part in change.filter(each)]
    odd.write_bytes(b"".join(b"\x12\x00" + part for part in parts if part))
    assert len(frames_of(odd)) == 36

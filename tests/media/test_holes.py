"""Videos with holes of which FFmpeg says nothing: what is behind them is not labelled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import pytest
from video_cases import Video, frames_and_failures, frames_of, number, write_video

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.media.video import VideoFile
from vitpose_cli.media.video_reader import open_reader

H264 = Video(num=60, noise=True)
HEVC = Video(num=60, codec="libx265", noise=True, options={"x265-params": "log-level=none"})
VP9 = Video(num=60, codec="libvpx-vp9", options={"cpu-used": "8", "deadline": "realtime"})
VP8 = Video(num=60, codec="libvpx", options={"auto-alt-ref": "1", "lag-in-frames": "12"})


def make_hole(path: Path, packet: int, after: int, num: int = 40) -> None:
    """Write zeros from `after` bytes behind the start of a packet on."""
    with av.open(str(path)) as container:
        found = [bytes(each) for each in container.demux(video=0) if each.size]
    data = bytearray(path.read_bytes())
    start = data.index(found[packet]) + after
    data[start : start + num] = bytes(num)
    path.write_bytes(data)


def expect_an_end(path: Path, at_least: int, at_most: int) -> None:
    """Expect right pictures, then one failure, and the same of frames that are asked for."""
    frames, failures = frames_and_failures(path)
    assert [number(frame.image) for frame in frames] == list(range(len(frames)))
    assert at_least <= len(frames) <= at_most
    assert [failure.key.index for failure in failures] == [len(frames)]
    assert "damaged here" in failures[0].error


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.flv"])
@pytest.mark.parametrize("video", [H264, HEVC], ids=["h264", "hevc"])
def test_in_a_picture(tmp_path: Path, video: Video, name: str) -> None:
    path = write_video(tmp_path / name, video)
    assert len(frames_of(path)) == 60
    make_hole(path, 20, after=500)
    expect_an_end(path, 12, 20)


@pytest.mark.parametrize("video", [H264, HEVC], ids=["h264", "hevc"])
def test_in_the_first_and_the_last_picture(tmp_path: Path, video: Video) -> None:
    path = write_video(tmp_path / "a.mp4", video)
    whole = path.read_bytes()
    make_hole(path, 0, after=900)  # behind what x264 says of itself
    expect_an_end(path, 0, 0)
    path.write_bytes(whole)
    make_hole(path, 59, after=500)
    expect_an_end(path, 52, 59)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "gray"])
@pytest.mark.parametrize(
    "params",
    [
        "open-gop=1:keyint=12:bframes=4",
        "intra-refresh=1",
        "interlace=tff",
        "slices=4",
        "hash=1:repeat-headers=1:aud=1:hrd=1:vbv-maxrate=9000:vbv-bufsize=9000",
        "lossless=1",
    ],
)
def test_whole_hevc_has_none(tmp_path: Path, params: str, pix_fmt: str, ending: str) -> None:
    options = {"x265-params": f"log-level=none:{params}"}
    video = replace(HEVC, num=30, pix_fmt=pix_fmt, options=options, size_wh=(96, 128))
    path = write_video(tmp_path / f"a.{ending}", video)
    assert len(frames_of(path)) == 30


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts", "flv"])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le"])
@pytest.mark.parametrize(
    "params",
    [
        "open-gop=1:keyint=12:bframes=4",
        "intra-refresh=1",
        "tff=1",
        "slices=4",
        "aud=1:nal-hrd=cbr:vbv-maxrate=9000:vbv-bufsize=9000:bitrate=9000:filler=1",
        "qp=0:cabac=0",
    ],
)
def test_whole_h264_has_none(tmp_path: Path, params: str, pix_fmt: str, ending: str) -> None:
    video = replace(
        H264, num=30, pix_fmt=pix_fmt, options={"x264-params": params}, size_wh=(96, 128)
    )
    path = write_video(tmp_path / f"a.{ending}", video)
    assert len(frames_of(path)) == 30


@pytest.mark.parametrize(
    ("video", "end_of_sequence"),
    [(replace(H264, num=12), b"\x0a"), (replace(HEVC, num=12), b"\x48\x01")],
    ids=["h264", "hevc"],
)
def test_a_start_code_in_a_unit_is_no_hole(
    tmp_path: Path, video: Video, end_of_sequence: bytes
) -> None:
    source, path = write_video(tmp_path / "a.mp4", video), tmp_path / "b.mp4"
    with av.open(str(source)) as container, av.open(str(path), "w") as out:
        track = container.streams.video[0]
        copy = out.add_stream_from_template(track)
        packets = [each for each in container.demux(track) if each.size]
        for place, packet in enumerate(packets):
            data = bytes(packet)
            if place == len(packets) - 1:  # as an encoder's stream ends, cut at its start codes
                tail = b"\0\0\0\1" + end_of_sequence
                unit = data[4:] + tail
                assert int.from_bytes(data[:4]) == len(data) - 4
                data = len(unit).to_bytes(4) + unit
            new = av.Packet(data)
            new.pts, new.dts, new.time_base = packet.pts, packet.dts, packet.time_base
            new.is_keyframe, new.stream = packet.is_keyframe, copy
            out.mux(new)
    assert len(frames_of(path)) == 12


@pytest.mark.shared_data
def test_whole_clips_of_others_have_none(shared_data: Path) -> None:
    clips = sorted((shared_data / "videos").iterdir())
    assert clips
    for path in clips:
        with av.open(str(path)) as container:
            num_pictures = sum(1 for _ in container.decode(video=0))
        assert sum(1 for _ in open_reader(path).pictures()) == num_pictures, path


SHORT = {"cluster_time_limit": "400"}
WITH_SOUND = replace(H264, audio="aac", muxing=SHORT)
BLOCKS = {
    "vp9.webm": replace(VP9, muxing=SHORT),
    "vp8.webm": replace(VP8, muxing=SHORT),
    "vp9.mkv": replace(VP9, muxing=SHORT),
    "h264.mkv": WITH_SOUND,
    "live.mkv": replace(WITH_SOUND, muxing={"live": "1"} | SHORT),
    "mjpeg.mkv": Video(num=60, codec="mjpeg", pix_fmt="yuvj420p", muxing=SHORT),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_between_the_blocks_of_matroska(tmp_path: Path, name: str) -> None:
    path = write_video(tmp_path / name, BLOCKS[name])
    assert len(frames_of(path)) == 60
    make_hole(path, 20, after=-6, num=6)
    expect_an_end(path, 8, 20)


def test_frames_behind_a_hole_are_not_counted_from_the_packets(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", replace(HEVC, codec="libx264", options={}))
    make_hole(path, 20, after=-6, num=6)
    video = VideoFile(path, "clip")
    assert number(video.read(FrameKey("clip", 5)).image) == 5
    with pytest.raises(InputError, match="damaged here"):
        video.read(FrameKey("clip", 30))

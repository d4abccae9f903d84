"""Videos that are cut off, damaged, or none at all."""

from __future__ import annotations

import sys
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from video_cases import (
    Video,
    frames_and_failures,
    frames_of,
    number,
    write_video,
)

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameFailure, FrameKey
from vitpose_cli.media.video import VideoFile


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
@pytest.mark.parametrize("name", ["mp4", "mkv", "ts", "avi", "fragments.mp4"])
def test_cut_off_anywhere(healthy_videos: dict[str, Path], name: str, data: st.DataObject) -> None:
    whole = healthy_videos[name].read_bytes()
    cut = data.draw(st.integers(0, len(whole) - 1))
    path = healthy_videos[name].with_name(f"cut.{name}")
    path.write_bytes(whole[:cut])
    frames, failures = frames_and_failures(path)
    keys = [frame.key.index for frame in frames] + [failure.key.index for failure in failures]
    assert sorted(keys) == list(range(len(keys)))
    # Nothing wrong is passed off as right; the last B-frames may lack what they build on.
    shown = [number(frame.image) for frame in frames]
    assert shown == [round((frame.time_s or 0.0) * 25) for frame in frames]
    assert shown[:-3] == list(range(len(shown)))[:-3]
    # A file may miss a quarter second before that counts as cut off.
    # These two do not even tell how long they are.
    assert failures or len(frames) >= 22 or name in ("ts", "fragments.mp4")


def test_mp4_without_its_last_bytes_keeps_all_whole_pictures(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", num=60, muxing={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[:-20])
    frames, failures = frames_and_failures(path)
    assert len(frames) == 59
    assert [failure.key.index for failure in failures] == [59]
    assert "cut off" in failures[0].error


def test_an_avi_that_ends_between_two_pictures_is_cut_off(healthy_videos: dict[str, Path]) -> None:
    whole = healthy_videos["avi"]
    with av.open(str(whole)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.pos is not None]
    path = whole.with_name("ended.avi")
    path.write_bytes(whole.read_bytes()[: places[21] - 8])  # without the head of the next
    frames, failures = frames_and_failures(path)
    assert len(frames) == 21
    assert [failure.key.index for failure in failures] == [21]
    assert "ends at 0.8 s of announced 1.2 s" in failures[0].error


def make_gif(path: Path) -> list[int]:
    """Write ten pictures and return where each of them begins."""
    write_video(path, num=10, codec="gif", pix_fmt="rgb8")
    with av.open(str(path)) as container:
        return [packet.pos or 0 for packet in container.demux(video=0) if packet.size]


@pytest.mark.parametrize("rest", [b"", bytes(5000)])  # as of a download that did not come in whole
def test_a_gif_that_is_cut_off(tmp_path: Path, rest: bytes) -> None:
    path = tmp_path / "a.gif"
    begins = make_gif(path)
    whole = path.read_bytes()
    assert whole.endswith(b";")
    for cut in (begins[7] - 40, begins[7] - 1, begins[7] + 5, begins[7] + 30):
        path.write_bytes(whole[:cut] + rest)
        frames, failures = frames_and_failures(path)
        num = 6 if cut < begins[7] else 7
        assert [number(frame.image) for frame in frames] == list(range(num))
        assert [failure.key.index for failure in failures] == [num]
        assert "cut off" in failures[0].error
        assert number(VideoFile(path, "clip").read(FrameKey("clip", num - 1)).image) == num - 1
        with pytest.raises(InputError, match="cut off"):
            VideoFile(path, "clip").read(FrameKey("clip", num))


def test_a_gif_without_its_last_byte_has_all_pictures_but_no_end(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    make_gif(path)
    path.write_bytes(path.read_bytes()[:-1])
    frames, failures = frames_and_failures(path)
    assert len(frames) == 10
    assert [failure.key.index for failure in failures] == [10]


def test_what_comes_after_the_end_of_a_gif_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    make_gif(path)
    path.write_bytes(path.read_bytes() + b"!!,, left over" * 50)
    assert len(frames_of(path)) == 10


def test_zeros_in_a_gif(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    begins = make_gif(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes(3) + b";")
    assert len(frames_of(path)) == 10
    path.write_bytes(whole[: begins[5]] + b"\0" + whole[begins[5] :])  # FFmpeg stops here
    frames, failures = frames_and_failures(path)
    assert [number(frame.image) for frame in frames] == list(range(len(frames)))
    assert [failure.key.index for failure in failures] == [len(frames)]
    assert "damaged here" in failures[0].error


def damage(path: Path, packet: int) -> None:
    """Overwrite the end of a packet."""
    with av.open(str(path)) as container:
        found = [p for p in container.demux(video=0) if p.size and p.pos is not None]
    data = bytearray(path.read_bytes())
    start = (found[packet].pos or 0) + max(16, found[packet].size - 60)
    data[start : start + 60] = bytes(range(130, 190))
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_damaged_in_the_middle(tmp_path: Path, name: str) -> None:
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    path = write_video(tmp_path / name, num=60, gop=10, codec=codec)
    damage(path, 20)
    frames, failures = frames_and_failures(path)
    assert [number(frame.image) for frame in frames] == list(range(len(frames)))
    assert 15 <= len(frames) <= 20
    assert [failure.key.index for failure in failures] == [len(frames)]
    assert "damaged here" in failures[0].error


@pytest.mark.parametrize("packet", [0, 7, 11])
@pytest.mark.parametrize(
    ("codec", "pix_fmt", "options"),
    [
        ("prores_ks", "yuv422p10le", {}),
        ("dnxhd", "yuv422p", {"profile": "dnxhr_sq"}),
        ("png", "rgb24", {}),
    ],
)
def test_damage_costs_one_picture_where_none_builds_on_another(
    tmp_path: Path, codec: str, pix_fmt: str, options: dict[str, str], packet: int
) -> None:
    video = Video(
        num=12, codec=codec, pix_fmt=pix_fmt, size_wh=(320, 240), options=options, noise=True
    )
    path = write_video(tmp_path / "a.mov", video)
    assert len(frames_of(path)) == 12
    with av.open(str(path)) as container:
        places = [(each.pos or 0) for each in container.demux(video=0) if each.size]
    data = bytearray(path.read_bytes())
    start = places[packet] + 700  # behind its head, which DNxHD fills up to 640 bytes
    data[start : start + 512] = bytes(range(256)) * 2
    path.write_bytes(data)
    frames, failures = frames_and_failures(path)
    assert [number(frame.image) for frame in frames] == [at for at in range(12) if at != packet]
    assert [frame.key.index for frame in frames] == [number(frame.image) for frame in frames]
    assert [failure.key.index for failure in failures] == [packet]
    assert f"The picture at {packet / 25:g} s is damaged" in failures[0].error


def test_damaged_first_picture(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", num=30, gop=10)
    damage(path, 0)
    frames, failures = frames_and_failures(path)
    # Those that build on it are not passed off as right.
    assert [number(frame.image) for frame in frames] == list(range(10, 30))
    assert failures
    assert failures[0].key.index == 0


def test_transport_goes_on_at_the_next_keyframe(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.ts", num=60, gop=10)
    data = bytearray(path.read_bytes())
    packet = 188
    start = len(data) // packet // 2 * packet
    del data[start : start + 5 * packet]  # lost on the air
    path.write_bytes(data)
    frames, failures = frames_and_failures(path)
    assert 1 <= len(failures) <= 12
    assert not {frame.key for frame in frames} & {failure.key for failure in failures}
    assert number(frames[-1].image) == 59
    # What is shown is what belongs to that time, so nothing spoiled gets through.
    assert all(number(one.image) == round((one.time_s or 0.0) * 25) for one in frames)
    for frame in frames[::7]:
        again = VideoFile(path, "clip").read(frame.key)
        np.testing.assert_array_equal(again.image, frame.image)


BAD_FILES = {
    "empty.mp4": (b"", "is empty"),
    "text.mp4": (b"This is no video at all.\n" * 100, "is not a video"),
    "cut-webp.webp": (b"RIFF\x10\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x02" + bytes(9), "damaged"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_what_is_no_video_is_one_failure(tmp_path: Path, name: str) -> None:
    content, message = BAD_FILES[name]
    path = tmp_path / name
    path.write_bytes(content)
    expect_failure(path, message)


def expect_failure(path: Path, message: str) -> None:
    (failure,) = VideoFile(path, "clip").frames()
    assert isinstance(failure, FrameFailure)
    assert failure.key == FrameKey("clip", 0)
    assert message in failure.error
    assert list(VideoFile(path, "clip").frames({FrameKey("clip", 0)})) == []
    with pytest.raises(InputError, match=message):
        VideoFile(path, "clip").read(FrameKey("clip", 0))


def test_missing_file_and_folder(tmp_path: Path) -> None:
    expect_failure(tmp_path / "none.mp4", "cannot be read: No such file")
    expect_failure(tmp_path, "cannot be read: not a regular file")


def test_sound_alone(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", 48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.float32), "fltp", "mono")
        frame.rate = 48000
        container.mux([*stream.encode(frame), *stream.encode(None)])
    expect_failure(path, "has no picture track, only: audio")


def test_no_picture_at_all(tmp_path: Path) -> None:
    path = tmp_path / "none.avi"
    with av.open(str(path), "w") as container:
        container.add_stream("mpeg4", rate=25)
        container.start_encoding()
    expect_failure(path, "holds no picture")


def test_a_codec_nobody_knows(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", num=3)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    expect_failure(path, "codec that is not supported")


def test_encrypted(tmp_path: Path) -> None:
    muxing = {
        "encryption_scheme": "cenc-aes-ctr",
        "encryption_key": "76a6c65c5ea762046bd749a2e632ccbb",
        "encryption_kid": "a7e61c373e219033c21091fa607bf3b8",
    }
    expect_failure(write_video(tmp_path / "a.mp4", num=30, muxing=muxing), "is encrypted")


@pytest.mark.skipif(sys.platform == "win32", reason="such names are not allowed there")
def test_names_that_look_like_protocols(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", num=2).rename(tmp_path / "concat:ü 100%.mp4")
    assert len(frames_of(path)) == 2


def test_the_log_of_ffmpeg_stays_off_though_another_library_turned_it_on(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", Video(num=3))
    av.logging.set_level(av.logging.ERROR)
    assert len(frames_of(tmp_path / "clip.mp4")) == 3
    assert av.logging.get_level() is None

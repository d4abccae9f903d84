"""Video as a source: every picture, at its time, upright, in its colours; and bad files."""

from __future__ import annotations

import logging
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from runs import wait_until
from video_cases import (
    FORMATS,
    SIZE_WH,
    frames_and_failures,
    frames_of,
    number,
    picture,
    red_corner,
    write_video,
)

from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.media import video_reader
from vitpose_cli.media.frame_pixels import upright_rgb
from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.media.picture import Picture
from vitpose_cli.media.video import VideoFile, VideoOptions
from vitpose_cli.media.video_cursor import VideoCursor


def indexes(path: Path, **options: float) -> list[int]:
    return [frame.key.index for frame in frames_of(path, **options)]


@pytest.mark.parametrize("name", FORMATS)
def test_every_picture_comes_once_at_its_time(healthy_videos: dict[str, Path], name: str) -> None:
    video = FORMATS[name]
    frames = frames_of(healthy_videos[name])
    assert [frame.key for frame in frames] == [FrameKey("clip", n) for n in range(video.num)]
    assert [number(frame.image) for frame in frames] == list(range(video.num))
    assert {frame.size_wh for frame in frames} == {video.size_wh}
    expected = [index / float(video.rate) for index in range(video.num)]
    # Matroska counts in milliseconds.
    tolerance_s = 0.001 if name.endswith(("mkv", "webm", "vp8")) else 2e-5
    assert [frame.time_s for frame in frames] == pytest.approx(expected, abs=tolerance_s)


@pytest.mark.parametrize("name", FORMATS)
def test_a_single_frame_reads_as_in_the_stream(healthy_videos: dict[str, Path], name: str) -> None:
    frames = frames_of(healthy_videos[name])
    video = VideoFile(healthy_videos[name], "clip")
    for index in {len(frames) - 1, len(frames) // 2, 0}:
        frame = video.read(FrameKey("clip", index))
        np.testing.assert_array_equal(frame.image, frames[index].image)
        assert (frame.key, frame.time_s) == (frames[index].key, frames[index].time_s)
    with pytest.raises(InputError, match="it ends before"):
        video.read(FrameKey("clip", len(frames)))
    for key in (FrameKey("clip", -1), FrameKey("other", 0)):
        with pytest.raises(InputError, match="not a frame of"):
            video.read(key)


@pytest.mark.parametrize("name", FORMATS)
def test_the_expected_number_is_about_right(healthy_videos: dict[str, Path], name: str) -> None:
    expected = VideoFile(healthy_videos[name], "clip").expected
    if "no-duration" in name:
        assert expected is None
    else:
        assert expected == pytest.approx(FORMATS[name].num, abs=1)


def test_reading_jumps_to_the_keyframe_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "long.mp4", num=200, gop=10)
    video = VideoFile(path, "clip")
    shown = []
    pictures = video_reader.AvReader.pictures

    def watched(self: video_reader.AvReader, from_pts: int | None = None) -> Iterator[Picture]:
        for one in pictures(self, from_pts):
            shown.append(one)
            yield one

    monkeypatch.setattr(video_reader.AvReader, "pictures", watched)
    assert number(video.read(FrameKey("clip", 187)).image) == 187
    assert len(shown) < 15


def test_variable_frame_rate(tmp_path: Path) -> None:
    times_s = [0.0, 0.04, 0.5, 0.52, 1.7, 1.71, 3.0]
    path = write_video(tmp_path / "vfr.mp4", num=7, times_s=times_s)
    assert [frame.time_s for frame in frames_of(path)] == pytest.approx(times_s, abs=2e-5)


@pytest.mark.parametrize("hflip", [False, True])
@pytest.mark.parametrize("rotation_deg", [0, 90, 180, 270])
def test_pictures_are_turned_as_the_file_says(
    tmp_path: Path, rotation_deg: int, hflip: bool
) -> None:
    path = write_video(tmp_path / "turned.mp4", num=2, rotation_deg=rotation_deg, hflip=hflip)
    image = frames_of(path)[0].image
    size_wh = SIZE_WH[::-1] if rotation_deg % 180 else SIZE_WH
    assert (image.shape[1], image.shape[0]) == size_wh
    # Counter-clockwise, and then mirrored, as the file's matrix is defined.
    upright = np.rot90(picture(0), rotation_deg // 90)
    assert red_corner(image) == red_corner(np.fliplr(upright) if hflip else upright)
    assert image.flags.c_contiguous
    if not hflip:
        opencv = cv2.VideoCapture(str(path))
        assert red_corner(image) == red_corner(cv2.cvtColor(opencv.read()[1], cv2.COLOR_BGR2RGB))


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "yuv444p"])
@pytest.mark.parametrize("value_range", [ColorRange.MPEG, ColorRange.JPEG])
@pytest.mark.parametrize("space", [Colorspace.ITU601, Colorspace.ITU709])
def test_colours_follow_the_files_tags(
    tmp_path: Path, space: Colorspace, value_range: ColorRange, pix_fmt: str
) -> None:
    path = write_video(
        tmp_path / "tagged.mp4",
        num=1,
        colour=(space, value_range),
        pix_fmt=pix_fmt,
        options={"crf": "4"},
    )
    image = frames_of(path)[0].image
    # 6 levels for lossy coding; the wrong space would be off by more than 15 in red.
    np.testing.assert_allclose(image[-6, -6], (220, 30, 30), atol=6)


@pytest.mark.parametrize(
    ("size_wh", "space"), [((1280, 720), Colorspace.ITU709), ((720, 576), Colorspace.ITU601)]
)
def test_untagged_colours_are_those_players_assume(
    tmp_path: Path, size_wh: tuple[int, int], space: Colorspace
) -> None:
    path = tmp_path / "untagged.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size_wh, "yuv444p"
        frame = av.VideoFrame.from_ndarray(picture(0, size_wh), format="rgb24")
        container.mux(stream.encode(frame.reformat(format="yuv444p", dst_colorspace=space)))
        container.mux(stream.encode(None))
    np.testing.assert_allclose(frames_of(path)[0].image[-6, -6], (220, 30, 30), atol=6)


@pytest.mark.parametrize(("curve", "white", "grey"), [(16, 0.58, 0.38), (18, 0.75, 0.38)])
def test_high_dynamic_range_looks_as_other_videos(
    tmp_path: Path, curve: int, white: float, grey: float
) -> None:
    # What PQ (16) and HLG (18) have for paper and a grey card: ITU-R BT.2408, table 1.
    signals = np.empty((64, 96, 3))
    signals[:, :32], signals[:, 32:64], signals[:, 64:] = white, grey, (grey, grey / 2, grey / 2)
    shown = av.VideoFrame.from_ndarray(np.rint(signals * 255).astype(np.uint8), format="rgb24")
    path = tmp_path / "phone.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv444p10le"
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc = 9, 9, curve
        converted = shown.reformat(format="yuv444p10le", dst_colorspace=Colorspace.BT2020)
        container.mux([*stream.encode(converted), *stream.encode(None)])
    image = frames_of(path)[0].image
    # Taken as they are, they would be 148 or 191, and 97.
    np.testing.assert_allclose(image[32, 16], 226, atol=4)  # room is left for what shines
    np.testing.assert_allclose(image[32, 48], 100, atol=4)  # 26 of 203 nits, by a gamma of 2.2
    red, green, _ = image[32, 80].tolist()
    assert red > 115  # purer than the file's numbers, 97 and 48, and as bright
    assert green < 40


def test_interlacing_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    options = {"flags": "+ilme+ildct", "x264-params": "tff=1"}
    path = write_video(tmp_path / "fields.ts", num=5, options=options)
    with caplog.at_level(logging.WARNING):
        assert len(frames_of(path)) == 5
    assert [record.message for record in caplog.records if "interlaced" in record.message] == [
        f"{path} is interlaced: moving limbs show comb edges. Take these out first: "
        "ffmpeg -i IN -vf bwdif=0 OUT"
    ]


@pytest.mark.parametrize(
    ("shape", "rotation_deg", "aspect", "shown_wh"),
    [
        ("4/3", 0, 4 / 3, (128, 64)),
        ("16/15", 180, 16 / 15, (102, 64)),
        ("3/4", 90, 4 / 3, (85, 96)),  # wider than tall once it is upright
        ("8/9", 0, 8 / 9, (96, 72)),
        ("1", 0, 1, (96, 64)),
        ("1/60", 0, 1, (96, 64)),  # a mistake
    ],
)
def test_frames_know_the_shape_of_their_pixels(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    shape: str,
    rotation_deg: int,
    aspect: float,
    shown_wh: tuple[int, int],
) -> None:
    options = {"aspect": shape}
    path = write_video(tmp_path / "clip.mp4", num=3, rotation_deg=rotation_deg, options=options)
    frames = frames_of(path)
    frames += [VideoFile(path, "clip").read(FrameKey("clip", 2))]
    frames += VideoCursor(path, "clip").lead_up(2)
    assert [frame.pixel_aspect for frame in frames] == [pytest.approx(aspect)] * len(frames)
    assert {frame.shown_wh for frame in frames} == {shown_wh}
    assert not caplog.records


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_animations_are_videos(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"moving.{suffix}"
    animation = cv2.Animation()
    animation.frames = [cv2.cvtColor(picture(n), cv2.COLOR_RGB2BGR) for n in range(5)]
    animation.durations = [100, 200, 50, 300, 3000]  # the last stays: nothing is cut off
    assert cv2.imwriteanimation(str(path), animation)
    frames = frames_of(path)
    assert [number(frame.image) for frame in frames] == [0, 1, 2, 3, 4]
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.1, 0.3, 0.35, 0.65], abs=0.01)
    assert frames[-1].duration_s == pytest.approx(3)
    assert red_corner(frames[0].image) == ("bottom", "right")
    assert number(VideoFile(path, "clip").read(FrameKey("clip", 3)).image) == 3
    assert VideoFile(path, "clip").expected == 5


def test_pictures_that_are_to_be_seen_for_no_time_follow_each_other(tmp_path: Path) -> None:
    path = tmp_path / "moving.webp"
    animation = cv2.Animation()
    animation.frames = [cv2.cvtColor(picture(n), cv2.COLOR_RGB2BGR) for n in range(4)]
    animation.durations = [0, 10, 11, 100]
    assert cv2.imwriteanimation(str(path), animation)
    times = [frame.time_s for frame in frames_of(path)]
    assert times == pytest.approx([0, 0.1, 0.2, 0.211])  # as in browsers


def test_a_damaged_webp_is_one_failure(tmp_path: Path) -> None:
    path = tmp_path / "moving.webp"
    animation = cv2.Animation()
    animation.frames = [cv2.cvtColor(picture(n), cv2.COLOR_RGB2BGR) for n in range(2)]
    animation.durations = [100] * 2
    assert cv2.imwriteanimation(str(path), animation)
    data = bytearray(path.read_bytes())
    data[24:27] = (2**20).to_bytes(3, "little")  # wider than OpenCV allows, and it raises
    path.write_bytes(data)
    frames, failures = frames_and_failures(path)
    assert not frames
    assert "damaged" in failures[0].error


def test_size_may_change_inside_the_file(tmp_path: Path) -> None:
    # As when a broadcast goes from one programme to another: the clock starts anew, too.
    small = write_video(tmp_path / "a.ts", num=10)
    large = write_video(tmp_path / "b.ts", num=10, size_wh=(192, 128))
    both = tmp_path / "both.ts"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    frames, failures = frames_and_failures(both)
    assert [(number(frame.image), frame.size_wh) for frame in frames[-10:]] == [
        (n, (192, 128)) for n in range(10)
    ]
    # The joint looks as if a packet were lost.
    assert [number(frame.image) for frame in frames[:-10]] == [0, 1, 2, 3, 4, 5, 6, 8]
    assert [failure.key.index for failure in failures] == [7, 9]
    times = [frame.time_s or 0.0 for frame in frames]
    assert all(np.diff(times) > 0)


def test_which_frames_are_taken(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", num=50, rate=Fraction(25))
    assert indexes(path, every=10) == [0, 10, 20, 30, 40]
    assert indexes(path, fps=5.0) == list(range(0, 50, 5))
    assert indexes(path, fps=100.0) == list(range(50))
    assert indexes(path, start_s=1.0, end_s=1.2) == [25, 26, 27, 28, 29]
    assert indexes(path, every=10, start_s=0.5) == [20, 30, 40]
    assert indexes(path, start_s=0.5, max_frames=2) == [13, 14]
    assert indexes(path, start_s=99.0) == []


@pytest.mark.parametrize("rate", [Fraction(24), Fraction(30000, 1001), Fraction(60)])
def test_a_target_rate_is_met(tmp_path: Path, rate: Fraction) -> None:
    path = write_video(tmp_path / "a.mkv", num=int(rate * 4), rate=rate)
    times = [frame.time_s or 0.0 for frame in frames_of(path, fps=10.0)]
    assert len(times) == 40
    assert times == pytest.approx([n / 10 for n in range(40)], abs=float(1 / rate) + 0.001)


@pytest.mark.parametrize(
    "options",
    [
        {"every": 0},
        {"fps": 0.0},
        {"fps": float("inf")},
        {"every": 2, "fps": 5.0},
        {"start_s": -1.0},
        {"start_s": 2.0, "end_s": 2.0},
        {"max_frames": 0},
    ],
)
def test_options_that_cannot_be_meant(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        VideoOptions(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["avi-b", "avi-h264", "ts", "start-at-5s.mkv"])
def test_times_do_not_depend_on_what_was_done_before(
    healthy_videos: dict[str, Path], name: str
) -> None:
    whole = list(VideoFile(healthy_videos[name], "clip").frames())
    for num_done in (1, 7, 29):
        done = {FrameKey("clip", index) for index in range(num_done)}
        rest = list(VideoFile(healthy_videos[name], "clip").frames(done))
        assert [(one.key, one.time_s) for one in rest if isinstance(one, Frame)] == [
            (one.key, one.time_s) for one in whole[num_done:] if isinstance(one, Frame)
        ]


def test_skipped_frames_are_never_converted(
    healthy_videos: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    converted = []

    def watched(frame: av.VideoFrame, converter: VideoReformatter) -> np.ndarray:
        converted.append(frame.pts)
        return upright_rgb(frame, converter)

    monkeypatch.setattr(video_reader, "upright_rgb", watched)
    skip = {FrameKey("clip", index) for index in range(30) if index % 7}
    kept = list(VideoFile(healthy_videos["mp4"], "clip").frames(skip))
    assert [item.key.index for item in kept] == [0, 7, 14, 21, 28]
    assert len(converted) == 5


def test_what_is_taken_does_not_depend_on_what_is_done(healthy_videos: dict[str, Path]) -> None:
    options = VideoOptions(fps=10.0, max_frames=6)
    video = VideoFile(healthy_videos["mp4"], "clip", options)
    whole = [item.key for item in video.frames()]
    assert [item.key for item in video.frames(set(whole[:4]))] == whole[4:]


def test_a_consumer_may_stop_at_any_time(healthy_videos: dict[str, Path]) -> None:
    before = threading.active_count()
    frames = VideoFile(healthy_videos["mp4"], "clip").frames()
    next(iter(frames))
    del frames
    frames = VideoFile(healthy_videos["mp4"], "clip").frames()
    with suppress(ZeroDivisionError):
        for frame in frames:
            assert frame.key.index / 0
    del frames
    wait_until(lambda: threading.active_count() <= before)
    assert threading.active_count() == before


def test_decoding_runs_ahead_but_not_away(healthy_videos: dict[str, Path]) -> None:
    taken = []

    class Watching:
        def __contains__(self, key: object) -> bool:
            taken.append(key)
            return False

    frames = iter(VideoFile(healthy_videos["mp4"], "clip").frames(Watching()))
    next(frames)
    wait_until(lambda: len(taken) >= 3)
    time.sleep(0.2)
    assert len(taken) <= 8  # one handed out, four ahead, one under way


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    path = tmp_path / "long.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height = 256, 192
        frame = av.VideoFrame(256, 192, "yuv420p")
        for index in range(3000):  # 147 kB each as RGB: 442 MB if they were kept
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    peaks_mb = []
    for number_read, _ in enumerate(VideoFile(path, "clip").frames()):
        if number_read in (1000, 2999):
            peaks_mb.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    assert peaks_mb[1] - peaks_mb[0] < 20

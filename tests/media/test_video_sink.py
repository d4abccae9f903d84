"""A video file as a sink: in step with its source, and playable anywhere."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from video_cases import (
    SIZE_WH,
    beep_times,
    copy_video,
    flash_times,
    frame,
    number,
    picture,
    red_corner,
    write_video,
)

from vitpose_cli.errors import ConfigError
from vitpose_cli.media.frames import Frame
from vitpose_cli.media.video import VideoFile, VideoOptions
from vitpose_cli.media.video_encoder import EncodeOptions, VideoCodec
from vitpose_cli.media.video_sink import VideoSink


def read(path: Path) -> list[Frame]:
    return [item for item in VideoFile(path, "clip").frames() if isinstance(item, Frame)]


def test_what_every_player_needs(tmp_path: Path) -> None:
    path = copy_video(write_video(tmp_path / "in.mkv", audio="libopus"), tmp_path / "out.mp4")
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert video.codec_context.name == "h264"
        assert video.codec_context.codec_tag == "avc1"
        assert video.codec_context.pix_fmt == "yuv420p"
        shown = next(container.decode(video))
        assert (shown.colorspace, shown.color_primaries, shown.color_trc) == (1, 1, 1)
        assert shown.color_range == 1
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # playing starts before all is loaded
    image = read(path)[0].image
    assert red_corner(image) == ("bottom", "right")
    np.testing.assert_allclose(image[-6, -6], (220, 30, 30), atol=12)  # twice through a codec


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(24), Fraction(10)])
def test_times_and_duration_are_those_of_the_source(tmp_path: Path, rate: Fraction) -> None:
    source = write_video(tmp_path / "in.mp4", rate=rate, num=25)
    frames = read(copy_video(source, tmp_path / "out.mp4"))
    assert [number(one.image) for one in frames] == list(range(25))
    # Half a tick of 1/90000 s, and the microsecond of the container's start.
    assert [one.time_s for one in frames] == pytest.approx([n / rate for n in range(25)], abs=1e-5)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert (container.duration or 0) / av.time_base == pytest.approx(25 / rate, abs=1e-4)


def test_variable_frame_rate_stays(tmp_path: Path) -> None:
    times_s = [0.0, 0.04, 0.5, 0.52, 1.7, 1.71, 3.0]
    source = write_video(tmp_path / "in.mp4", num=7, times_s=times_s)
    out = read(copy_video(source, tmp_path / "out.mp4"))
    assert [one.time_s for one in out] == pytest.approx(times_s, abs=3e-5)


def stated_s(path: Path) -> float:
    """Return how long a video is by the head of its MP4, which players go by."""
    data = path.read_bytes()
    start = data.index(b"mvhd") + 16  # behind version, flags and two dates
    rate, duration = struct.unpack(">II", data[start : start + 8])
    return float(duration / rate)


PAUSES = {
    "each tenth": [0.04 * index + 1.5 * (index // 10) for index in range(40)],
    "the first": [0.0, *(1.5 + 0.04 * index for index in range(39))],
    "before the last": [*(0.04 * index for index in range(38)), 3.5, 3.54],
    "uneven": [0.04 * index + 0.03 * (index * 7 % 5 / 5) for index in range(41)],
}


@pytest.mark.parametrize("codec", ["h264", "h265"])
@pytest.mark.parametrize("pause", PAUSES)
@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_a_video_with_pauses_ends_with_its_last_picture(
    tmp_path: Path, ending: str, pause: str, codec: VideoCodec
) -> None:
    times_s = PAUSES[pause]
    source = write_video(tmp_path / f"in.{ending}", num=len(times_s), times_s=times_s)
    out = copy_video(source, tmp_path / "out.mp4", options=EncodeOptions(codec=codec))
    frames = read(out)
    assert [number(one.image) for one in frames] == list(range(len(times_s)))
    assert [one.time_s for one in frames] == pytest.approx(times_s, abs=1e-3)
    assert stated_s(out) == pytest.approx(times_s[-1] + 0.04, abs=0.03)


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_a_last_picture_that_stays_does_so_in_the_copy(tmp_path: Path, codec: VideoCodec) -> None:
    source = tmp_path / "in.gif"
    animation = cv2.Animation()
    animation.frames = [cv2.cvtColor(picture(n), cv2.COLOR_RGB2BGR) for n in range(7)]
    animation.durations = [40] * 6 + [2500]
    assert cv2.imwriteanimation(str(source), animation)
    out = copy_video(source, tmp_path / "out.mp4", options=EncodeOptions(codec=codec))
    with av.open(str(out)) as container:
        assert (container.duration or 0) / av.time_base == pytest.approx(6 * 0.04 + 2.5, abs=1e-3)


@pytest.mark.parametrize(
    ("codec", "num"),
    [("h264", 1), ("h264", 2), ("h264", 25), ("h265", 1), ("h265", 3), ("h265", 25)],
)
def test_the_frame_rate_is_that_of_the_source(tmp_path: Path, codec: VideoCodec, num: int) -> None:
    source = write_video(tmp_path / "in.mp4", num=num)
    out = copy_video(source, tmp_path / "out.mp4", options=EncodeOptions(codec=codec))
    assert cv2.VideoCapture(str(out)).get(cv2.CAP_PROP_FPS) == pytest.approx(25)
    with av.open(str(out)) as container:
        video = container.streams.video[0]
        assert video.average_rate == 25
        assert (video.duration or 0) * (video.time_base or 0) == Fraction(num, 25)
        shown = list(container.decode(video))
    assert [frame.time for frame in shown] == pytest.approx([n / 25 for n in range(num)])
    assert shown[-1].duration * (shown[-1].time_base or 0) == Fraction(1, 25)


def test_fewer_frames_keep_their_times_and_the_sound(tmp_path: Path) -> None:
    source = write_video(tmp_path / "in.mp4", audio="aac", num=75)
    out = copy_video(source, tmp_path / "out.mp4", VideoOptions(every=5))
    assert [number(one.image) for one in read(out)] == list(range(0, 75, 5))
    assert flash_times(out) == pytest.approx([0.0, 1.0, 2.0], abs=1e-3)
    assert beep_times(out) == pytest.approx([0.0, 1.0, 2.0], abs=0.01)


@pytest.mark.parametrize(
    ("taken", "duration_s"),
    [
        (VideoOptions(start_s=0.5, end_s=1.5), 1.0),
        (VideoOptions(start_s=0.5, end_s=1.5, fps=5), 1.0),
        (VideoOptions(start_s=0.5, end_s=1.5, every=7), 1.0),
        (VideoOptions(max_frames=3, fps=5), 0.6),
        (VideoOptions(fps=5), 2.48),
        (VideoOptions(every=10), 2.48),
    ],
)
def test_the_first_and_the_last_picture_reach_both_ends(
    tmp_path: Path, taken: VideoOptions, duration_s: float
) -> None:
    source = write_video(tmp_path / "in.mp4", audio="aac", num=62)
    with av.open(str(copy_video(source, tmp_path / "out.mp4", taken))) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        shown_s, heard_s = (
            (track.duration or 0) * float(track.time_base or 0) for track in (video, audio)
        )
        assert video.start_time == 0
    assert shown_s == pytest.approx(duration_s, abs=0.001)
    assert heard_s == pytest.approx(duration_s, abs=0.025)  # a packet of AAC lasts 21 ms


@pytest.mark.parametrize("size_wh", [(97, 65), (98, 65), (97, 64), (1, 1)])
def test_odd_sizes_grow_by_one(tmp_path: Path, size_wh: tuple[int, int]) -> None:
    width, height = size_wh
    image = np.full((height, width, 3), 200, np.uint8)
    with VideoSink(tmp_path / "out.mp4") as sink:
        for index in range(3):
            sink.write(frame(index, image))
    shown = read(tmp_path / "out.mp4")[0].image
    assert shown.shape == (height + height % 2, width + width % 2, 3)
    np.testing.assert_allclose(shown.astype(int), 200, atol=4)


def test_frames_of_another_size_are_fitted(tmp_path: Path) -> None:
    with VideoSink(tmp_path / "out.mp4") as sink:
        sink.write(frame(0))
        sink.write(frame(1, np.full((128, 128, 3), 200, np.uint8)))
    image = read(tmp_path / "out.mp4")[1].image
    assert image.shape == (64, 96, 3)
    assert image[32, 48].min() > 190
    assert image[32, 4].max() < 20
    assert image[32, -4].max() < 20


@pytest.mark.parametrize("size_wh", [(96, 64), (64, 64), (64, 96)])
@pytest.mark.parametrize("rotation_deg", [0, 90, 180, 270])
@pytest.mark.parametrize("hflip", [False, True])
def test_pixels_that_are_not_square_stay_so(
    tmp_path: Path, size_wh: tuple[int, int], rotation_deg: int, hflip: bool
) -> None:
    source = tmp_path / "in.mp4"
    shape = Fraction(16, 15)
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size_wh, "yuv420p"
        stream.codec_context.sample_aspect_ratio = shape
        stream.set_display_rotation(rotation_deg, hflip=hflip)
        container.mux(stream.encode(av.VideoFrame(*size_wh, "yuv420p")))
        container.mux(stream.encode(None))
    with av.open(str(copy_video(source, tmp_path / "out.mp4"))) as container:
        copied = container.streams.video[0].sample_aspect_ratio
    assert copied == (1 / shape if rotation_deg % 180 else shape)


def write_with_cover(path: Path) -> Path:
    """Write a video of 12 pictures a second, and pixels twice as wide as high, behind a cover."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=12)
        stream.width, stream.height, stream.pix_fmt = *SIZE_WH, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(2)
        cover = container.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        container.mux(cover.encode(av.VideoFrame(32, 32, "yuvj420p")))
        for index in range(12):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(index), "rgb24")))
        container.mux([*stream.encode(None), *cover.encode(None)])
    data = path.read_bytes()
    tracks, notes = data.index(b"trak") - 4, data.index(b"udta") - 4  # the cover is in the notes
    path.write_bytes(data[:tracks] + data[notes:] + data[tracks:notes])
    return path


def test_a_cover_says_nothing_of_the_pictures(tmp_path: Path) -> None:
    source = write_with_cover(tmp_path / "in.mp4")
    with av.open(str(source)) as container:
        assert [track.codec_context.name for track in container.streams] == ["mjpeg", "h264"]
    with av.open(str(copy_video(source, tmp_path / "out.mp4"))) as container:
        video = container.streams.video[0]
        assert video.sample_aspect_ratio == 2
        assert video.average_rate == 12


def test_h265_opens_on_apples_systems(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "out.mp4"
    with VideoSink(path, EncodeOptions(codec="h265", crf=30)) as sink:
        for index in range(5):
            sink.write(frame(index))
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.codec_tag == "hvc1"
    assert [number(one.image) for one in read(path)] == list(range(5))
    assert capfd.readouterr().err == ""


def test_crf_is_a_choice_between_size_and_quality(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (5, 64, 96, 3), np.uint8)
    for crf in (10, 40):
        with VideoSink(tmp_path / f"{crf}.mp4", EncodeOptions(crf=crf)) as sink:
            for index, image in enumerate(noise):
                sink.write(frame(index, image))
    assert (tmp_path / "10.mp4").stat().st_size > 2 * (tmp_path / "40.mp4").stat().st_size


@pytest.mark.parametrize("options", [{"codec": "mp4v"}, {"crf": 52}, {"crf": -1}])
def test_encode_options_that_cannot_be_meant(options: dict[str, str | int]) -> None:
    with pytest.raises(ConfigError):
        EncodeOptions(**options)  # type: ignore[arg-type]

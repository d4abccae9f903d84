"""The sound of drawn videos: that of the source, in step with the pictures."""

import logging
from pathlib import Path

import av
import numpy as np
import pytest
from video_cases import (
    audio_packets,
    beep_times,
    copy_video,
    flash_times,
    write_video,
)

from vitpose_cli.media.frames import Frame
from vitpose_cli.media.video import VideoFile, VideoOptions
from vitpose_cli.media.video_sink import VideoSink

AUDIO = {
    "aac.mp4": ("aac", "aac"),
    "aac.ts": ("aac", "aac"),
    "opus.mkv": ("libopus", "opus"),
    "mp3.avi": ("libmp3lame", "mp3"),
    "flac.mkv": ("flac", "flac"),
    "late.mp4": ("aac", "aac"),
    "late.mkv": ("libopus", "opus"),
    "vorbis.mkv": ("vorbis", "aac"),
    "pcm.mov": ("pcm_s16le", "aac"),
}


@pytest.mark.parametrize("name", AUDIO)
def test_sound_comes_along_in_step(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    codec, copied = AUDIO[name]
    source = write_video(
        tmp_path / name,
        audio=codec,
        num=75,
        start_s=5.0 if name.startswith("late") else 0.0,
        codec="mpeg4" if name.endswith("avi") else "libx264",
    )
    with caplog.at_level(logging.WARNING):
        out = copy_video(source, tmp_path / "out.mp4")
    with av.open(str(out)) as container:
        assert container.streams.audio[0].codec_context.codec.canonical_name == copied
    anew = codec in ("vorbis", "pcm_s16le")
    assert anew == any("encoded anew as AAC" in record.message for record in caplog.records)
    if not anew and name != "aac.ts":  # which has a header of its own in every packet
        assert audio_packets(out) == audio_packets(source)
    offsets = np.subtract(beep_times(out), flash_times(out))
    assert len(offsets) == 3
    before = np.subtract(beep_times(source), flash_times(source))
    # A packet of MP3 in AVI starts on a grid of 24 ms; people notice from 45 ms on.
    np.testing.assert_allclose(offsets, before, atol=0.03 if name == "mp3.avi" else 0.003)


@pytest.mark.parametrize("audio", ["aac", "libopus", "pcm_s16le"])
def test_sound_is_cut_as_the_pictures_are(tmp_path: Path, audio: str) -> None:
    source = write_video(tmp_path / "in.mkv", audio=audio, num=125)
    taken = VideoOptions(start_s=1.5, end_s=3.5)
    out = copy_video(source, tmp_path / "out.mp4", taken)
    assert flash_times(out) == pytest.approx([0.5, 1.5], abs=0.03)
    assert beep_times(out) == pytest.approx([0.5, 1.5], abs=0.03)
    with av.open(str(out)) as container:
        assert (container.duration or 0) / av.time_base == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
@pytest.mark.parametrize("taken", [VideoOptions(end_s=1.0), VideoOptions(max_frames=25)])
def test_sound_that_is_encoded_anew_reaches_the_cut(
    tmp_path: Path, rate: int, taken: VideoOptions
) -> None:
    source = tmp_path / "in.mkv"
    write_video(tmp_path / "mute.mkv", num=50)
    with av.open(str(tmp_path / "mute.mkv")) as mute, av.open(str(source), "w") as container:
        video = container.add_stream_from_template(mute.streams.video[0])
        sound = container.add_stream("pcm_s16le", rate, layout="mono")
        for packet in mute.demux(video=0):
            if packet.size:
                packet.stream = video
                container.mux(packet)
        tone = (20000 * np.sin(np.arange(2 * rate) * 0.8)).astype(np.int16)
        for start in range(0, len(tone), rate // 25):
            part = np.ascontiguousarray(tone[None, start : start + rate // 25])
            frame = av.AudioFrame.from_ndarray(part, format="s16", layout="mono")
            frame.sample_rate, frame.pts = rate, start
            container.mux(sound.encode(frame))
    out = copy_video(source, tmp_path / "out.mp4", taken)
    with av.open(str(out)) as container:
        heard = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    ends_s = float(np.flatnonzero(np.abs(np.concatenate(heard)) > 0.1)[-1]) / rate
    assert 0.99 < ends_s < 1.0 + 1024 / rate


def test_sound_that_outlasts_the_pictures_stays(tmp_path: Path) -> None:
    source = write_video(tmp_path / "in.mp4", audio="aac", num=25, audio_s=3.0)
    assert audio_packets(copy_video(source, tmp_path / "out.mp4")) == audio_packets(source)
    short = copy_video(source, tmp_path / "short.mp4", VideoOptions(max_frames=20))
    with av.open(str(short)) as container:
        assert (container.duration or 0) / av.time_base == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize("audio", ["aac", "mp2"])
def test_sound_goes_on_where_its_clock_goes_back(tmp_path: Path, audio: str) -> None:
    one = write_video(tmp_path / "in.ts", audio=audio, num=50)
    both = tmp_path / "both.ts"  # joined recordings, as by cat
    both.write_bytes(2 * one.read_bytes())
    out = tmp_path / "out.mp4"
    with VideoSink(out, source_video=both) as sink:
        for item in VideoFile(both, "clip").frames():
            if isinstance(item, Frame):
                sink.write(item)
    # A beep a second, the third and the fourth of the second recording.
    assert beep_times(out) == pytest.approx([0, 1, 2, 3], abs=0.1)
    with av.open(str(out)) as container:
        packets = [packet.pts for packet in container.demux(audio=0) if packet.pts is not None]
    assert np.diff(packets).min() > 0


def test_damaged_sound_ends_early(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = write_video(tmp_path / "in.mkv", audio="pcm_s16le", num=50)
    data = bytearray(source.read_bytes())
    del data[len(data) * 3 // 4 :]
    source.write_bytes(data)
    target = tmp_path / "out.mp4"
    with VideoSink(target, source_video=source) as sink:
        for item in VideoFile(source, "clip").frames():
            if isinstance(item, Frame):
                sink.write(item)
    assert beep_times(target)[:1] == pytest.approx([0.0], abs=0.01)

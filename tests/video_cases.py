"""Small videos with every trouble of real ones, made with PyAV, and how to read what they show.

Each picture carries its number as white and black blocks, so that a test knows which one it got,
and a red corner, so that it knows which way up. Sound is silent but for a beep each second, when
the picture flashes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vitpose_cli.media.frames import Frame, FrameFailure, FrameKey
from vitpose_cli.media.video import VideoFile, VideoOptions
from vitpose_cli.media.video_encoder import EncodeOptions
from vitpose_cli.media.video_sink import VideoSink

NUM_BITS = 12
BLOCK = 8
SIZE_WH = (NUM_BITS * BLOCK, 64)


def picture(index: int, size_wh: tuple[int, int] = SIZE_WH) -> NDArray[np.uint8]:
    """Draw picture `index`: its number in the upper rows, a red lower right corner."""
    width, height = size_wh
    image = np.full((height, width, 3), 90, np.uint8)
    for bit in range(NUM_BITS):
        shade = 235 if index >> bit & 1 else 16
        image[: 2 * BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = shade
    image[-height // 4 :, -width // 4 :] = (220, 30, 30)
    return image


@dataclass(frozen=True)
class Video:
    """What `write_video` writes; every field is one trouble."""

    num: int = 30
    size_wh: tuple[int, int] = SIZE_WH
    rate: Fraction = Fraction(25)
    times_s: Sequence[float] | None = None
    start_s: float = 0.0
    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    format: str | None = None
    gop: int = 10
    rotation_deg: int = 0
    hflip: bool = False
    audio: str | None = None
    audio_s: float | None = None
    draw: Callable[[int, tuple[int, int]], NDArray[np.uint8]] = picture
    noise: bool = False  # below the number, so that each picture takes many bytes
    colour: tuple[int, int] | None = None  # FFmpeg's colour space and range
    options: dict[str, str] = field(default_factory=dict)
    muxing: dict[str, str] = field(default_factory=dict)


def frame(index: int, image: NDArray[np.uint8] | None = None) -> Frame:
    """Return a frame of a clip of 25 a second, numbered unless it is given."""
    return Frame(FrameKey("clip", index), picture(index) if image is None else image, index / 25)


def number(image: NDArray[np.uint8]) -> int:
    """Read the number of a picture."""
    row = image[BLOCK // 2 : BLOCK + BLOCK // 2, : NUM_BITS * BLOCK].mean(axis=(0, 2))
    bits = row.reshape(NUM_BITS, BLOCK)[:, 2:-2].mean(axis=1) > 128
    return int((bits << np.arange(NUM_BITS)).sum())


def red_corner(image: NDArray[np.uint8]) -> tuple[str, str]:
    """Tell in which corner of the picture the red is."""
    red = (image[..., 0] > 150) & (image[..., 1] < 100)
    ys, xs = np.nonzero(red)
    height, width = red.shape
    vertical = "bottom" if ys.mean() > height / 2 else "top"
    return vertical, "right" if xs.mean() > width / 2 else "left"


@contextmanager
def usual_priority() -> Iterator[None]:
    """Leave the thread the priority that it has.

    For root, SVT-AV1 makes the thread that encodes a real-time one. Whatever that starts later is
    one, too, and a browser of such threads can take all of a machine for ever.
    """
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)


def write_video(path: Path, video: Video | None = None, **changes: Any) -> Path:
    """Write a video and return its path."""
    given = video or Video(**changes)
    with (
        usual_priority(),
        av.open(str(path), "w", format=given.format, options=given.muxing) as container,
    ):
        tick = Fraction(1, 90000)
        stream = cast(VideoStream, container.add_stream(given.codec, rate=given.rate))
        stream.width, stream.height = given.size_wh
        stream.pix_fmt = given.pix_fmt
        stream.codec_context.options = given.options
        stream.codec_context.gop_size = given.gop
        if given.codec not in ("mpeg4", "gif") and container.format.name != "avi":
            stream.codec_context.time_base = tick
        else:
            tick = 1 / given.rate
        if given.rotation_deg or given.hflip:
            stream.set_display_rotation(given.rotation_deg, hflip=given.hflip)
        space, value_range = given.colour or (Colorspace.ITU601, ColorRange.MPEG)
        if given.colour is not None:
            stream.codec_context.colorspace = 1 if space == Colorspace.ITU709 else 6
            stream.codec_context.color_range = value_range
        sound = _add_sound(container, given) if given.audio else None
        for index in range(given.num):
            time_s = given.times_s[index] if given.times_s else float(index / given.rate)
            image = given.draw(index, given.size_wh)
            if given.noise:
                lower = image[2 * BLOCK :]
                lower[:] = np.random.default_rng(index).integers(0, 255, lower.shape, np.uint8)
            if sound is not None and round(time_s * 1000) % 1000 == 0:
                image[24:40] = 255
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
                format=given.pix_fmt, dst_colorspace=space, dst_color_range=value_range
            )
            frame.pts = round((time_s + given.start_s) / tick)
            frame.time_base = tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            _write_sound(container, sound, given)
    return path


def beeps(rate: int, duration_s: float) -> NDArray[np.float32]:
    """Return stereo sound with a beep of 50 ms at every full second, (2, samples)."""
    at = np.arange(round(duration_s * rate))
    tone = 0.7 * np.sin(2 * np.pi * 1000 * at / rate) * (at % rate < rate // 20)
    return np.repeat(tone[None].astype(np.float32), 2, axis=0)


def beep_times(path: Path) -> list[float]:
    """Return when beeps begin in a file, in seconds of its own clock."""
    rate = 48000
    with av.open(str(path)) as container:
        start_s = (container.start_time or 0) / av.time_base
        resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
        parts: list[tuple[float, NDArray[np.float32]]] = []
        for frame in container.decode(audio=0):
            for part in resampler.resample(frame):
                samples = cast(NDArray[np.float32], part.to_ndarray())[0]
                parts.append((float(part.time or 0) - start_s, samples))
    loud = np.concatenate([np.abs(samples) > 0.2 for _, samples in parts])
    at = np.concatenate([start + np.arange(len(samples)) / rate for start, samples in parts])
    times = at[loud]
    begins: list[float] = times[np.diff(times, prepend=-1.0) > 0.5].tolist()
    return begins


def flash_times(path: Path) -> list[float]:
    """Return when flashes are shown in a file, in seconds of its own clock."""
    with av.open(str(path)) as container:
        start_s = (container.start_time or 0) / av.time_base
        return [
            float(frame.time - start_s)
            for frame in container.decode(video=0)
            if frame.to_ndarray(format="gray")[28:36].mean() > 200
        ]


def audio_packets(path: Path) -> list[bytes]:
    """Return the encoded sound of a file, packet by packet."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def _add_sound(container: OutputContainer, video: Video) -> AudioStream:
    options = {"strict": "experimental"} if video.audio == "vorbis" else {}
    stream = container.add_stream(video.audio or "", 48000, options=options)
    sound = cast(AudioStream, stream)
    sound.layout = "stereo"
    return sound


def _write_sound(container: OutputContainer, stream: AudioStream, video: Video) -> None:
    duration_s = video.audio_s or float(video.num / video.rate)
    frame = av.AudioFrame.from_ndarray(beeps(48000, duration_s), format="fltp", layout="stereo")
    frame.rate = 48000
    frame.time_base = Fraction(1, 48000)
    frame.pts = round(video.start_s * 48000)
    resampler = av.AudioResampler(
        format=stream.format.name,
        layout="stereo",
        rate=48000,
        frame_size=stream.codec_context.frame_size or 1024,
    )
    for part in [*resampler.resample(frame), *resampler.resample(None), None]:
        container.mux(stream.encode(part))


def frames_of(path: Path, **options: float) -> list[Frame]:
    """Read all frames of a healthy video."""
    items = list(VideoFile(path, "clip", VideoOptions(**options)).frames())  # type: ignore[arg-type]
    assert not [item for item in items if isinstance(item, FrameFailure)]
    return [item for item in items if isinstance(item, Frame)]


def frames_and_failures(path: Path) -> tuple[list[Frame], list[FrameFailure]]:
    """Read all frames and failures of a video."""
    items = list(VideoFile(path, "clip").frames())
    return (
        [item for item in items if isinstance(item, Frame)],
        [item for item in items if isinstance(item, FrameFailure)],
    )


FORMATS = {
    "mp4": Video(),
    "mov": Video(format="mov"),
    "mkv": Video(),
    "webm": Video(codec="libvpx-vp9", options={"cpu-used": "8", "deadline": "realtime"}),
    "webm-vp8": Video(codec="libvpx", options={"auto-alt-ref": "1", "lag-in-frames": "12"}),
    "avi": Video(codec="mpeg4"),
    "avi-b": Video(codec="mpeg4", options={"bf": "2"}),
    "avi-h264": Video(format="avi"),
    "ts": Video(),
    "fragments.mp4": Video(muxing={"movflags": "frag_keyframe+empty_moov"}),
    "no-duration.mkv": Video(muxing={"live": "1"}),
    "start-at-5s.mp4": Video(start_s=5.0),
    "start-at-5s.mkv": Video(start_s=5.0),
    "start-at-5s.ts": Video(start_s=5.0),
    "ntsc.mp4": Video(rate=Fraction(30000, 1001)),
    "10-bit.mp4": Video(
        codec="libx265", pix_fmt="yuv420p10le", options={"x265-params": "log-level=none"}
    ),
    "odd.mkv": Video(codec="ffv1", pix_fmt="yuv420p", size_wh=(97, 65)),
    "one.mp4": Video(num=1),
}
"""Healthy videos of many kinds, by name."""


def copy_video(
    source: Path,
    target: Path,
    taken: VideoOptions | None = None,
    options: EncodeOptions | None = None,
) -> Path:
    """Send a video through source and sink."""
    taken = taken or VideoOptions()
    with VideoSink(target, options, source_video=source, taken=taken) as sink:
        for frame in VideoFile(source, "clip", taken).frames():
            assert isinstance(frame, Frame)
            sink.write(frame)
    return target

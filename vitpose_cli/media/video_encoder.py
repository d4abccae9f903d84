"""Encode frames, and the sound of their source, into one MP4 file.

Files and threads are the business of `video_sink`; here is what FFmpeg must be told so that every
player and browser shows the result, in step with its sound. Frames keep the times of their source:
video of variable frame rate needs no resampling.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, cast

import av
import cv2
import numpy as np
from av.codec.context import Flags
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.media import ffmpeg_log
from vitpose_cli.media.frames import Frame
from vitpose_cli.media.marks import MARK
from vitpose_cli.media.video import VideoOptions
from vitpose_cli.media.video_audio import AudioTrack
from vitpose_cli.media.video_container import open_container, picture_track
from vitpose_cli.ranges import check_types

VideoCodec = Literal["h264", "h265"]


@dataclass(frozen=True, slots=True)
class _Encoder:
    """How FFmpeg calls an encoder, and what it is told."""

    name: str
    crf: int
    tag: str
    options: dict[str, str]


# The presets are fast ones, as the network and the drawing wait for the encoder. Apple's players
# know H.265 only under the tag hvc1. AV1 was left out: SVT-AV1 talks on stderr unasked.
_ENCODERS: dict[str, _Encoder] = {
    "h264": _Encoder("libx264", 20, "avc1", {"preset": "veryfast"}),
    "h265": _Encoder(
        "libx265", 24, "hvc1", {"preset": "veryfast", "x265-params": "log-level=error"}
    ),
}
_MAX_CRF = 51

_TICK = Fraction(1, 90000)  # of MPEG-TS: divides the frame times of film, PAL and NTSC
_ASSUMED_RATE = Fraction(25)
_MAX_TERM = 65535  # of a ratio in H.264: such a one comes out of a float as it was
_BT709 = 1  # the same number for colour space, primaries and transfer curve in FFmpeg


@dataclass(frozen=True, slots=True)
class EncodeOptions:
    """How a video is encoded.

    Attributes:
        codec: h264 plays everywhere; h265 gives smaller files in more time.
        crf: Constant quality, lower is better and larger; None takes what suits the codec.
    """

    codec: VideoCodec = "h264"
    crf: int | None = None

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ConfigError: One is of another type or out of its range, or PyAV was built without the
                codec.
        """
        check_types(self)
        encoder = _ENCODERS[self.codec]
        if self.crf is not None and not 0 <= self.crf <= _MAX_CRF:
            raise ConfigError(f"crf is {self.crf}, expected 0 to {_MAX_CRF}.")
        if encoder.name not in av.codecs_available:
            raise ConfigError(
                f"This build of PyAV has no {encoder.name} to write {self.codec}.",
                "The wheels have it: pip install --force-reinstall --only-binary=av av",
            )


class VideoEncoder:
    """One MP4 file that is being written."""

    def __init__(
        self,
        path: Path,
        options: EncodeOptions,
        first: Frame,
        *,
        source_video: Path | None,
        taken: VideoOptions,
    ) -> None:
        """Open the file for pictures of one size, and one shape of pixels.

        Args:
            path: Where it is written.
            options: How it is encoded.
            first: The first of them; odd sizes grow by one.
            source_video: The video whose sound and frame rate are taken over.
            taken: Which frames of it will come: the output begins and ends as they do.

        Raises:
            InputError: The file cannot be written.
        """
        self._path = path
        self._taken = taken
        self._size_wh = size_wh = first.size_wh
        self._origin_s = taken.start_s
        self._held: VideoFrame | None = None  # until the next says for how long it is shown
        self._last_pts = -1
        self._last_own_s = 0.0
        self._delay: int | None = None  # by how much the first packet's dts lies before its pts
        look = _look_of(source_video)
        step_s = max(taken.every / look.rate, 1 / Fraction(taken.fps or look.rate))
        self._step = max(1, round(step_s / _TICK))
        self._takes_all = step_s <= 1 / look.rate
        self._end_pts = _end_pts(look, step_s, taken)
        encoder = _ENCODERS[options.codec]
        ffmpeg_log.silence()
        with _writing(path):
            self._container = av.open(
                f"file:{path}", "w", format="mp4", options={"movflags": "+faststart"}
            )
        self._container.metadata["comment"] = MARK
        stream = self._container.add_stream(
            encoder.name,
            rate=look.rate / taken.every,
            options={"crf": str(encoder.crf if options.crf is None else options.crf)}
            | encoder.options,
            time_base=_TICK,
            width=size_wh[0] + size_wh[0] % 2,
            height=size_wh[1] + size_wh[1] % 2,
        )
        self._stream = cast(VideoStream, stream)
        context = self._stream.codec_context
        context.codec_tag = encoder.tag
        context.sample_aspect_ratio = Fraction(first.pixel_aspect).limit_denominator(_MAX_TERM)
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = ColorRange.MPEG
        context.flags |= Flags.frame_duration  # else durations are dropped
        # One for all frames: setting a conversion up takes as long as converting a frame.
        self._converter = VideoReformatter()
        self._audio: AudioTrack | None = None
        if source_video is not None:
            self._audio = AudioTrack(source_video, self._container, origin_s=self._origin_s)

    def encode(self, frame: Frame) -> None:
        """Add one frame, to be shown at its own time until the next, or as long as in its source.

        The first is shown from the start if it is the next after the time at which the output
        begins.

        Raises:
            InputError: The file cannot be written.
        """
        image = np.ascontiguousarray(_fitted(frame.image, self._size_wh))
        picture = self._converter.reformat(
            VideoFrame.from_numpy_buffer(image, format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
        )
        wanted = self._last_pts + self._step
        if frame.time_s is not None:
            wanted = round((frame.time_s - self._origin_s) / _TICK)
        if self._origin_s > 0 and self._last_pts < 0 and wanted < self._step:
            wanted = 0
        # Two frames cannot share a tick.
        picture.pts = max(wanted, self._last_pts + 1)
        picture.time_base = _TICK
        with _writing(self._path):
            self._encode_held(picture.pts)
        self._held = picture
        self._last_pts, self._last_own_s = picture.pts, frame.duration_s or 0.0

    def finish(self) -> None:
        """Write what is still held, and the index that lets players start at once.

        Raises:
            InputError: The file cannot be written.
        """
        end_pts = self._last_pts + self._last_duration()
        with _writing(self._path):
            self._encode_held(end_pts)
            packets = self._stream.encode(None)
            if self._delay is None and len(packets) == 1:
                packets[0].dts = packets[0].pts  # x265 gives a single picture any dts, or none
            self._timed(packets)
            last = packets[-1] if packets else None
            if last is not None and last.pts is not None and last.dts is not None:
                # In an MP4 durations run from one dts to the next. At a constant rate all dts lie
                # before the pts by the same delay; else none must be shown beyond the end.
                is_newest = last.pts == self._last_pts
                at_dts = last.pts if is_newest else last.dts + (self._delay or 0)
                last.duration = max(1, end_pts - max(last.pts, at_dts))
            self._container.mux(packets)
            if self._audio is not None:
                end_s = float(end_pts * _TICK)
                self._audio.finish(*([end_s] if self._taken.cuts_the_end else []))
            self._container.close()

    def abandon(self) -> None:
        """Close the file as it is, and the source."""
        with suppress(av.FFmpegError):
            self._container.close()
        if self._audio is not None:
            self._audio.close()

    def _encode_held(self, until_pts: int) -> None:
        """Encode the newest picture, to be shown until a tick, and write the sound before it."""
        if self._held is None:
            return
        self._held.duration = until_pts - self._last_pts
        self._container.mux(self._timed(self._stream.encode(self._held)))
        if self._audio is not None:
            self._audio.write(until_s=float(self._last_pts * _TICK))

    def _timed(self, packets: list[Packet[VideoStream]]) -> list[Packet[VideoStream]]:
        """Return packets, of whose very first the delay is taken."""
        first = packets[0] if packets and self._delay is None else None
        if first is not None and first.pts is not None and first.dts is not None:
            self._delay = first.pts - first.dts
        return packets

    def _last_duration(self) -> int:
        """Return for how many ticks the newest frame is shown if none comes after it."""
        own = round(self._last_own_s / _TICK) if self._takes_all else 0
        duration = own or self._step
        if self._end_pts is None:
            return duration
        return max(1, min(duration, self._end_pts - self._last_pts))


def is_drawn_video(path: Path) -> bool:
    """Return whether a file is a video that was written here."""
    with suppress(InputError), open_container(path) as container:
        return container.metadata.get("comment") == MARK
    return False


@dataclass(frozen=True, slots=True)
class _Look:
    """What is taken over from a source video.

    Attributes:
        rate: Its mean frame rate.
        duration_s: How long it claims to be; None where it says nothing.
    """

    rate: Fraction = _ASSUMED_RATE
    duration_s: float | None = None


def _look_of(source: Path | None) -> _Look:
    """Return the look of a source video."""
    if source is not None:
        with suppress(InputError), open_container(source) as container:
            track = picture_track(container, source)
            duration_s = container.duration / av.time_base if container.duration else None
            return _Look(track.average_rate or _ASSUMED_RATE, duration_s)
    return _Look()


def _end_pts(look: _Look, step_s: Fraction, taken: VideoOptions) -> int | None:
    """Return the tick at which the output ends at the latest; None where that is not known.

    Where every picture of the source is taken, the last tells better than the header.
    """
    ends_s = [taken.end_s, look.duration_s if step_s > 1 / look.rate else None]
    known_s = [end_s for end_s in ends_s if end_s is not None]
    return round((min(known_s) - taken.start_s) / _TICK) if known_s else None


def _fitted(image: NDArray[np.uint8], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """Scale a picture to `size_wh` on black if need be, and repeat its rim to even sizes."""
    height, width = image.shape[:2]
    if (width, height) != size_wh:
        scale = min(size_wh[0] / width, size_wh[1] / height)
        width, height = max(1, round(width * scale)), max(1, round(height * scale))
        scaled = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        image = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
        left, top = (size_wh[0] - width) // 2, (size_wh[1] - height) // 2
        image[top : top + height, left : left + width] = scaled
    if size_wh[0] % 2 or size_wh[1] % 2:
        image = cv2.copyMakeBorder(
            image, 0, size_wh[1] % 2, 0, size_wh[0] % 2, cv2.BORDER_REPLICATE
        )
    return image


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn FFmpeg's trouble with a file into ours."""
    try:
        yield
    except av.FFmpegError as error:
        raise InputError(
            f"The video cannot be written into {path.parent}: {error.strerror}.",
            "Check free space and permissions of the folder.",
        ) from error

"""The pictures of one video file, decoded strictly forward: what a player would show, and when.

Lives here: what is shown when, and what of it is damaged. Where something of the file is missing is
found in `video_packets`; which pictures are wanted, how they are called and on which thread they
are decoded is decided in `video`. PyAV and not `cv2.VideoCapture`: OpenCV gives
no reliable time in a video of variable frame rate, guesses counts, hides damage, and treats
untagged HD colour as SD.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import av
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vitpose_cli.errors import InputError
from vitpose_cli.files import reason_of
from vitpose_cli.media.announced_bytes import announced_bytes
from vitpose_cli.media.frame_pixels import upright_aspect, upright_rgb
from vitpose_cli.media.headers import ANIMATION_BYTES, is_animated_webp
from vitpose_cli.media.held_pictures import HeldPictures
from vitpose_cli.media.independent_pictures import INDEPENDENT, decoded_alone
from vitpose_cli.media.lost_packets import Loss
from vitpose_cli.media.picture import MAX_PICTURE_PIXELS, Picture, VideoReader
from vitpose_cli.media.reading import read_start
from vitpose_cli.media.video_container import (
    STRICT,
    announced_s,
    clock_start_s,
    keeps_to_standard,
    open_container,
    picture_track,
)
from vitpose_cli.media.video_packets import (
    BEFORE_ALL,
    DAMAGED_HERE,
    REPAIR,
    PicturePackets,
)
from vitpose_cli.media.webp_reader import WebpReader

_RECORDED = frozenset({"mpegts", "mpeg"})
"""Containers that begin anywhere, and go on behind what was lost on the air."""

_NO_PICTURE = "The video holds no picture."
_ASSUMED_RATE = 25
_MISSING_S = 0.25
"""A file that ends this much before its announced end counts as cut off (or half, if short)."""


def open_reader(path: Path) -> VideoReader:
    """Open a video, an animated GIF or an animated WebP.

    Raises:
        InputError: The file is missing, empty, no video, has no picture track, or its codec is
            unknown.
    """
    try:
        start = read_start(path, ANIMATION_BYTES)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {reason_of(error)}.") from error
    if not start:
        raise InputError(f"{path} is empty (0 bytes).", "Copy it again from where it came.")
    return WebpReader(path) if is_animated_webp(start) else AvReader(path)


class AvReader:
    """A video file read through PyAV (FFmpeg)."""

    def __init__(self, path: Path) -> None:
        """Open `path` and find its first picture track.

        Raises:
            InputError: See `open_reader`.
        """
        container = open_container(path)
        try:
            self._stream = picture_track(container, path)
        except InputError:
            container.close()
            raise
        if self._stream.width * self._stream.height > MAX_PICTURE_PIXELS:
            container.close()
            raise InputError(
                f"{path} has pictures of {self._stream.width} x {self._stream.height}."
            )
        self._path = path
        self._container = container
        self._converter = VideoReformatter()
        codec = self._stream.codec_context
        self._independent = codec.name in INDEPENDENT
        # With a thread for each picture, a packet's error comes out at a later packet.
        self._stream.thread_type = "SLICE" if self._independent else "AUTO"
        if codec.name == "mjpeg":
            # Else the decoder hands out what it made of damaged data, and says nothing.
            codec.options = {"err_detect": "explode"}
        elif codec.name == "libdav1d" and keeps_to_standard(path):
            codec.options = STRICT
        self._packets = PicturePackets(path, container, self._stream)
        self._is_recorded = container.format.name in _RECORDED
        self._start_s = clock_start_s(container)
        self._announced_s = announced_s(self._stream, self._start_s)
        self._mean_step_s = float(1 / (self._stream.average_rate or _ASSUMED_RATE))
        # AVI holds no presentation times; what FFmpeg makes up for it runs backwards at B-frames.
        self._has_pts = container.format.name != "avi"
        self._late_ticks = 0
        if not self._has_pts and self._stream.frames:
            # FFmpeg fits the duration to the bytes that are there, also of a file that is cut off.
            self._announced_s = self._stream.frames * self._mean_step_s
        if container.format.name == "asf":
            self._announced_s = None  # FFmpeg says of each track what is said of the file

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of a picture, px. See `VideoReader.size_wh`."""
        return self._stream.width, self._stream.height

    @property
    def num_pictures(self) -> int | None:
        """The count in the file's header, else its duration times its mean frame rate."""
        if self._stream.frames:
            return self._stream.frames
        duration_s, rate = self.duration_s, self._stream.average_rate
        return round(duration_s * rate) if duration_s and rate else None

    @property
    def duration_s(self) -> float | None:
        """The duration of the picture track, else of the file."""
        announced = self._announced_s
        if announced is None and self._container.duration is not None:
            return self._container.duration / av.time_base
        return announced

    def pictures(self, from_pts: int | None = None) -> Iterator[Picture]:
        """Yield pictures in the order they are shown. See `VideoReader.pictures`."""
        if from_pts is not None:
            self._packets.seek(from_pts)
        yield from self._each_alone() if self._independent else self._on_each_other()

    def _each_alone(self) -> Iterator[Picture]:
        """Yield pictures that build on no other; damaged ones in their places.

        Raises:
            InputError: None of them is whole, or as `pictures`.
        """
        held: list[Picture] = []  # while none was whole: it may be that none can be decoded at all
        latest: Picture | None = None
        any_whole = after_damage = False
        for packet in self._packets:
            if not packet.size or packet.is_discard:
                continue
            frame = decoded_alone(packet, after_damage=after_damage)
            after_damage = frame is None
            any_whole |= not after_damage
            latest = (
                self._damaged(packet, latest) if frame is None else self._picture(frame, latest)
            )
            held.append(latest)
            if any_whole:
                yield from held
                held.clear()
        if latest is None:
            raise InputError(_NO_PICTURE)
        if not any_whole:
            raise InputError(
                "None of its pictures can be decoded: they are damaged, or of a rare kind."
            )
        self._check_end(latest)

    def _on_each_other(self) -> Iterator[Picture]:
        """Yield pictures that build on others: what is lost spoils those behind it.

        Raises:
            InputError: As `pictures`.
        """
        problem = _NO_PICTURE
        shown: Picture | None = None
        newest_pts = BEFORE_ALL
        given: dict[int | None, int | None] = {}  # dts by pts, up to the first picture
        loss, held = Loss(), HeldPictures()
        for packet in self._packets:
            if packet.pts is not None and not packet.is_discard:
                newest_pts = max(newest_pts, packet.pts)
                if self._has_pts:
                    held.give(packet.pts)
            loss.watch(packet)
            if shown is None:
                given[packet.pts] = packet.dts
            try:
                frames = packet.decode()
            except av.FFmpegError as error:
                problem = f"The video is damaged here: {error.strerror}."
                begun = shown is not None or (loss.starts_whole and not self._is_recorded)
                if begun and not loss.open:
                    raise InputError(problem, REPAIR) from error
                # A recording cut from a longer one starts in the middle of things.
                loss.begin_among_waiting()
                continue
            lost_dts = None if packet.size else packet.dts
            for frame in frames:
                if lost_dts is not None and (frame.pts is None or frame.pts >= lost_dts):
                    break
                if frame.is_corrupt and not loss.open:
                    if shown is not None:
                        yield from held.decoded_before(frame.pts)
                        raise InputError(DAMAGED_HERE, REPAIR)
                    loss.begin()
                if shown is None and not self._has_pts:
                    self._late_ticks = _lateness(frame, given.get(frame.pts))
                shown = self._picture(frame, shown, spoiled=loss.spoils(frame))
                yield from held.take(shown, frame.pts)
            if not packet.size:
                yield from held.rest()
        if shown is None:
            raise InputError(problem)
        if shown.pts is not None and newest_pts > shown.pts:
            raise InputError("The video is damaged here: its last pictures cannot be decoded.")
        self._check_end(shown)

    def all_pts(self) -> NDArray[np.int64] | None:
        """Return the ticks of every picture, from the packets alone, without decoding.

        Leaves the reader at the end of the file. None where a file has no ticks, packets and
        pictures do not match one to one, or pictures have other ticks after a jump.
        """
        if not self._has_pts or self._stream.codec_context.name == "vp8":
            return None  # VP8 has packets that are never shown
        if self._container.format.name == "mpeg":
            return None  # after a jump, pictures of a program stream have the ticks of the next
        shown = self._packets.all_shown()
        all_pts = {packet.pts for packet in shown if packet.pts is not None}
        is_told = bool(shown) and len(all_pts) == len(shown)
        return np.array(sorted(all_pts), np.int64) if is_told else None

    def close(self) -> None:
        """Close the file."""
        self._packets.close()
        self._container.close()

    def _picture(
        self, frame: VideoFrame, before: Picture | None, *, spoiled: bool = False
    ) -> Picture:
        time_s, pts, duration_s = self._when(frame, before)
        reason = "The picture is damaged: part of the file is lost before it."
        to_rgb = (
            partial(_refuse, reason) if spoiled else partial(upright_rgb, frame, self._converter)
        )
        aspect = upright_aspect(frame, self._stream.sample_aspect_ratio)
        return Picture(time_s, to_rgb, pts, frame.interlaced_frame, duration_s, aspect)

    def _damaged(self, packet: Packet[VideoStream], before: Picture | None) -> Picture:
        time_s, pts, duration_s = self._when(packet, before)
        reason = f"The picture at {time_s:g} s is damaged: it can be decoded in part at most."
        return Picture(time_s, partial(_refuse, reason), pts, duration_s=duration_s)

    def _when(
        self, shown: VideoFrame | Packet[VideoStream], before: Picture | None
    ) -> tuple[float, int | None, float | None]:
        """Return when a picture is shown, seconds, and in the file's ticks, and for how long."""
        ticks = shown.pts
        if not self._has_pts:
            ticks = None if shown.dts is None else shown.dts - self._late_ticks
        time_s = 0.0
        if ticks is not None and shown.time_base is not None:
            time_s = round(float(ticks * shown.time_base) - self._start_s, 6)
        if before is not None and time_s <= before.time_s:  # none, or the clock was turned back
            time_s = round(before.time_s + self._mean_step_s, 6)
        duration_s = None
        if shown.duration and shown.time_base is not None:
            duration_s = float(shown.duration * shown.time_base)
        return time_s, ticks if self._has_pts else None, duration_s

    def _check_end(self, last: Picture) -> None:
        """Raise if the file ended before its own header says, by bytes or long before by time."""
        announced_s, last_s = self._announced_s or 0.0, last.time_s
        missing_s = announced_s - last_s - max(self._mean_step_s, last.duration_s or 0.0)
        if missing_s > min(_MISSING_S, announced_s / 2):
            raise InputError(
                f"The file is cut off: it ends at {last_s:.1f} s of announced {announced_s:.1f} s."
            )
        try:
            announced = announced_bytes(self._path, self._container.format.name)
            there = self._path.stat().st_size
        except OSError as error:
            raise InputError(f"The file cannot be read further: {error.strerror}.") from error
        if announced is not None and there < announced:
            raise InputError(
                f"The file is cut off: {there} of its {announced} bytes are there.",
                "Copy it again.",
            )


def _lateness(first: VideoFrame, dts: int | None) -> int:
    """Return how many ticks a picture comes out of the decoder behind its packet, given its dts.

    Where B-frames are in between, a decoder holds pictures back; an AVI counts packets alone.
    """
    return 0 if first.dts is None or dts is None else max(0, first.dts - dts)


def _refuse(reason: str) -> NDArray[np.uint8]:
    raise InputError(reason)

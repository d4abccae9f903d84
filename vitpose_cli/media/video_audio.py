"""The sound of a video, carried over into another file beside its new pictures.

Packets are copied as they are wherever players expect their codec in an MP4: to decode and encode
them again costs quality and time. The clock is that of `video_reader`, seconds since the file's
start, so that sound and pictures stay in step however the file counts.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet

from vitpose_cli.errors import InputError
from vitpose_cli.media.video_container import clock_start_s, open_container

COPIED_CODECS = frozenset({"aac", "mp3", "opus", "flac", "ac3", "eac3", "alac"})
"""What players find in an MP4. FFmpeg would also write Vorbis and PCM, which browsers refuse."""

_AAC_RATES = frozenset({8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000})
_AAC_FALLBACK_RATE = 48000
_AAC_CHANNEL_BITS = 96_000
"""Bits a second for each channel: transparent for most listeners."""

_Step: TypeAlias = "tuple[float, list[Packet[AudioStream]]]"
"""When a piece of sound is heard, in seconds of the output, and the packets that are ready then."""

_log = logging.getLogger(__name__)


class AudioTrack:
    """The sound of one video, written in step with the pictures of another."""

    def __init__(self, source: Path, output: OutputContainer, *, origin_s: float) -> None:
        """Add a sound track to `output`, before its first packet, if `source` has one.

        Args:
            source: The video whose first sound track is taken.
            output: Where it goes.
            origin_s: The time in the source at which the output begins.
        """
        self._source = source
        self._output = output
        self._steps: Iterator[_Step] = iter(())
        self._encoder: _AacEncoder | None = None
        self._broken_off = False
        try:
            self._container: InputContainer | None = open_container(source)
        except InputError:
            self._container = None  # an animated WebP: FFmpeg cannot read it, and it is mute
        if self._container is not None and self._container.streams.audio:
            start_s = clock_start_s(self._container) + origin_s
            self._steps = self._open(self._container, start_s, trimmed=origin_s > 0)
        self._step = self._next_step()

    def write(self, until_s: float = math.inf) -> None:
        """Write the sound before `until_s`, in seconds of the output."""
        while self._step is not None and self._step[0] < until_s:
            self._mux(self._step[1])
            self._step = None if self._broken_off else self._next_step()

    def finish(self, until_s: float = math.inf) -> None:
        """Write the sound before `until_s`, with what an encoder still holds, and close the source.

        Where that lies before the end of the sound, the last packet may reach beyond it.
        """
        self.write(until_s)
        if self._encoder is not None and not self._broken_off:
            ready = self._step[1] if self._step is not None else []  # with a frame behind the cut
            held = [*ready, *self._encoder.flush()]
            self._mux([each for each in held if _time_s(each) < until_s])
        self.close()

    def close(self) -> None:
        """Close the source."""
        if self._container is not None:
            self._container.close()

    def _open(self, container: InputContainer, start_s: float, *, trimmed: bool) -> Iterator[_Step]:
        """Choose how the sound gets over: as it is, encoded again, or not at all."""
        track = container.streams.audio[0]
        if track.codec_context is None:
            _log.warning("The sound of %s cannot be read; the output is mute.", self._source)
            return iter(())
        codec = track.codec_context.codec.canonical_name
        if codec in COPIED_CODECS:
            copy = self._output.add_stream_from_template(track)
            return _copied(container.demux(track), copy, start_s, trimmed)
        _log.warning("The sound of %s (%s) is encoded anew as AAC.", self._source, codec)
        rate = track.rate if track.rate in _AAC_RATES else _AAC_FALLBACK_RATE
        encoder = self._output.add_stream("aac", rate)
        encoder.layout = "mono" if track.channels == 1 else "stereo"
        encoder.bit_rate = _AAC_CHANNEL_BITS * encoder.channels
        self._encoder = _AacEncoder(encoder)
        return _encoded(container.decode(track), self._encoder, start_s)

    def _mux(self, packets: list[Packet[AudioStream]]) -> None:
        """Write packets; the sound breaks off at those that the file cannot take."""
        try:
            self._output.mux(packets)
        except av.ArgumentError as error:  # of the packets, not of the disk
            self._say_broken_off(error)
            self._broken_off = True

    def _next_step(self) -> _Step | None:
        try:
            return next(self._steps, None)
        except av.FFmpegError as error:
            self._say_broken_off(error)
            return None

    def _say_broken_off(self, error: av.FFmpegError) -> None:
        _log.warning("The sound of %s breaks off: %s.", self._source, error.strerror)


class _Onward:
    """A clock that never goes back: where one does, as in joined recordings, what follows goes on.

    As the pictures' times do; see `video_reader`.
    """

    def __init__(self) -> None:
        self._last: int | None = None
        self._duration = 0
        self._ahead = 0

    def __call__(self, pts: int, duration: int) -> int:
        """Return when something of `duration` begins, in ticks like `pts`, which it states."""
        if self._last is not None and pts + self._ahead <= self._last:
            self._ahead = self._last + self._duration - pts
        self._last, self._duration = pts + self._ahead, max(1, duration)
        return self._last


def _copied(
    packets: Iterator[Packet[AudioStream]], copy: AudioStream, start_s: float, trimmed: bool
) -> Iterator[_Step]:
    """Yield the packets from `start_s` on, with their times in the output."""
    onward = _Onward()
    for packet in packets:
        if packet.pts is None or packet.time_base is None:
            continue
        packet.pts = onward(packet.pts, packet.duration or 1)
        time_s = float(packet.pts * packet.time_base) - start_s
        # Sound before 0 of an uncut file is what the decoder needs to warm up.
        if trimmed and time_s < 0:
            continue
        shift = round(start_s / packet.time_base)
        packet.pts -= shift
        packet.dts = packet.pts
        packet.stream = copy
        yield time_s, [packet]


class _AacEncoder:
    """A resampler and an encoder, which both hold back sound until there is enough of it."""

    def __init__(self, stream: AudioStream) -> None:
        """Encode for a track of the output, in its layout and rate."""
        self._stream = stream
        self._resampler = av.AudioResampler(
            format="fltp", layout=stream.layout, rate=stream.rate, frame_size=1024
        )
        self.tick = Fraction(1, stream.rate)

    def encode(self, frame: AudioFrame) -> list[Packet[AudioStream]]:
        """Return the packets that are ready with one more frame."""
        return [
            done for part in self._resampler.resample(frame) for done in self._stream.encode(part)
        ]

    def flush(self) -> list[Packet[AudioStream]]:
        """Return the packets of all that is held. No frame may follow."""
        parts = [*self._resampler.resample(None), None]
        return [done for part in parts for done in self._stream.encode(part)]


def _time_s(packet: Packet[AudioStream]) -> float:
    """Return when an encoded packet is heard, in seconds of the output."""
    return 0.0 if packet.pts is None else float(packet.pts * packet.time_base)


def _encoded(frames: Iterator[AudioFrame], encoder: _AacEncoder, start_s: float) -> Iterator[_Step]:
    """Yield the sound from `start_s` on as AAC packets, with their times in the output.

    What the encoder holds at the end is left in it.
    """
    onward = _Onward()
    for frame in frames:
        if frame.pts is None or frame.time_base is None:
            continue
        duration = round(frame.samples / frame.sample_rate / frame.time_base)
        time_s = float(onward(frame.pts, duration) * frame.time_base) - start_s
        if time_s < 0:
            continue
        frame.pts, frame.time_base = round(time_s / encoder.tick), encoder.tick
        yield time_s, encoder.encode(frame)

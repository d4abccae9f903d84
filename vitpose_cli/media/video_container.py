"""A video file as FFmpeg opens it: its picture track, its clock, and how long it says it is."""

from __future__ import annotations

import math
from contextlib import suppress
from itertools import islice
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from vitpose_cli.errors import InputError
from vitpose_cli.media import ffmpeg_log
from vitpose_cli.media.frames import stored_aspect

STRICT = {"strict": "strict"}
"""Options of a decoder that lets nothing pass that a standard does not allow."""

_NUM_KEYFRAMES_TRIED = 2  # one of them may be damaged


def open_container(path: Path) -> InputContainer:
    """Open a file with FFmpeg.

    Raises:
        InputError: It holds neither pictures nor sound that FFmpeg knows.
    """
    ffmpeg_log.silence()
    try:
        # "file:" keeps FFmpeg from taking a name such as "concat:a.mp4" for a protocol.
        return av.open(f"file:{path}", metadata_errors="replace")
    except av.FFmpegError as error:
        raise InputError(
            f"{path} is not a video, or its header is damaged: {error.strerror}.",
            "Play it in a player; record or download it again if that fails too.",
        ) from error


def keeps_to_standard(path: Path) -> bool:
    """Return whether a keyframe of an AV1 video can be decoded where nothing is passed over.

    The decoder tells of damage in a picture alone if it is told to be strict; but then it also
    refuses videos whose encoder was wrong about what no picture needs.
    """
    with open_container(path) as container:
        track = picture_track(container, path)
        track.codec_context.options = STRICT
        keyframes = (each for each in container.demux(track) if each.is_keyframe)
        for packet in islice(keyframes, _NUM_KEYFRAMES_TRIED):
            with suppress(av.FFmpegError):
                if packet.decode() or track.decode(None):
                    return True
            track.codec_context.flush_buffers()
    return False


def clock_start_s(container: InputContainer) -> float:
    """Return the time in the file's own clock at which a player shows 0:00."""
    return 0.0 if container.start_time is None else container.start_time / av.time_base


def picture_track(container: InputContainer, path: Path) -> VideoStream:
    """Return the first track of moving pictures; a cover is none.

    Args:
        container: The open file.
        path: What it is called in the error.

    Raises:
        InputError: It has none, or one of an unknown codec.
    """
    tracks = [
        track
        for track in container.streams.video
        if av.stream.Disposition.attached_pic not in track.disposition
    ]
    if not tracks:
        kinds = ", ".join(sorted({track.type for track in container.streams}))
        raise InputError(f"{path} has no picture track, only: {kinds or 'nothing'}.")
    track = tracks[0]
    if track.codec_context is None:
        raise InputError(
            f"{path} uses a codec that is not supported, or is encrypted.",
            "Convert it: ffmpeg -i IN -c:v libx264 OUT.mp4",
        )
    return track


def says_square(path: Path) -> bool:
    """Return whether the pixels of a video are square, by what FFmpeg knows once it is open.

    Raises:
        InputError: The file is missing, no video, has no picture track, or its codec is unknown.
    """
    with open_container(path) as container:
        return stored_aspect(picture_track(container, path).sample_aspect_ratio) == 1


def announced_s(stream: VideoStream, start_s: float) -> float | None:
    """Return the duration in the track's header (MP4, AVI) or tags (Matroska)."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    hours, _, rest = stream.metadata.get("DURATION", "").partition(":")
    minutes, _, seconds = rest.partition(":")
    try:  # the tag tells when the track ends by the file's clock
        told_s = int(hours) * 3600 + int(minutes) * 60 + float(seconds) - start_s
    except (ValueError, OverflowError):
        return None
    return told_s if math.isfinite(told_s) else None

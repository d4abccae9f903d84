"""Where videos end: told among the records, once the last frame of each has come.

How many frames a video has shows only when it is decoded, so that of frames alone nobody can tell
whether they are all. A file that cannot be opened, or breaks off, comes to no end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from vitpose_cli.media.frames import FrameFailure
from vitpose_cli.media.source import MediaSource
from vitpose_cli.records.record import FrameRecord


def with_ends(records: Iterable[FrameRecord], source: MediaSource) -> Iterator[FrameRecord]:
    """Yield the records, and behind those of each video one that says where it ended or broke off.

    Of videos in which there was nothing to label, that comes last.

    Args:
        records: Of the frames of `source`, in order, while it is being read.
        source: Where the frames come from.
    """
    told = set()
    for media, alike in groupby(records, key=lambda record: record.key.media):
        last = None
        for last in alike:
            yield last
        told.add(media)
        end = _end(source, media)
        if end is not None and last is not None and end.key != last.key:
            yield end
    for media in source.videos:
        end = None if media in told else _end(source, media)
        if end is not None:
            yield end


def _end(source: MediaSource, media: str) -> FrameRecord | None:
    end = source.end(media)
    if end is None:
        return None
    if isinstance(end, FrameFailure):
        return FrameRecord(end.key, error=end.error)
    return FrameRecord(end.key, error="", ended_after=end.num_frames, file_bytes=end.file_bytes)

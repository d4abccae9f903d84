"""What a resumed run need not read again, and what it must read though it is done.

Labels depend, in their last bits, on which crops shared a batch, and batches are made inside chunks
of frames (see `labeler`). A journal grows chunk by chunk, so only the chunk of its last frame can
have been under way when the run was stopped. That chunk is read again as a whole; records it
already has are not written twice.
"""

from __future__ import annotations

from collections.abc import Container, Sequence, Set
from itertools import takewhile

from vitpose_cli.labeler import CHUNK_FRAMES
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.media.source import MediaSource
from vitpose_cli.records.run import Run


class Finished(Container[FrameKey]):
    """The frames that need not be read: done, and in no chunk that was under way.

    The key of a video itself (without an index) stands for all its frames.
    """

    def __init__(self, done: Set[FrameKey], reopened: Set[FrameKey], videos: Set[str]) -> None:
        """Take a live view of what is done.

        Args:
            done: Frames with a record.
            reopened: Frames to read again although they have one.
            videos: Media names of videos that need not be opened.
        """
        self._done = done
        self._reopened = reopened
        self._videos = videos

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, FrameKey):
            return False
        if key.index < 0 and key.media in self._videos:
            return True
        return key in self._done and key not in self._reopened


class AllBut(Container[FrameKey]):
    """Every frame but a few: for reading just those."""

    def __init__(self, wanted: Set[FrameKey]) -> None:
        """Take the frames to read."""
        self._wanted = wanted
        self._media = {key.media for key in wanted}

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, FrameKey):
            return False
        return key not in self._wanted and (key.index >= 0 or key.media not in self._media)


def finished(source: MediaSource, run: Run) -> Finished:
    """Return what of `source` the run has finished."""
    done = run.fresh(retry_errors=False)
    reopened: set[FrameKey] = set()
    photos = source.keys()
    latest = run.latest()
    for last in latest:
        if last.video is not None:
            reopened.update(_last_chunk(done, last.video))
        elif last in photos:
            chunk = _photo_chunk(photos, last)
            if any(key not in done for key in chunk):
                reopened.update(chunk)
    # Frames may be missing anywhere in a damaged journal.
    videos = set() if run.damage else _whole_videos(source, done, latest)
    return Finished(done, reopened, videos)


def _whole_videos(source: MediaSource, done: Set[FrameKey], latest: Sequence[FrameKey]) -> set[str]:
    """Return the videos that work has gone past, so that all of their frames are done.

    Those behind the place where it stopped may be done in part: files that come before them may
    have been added meanwhile.
    """
    started = {key.media for key in done if key.video is not None}
    reached = {key.media for key in latest}
    passed = takewhile(lambda media: media not in reached, source.media)
    known = bool(reached) and reached.issubset(source.media)
    return started.intersection(passed) if known else set()


def _photo_chunk(photos: list[FrameKey], key: FrameKey) -> list[FrameKey]:
    """Return the chunk of the listing that holds `key`."""
    start = photos.index(key) // CHUNK_FRAMES * CHUNK_FRAMES
    return photos[start : start + CHUNK_FRAMES]


def _last_chunk(done: Set[FrameKey], media: str) -> list[FrameKey]:
    """Return the last chunk of those frames of a video that are done."""
    frames = sorted(key for key in done if key.media == media)
    return frames[(len(frames) - 1) // CHUNK_FRAMES * CHUNK_FRAMES :]

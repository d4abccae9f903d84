"""What a resumed run need not read again, and what it must read though it is done.

Labels depend, in their last bits, on which crops shared a batch, and batches are made inside chunks
of frames (see `labeler`). A journal grows chunk by chunk, so only the chunk of its last frame can
have been under way when the run was stopped. That chunk is read again as a whole; records it
already has are not written twice. Of a damaged journal nothing is known but its whole lines, so
that every chunk that lacks something is read again.

A video is done when its end was reached and written down (`video_ends`), as long as its file has
the size that it had then: a camera may still write it, or somebody copy it. That other files came
after it, or that a worker had nothing left to do, was refused as a sign of it: photos are added,
and a file that cannot be opened today may be whole tomorrow.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterator, Sequence, Set
from itertools import pairwise

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


def finished(source: MediaSource, run: Run) -> Finished:
    """Return what of `source` the run has finished."""
    done = run.fresh(retry_errors=False)
    open_ends = {journal.last for journal in run.progress() if not journal.complete}
    reopened = set(_open_photos(source.keys(), done, open_ends, bool(run.damage)))
    failed = _videos_with_failures(run)
    videos = run.videos()
    whole = {
        media
        for media, sizes in videos.items()
        if sizes and media not in failed and _has_one_of(sizes, source.file_bytes(media))
    }
    reopened.update(_open_pictures(done, videos.keys() - whole, bool(run.damage)))
    return Finished(done, reopened, set() if run.damage else whole)


def unseen(source: MediaSource, run: Run) -> Iterator[FrameKey]:
    """Yield the photos and videos of `source` that nobody has worked on as they are now.

    Of a photo the run has neither labels nor a failure; of a video, whose key comes without an
    index, no frame at all, or the end of a file of another size.
    """
    recorded = run.fresh(retry_errors=False)
    yield from (key for key in source.keys() if key not in recorded)  # noqa: SIM118 - no mapping
    begun = {key.video for key in recorded if key.video is not None}
    ended = run.videos()
    for media in source.videos:
        sizes = ended.get(media)
        known = _has_one_of(sizes, source.file_bytes(media)) if sizes else media in begun
        if not known:
            yield FrameKey(media)


def _has_one_of(sizes: Set[int], file_bytes: int | None) -> bool:
    """Return whether a file has one of some sizes, bytes; of one that is not there, it had one."""
    return file_bytes is None or file_bytes in sizes


def _videos_with_failures(run: Run) -> set[str]:
    """Return the videos in which something failed: behind it may be frames that nobody has seen."""
    if not run.num_failed:
        return set()
    labelled = run.fresh()
    return {
        key.video
        for key in run.fresh(retry_errors=False)
        if key.video is not None and key not in labelled
    }


def _open_photos(
    photos: Sequence[FrameKey], done: Set[FrameKey], open_ends: Set[FrameKey], damaged: bool
) -> Iterator[FrameKey]:
    """Yield the chunks of the listing that were under way, and those that damage has torn."""
    for start in range(0, len(photos), CHUNK_FRAMES) if open_ends or damaged else ():
        chunk = photos[start : start + CHUNK_FRAMES]
        if damaged or any(key in open_ends for key in chunk):
            num_done = sum(key in done for key in chunk)
            if 0 < num_done < len(chunk):
                yield from chunk


def _open_pictures(done: Set[FrameKey], open_videos: Set[str], damaged: bool) -> Iterator[FrameKey]:
    """Yield the last chunks of videos under way; of a video with a gap, everything."""
    indices: dict[str, list[int]] = defaultdict(list)
    if damaged or open_videos:
        for key in done:
            if key.video is not None and (damaged or key.video in open_videos):
                indices[key.video].append(key.index)
    for media, taken in indices.items():
        taken.sort()
        last_chunk = taken[(len(taken) - 1) // CHUNK_FRAMES * CHUNK_FRAMES :]
        wanted = taken if damaged and _has_gap(taken) else last_chunk
        yield from (FrameKey(media, index) for index in wanted)


def _has_gap(taken: Sequence[int]) -> bool:
    """Return whether a video's frames, in order, may lack some; with --fps, it may seem so."""
    return taken[0] > 0 or len({after - before for before, after in pairwise(taken)}) > 1

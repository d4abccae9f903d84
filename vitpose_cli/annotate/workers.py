"""Which part of a source is whose, where several workers label it together.

Workers never talk: each deals the same listing into the same blocks and takes every n-th, so that
an array of batch jobs, of which some run hours after others, needs no server. A block of photos is
one chunk of the labeler, so that a batch holds the same crops as in a run of one process, and the
labels are equal to the last bit. A video is one block: it can only be decoded from its start, so
that n workers that share one would decode it n times, and which pictures make up a chunk shows only
on the way. Dealing by a hash of the name was refused: it tears chunks apart.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Set
from itertools import chain

from vitpose_cli.labeler import CHUNK_FRAMES
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.media.source import MediaSource

ALONE = (1, 1)
"""The worker that does everything."""


def blocks(
    source: MediaSource, skip: Container[FrameKey] = (), num_chunks: int = 1
) -> list[list[FrameKey]]:
    """Deal photos, of which `skip` does not hold the keys, and whole videos into blocks.

    Args:
        source: The listing.
        skip: What is left out.
        num_chunks: Chunks of photos in a block.

    Returns:
        The keys of photos, or the key of one video without an index.
    """
    photos = [key for key in source.keys() if key not in skip]  # noqa: SIM118 - no mapping
    size = num_chunks * CHUNK_FRAMES
    videos = (FrameKey(video) for video in source.videos)
    return [
        *(photos[at : at + size] for at in range(0, len(photos), size)),
        *([key] for key in videos if key not in skip),
    ]


def share(source: MediaSource, worker: tuple[int, int]) -> Set[str]:
    """Return the names of the photos and videos that worker k of n labels; k counts from 1."""
    number, count = worker
    mine = chain.from_iterable(blocks(source)[number - 1 :: count])
    return frozenset(key.media for key in mine)


def owners(source: MediaSource, count: int) -> Mapping[str, int]:
    """Return which of `count` workers, from 1, labels each photo and video, by its name."""
    dealt = enumerate(blocks(source))
    return {key.media: place % count + 1 for place, block in dealt for key in block}


class Outside(Container[FrameKey]):
    """What a worker leaves out: the share of others, and of its own what another rule holds."""

    def __init__(self, mine: Set[str], rule: Container[FrameKey]) -> None:
        """Take the names of the own photos and videos, and what else is left out."""
        self._mine = mine
        self._rule = rule

    def __contains__(self, key: object) -> bool:
        return isinstance(key, FrameKey) and (key.media not in self._mine or key in self._rule)

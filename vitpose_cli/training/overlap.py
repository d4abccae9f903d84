"""Which photos are both learnt from and measured on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.plurals import counted
from vitpose_cli.records.composed_names import plain
from vitpose_cli.training.data_options import Source
from vitpose_cli.training.opened_source import OpenedSource

Opened = tuple[OpenedSource, Source]
"""A source, and what was asked of it."""


def overlap_notes(learnt: Iterable[Opened], measured: Iterable[Opened]) -> list[str]:
    """Return a sentence on how many photos are on both sides; none where no photo is.

    A photo is known by its folder and name, in whatever form that is written. Frames of a video
    and photos that were extracted from it cannot be in one folder: they are known by their name.
    """
    names: set[str] = set()
    of_videos: dict[str, str] = {}
    others: dict[str, str] = {}
    for name, key in _named(measured):
        names.add(name)
        (others if key.video is None else of_videos)[plain(str(key))] = name
    both: set[str] = set()
    shown = (each for each in learnt if each[0].frames.people.repeats.any())
    for name, key in _named(shown):
        if name in names:
            both.add(name)
        elif same := (of_videos if key.video is None else others).get(plain(str(key))):
            both.add(same)
    if not both:
        return []
    are = "is" if len(both) == 1 else "are"
    return [
        f"{len(both):,} of {counted(len(names), 'photo')} measured on {are} also learnt from: "
        "AP says how well they are remembered."
    ]


def _named(sources: Iterable[Opened]) -> Iterator[tuple[str, FrameKey]]:
    """Yield where each photo of some sources is, and its key."""
    for source, options in sources:
        place = (options.images if options.kind == "coco" else options.path.parent).resolve()
        yield from ((plain(f"{place}/{key}"), key) for key in source.frames.keys)

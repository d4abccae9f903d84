"""A contact sheet: people cut out of their frames with their labels drawn, worst first.

One look says how good a run is. As a picture, or as a page that opens without a network.
"""

from __future__ import annotations

import base64
import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.errors import InputError
from vitpose_cli.files import atomic_file
from vitpose_cli.labels import Labels, open_labels
from vitpose_cli.media.cutouts import cut_out
from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.media.images import ImageSink
from vitpose_cli.media.mosaic import mosaic
from vitpose_cli.media.previews import encode_preview
from vitpose_cli.media.source import open_source
from vitpose_cli.pose.instances import Instances
from vitpose_cli.records.run import Run

TILE_WH = (180, 240)
"""Width and height of a person on the sheet, px."""

Order = Literal["worst", "best", "sampled"]


@dataclass(frozen=True, slots=True)
class SheetOptions:
    """What goes on a sheet.

    Attributes:
        labels: A run folder or a COCO document.
        output: A .png or .jpg picture, or an .html page.
        sources: Where the photos and videos are; none for those of the run.
        number: How many people, at most.
        order: By score from the worst or from the best, or a random sample.
        columns: People in a row of the picture.
        seed: Of the sample.
    """

    labels: Path
    output: Path
    sources: tuple[str, ...] = ()
    number: int = 48
    order: Order = "worst"
    columns: int = 8
    seed: int = 0


@dataclass(frozen=True, slots=True, order=True)
class _Person:
    """One person of the labels: sorts by rank, then by name."""

    rank: float
    key: FrameKey
    position: int
    score: float


def make_sheet(options: SheetOptions) -> int:
    """Write the sheet; return how many people are on it.

    Raises:
        InputError: Labels or photos cannot be read, nobody is labelled, or the output cannot be
            written.
    """
    suffix = options.output.suffix.lower()
    if suffix not in (".png", ".jpg", ".jpeg", ".html"):
        raise InputError(
            f"A sheet cannot be written as {options.output.name}.", "Name it .png, .jpg or .html."
        )
    labels = open_labels(options.labels)
    chosen = _chosen(labels, options)
    if not chosen:
        raise InputError(f"Nobody is labelled in {options.labels}.")
    source = open_source(options.sources or _sources_of(options.labels))
    tiles, captions = [], []
    for person in chosen:
        frame = source.read(person.key)
        people = labels.people(person.key).select([person.position])
        tiles.append(cut_out(frame.image, people, people.boxes[0], TILE_WH, labels.keypoint_set))
        captions.append(f"{person.score:.2f} {person.key}")
    if suffix == ".html":
        page = _page(tiles, captions, options)
        with atomic_file(options.output) as stream:
            stream.write(page.encode())
    else:
        key = FrameKey(options.output.name)
        picture = mosaic(tiles, captions, options.columns)
        ImageSink(options.output.parent).write(Frame(key, picture))
    return len(chosen)


def _chosen(labels: Labels, options: SheetOptions) -> list[_Person]:
    """Return the people for the sheet, in its order."""
    generator = random.Random(options.seed)

    def rank(score: float) -> float:
        if options.order == "sampled":
            return generator.random()
        return score if options.order == "worst" else -score

    people = (
        _Person(rank(score), key, position, score)
        for key, instances in _frames(labels)
        for position, score in enumerate(map(float, instances.scores))
    )
    return heapq.nsmallest(options.number, people)


def _frames(labels: Labels) -> Iterator[tuple[FrameKey, Instances]]:
    """Yield every labelled frame."""
    for media in sorted(labels.media):
        photo = FrameKey(media)
        if photo in labels:
            yield photo, labels.people(photo)
        else:
            yield from ((key, people) for key, _, people in labels.video(media))


def _sources_of(labels: Path) -> tuple[str, ...]:
    """Return the sources in a run's manifest."""
    if not labels.is_dir():
        raise InputError(f"{labels} does not say where its photos are.", "Give them with --source.")
    with Run.read(labels) as run:
        return run.manifest.sources


def _page(tiles: list[NDArray[np.uint8]], captions: list[str], options: SheetOptions) -> str:
    """Return a page that holds everything."""
    figures = "\n".join(
        f'<figure><img alt="{escape(caption, quote=True)}" src="data:image/jpeg;base64,'
        f'{base64.b64encode(encode_preview(tile, max(TILE_WH), 88)).decode()}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for tile, caption in zip(tiles, captions, strict=True)
    )
    title = escape(f"{options.labels.name}: {len(tiles)} people, {options.order}")
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 14px/1.4 system-ui, sans-serif; margin: 24px; }}
main {{ display: flex; flex-wrap: wrap; gap: 12px; }}
figure {{ margin: 0; width: {TILE_WH[0]}px; }}
img {{ width: 100%; border-radius: 4px; display: block; }}
figcaption {{ font-size: 12px; opacity: .75; overflow-wrap: anywhere; }}
</style>
<h1>{title}</h1>
<main>
{figures}
</main>
</html>
"""

"""A contact sheet: people cut out of their frames with their labels drawn, worst first.

One look says how good a run is. As a picture, or as a page that opens without a network.
"""

from __future__ import annotations

import base64
import heapq
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from operator import itemgetter
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.charts import PAGE_START, PAGE_SUFFIXES, is_page
from vitpose_cli.errors import InputError
from vitpose_cli.files import atomic_file, check_replaceable, make_folder
from vitpose_cli.media.cutouts import cut_out
from vitpose_cli.media.frames import Frame, FrameFailure, FrameKey
from vitpose_cli.media.images import WRITTEN_SUFFIXES, ImageSink
from vitpose_cli.media.marks import is_marked
from vitpose_cli.media.mosaic import mosaic
from vitpose_cli.media.previews import encode_preview
from vitpose_cli.plurals import people
from vitpose_cli.pose.instances import Instances
from vitpose_cli.ranges import COUNTS, check_types
from vitpose_cli.record_set import RecordSet, open_records
from vitpose_cli.records.media_root import MediaFolders
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.stated_sizes import check_size
from vitpose_cli.tiles import Tiles, read_tiles

TILE_WH = (180, 240)
"""Width and height of a person on the sheet, px."""

_MOMENT_FRAMES = 15  # half a second of most videos, as `select` keeps frames apart

_Moment = tuple[str, int, int]
"""A file, a part of it, and in a photo one of its people."""

SheetOrder = Literal["worst", "best", "sampled"]


@dataclass(frozen=True, slots=True)
class SheetOptions:
    """What goes on a sheet.

    Attributes:
        labels: A run folder or a COCO document.
        output: A .png or .jpg picture, or an .html page.
        images: The folder of the photos and videos; None where they were labelled.
        number: How many people, at most.
        order: By score from the worst or from the best, first one person of every 15 frames of a
            video; or a random sample of all.
        columns: People in a row of the picture.
        seed: Of the sample.

    Paths may be given as text.
    """

    labels: Path
    output: Path
    images: Path | None = None
    number: int = 48
    order: SheetOrder = "worst"
    columns: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ConfigError: Something is of another type, or out of its range.
        """
        check_types(self)
        COUNTS.check("number", self.number)
        COUNTS.check("columns", self.columns)


@dataclass(frozen=True, slots=True, order=True)
class _Person:
    """One person of the labels: sorts by rank, then by name."""

    rank: float
    key: FrameKey
    position: int
    score: float
    frame: Instances = field(compare=False)
    size_wh: tuple[int, int] | None = field(compare=False)


@dataclass(frozen=True, slots=True)
class Sheet:
    """What is on a sheet that was written.

    Attributes:
        num_people: How many people.
        unread: The pictures that could not be read, and why not.
    """

    num_people: int
    unread: Sequence[FrameFailure]


def make_sheet(options: SheetOptions) -> Sheet:
    """Write the sheet; return what is on it.

    Where a picture cannot be read any more, its people's tiles are black and say why.

    Raises:
        InputError: Labels cannot be read, nobody is labelled, none of the pictures is found or can
            be read, one has another size than was labelled, or the output cannot be written, or
            only in place of something else.
    """
    suffix = options.output.suffix.lower()
    is_html = suffix in PAGE_SUFFIXES
    if not is_html and suffix not in WRITTEN_SUFFIXES:
        raise InputError(
            f"A sheet cannot be written as {options.output.name}.", "Name it .png, .jpg or .html."
        )
    check_replaceable(options.output, is_page if is_html else is_marked)
    labels = open_records(options.labels)
    chosen = _chosen(labels.records(), options)
    if not chosen:
        raise InputError(f"Nobody is labelled in {options.labels}.")
    places = [MediaFolders.at(options.images)] if options.images else labels.folders()
    tiles = _tiles(chosen, places, labels)
    if is_html:
        page = _page(tiles, options)
        make_folder(options.output.parent)
        with atomic_file(options.output) as stream:
            stream.write(page.encode())
    else:
        key = FrameKey(options.output.name)
        picture = mosaic(tiles.pictures, tiles.captions, options.columns)
        ImageSink(options.output.parent, mark=True).write(Frame(key, picture))
    return Sheet(len(chosen), tiles.unread)


def _chosen(records: Iterable[FrameRecord], options: SheetOptions) -> list[_Person]:
    """Return the people for the sheet, in its order."""
    generator = random.Random(options.seed)

    def rank(score: float) -> float:
        if options.order == "sampled":
            return generator.random()
        return score if options.order == "worst" else -score

    apart = _Apart(0 if options.order == "sampled" else options.number)
    found = (
        _Person(rank(score), record.key, position, score, record.instances, record.size_wh)
        for record in records
        if record.instances is not None and not record.rejected
        for position, score in enumerate(map(float, record.instances.scores))
    )
    every = heapq.nsmallest(options.number, map(apart.seen, found))
    firsts = apart.people()
    shown = set(firsts)
    others = (person for person in every if person not in shown)
    return sorted([*firsts, *others][: options.number])


class _Apart:
    """The first few people by rank, of whom no two are of one moment of a video.

    Frames of a moment look alike, so that the worst one of a video would fill a sheet.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._by_moment: dict[_Moment, _Person] = {}

    def seen(self, person: _Person) -> _Person:
        """Take a person into account, whom it returns."""
        kept = self._by_moment
        index = person.key.index
        in_photo = index < 0
        moment = (person.key.media, index // _MOMENT_FRAMES, person.position if in_photo else 0)
        if moment not in kept or person < kept[moment]:
            kept[moment] = person
            if len(kept) > 2 * self._number:  # one by one, each would have to be compared with all
                self._by_moment = self._first()
        return person

    def people(self) -> list[_Person]:
        """Return them, sorted."""
        return list(self._first().values())

    def _first(self) -> dict[_Moment, _Person]:
        """Return the first of them, sorted; who is not among them comes back by a better rank."""
        return dict(heapq.nsmallest(self._number, self._by_moment.items(), key=itemgetter(1)))


def _tiles(chosen: Sequence[_Person], places: Iterable[MediaFolders], labels: RecordSet) -> Tiles:
    """Return a picture of each person, with name and score.

    Raises:
        InputError: Pictures are not found, none can be read, or one is not of the size that was
            labelled.
    """
    keypoint_set = labels.keypoint_set

    def drawn(place: int, frame: Frame) -> NDArray[np.uint8]:
        person = chosen[place]
        check_size(frame.key, frame.size_wh, person.size_wh, labels.path)
        one = person.frame.select([person.position])
        return cut_out(frame.image, one, one.boxes[0], TILE_WH, keypoint_set)

    tiles = read_tiles([person.key for person in chosen], places, TILE_WH, drawn)
    # Scores last, as long captions are cut at their front.
    named = zip(tiles.captions, chosen, strict=True)
    return tiles._replace(captions=[f"{name} {person.score:.2f}" for name, person in named])


def _page(tiles: Tiles, options: SheetOptions) -> str:
    """Return a page that holds everything."""
    figures = "\n".join(
        f'<figure><img alt="{escape(caption, quote=True)}" src="data:image/jpeg;base64,'
        f'{base64.b64encode(encode_preview(tile, max(TILE_WH), 88)).decode()}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for tile, caption in zip(tiles.pictures, tiles.captions, strict=True)
    )
    title = escape(f"{options.labels.name}: {people(len(tiles.pictures))}, {options.order}")
    return f"""{PAGE_START}<title>{title}</title>
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

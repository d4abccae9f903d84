"""What is written into another program's files: the chosen frames of a run or of a COCO file.

Every format is written from frame records, one after the other, wherever they come from; so a
format knows nothing of runs, and memory does not grow with their people. A copy of a COCO file as
COCO is the one exception: it is made from the file, whose foreign fields no record could hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, NamedTuple

from vitpose_cli.errors import InputError
from vitpose_cli.formats.chosen_records import ChosenRecords
from vitpose_cli.formats.label_filter import LabelFilter
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.media.marks import MANIFEST
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.records.chosen_categories import chosen_categories
from vitpose_cli.records.coco import common_keypoint_set
from vitpose_cli.records.coco_frames import CocoFrames
from vitpose_cli.records.coco_items import listed_again, named_images, wrong
from vitpose_cli.records.coco_people import (
    bodies_of,
    called_by_hand,
    labelled_people,
    size_of,
)
from vitpose_cli.records.coco_records import record_of
from vitpose_cli.records.common_names import CommonNames
from vitpose_cli.records.kept_categories import common_entry
from vitpose_cli.records.keypoint_order import KeypointOrder
from vitpose_cli.records.media_root import MediaFolders, labelled_folders
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run
from vitpose_cli.records.run_document import Finish
from vitpose_cli.records.shards import ANNOTATIONS, document_files, document_parts


class LabelledFrame(NamedTuple):
    """A frame with labels, possibly of nobody.

    Attributes:
        record: The labels.
        version: The version of the record as it lies in the journal; empty for a COCO file.
        originals: The annotations of a COCO file that the record is made of, crowds among them.
        image: The entry of `images` of a COCO file.
        num_others: How many more the file has of the frame, of what has no keypoints or is not
            taken.
        category_id: The category of people whom no original gives one, where there are several.
        image_id: Its id in the document that it is of, or, of a run, that is made of it; 0 where
            frames are not numbered.
        video: The video that a COCO file says it is of, whatever it is called; empty for a photo,
            and of a run, whose names tell.
    """

    record: FrameRecord
    version: str = ""
    originals: Sequence[Mapping[str, Any]] = ()
    image: Mapping[str, Any] = {}
    num_others: int = 0
    category_id: int = 1
    image_id: int = 0
    video: str = ""

    @property
    def original_people(self) -> list[Mapping[str, Any]]:
        """Those of the originals that are people, in their order; of a run nobody."""
        return [item for item in self.originals if not item["iscrowd"]]

    def category_ids(self, of_everybody: int) -> list[int]:
        """Return what each person is in the document; in that of a run, all are the same."""
        if not self.originals:
            return [of_everybody] * len(self.record.uids)
        return [person["category_id"] for person in self.original_people]


class ChosenFrame(NamedTuple):
    """What a frame is called.

    Attributes:
        key: The frame.
        video: See `LabelledFrame`.
    """

    key: FrameKey
    video: str = ""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Some images of a COCO document.

    Attributes:
        files: The document.
        image_ids: Returns the ids of the images.
        category_ids: Those of the categories that are taken; None for all, also those without
            keypoints.
    """

    files: tuple[Path, ...]
    image_ids: Callable[[], frozenset[int]]
    category_ids: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """What is written.

    Attributes:
        name: What it was read from, for messages.
        category: The entry of `categories` that all instances belong to, as far as a format has
            no more than one.
        categories: Those with keypoints that are taken, as the document has them.
        videos: Returns the names of videos that frames are of, as far as that is said.
        names: Returns those of photos and videos.
        info: COCO's `info`.
        folders: Where the photos and videos may lie.
        chosen: Begins a pass over what the frames are called, sorted by key: many times faster.
        frames: Begins a pass over the frames, sorted by key.
        files: What it was read from, of a run its document.
        licences: Those of the photos of a document.
        excerpt: The document and the chosen images, where that is what it was read from.
        missing: The names that were to be taken but are not there, or have no labels.
        orders: By category id, what brought its keypoints into the order that all frames have.
    """

    name: str
    category: Mapping[str, Any]
    categories: Sequence[Mapping[str, Any]]
    videos: Callable[[], Set[str]]
    names: Callable[[], Iterable[str]]
    info: Mapping[str, Any]
    folders: Callable[[], Sequence[MediaFolders]]
    chosen: Callable[[], Iterator[ChosenFrame]]
    frames: Callable[[], Iterator[LabelledFrame]]
    files: Sequence[Path]
    licences: Sequence[Mapping[str, Any]] = ()
    excerpt: Excerpt | None = None
    missing: Sequence[str] = ()
    orders: Mapping[int, KeypointOrder] = field(default_factory=dict)

    @property
    def keypoint_set(self) -> KeypointSet:
        """What the keypoints are, with the name that their category has here."""
        known = KeypointSet.from_category(self.category)
        return replace(known, category=str(self.category.get("name") or known.category))

    def check_not_empty(self) -> None:
        """Refuse to write nothing.

        Raises:
            InputError: No frame was chosen.
        """
        if next(self.chosen(), None) is None:
            missing = f"It has no {self.missing[0]!r}, for one. " if self.missing else ""
            raise InputError(
                f"No frame of {self.name} was chosen.",
                f"{missing}Frames are chosen by --only and --reviewed; failed and rejected ones "
                "never are.",
            )

    def check_listed_once(self) -> None:
        """Refuse a file that lists a chosen photo twice, for a format that has one text of each.

        Raises:
            InputError: There is one.
        """
        for frame, after in pairwise(self.chosen() if self.excerpt else ()):
            if frame.key == after.key:
                raise listed_again(self.name, frame.key)


def selected_names(path: Path) -> frozenset[str]:
    """Return the file names in a COCO file, such as a queue or one part of a split.

    Its labels are passed over.

    Raises:
        InputError: The file cannot be read, or is no COCO file.
    """
    return frozenset(image["file_name"] for _, image in named_images(document_files(path)))


def open_content(
    path: Path, wanted: LabelFilter, finish: Finish, called: CommonNames | None = None
) -> Content:
    """Open a run folder or a COCO file to write its labels elsewhere.

    Args:
        path: The run folder or the file.
        wanted: What is taken.
        finish: What is to be done with the records of a run on their way.
        called: What the frames of a file are called, see `CocoFrames`.

    Raises:
        InputError: It is neither, cannot be read, or has no such category.
    """
    return content_opener(path, finish, called)(wanted)


def content_opener(
    path: Path, finish: Finish, called: CommonNames | None = None
) -> Callable[[LabelFilter], Content]:
    """Read through a run folder or a COCO file once, to write several selections of its labels.

    Args:
        path: The run folder or the file.
        finish: See `open_content`.
        called: See `open_content`.

    Returns:
        A function that takes what is wanted, and fails where there is no such category; what it
        gives is to be used one after the other.

    Raises:
        InputError: It is neither, or cannot be read.
    """
    if (path / MANIFEST).is_file():
        run = Run.read(path)
        return lambda wanted: _run_content(run, wanted, finish)
    document = CocoFrames(path, called)
    return lambda wanted: _document_content(document, wanted)


def _run_content(run: Run, wanted: LabelFilter, finish: Finish) -> Content:
    category = run.manifest.keypoint_set
    chosen_categories([category], wanted.categories, run.path)
    missing: Sequence[str] = ()
    if wanted.names is not None:
        wanted, missing = wanted.among(map(str, run.done()))

    chosen = ChosenRecords(run, wanted, finish)

    def frames() -> Iterator[LabelledFrame]:
        for record, version, image_id in chosen.records():
            yield LabelledFrame(record, version, image_id=image_id)

    def folders() -> Sequence[MediaFolders]:
        return labelled_folders(run.manifest, run.path)

    return Content(
        str(run.path),
        category,
        (category,),
        run.video_names,
        run.media_names,
        run.info,
        folders,
        lambda: map(ChosenFrame, chosen.keys()),
        frames,
        document_parts(run.path / ANNOTATIONS),
        missing=missing,
    )


def _document_content(document: CocoFrames, wanted: LabelFilter) -> Content:
    categories = chosen_categories(document.categories, wanted.categories, document.path)
    keypoint_set = common_keypoint_set(categories, document.path)
    bodies = [each for each in categories if each.get("keypoints")]
    body_ids = bodies_of(bodies)
    folder = document.files[0].parent
    wanted, missing = wanted.among(document.names)

    def chosen() -> Iterator[tuple[int, dict[str, Any]]]:
        with closing(document):
            for number in document.in_order():
                if wanted.names is None or document.names[number] in wanted.names:
                    image = document.image(number)
                    if wanted.takes(image["file_name"], image.get("review")):
                        yield number, image

    def frames() -> Iterator[LabelledFrame]:
        for number, image in chosen():
            every = document.annotations(number)
            originals = [item for item in every if item["category_id"] in body_ids]
            people = labelled_people(originals, body_ids)
            record = _record(document, document.key(number), image, people, keypoint_set)
            yield LabelledFrame(
                record,
                originals=originals,
                image=image,
                num_others=len(every) - len(originals),
                image_id=image["id"],
                video=document.video(image),
            )

    return Content(
        str(document.path),
        common_entry(bodies, keypoint_set),
        bodies,
        lambda: document.videos,
        lambda: chain(document.names, document.videos),
        document.info,
        lambda: (MediaFolders.at(folder), MediaFolders.at(folder / "images")),
        lambda: (
            ChosenFrame(document.key(number), document.video(image)) for number, image in chosen()
        ),
        frames,
        document.files,
        document.licences,
        Excerpt(
            document.files,
            lambda: frozenset(image["id"] for _, image in chosen()),
            body_ids if wanted.categories else None,
        ),
        missing,
        document.orders,
    )


def _record(
    document: CocoFrames,
    key: FrameKey,
    image: Mapping[str, Any],
    people: Sequence[Mapping[str, Any]],
    keypoint_set: KeypointSet,
) -> FrameRecord:
    size_wh = size_of(image)
    if size_wh is None:
        raise wrong(
            document.path, f"image {image['file_name']!r}", "has no width and height in whole px"
        )
    return record_of(
        key,
        image,
        people,
        keypoint_set.num_keypoints,
        size_wh=size_wh,
        by_hand=called_by_hand(people),
    )

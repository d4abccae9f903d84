"""A COCO document of any size, read frame by frame.

A first pass checks the document as `read_coco` does and keeps where everything lies: about 150
bytes an image and 40 an annotation. What a frame holds is read again when it is asked for, from
the document itself, so that no copy has to fit on a disk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.records.coco import common_keypoint_set, frame_key, video_names, video_of
from vitpose_cli.records.coco_items import (
    NO_OWN_ID,
    CocoHead,
    CocoItem,
    check_image,
    coco_items,
    complete_annotation,
    listed_again,
    unknown_image,
    wrong,
)
from vitpose_cli.records.coco_people import bodies_of, crowding_of
from vitpose_cli.records.common_names import CommonNames
from vitpose_cli.records.grouped_places import GroupedPlaces
from vitpose_cli.records.keypoint_order import KeypointOrder
from vitpose_cli.records.place_reader import PlaceReader
from vitpose_cli.records.shards import document_files


class CocoFrames:
    """The frames of a COCO annotation file; the position of each is its number.

    `close` it (`contextlib.closing`); it may be used again. Not for several threads at once.

    Attributes:
        path: The document.
        files: The files that it stands in.
        info: Its `info`.
        licences: Those of its photos.
        categories: Each with at least `id`.
        bodies: The ids of those that have keypoints.
        orders: By category id, what brought its keypoints into the order of the first with some.
        names: `file_name` by number.
        image_ids: (N,) int64 by number.
        crowding: By image id, of those images that say it.
        videos: Names of its videos.
    """

    def __init__(
        self,
        path: Path,
        called: CommonNames | None = None,
        check: Callable[[Mapping[str, Any]], str] = lambda _: "",
        keypoints: Sequence[Sequence[str]] = (),
    ) -> None:
        """Read through the document.

        Args:
            path: The file, a glob of shards, or the folder of a run.
            called: What frames are called among those of other sets, which may be known later, but
                before the frames are asked for; None for their own names.
            check: Returns what else is wrong with a completed annotation, empty where nothing is.
            keypoints: Lists of keypoints of other sets; where the document has the same ones, they
                are brought into the order and spelling of that list.

        Raises:
            InputError: As `read_coco`.
        """
        self._head = head = CocoHead(wanted=keypoints)
        self._check = check
        self.path, self.files = path, document_files(path)
        self.names: list[str] = []
        self.crowding: dict[int, float] = {}
        self._reader = PlaceReader(self.files)
        self._images, self._annotations = GroupedPlaces(), GroupedPlaces()
        unchecked = False
        for item in coco_items(self.files, head):
            if item.section == "images":
                self._add_image(item)
                continue
            self._add_annotation(item)
            if head.num_keypoints:
                self._complete(len(self._annotations) - 1, item.value)
            else:
                unchecked = True
        self.info: Mapping[str, Any] = head.info
        self.licences: Sequence[Mapping[str, Any]] = head.licences
        self.categories = tuple(head.categories)
        self.bodies = bodies_of(self.categories)
        self.orders: Mapping[int, KeypointOrder] = head.orders
        self._videos = video_names(head.videos)
        self.videos = frozenset(name for name in self._videos.values() if isinstance(name, str))
        self._called = called
        self.image_ids = self._images.groups()
        self._annotations.sort()
        self._check_ids()
        if unchecked:
            for number in range(len(self)):
                self.annotations(number)

    def __len__(self) -> int:
        return len(self.names)

    def close(self) -> None:
        """Close the files."""
        self._reader.close()

    @property
    def num_annotations(self) -> int:
        """How many annotations there are."""
        return len(self._annotations)

    @property
    def keypoint_set(self) -> KeypointSet:
        """The keypoints that the categories describe.

        Raises:
            InputError: No category has keypoints, or they have different ones.
        """
        return common_keypoint_set(self.categories, self.path)

    def check_listed_once(self) -> None:
        """Refuse a document with a photo that is there twice, for who finds labels by its name.

        Raises:
            InputError: There is one.
        """
        name, count = Counter(self.names).most_common(1)[0] if self.names else ("", 0)
        if count > 1:
            raise listed_again(self.path, name)

    def in_order(self) -> list[int]:
        """Return the numbers of the frames in the order of their keys."""
        if not self._videos and not self._called:
            return sorted(range(len(self)), key=self.names.__getitem__)
        keys = [self.key(number) for number in range(len(self))]
        return sorted(range(len(self)), key=keys.__getitem__)

    def key(self, number: int) -> FrameKey:
        """Return the key of a frame."""
        name = self.names[number]
        key = frame_key(self.image(number), self._videos) if self._videos else FrameKey(name)
        return self._called(key) if self._called else key

    def video(self, image: Mapping[str, Any]) -> str:
        """Return which video an image is said to be of, whatever it is called; empty for a photo.

        Args:
            image: Its entry of `images`.
        """
        return video_of(image, self._videos)

    def image(self, number: int) -> dict[str, Any]:
        """Return the entry of `images` for a frame.

        Raises:
            InputError: The document was changed meanwhile, or cannot be read.
        """
        image = self._reader.read_object(*self._images.place(number))
        return {**image, "file_name": self.names[number]}

    def annotations(self, number: int) -> list[dict[str, Any]]:
        """Return the annotations of a frame, completed as by `read_coco`.

        Raises:
            InputError: The document was changed meanwhile, or cannot be read.
        """
        found = []
        for row in self._annotations.rows(int(self.image_ids[number])):
            annotation = self._reader.read_object(*self._annotations.place(row))
            self._complete(row, annotation)
            found.append(annotation)
        return found

    def _add_image(self, item: CocoItem) -> None:
        path = self.files[item.file_number]
        image_id = check_image(path, item)
        self.names.append(item.value["file_name"])
        crowding = crowding_of(item.value)
        if crowding is not None:
            self.crowding[image_id] = crowding
        if not self._images.add(image_id, item.file_number, item.place):
            raise wrong(path, f"images[{item.position}].id", NO_OWN_ID)

    def _add_annotation(self, item: CocoItem) -> None:
        image_id = item.value.get("image_id")
        if not isinstance(image_id, int) or not self._annotations.add(
            image_id, item.file_number, item.place
        ):
            path = self.files[item.file_number]
            raise wrong(path, f"annotations[{item.position}]", unknown_image(image_id))

    def _check_ids(self) -> None:
        """Refuse images with the same id, and annotations of images that are not there."""
        known, first = np.unique(self.image_ids, return_index=True)
        if len(known) < len(self):
            number = int(np.setdiff1d(np.arange(len(self)), first)[0])
            file_number, *_ = self._images.place(number)
            place = f"images[{self._images.position(number)}].id"
            raise wrong(self.files[file_number], place, NO_OWN_ID)
        wanted = self._annotations.groups()
        strangers = np.flatnonzero(~np.isin(wanted, known))
        if len(strangers):
            raise self._wrong(int(strangers[0]), unknown_image(int(wanted[strangers[0]])))

    def _complete(self, row: int, annotation: dict[str, Any]) -> None:
        fault = complete_annotation(annotation, self._head) or self._check(annotation)
        if fault:
            raise self._wrong(row, fault)

    def _wrong(self, row: int, reason: str) -> InputError:
        file_number, *_ = self._annotations.place(row)
        place = f"annotations[{self._annotations.position(row)}]"
        return wrong(self.files[file_number], place, reason)

"""Checking the images and videos of a COCO file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from vitpose_cli.errors import InputError
from vitpose_cli.records.coco import safe_media_path
from vitpose_cli.records.findings import Findings, in_or_add, what_it_is
from vitpose_cli.records.json_stream import Item
from vitpose_cli.records.json_values import is_int, is_number, shown

Size = tuple[int, int]


class CheckedImages:
    """The images of a document; ids and names are unique over all its files.

    Attributes:
        sizes: Width and height, px, by id; None where they are wrong.
    """

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self.sizes: dict[int, Size | None] = {}
        self._stems: dict[str, str] = {}  # the first suffix of each
        self._beside: set[str] = set()  # names of another suffix
        self._videos: set[int] = set()
        self._referred_videos: set[int] = set()

    def begin(self) -> None:
        """Begin with a file, which has videos of its own."""
        self._videos.clear()
        self._referred_videos.clear()

    def end(self) -> None:
        """Check what only the end of a file shows."""
        unknown = self._referred_videos - self._videos
        if unknown:
            message = f"video_id {min(unknown)} is used and not there"
            self._findings.add("video-id", "videos", message)

    def size_of(self, annotation: Mapping[str, Any]) -> Size | None:
        """Return the size of the image that an annotation names; None if it is not known."""
        image_id = annotation.get("image_id")
        return self.sizes.get(image_id) if is_int(image_id) else None

    def check(self, item: Item) -> None:
        """Check an element of `images`."""
        place, image = f"images[{item.position}]", item.value
        if not self._findings.is_object(place, image):
            return
        width, height = image.get("width"), image.get("height")
        size = None
        if is_int(width) and is_int(height) and width > 0 and height > 0:
            size = (width, height)
        else:
            message = "is missing"
            if "width" in image and "height" in image:
                message = f"is {shown(width)} x {shown(height)}"
            self._findings.add("image-size", f"{place}.width, height", message)
        if not is_int(image.get("id")):
            self._findings.add("image-id", f"{place}.id", what_it_is(image, "id"))
        elif image["id"] in self.sizes:
            self._findings.add("image-id-unique", f"{place}.id", f"{image['id']} comes again")
        else:
            self.sizes[image["id"]] = size
            if image["id"] < 1:
                self._findings.add("image-id-zero", f"{place}.id", what_it_is(image, "id"))
        self._file_name(f"{place}.file_name", image)
        if "video_id" in image:
            self._video_frame(place, image)

    def _file_name(self, place: str, image: Mapping[str, Any]) -> None:
        name = image.get("file_name")
        if not isinstance(name, str) or not name:
            self._findings.add("file-name", place, what_it_is(image, "file_name"))
            return
        try:
            safe_media_path(Path(), name)
            escapes = "\\" in name
        except InputError:
            escapes = True
        if escapes:
            self._findings.add("file-name-path", place, what_it_is(image, "file_name"))
        suffix = PurePosixPath(name).suffix
        stem = name.removesuffix(suffix)
        if stem not in self._stems:
            self._stems[stem] = suffix
        elif self._stems[stem] == suffix or in_or_add(self._beside, name):
            self._findings.add("file-name-unique", place, f"{shown(name)} comes again")
        else:
            other = stem + self._stems[stem]
            self._findings.add("file-stem-unique", place, f"{shown(name)} is beside {shown(other)}")

    def _video_frame(self, place: str, image: Mapping[str, Any]) -> None:
        if not is_int(image["video_id"]):
            self._findings.add("video-id", f"{place}.video_id", what_it_is(image, "video_id"))
        else:
            self._referred_videos.add(image["video_id"])
        index, time_s = image.get("frame_id", 0), image.get("timestamp", 0)
        if not is_int(index) or index < 0 or not is_number(time_s):
            message = f"frame_id {shown(index)}, timestamp {shown(time_s)}"
            self._findings.add("frame-id", place, message)

    def check_video(self, item: Item) -> None:
        """Check an element of `videos`."""
        if self._findings.is_object(f"videos[{item.position}]", item.value) and is_int(
            item.value.get("id")
        ):
            self._videos.add(item.value["id"])

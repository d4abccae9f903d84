"""Labels by the frame they belong to, whoever holds them: a run folder or a COCO document.

For workflows that show labels. They are read frame by frame, a run's from its journals, so that an
hour of video takes no more memory than a minute; `close` them (`contextlib.closing`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.media.marks import MANIFEST
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.records.as_documented import as_documented
from vitpose_cli.records.coco import instances_of
from vitpose_cli.records.coco_frames import CocoFrames
from vitpose_cli.records.coco_people import labelled_people, size_of, time_of, uids_of
from vitpose_cli.records.labelled_keys import LabelledKeys
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run
from vitpose_cli.tracking.identities import frame_time_s, identified


class Labels(Protocol):
    """Who is in which frame; one of a video may be asked for by the photo extracted from it.

    Nor does it matter which of the two was labelled.

    Attributes:
        keys: The frames that are labelled; those without people may be.
    """

    keys: LabelledKeys

    @property
    def keypoint_set(self) -> KeypointSet:
        """What the keypoints are."""
        ...

    @property
    def options(self) -> Mapping[str, Any]:
        """What the frames were labelled with, by option name; empty where that is not known."""
        ...

    def size_wh(self, key: FrameKey) -> tuple[int, int] | None:
        """Return width and height of a labelled frame, px; None if unknown."""
        ...

    def people(self, key: FrameKey) -> Instances:
        """Return the people of a labelled frame."""
        ...

    def video(self, media: str) -> Iterator[tuple[FrameKey, float, Instances]]:
        """Yield key, time in seconds and people of the labelled frames of one video, in order."""
        ...

    def close(self) -> None:
        """Close the files that the labels are read from."""
        ...


def open_labels(path: Path) -> Labels:
    """Open a run folder, or read a COCO annotation file or a set of shards.

    Raises:
        InputError: It is neither, or cannot be read.
    """
    is_run = (path / MANIFEST).is_file()
    return RunLabels(Run.read(path)) if is_run else DocumentLabels(CocoFrames(path))


class RunLabels:
    """The labels of a run folder."""

    def __init__(self, run: Run) -> None:
        """Take the frames that its document has, with its identities, boxes and labelled keypoints.

        Args:
            run: Opened to be read; it may go on meanwhile.
        """
        self._run = run
        self.keypoint_set = KeypointSet.from_category(run.manifest.keypoint_set)
        self.options = run.manifest.options
        self._ids = {}
        self._sizes_wh: dict[FrameKey, tuple[int, int] | None] = {}
        size_wh = None
        for record in identified(run.manifest, run.records()):
            if record.instances is not None and not record.rejected:
                self._ids[record.key] = record.instances.track_ids
                if record.size_wh != size_wh:  # else the same tuple, of which there are many
                    size_wh = record.size_wh
                self._sizes_wh[record.key] = size_wh
        self.keys = LabelledKeys(self._ids)

    def size_wh(self, key: FrameKey) -> tuple[int, int] | None:
        """Return the size of what was labelled, px. See `Labels.size_wh`."""
        return self._sizes_wh.get(self.keys.find(key) or key)

    def people(self, key: FrameKey) -> Instances:
        """Return the people of a labelled frame."""
        return self._people(self._run.record(self.keys.find(key) or key))

    def video(self, media: str) -> Iterator[tuple[FrameKey, float, Instances]]:
        """Yield the labelled frames of one video. See `Labels.video`."""
        for key, own in self.keys.of_media(media):
            record = self._run.record(own)
            time_s = None if record is None else record.time_s
            yield key, frame_time_s(key, time_s), self._people(record)

    def close(self) -> None:
        """Close the run."""
        self._run.close()

    def _people(self, record: FrameRecord | None) -> Instances:
        people = None if record is None else as_documented(record).instances
        if record is None or people is None:
            return Instances.empty(self.keypoint_set.num_keypoints)
        return replace(people, track_ids=self._ids.get(record.key))


class DocumentLabels:
    """The labels of a COCO annotation file."""

    def __init__(self, document: CocoFrames) -> None:
        """Take a document whose categories have keypoints.

        Raises:
            InputError: They have not, or a photo is listed twice.
        """
        document.check_listed_once()
        self.keypoint_set = document.keypoint_set
        self.options: Mapping[str, Any] = options_of(document.info)
        self._document = document
        self._numbers = {document.key(number): number for number in range(len(document))}
        self.keys = LabelledKeys(self._numbers)

    def size_wh(self, key: FrameKey) -> tuple[int, int] | None:
        """Return the size of what was labelled, px. See `Labels.size_wh`."""
        number = self._numbers.get(self.keys.find(key) or key)
        return None if number is None else size_of(self._document.image(number))

    def people(self, key: FrameKey) -> Instances:
        """Return the people of a labelled frame."""
        own = self.keys.find(key) or key
        document = self._document
        people = labelled_people(document.annotations(self._numbers[own]), document.bodies)
        return instances_of(people, self.keypoint_set.num_keypoints, uids_of(own, people))

    def video(self, media: str) -> Iterator[tuple[FrameKey, float, Instances]]:
        """Yield the labelled frames of one video. See `Labels.video`."""
        for key, own in self.keys.of_media(media):
            time_s = time_of(self._document.image(self._numbers[own]))
            yield key, frame_time_s(key, time_s), self.people(own)

    def close(self) -> None:
        """Close the document."""
        self._document.close()


def options_of(info: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the labels of a document with this `info` were made with, where it says so."""
    ours = info.get("vitpose")
    options = ours.get("options") if isinstance(ours, dict) else None
    return options if isinstance(options, dict) else {}

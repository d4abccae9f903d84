"""The frames of a run folder or of a COCO file, one after the other, whichever it is.

For workflows that count, compare or merge labels: a pass over sorted records that never holds
them. Unlike what `formats` exports, a run's failed and rejected frames are among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vitpose_cli.errors import InputError
from vitpose_cli.formats.content import LabelledFrame, open_content
from vitpose_cli.formats.label_filter import LabelFilter
from vitpose_cli.media.marks import MANIFEST
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.records.as_documented import as_documented
from vitpose_cli.records.coco import common_keypoint_set
from vitpose_cli.records.common_names import CommonNames, agree_on_forms
from vitpose_cli.records.keypoint_order import KeypointOrder
from vitpose_cli.records.manifest import RunManifest
from vitpose_cli.records.media_root import MediaFolders, find_folders, labelled_folders
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run
from vitpose_cli.tracking.smoothed_labels import for_document


@dataclass(frozen=True, slots=True)
class RecordSet:
    """Labels, wherever they are.

    Attributes:
        path: The run folder or the file.
        category: The entry of COCO's `categories` that stands for all instances.
        categories: Those with keypoints, as a file has them; of a run, its only one.
        videos: Returns the names of videos that frames are of, as far as that is said.
        names: Returns those of photos and videos.
        info: COCO's `info`.
        stored_frames: Begins a pass over the frames as they are stored, sorted by key.
        folders: Returns where the photos and videos may lie.
        manifest: Of a run; None for a file.
        licences: Those of the photos of a file.
    """

    path: Path
    category: Mapping[str, Any]
    categories: Sequence[Mapping[str, Any]]
    videos: Callable[[], Set[str]]
    names: Callable[[], Iterable[str]]
    info: Mapping[str, Any]
    stored_frames: Callable[[], Iterator[LabelledFrame]]
    folders: Callable[[], Sequence[MediaFolders]]
    manifest: RunManifest | None
    licences: Sequence[Mapping[str, Any]] = ()

    @property
    def keypoint_set(self) -> KeypointSet:
        """What the keypoints are, with what any of the categories states of them."""
        return common_keypoint_set(self.categories, self.path)

    def frames(self) -> Iterator[LabelledFrame]:
        """Begin a pass over the frames, sorted by key, labelled as a document says: for readers."""
        frames = self.stored_frames()
        if self.manifest is None:
            return frames
        return (frame._replace(record=as_documented(frame.record)) for frame in frames)

    def records(self) -> Iterator[FrameRecord]:
        """Begin a pass over the records alone."""
        return (frame.record for frame in self.frames())

    def found_folders(self) -> MediaFolders | None:
        """Return where the photos and videos are; None where they are not found."""
        try:
            return find_folders(self.folders(), (record.key for record in self.records()))
        except InputError:  # on another machine, perhaps
            return None

    @property
    def name(self) -> str:
        """What to call it in a table."""
        return str(self.path)


def open_together(paths: Sequence[Path]) -> list[RecordSet]:
    """Open sets whose frames are to be found in each other, by their names.

    Frames that were extracted from a video are photos of a run, and of a file without `videos`;
    they are the video's frames where another of the sets has them as such. Keypoints are in the
    order and spelling of the first set, where others have the same ones.

    Raises:
        InputError: See `open_records`.
    """
    videos: dict[str, str] = {}
    called = [CommonNames(videos) for _ in paths]
    sets = [open_records(path, names) for path, names in zip(paths, called, strict=True)]
    runs_first = sorted(zip(called, sets, strict=True), key=lambda pair: pair[1].manifest is None)
    agree_on_forms([(names, each.names) for names, each in runs_first])
    for names, each in runs_first:
        names.add_videos(each.videos())
    keypoints = sets[0].keypoint_set.names
    return [_with_keypoints(each, keypoints) for each in sets]


def _with_keypoints(labels: RecordSet, names: Sequence[str]) -> RecordSet:
    """Return labels with their keypoints in another order, where they are the same ones."""
    order = KeypointOrder.between(names, labels.keypoint_set.names)
    if order is None:
        return labels
    manifest = labels.manifest

    def frames() -> Iterator[LabelledFrame]:
        for frame in labels.stored_frames():
            originals = [{**each, **order.lists(each)} for each in frame.originals]
            yield frame._replace(record=order.record(frame.record), originals=originals)

    return replace(
        labels,
        category=order.category(labels.category),
        categories=[order.category(category) for category in labels.categories],
        stored_frames=frames,
        manifest=manifest and replace(manifest, keypoint_set=order.category(manifest.keypoint_set)),
    )


def open_records(path: Path, called: CommonNames | None = None) -> RecordSet:
    """Open a run folder to look at it, or read a COCO file.

    Args:
        path: The folder or the file.
        called: What frames are called, see `CocoFrames`; None for their own names.

    Raises:
        InputError: It is neither, or cannot be read.
    """
    if not (path / MANIFEST).is_file():
        content = open_content(path, LabelFilter(), for_document, called)
        return RecordSet(
            path,
            content.category,
            content.categories,
            content.videos,
            content.names,
            content.info,
            content.frames,
            content.folders,
            None,
            content.licences,
        )
    run = Run.read(path)
    manifest = run.manifest

    def frames() -> Iterator[LabelledFrame]:
        return map(LabelledFrame, run.records(called or None))

    return RecordSet(
        path,
        manifest.keypoint_set,
        (manifest.keypoint_set,),
        run.video_names,
        run.media_names,
        run.info,
        frames,
        lambda: labelled_folders(manifest, path),
        manifest,
    )

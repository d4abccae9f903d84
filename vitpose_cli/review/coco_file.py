"""A COCO file under review: its labels in a run folder beside it, so that the file stays as it is.

`people.json` gets the run folder `people.json.vitpose`, whose first records are the labels of the
file with what a person decided about them; where the file does not say that a model made them, a
person did. Edits go into its journal like those of any run, with history, drafts and crash safety,
and its `annotations.json` is the corrected file. To change FILE itself was refused: it would have
to be written anew, as a whole, at every click.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitpose_cli.errors import InputError
from vitpose_cli.files import read_error
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.media.marks import MANIFEST, RUN_SUFFIX
from vitpose_cli.plurals import counted
from vitpose_cli.records.coco_frames import CocoFrames
from vitpose_cli.records.coco_people import labelled_people, made_by_hand, size_of
from vitpose_cli.records.coco_records import record_of
from vitpose_cli.records.kept_categories import common_entry
from vitpose_cli.records.manifest import RunManifest
from vitpose_cli.records.media_root import MediaFolders, find_folders
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run
from vitpose_cli.records.shards import ANNOTATIONS, document_files, document_parts, document_title
from vitpose_cli.review.edits import MAX_NUMBER
from vitpose_cli.review.pictures import PictureReader

_HASH_DIGITS = 16

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Imported:
    """The run folder of a COCO file.

    Attributes:
        run: The folder.
        num_left_out: Annotations without keypoints, and crowds: they stay in the file alone.
    """

    run: Path
    num_left_out: int


def import_file(
    path: Path,
    images: Path | None,
    *,
    follow_links: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Imported:
    """Return the run folder of a COCO file; make it at the first time.

    Args:
        path: The file, or a glob of shards.
        images: The folder that its file names are relative to; by default where `file_name` is
            found: beside the file, or in `images` there.
        follow_links: Read photos that a link leads out of the folder for.
        say: Told that labels are copied, as that takes a while for many photos.

    Raises:
        InputError: The file or its photos cannot be used, or it has changed since the first time.
        ConfigError: The run folder holds something else.
    """
    files = document_files(path)
    folder = path.with_name(document_title(path, files) + RUN_SUFFIX)
    digest = _digest(files)
    if (folder / MANIFEST).is_file():
        _check_unchanged(folder, digest, path)
        if document_parts(folder / ANNOTATIONS):  # written when all records were
            return Imported(folder, 0)
    say(f"Copying the labels of {path} to {folder} ...")
    with closing(CocoFrames(path, check=_unsavable)) as document:
        return _import(document, folder, digest, images, follow_links)


def _import(
    document: CocoFrames, folder: Path, digest: str, images: Path | None, follow_links: bool
) -> Imported:
    """Copy the labels of a document into a run folder; see `import_file`."""
    path = document.path
    keys = [document.key(number) for number in range(len(document))]
    if not keys:
        raise InputError(
            f"{path} lists no photos, so there is none to review.",
            'List them under images, each as {"id": 1, "file_name": "a.jpg"}.',
        )
    document.check_listed_once()
    candidates = (images,) if images else (path.parent, path.parent / "images")
    folders = find_folders(map(MediaFolders.at, candidates), keys)
    bodies = [each for each in document.categories if each.get("keypoints")]
    category = common_entry(bodies, document.keypoint_set)
    manifest = RunManifest(
        keypoint_set=category,
        sources=(str(folders),),
        options={"import": path.name},
        weights_name=f"labels of {path.name}",
        weights_hash=digest,
        document={"track": False},  # it has the identities that the file has
    )
    labels = _Labels(document, digest, PictureReader(folders, follow_links=follow_links), keys)
    _check_sizes(labels)
    with Run.open(folder, manifest) as run:
        done = run.done(retry_errors=False)
        for number, key in enumerate(keys):
            record = labels.record(number)
            if key not in done:
                run.append(record)
        run.export()
    if len(bodies) > 1:
        _log.warning(
            "%s of the categories %s are all called %s in %s, as a run has one category.",
            counted(document.num_annotations - labels.num_left_out, "label"),
            ", ".join(str(each.get("name")) for each in bodies),
            category["name"],
            folder,
        )
    return Imported(folder, labels.num_left_out)


class _Labels:
    """The labels of a document as records, made when they are asked for.

    Attributes:
        document: The document.
        num_left_out: Annotations of the records so far that are no labelled people.
        unknown: Why the size of a photo that the file does not state cannot be read, by number.
    """

    def __init__(
        self,
        document: CocoFrames,
        digest: str,
        pictures: PictureReader,
        keys: Sequence[FrameKey],
    ) -> None:
        self.document = document
        self.num_left_out = 0
        self.unknown: dict[int, str] = {}
        self._keys = keys
        self._digest = digest
        self._num_keypoints = document.keypoint_set.num_keypoints
        self._read_wh: dict[int, tuple[int, int]] = {}
        for number, key in enumerate(keys):
            if size_of(document.image(number)) is None:
                try:
                    self._read_wh[number] = pictures.size_wh(key)
                except InputError as error:
                    self.unknown[number] = error.message

    def people(self, number: int) -> list[Mapping[str, Any]]:
        """Return the labelled people of a frame."""
        return labelled_people(self.document.annotations(number), self.document.bodies)

    def record(self, number: int) -> FrameRecord:
        """Return the labels of a frame, or why they cannot be had."""
        key, image = self._keys[number], self.document.image(number)
        annotations = self.document.annotations(number)
        people = labelled_people(annotations, self.document.bodies)
        self.num_left_out += len(annotations) - len(people)
        size_wh = size_of(image) or self._read_wh.get(number)
        if size_wh is None:
            return FrameRecord(key, error=self.unknown[number], model=self._digest)
        by_hand = made_by_hand(people)
        return record_of(
            key,
            image,
            people,
            self._num_keypoints,
            size_wh=size_wh,
            by_hand=by_hand,
            model=self._digest if people and not by_hand else "",
        )


def _check_sizes(labels: _Labels) -> None:
    """Refuse photos with labels whose size nobody knows: the labels would be lost."""
    lost = [reason for number, reason in labels.unknown.items() if labels.people(number)]
    if lost:
        raise InputError(
            f"{labels.document.path} has labels in {counted(len(lost), 'photo')} without width and "
            f"height that cannot be read: {lost[0]}",
            "Bring these photos, name their folder with --images, or write their sizes there.",
        )


def _unsavable(annotation: Mapping[str, Any]) -> str:
    """Return why no edit could save an annotation again; empty where one can."""
    scores = (*(annotation.get("keypoint_scores") or ()), annotation.get("score", 0))
    numbers = (*annotation["bbox"], *annotation["keypoints"], *scores)
    return f"has a number over {MAX_NUMBER:,.0f}" if max(map(abs, numbers)) > MAX_NUMBER else ""


def _check_unchanged(folder: Path, digest: str, path: Path) -> None:
    """Refuse a file that is not the one whose labels are in the run."""
    if RunManifest.read(folder / MANIFEST).weights_hash != digest:
        raise InputError(
            f"{path} has changed since its labels were copied to {folder}.",
            f"Review the run itself ({folder}), or move it away to begin with the new file.",
        )


def _digest(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        try:
            with path.open("rb") as stream:
                hashlib.file_digest(stream, lambda: digest)
        except OSError as error:
            raise read_error(path, error) from error
    return digest.hexdigest()[:_HASH_DIGITS]

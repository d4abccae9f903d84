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
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitpose_cli.errors import InputError
from vitpose_cli.files import read_error
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.media.marks import MANIFEST, RUN_SUFFIX
from vitpose_cli.plurals import counted
from vitpose_cli.records.coco import CocoDocument, read_coco
from vitpose_cli.records.coco_items import wrong
from vitpose_cli.records.coco_people import (
    bodies_of,
    labelled_people,
    made_by_hand,
    size_of,
)
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


def import_file(path: Path, images: Path | None, *, follow_links: bool = False) -> Imported:
    """Return the run folder of a COCO file; make it at the first time.

    Args:
        path: The file, or a glob of shards.
        images: The folder that its file names are relative to; by default where `file_name` is
            found: beside the file, or in `images` there.
        follow_links: Read photos that a link leads out of the folder for.

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
    document = read_coco(path)
    _check_numbers(document)
    keys = document.keys()
    twice = [str(key) for key, count in Counter(keys.values()).items() if count > 1]
    if twice:
        raise InputError(f"{path} lists {twice[0]!r} twice.", "Make one image of them.")
    candidates = (images,) if images else (path.parent, path.parent / "images")
    folders = find_folders(map(MediaFolders.at, candidates), keys.values())
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
    _check_sizes(document, labels, keys)
    with Run.open(folder, manifest) as run:
        done = run.done(retry_errors=False)
        for image in document.images:
            key = keys[image["id"]]
            if key not in done:
                run.append(labels.record(key, image))
        run.export()
    if len(bodies) > 1:
        _log.warning(
            "%s of the categories %s are all called %s in %s, as a run has one category.",
            counted(len(document.annotations) - labels.num_left_out, "label"),
            ", ".join(str(each.get("name")) for each in bodies),
            category["name"],
            folder,
        )
    return Imported(folder, labels.num_left_out)


class _Labels:
    """The labels of a document as records.

    Attributes:
        num_left_out: Annotations that are no labelled people.
        sizes_wh: The size of every photo, px, read where the file does not state it; or why it
            cannot be read.
    """

    def __init__(
        self,
        document: CocoDocument,
        digest: str,
        pictures: PictureReader,
        keys: Mapping[int, FrameKey],
    ) -> None:
        self._num_keypoints = document.keypoint_set.num_keypoints
        self._digest = digest
        bodies = bodies_of(document.categories)
        self._people = {
            image_id: labelled_people(annotations, bodies)
            for image_id, annotations in document.by_image().items()
        }
        self.num_left_out = len(document.annotations) - sum(map(len, self._people.values()))
        self.sizes_wh: dict[FrameKey, tuple[int, int] | str] = {}
        for image in document.images:
            key = keys[image["id"]]
            try:
                self.sizes_wh[key] = size_of(image) or pictures.size_wh(key)
            except InputError as error:
                self.sizes_wh[key] = error.message

    def would_lose(self, image_id: int, key: FrameKey) -> bool:
        """Say whether a photo has people, and a size that cannot be found out."""
        return bool(self._people[image_id]) and isinstance(self.sizes_wh[key], str)

    def record(self, key: FrameKey, image: Mapping[str, Any]) -> FrameRecord:
        people, size_wh = self._people[image["id"]], self.sizes_wh[key]
        if isinstance(size_wh, str):
            return FrameRecord(key, error=size_wh, model=self._digest)
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


def _check_sizes(document: CocoDocument, labels: _Labels, keys: Mapping[int, FrameKey]) -> None:
    """Refuse photos with labels whose size nobody knows: the labels would be lost."""
    unknown = [key for image_id, key in keys.items() if labels.would_lose(image_id, key)]
    if unknown:
        raise InputError(
            f"{document.path} has labels in {counted(len(unknown), 'photo')} without width and "
            f"height that cannot be read: {labels.sizes_wh[unknown[0]]}",
            "Bring these photos, name their folder with --images, or write their sizes there.",
        )


def _check_numbers(document: CocoDocument) -> None:
    """Refuse numbers that no edit could save again."""
    for place, item in enumerate(document.annotations):
        scores = (*(item.get("keypoint_scores") or ()), item.get("score", 0))
        if max(map(abs, (*item["bbox"], *item["keypoints"], *scores))) > MAX_NUMBER:
            reason = f"has a number over {MAX_NUMBER:,.0f}"
            raise wrong(document.path, f"annotations[{place}]", reason)


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

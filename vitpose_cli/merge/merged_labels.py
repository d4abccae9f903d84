"""Where merged labels go: into a COCO file that keeps what annotations hold, or a new run folder.

Which labels of a frame are taken is in `merging`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vitpose_cli.errors import InputError
from vitpose_cli.files import (
    TEMPORARY_SUFFIX,
    make_folder,
    remove_left_over,
    sync_folder,
    temporary_name,
    write_error,
)
from vitpose_cli.formats.content import LabelledFrame
from vitpose_cli.labels import options_of
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.record_set import RecordSet
from vitpose_cli.records.coco_people import check_writable
from vitpose_cli.records.coco_writer import DocumentStyle, is_in_document, write_document
from vitpose_cli.records.manifest import HOLDS_FILES, MERGED, NAMES_PER_SOURCE, RunManifest
from vitpose_cli.records.media_root import MediaFolders
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run


def write_merged_document(
    path: Path,
    frames: Iterable[LabelledFrame],
    inputs: Sequence[RecordSet],
    num_shards: int | None,
    licences: Sequence[Mapping[str, Any]],
    categories: Sequence[Mapping[str, Any]],
) -> None:
    """Write a COCO file.

    Args:
        path: The file.
        frames: Sorted by key; of their images, the fields that records do not have.
        inputs: What they come from.
        num_shards: Into how many files it is written; None for one.
        licences: Those of the photos.
        categories: Those of the people, as `frames` number them.

    Raises:
        InputError: It cannot be written, or somebody else has made one meanwhile, which stays.
    """
    make_folder(path.parent)
    written: dict[FrameKey, LabelledFrame] = {}

    def records() -> Iterator[FrameRecord]:
        for frame in frames:
            if is_in_document(frame.record):
                written[frame.record.key] = frame
            yield frame.record

    style = DocumentStyle(
        extras=lambda key: written[key].image,
        originals=lambda key: written.pop(key).originals,
        more_categories=categories[1:],
        category_id=lambda key: written[key].category_id,
    )
    info = _info(inputs)
    write_document(records(), path, categories[0], info, style, num_shards, licences, is_new=True)


def write_merged_run(
    folder: Path,
    records: Iterable[FrameRecord],
    inputs: Sequence[RecordSet],
    num_shards: int | None,
    category: Mapping[str, Any],
) -> None:
    """Write a run whose records are those of its inputs, each with its own origin.

    Args:
        folder: The run, which does not exist.
        records: Sorted by key.
        inputs: What they come from.
        num_shards: Into how many files its document is written; None for one.
        category: That of everybody.

    Raises:
        InputError: Another process has made the folder meanwhile, which stays as it is; or it
            cannot be written, and nothing is left of it.
    """
    check_writable(category, inputs[0].name)
    runs = [each.manifest for each in inputs if each.manifest is not None]
    first = runs[0] if runs else None
    found = [each.found_folders() for each in inputs]
    sources = dict.fromkeys(
        source
        for each, place in zip(inputs, found, strict=True)
        for source in _sources_of(each, place, folder)
    )
    roots = {_root_of(each, place) for each, place in zip(inputs, found, strict=True)}
    alike = first is not None and all(each.weights_hash == first.weights_hash for each in runs)
    options = [options_of(each.info) for each in inputs]
    same_options = all(each == options[0] for each in options)
    manifest = RunManifest(
        keypoint_set=category,
        sources=tuple(sources),
        options=options[0] if alike and same_options else {},
        weights_name=first.weights_name if first is not None and alike else "merged",
        weights_hash=first.weights_hash if first is not None and alike else "",
        document={"track": False},  # the records have the identities that the inputs have
        notes={
            MERGED: [each.name for each in inputs],
            HOLDS_FILES: len(runs) < len(inputs) or any(each.holds_files for each in runs),
            NAMES_PER_SOURCE: len(roots - {()}) > 1 or any(each.names_per_source for each in runs),
        },
    )
    make_folder(folder.parent)
    remove_left_over(folder)
    begun = folder.with_name(temporary_name(folder.name, TEMPORARY_SUFFIX))
    try:
        with Run.open(begun, manifest) as run:
            for record in records:
                run.append(record)
            run.export(num_shards=num_shards)
        _publish(begun, folder)
    except BaseException:
        shutil.rmtree(begun, ignore_errors=True)
        raise


def output_exists(path: Path) -> InputError:
    """Return the error to raise when something is where merged labels are to go."""
    return InputError(f"{path} exists.", "Choose another output with -o.")


def _publish(begun: Path, folder: Path) -> None:
    """Give a finished run its name: it is there whole or not at all, whoever is killed when.

    Raises:
        InputError: Somebody else has made something of that name; or it cannot be given.
    """
    try:
        begun.rename(folder)
    except OSError as error:
        raise (output_exists(folder) if folder.exists() else write_error(folder, error)) from error
    sync_folder(folder.parent)


def _info(inputs: Sequence[RecordSet]) -> dict[str, Any]:
    return {
        "description": "Merged with vitpose. area is width x height of the box where no input "
        "file has another.",
        "version": "1.0",
        "contributor": "",
        "url": "",
        "vitpose": {"merged": [each.name for each in inputs]},
    }


def _root_of(labels: RecordSet, found: MediaFolders | None) -> tuple[str, ...]:
    """Return what the names of an input are relative to, to be compared; empty if unknown."""
    return _known_sources(labels) if found is None else (str(found.folders[0]),)


def _known_sources(labels: RecordSet) -> tuple[str, ...]:
    return () if labels.manifest is None else labels.manifest.sources


def _sources_of(labels: RecordSet, found: MediaFolders | None, folder: Path) -> tuple[str, ...]:
    """Return where the pictures of an input are, as the merged run in `folder` is to know it."""
    known = _known_sources(labels)
    if found is None:
        return known
    beside = MediaFolders.at(folder.resolve().parent / known[0]) if len(known) == 1 else None
    return known if found == beside else tuple(map(str, found.folders))

"""The files that are made of a run's records: its document, and the list of what failed.

Which records a run has is in `run`, how a document is laid out in `coco_writer`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from vitpose_cli.files import TEMPORARY_SUFFIX, atomic_file
from vitpose_cli.records.coco_writer import write_document
from vitpose_cli.records.exported_edits import ExportedEdits
from vitpose_cli.records.folder import FAILURES
from vitpose_cli.records.manifest import RunManifest
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.shards import (
    ANNOTATIONS,
    document_name,
    document_parts,
    num_bytes_of,
    num_shards_of,
)

Finish = Callable[[RunManifest, Iterator[FrameRecord]], Iterator[FrameRecord]]
"""What is to be done with the sorted records of a run, such as giving identities."""


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What an export wrote.

    Attributes:
        annotations: The COCO document; a glob of its files where they are several.
        failures: The list of failed frames, JSON Lines.
        num_images: Photos and video frames in the document.
        num_instances: Annotations in the document.
        num_failures: Frames in the list of failures.
    """

    annotations: Path
    failures: Path
    num_images: int
    num_instances: int
    num_failures: int


def write_run_document(
    folder: Path,
    manifest: RunManifest,
    records: Iterator[FrameRecord],
    finish: Finish,
    num_shards: int | None,
    edits: tuple[int, str],
) -> ExportSummary:
    """Write `annotations.json` and `failures.jsonl`, which no other process may write meanwhile.

    Args:
        folder: The run.
        manifest: Of the run.
        records: The record that counts for every frame, sorted by key.
        finish: What is to be done with those that have labels on their way into the document.
        num_shards: Into how many files the document is written; None for as many as before.
        edits: Of `edits_of`, from before the records were looked through.

    Raises:
        InputError: The disk is full, for example; the files of an earlier export stay.
    """
    annotations, failures = folder / ANNOTATIONS, folder / FAILURES
    for path in (annotations, failures):  # of an export that was killed
        for leftover in folder.glob(f".{path.stem}*{TEMPORARY_SUFFIX}"):
            leftover.unlink(missing_ok=True)
    num_shards = num_shards or num_shards_of(annotations)
    with atomic_file(failures) as stream:
        failed = _FailureList(stream)
        size = write_document(
            finish(manifest, failed.without_failures(records)),
            annotations,
            manifest.keypoint_set,
            document_info(manifest),
            num_shards=num_shards,
        )
    # Last, so that a document which lacks something never says that it has it.
    ExportedEdits(*edits, num_bytes_of(document_parts(annotations))).write(folder)
    document = document_name(annotations, num_shards)
    return ExportSummary(
        document, failures, size.num_images, size.num_instances, failed.num_failures
    )


def as_they_are(_manifest: RunManifest, records: Iterator[FrameRecord]) -> Iterator[FrameRecord]:
    """Do nothing with records on their way into a document."""
    return records


def document_info(manifest: RunManifest) -> dict[str, Any]:
    """Return the entry `info` of a document, without a date: the same labels, the same bytes."""
    return {
        "description": "Keypoints labelled with vitpose. area is width x height of the box.",
        "version": "1.0",
        "contributor": "",
        "url": "",
        "vitpose": {
            "version": manifest.tool_version,
            "weights": manifest.weights_name,
            "weights_hash": manifest.weights_hash,
            "options": dict(manifest.options),
        },
    }


class _FailureList:
    """The list of what failed, while it is written.

    Attributes:
        num_failures: How many are in it.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.num_failures = 0
        self._stream = stream

    def without_failures(self, records: Iterator[FrameRecord]) -> Iterator[FrameRecord]:
        """Yield the records with labels; others go into the list, unless a person rejected them."""
        for record in records:
            if record.error is None:
                yield record
            if record.error is None or record.rejected:
                continue
            failure = {
                "file_name": str(record.key),
                "media": record.key.media,
                "index": record.key.index,
                "error": record.error,
            }
            self._stream.write(orjson.dumps(failure) + b"\n")
            self.num_failures += 1

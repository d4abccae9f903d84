"""The files that are made of a run's records: its document, and the list of what failed.

Which records a run has is in `run`, how a document is laid out in `coco_writer`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import orjson

from vitpose_cli.files import TEMPORARY_SUFFIX, atomic_file
from vitpose_cli.records.coco_writer import write_document
from vitpose_cli.records.exported_edits import ExportedEdits, edits_of
from vitpose_cli.records.folder import FAILURES
from vitpose_cli.records.made_document import MadeDocument, labels_digest
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
    """What an export wrote, or found to be there as it would write it.

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


@dataclass(frozen=True, slots=True)
class LabelState:
    """Which labels a run has; what comes after this was taken may be in the document, or not.

    Attributes:
        edits: Of `edits_of`.
        digest: Of `labels_digest`.
    """

    edits: tuple[int, str]
    digest: str

    @classmethod
    def of(cls, folder: Path, finish: Finish) -> Self:
        """Take the state of the run in `folder`, whose document is made with `finish`.

        Raises:
            InputError: The run cannot be read.
        """
        return cls(edits_of(folder), labels_digest(folder, finish))


def write_run_document(
    folder: Path,
    manifest: RunManifest,
    records: Iterator[FrameRecord],
    finish: Finish,
    num_shards: int | None,
    state: LabelState,
) -> ExportSummary:
    """Write `annotations.json` and `failures.jsonl`, unless they are as they would be already.

    No other process may write them meanwhile.

    Args:
        folder: The run.
        manifest: Of the run.
        records: The record that counts for every frame, sorted by key.
        finish: What is to be done with those that have labels on their way into the document.
        num_shards: Into how many files the document is written; None for as many as before.
        state: From before the records were looked through.

    Raises:
        InputError: The disk is full, for example; the files of an earlier export stay.
    """
    annotations, failures = folder / ANNOTATIONS, folder / FAILURES
    for path in (annotations, failures):  # of an export that was killed
        for leftover in folder.glob(f".{path.stem}*{TEMPORARY_SUFFIX}"):
            leftover.unlink(missing_ok=True)
    num_shards = num_shards or num_shards_of(annotations)
    made = MadeDocument.still_there(folder, state.digest, num_shards)
    if made is None:
        with atomic_file(failures) as stream:
            failed = _FailureList(stream)
            size = write_document(
                finish(manifest, failed.without_failures(records)),
                annotations,
                manifest.keypoint_set,
                document_info(manifest),
                num_shards=num_shards,
            )
        counts = (size.num_images, size.num_instances, failed.num_failures)
        made = MadeDocument.of(folder, state.digest, *counts)
        made.write(folder)
    # Last, so that a document which lacks something never says that it has it.
    ExportedEdits(*state.edits, num_bytes_of(document_parts(annotations))).write(folder)
    return ExportSummary(
        document_name(annotations, num_shards),
        failures,
        made.num_images,
        made.num_instances,
        made.num_failures,
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

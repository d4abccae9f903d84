"""The records that count in the journals of a run, read from where the index says they lie.

A frame that could not be read when a person decided about it has two: the labels that a model
found later, and the decision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import orjson

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.index import JournalReader
from vitpose_cli.records.journals import Journals
from vitpose_cli.records.keypoint_threshold import at_threshold
from vitpose_cli.records.record import FrameRecord


class StoredRecords:
    """The record that counts for each frame, as far as the journals have been read."""

    def __init__(self, journals: Journals) -> None:
        self._journals = journals
        self._index = journals.index

    def one(self, key: FrameKey, threshold: float | None) -> FrameRecord | None:
        """Return the record of one frame; see `Run.record`.

        Args:
            key: The frame.
            threshold: From which score on a network's keypoints are labelled; see `at_threshold`.
        """
        place = self._index.place(key)
        if place is None:
            return None
        with closing(self._journals.reader()) as reader:
            return self._decided(at_threshold(reader.read(*place), threshold), reader)

    def all(
        self, called: Callable[[FrameKey], FrameKey] | None, threshold: float | None
    ) -> Iterator[FrameRecord]:
        """Yield the records in the order of the keys; see `Run.records`, and `one`."""
        with closing(self._journals.reader()) as reader:
            for place in self._index.places(called):
                record = self._decided(at_threshold(reader.read(*place), threshold), reader)
                key = record.key if called is None else called(record.key)
                yield record if key is record.key else replace(record, key=key, exact=True)

    def some(self, keys: Iterable[FrameKey], threshold: float | None) -> Iterator[FrameRecord]:
        """Yield the records of `keys`; see `Run.records_of`, and `one`."""
        with closing(self._journals.reader()) as reader:
            for place in map(self._index.place, keys):
                if place is not None:
                    yield self._decided(at_threshold(reader.read(*place), threshold), reader)

    def as_json(self, keys: Iterable[FrameKey]) -> Iterator[dict[str, Any]]:
        """Yield the records of `keys` parsed but not checked; see `Run.json_records`."""
        with closing(self._journals.reader()) as reader:
            for key in keys:
                place = self._index.place(key)
                if place is None:
                    continue
                try:
                    record = orjson.loads(reader.read_bytes(*place))
                    if (decision := self._index.decision(key)) is not None:
                        record["review"] = orjson.loads(reader.read_bytes(*decision))["review"]
                    yield record
                except orjson.JSONDecodeError as error:
                    path = reader.paths[place[0]]
                    raise InputError(
                        f"{path}, byte {place[1]}: the journal was changed meanwhile.",
                        "Open the run again.",
                    ) from error

    def _decided(self, record: FrameRecord, reader: JournalReader) -> FrameRecord:
        """Give labels of a model what a person decided while the frame could not be read."""
        place = self._index.decision(record.key)
        if place is None:
            return record
        review = reader.read(*place).review
        review = review and replace(review, untouched=record.labels_version)
        return replace(record, review=review, exact=True)

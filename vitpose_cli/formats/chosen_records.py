"""The frames of a run that are taken out of it.

Others are not read where nothing of them is needed: a queue of two hundred frames comes out of a
run of a million in seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from vitpose_cli.formats.label_filter import LabelFilter
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.coco_writer import is_in_document
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run
from vitpose_cli.records.run_document import Finish


class ChosenRecord(NamedTuple):
    """A frame that is taken.

    Attributes:
        record: Its labels, finished.
        version: The version of the record as it lies in the journal.
        image_id: Its id in the document of the run.
    """

    record: FrameRecord
    version: str
    image_id: int


@dataclass(frozen=True, slots=True)
class ChosenRecords:
    """Frames with labels that nobody rejected, as far as they are wanted, sorted by key.

    Attributes:
        run: Where they are.
        wanted: Which ones; its names are those of the run.
        finish: What is to be done with records on their way.
    """

    run: Run
    wanted: LabelFilter
    finish: Finish

    def keys(self) -> Iterator[FrameKey]:
        """Yield what they are called; labels are read only of those a person decided about."""
        decided = self.run.reviewed()
        records = self.run.records_of(key for key in self._labelled() if key in decided)
        for key in self._labelled():
            if key not in decided:
                is_taken = self.wanted.takes(str(key), None)
            else:
                is_taken = self._takes(next(records))
            if is_taken:
                yield key

    def records(self) -> Iterator[ChosenRecord]:
        """Yield them with their labels."""
        marks: dict[FrameKey, tuple[str, int]] = {}
        for record in self.finish(self.run.manifest, self._read(marks)):
            if (mark := marks.pop(record.key, None)) is not None:
                yield ChosenRecord(record, *mark)

    def _read(self, marks: dict[FrameKey, tuple[str, int]]) -> Iterator[FrameRecord]:
        """Yield what has to be finished, and note version and image id of what is taken.

        That is every frame of a video, as each tells who is who in the others.
        """
        decided = self.run.reviewed()
        num_images = 0

        def keys() -> Iterator[FrameKey]:
            nonlocal num_images
            for key in self._labelled():
                is_needed = key.video is not None or key in decided
                if is_needed or self.wanted.takes(str(key), None):
                    yield key
                else:
                    num_images += 1

        for record in self.run.records_of(keys()):
            if is_in_document(record):
                num_images += 1
                if self._takes(record):
                    marks[record.key] = (record.version, num_images)
            yield record

    def _takes(self, record: FrameRecord) -> bool:
        state = None if record.review is None else record.review.state
        return is_in_document(record) and self.wanted.takes(str(record.key), state)

    def _labelled(self) -> Iterator[FrameKey]:
        """Yield the frames that have labels, sorted."""
        failed = self.run.failed_texts()
        for text in self.run.texts():
            if text not in failed:
                yield FrameKey.from_text(text)

"""The queue as a file: a COCO subset in the order of the review, with the reasons.

Any tool that reads COCO can show what was chosen; `review` takes the order and the reasons.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vitpose_cli.files import make_folder
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.coco_writer import DocumentStyle, write_document
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run

Kind = Literal["draft", "doubtful", "random", "empty"]


@dataclass(frozen=True, slots=True)
class Choice:
    """A frame of the queue.

    Attributes:
        key: The frame.
        kind: How it came into the queue.
        doubt: Its rank among all frames with people, 0 to 1; None where nobody was found.
        reasons: Why, in sentences.
    """

    key: FrameKey
    kind: Kind
    doubt: float | None
    reasons: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return what the queue says of the frame, beside COCO's own fields."""
        return {"selected": self.kind, "doubt": self.doubt, "reasons": list(self.reasons)}


def write_queue(
    path: Path, run: Run, choices: Sequence[Choice], selection: Mapping[str, Any]
) -> None:
    """Write the frames of a queue with their labels.

    Args:
        path: The file.
        run: Where the labels are.
        choices: The frames, in the order in which they are to be looked at.
        selection: How they were chosen, for `info`.

    Raises:
        InputError: The file cannot be written.
    """
    make_folder(path.parent)
    by_key = {choice.key: choice.as_dict() for choice in choices}
    info = run.info
    info["vitpose"] = {**info["vitpose"], "selection": dict(selection)}
    style = DocumentStyle(extras=by_key.__getitem__)
    write_document(_records(run, by_key), path, run.manifest.keypoint_set, info, style)


def _records(run: Run, keys: Mapping[FrameKey, Any]) -> Iterator[FrameRecord]:
    for key in keys:
        record = run.record(key)
        if record is not None:
            yield record

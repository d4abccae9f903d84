"""A table for statistics programs: a row for each keypoint of each person and frame.

Long rather than wide, since what is computed from it groups by person and keypoint, and pandas and
R widen it in a line. A keypoint without a label has a row, too, with neither x nor y, so that time
series keep their gaps. There is no way back: rows neither say who was deleted nor where boxes are.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from itertools import repeat
from pathlib import Path

from vitpose_cli.files import atomic_file
from vitpose_cli.formats.content import Content, LabelledFrame
from vitpose_cli.formats.written import WriteOptions, Written, check_new
from vitpose_cli.records.coco_writer import frame_annotations

COLUMNS = (
    *("file", "frame", "time_s", "person", "track_id", "category", "keypoint"),
    *("x", "y", "visibility", "score", "x_smoothed", "y_smoothed", "review"),
)
"""The first line. Empty are `frame` and `time_s` of photos, places of what is not labelled, and
whatever is not known."""


def write(content: Content, out: Path, options: WriteOptions) -> Written:
    """Write the keypoints as a CSV file, in UTF-8.

    Raises:
        InputError: It cannot be written, or somebody else has made it meanwhile.
    """
    check_new(out, options, _is_table, content.files)
    categories = {each["id"]: each.get("name") for each in content.categories}
    names = content.keypoint_set.names
    num_images = num_instances = 0
    with atomic_file(out, is_new=not options.overwrite) as stream:
        # File names that are no text keep their bytes.
        text = TextIOWrapper(stream, "utf-8", "surrogateescape", newline="")
        table = csv.writer(text, lineterminator="\n")
        table.writerow(COLUMNS)
        for frame in content.frames():
            num_images += 1
            num_instances += len(frame.record.uids)
            category_ids = frame.category_ids(content.category["id"])
            table.writerows(_rows(frame, [categories[each] for each in category_ids], names))
        text.detach()
    return Written((out,), num_images, num_instances)


def _is_table(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.readline() == ",".join(COLUMNS).encode() + b"\n"


def _rows(
    frame: LabelledFrame, categories: Sequence[object], names: tuple[str, ...]
) -> Iterator[tuple[object, ...]]:
    """Yield the rows of a frame's people, who are numbered from 1 as on the review page."""
    record = frame.record
    index = record.key.index if record.key.index >= 0 else None
    review = record.review.state if record.review else None
    annotations = frame_annotations(record, 0, 0)
    for person, (annotation, category) in enumerate(zip(annotations, categories, strict=True), 1):
        track_id = annotation["attributes"].get("track_id")
        about = (record.key.media, index, record.time_s, person, track_id, category)
        points = annotation["keypoints"]
        smoothed = annotation.get("keypoints_smoothed")
        for name, x, y, visibility, score, x_smoothed, y_smoothed in zip(
            names,
            points[0::3],
            points[1::3],
            points[2::3],
            annotation["keypoint_scores"],
            smoothed[0::3] if smoothed else repeat(None),
            smoothed[1::3] if smoothed else repeat(None),
            strict=False,
        ):
            places = (x, y, visibility, score, x_smoothed, y_smoothed)
            if not visibility:
                places = (None, None, 0, score, None, None)
            yield (*about, name, *places, review)

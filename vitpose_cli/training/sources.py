"""From files to labelled people, whatever kind of file it is.

What a label is worth is decided in `labels`. What cannot be used is dropped, counted and named,
never skipped in silence.
"""

from __future__ import annotations

from collections.abc import Sequence

from vitpose_cli.training.coco_source import open_coco
from vitpose_cli.training.data_options import PackSource, Source
from vitpose_cli.training.labels import Purpose
from vitpose_cli.training.opened_source import OpenedSource
from vitpose_cli.training.pack_source import open_pack


def open_data_source(
    options: Source,
    num_threads: int = 4,
    *,
    purpose: Purpose = "training",
    keypoints: Sequence[Sequence[str]] = (),
) -> OpenedSource:
    """Read the labels of one source.

    Args:
        options: Which.
        num_threads: Photos read at once.
        purpose: What it is for: where it is measured on with boxes of a detector, photos without
            people count.
        keypoints: Lists of keypoints of other sources; the same ones are brought into the order of
            those.

    Raises:
        InputError: A file is missing or damaged, or nobody in it is labelled.
    """
    if isinstance(options, PackSource):
        return open_pack(options, num_threads, purpose)
    return open_coco(options, num_threads, purpose, keypoints)

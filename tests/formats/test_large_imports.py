"""What an import of many frames costs: memory, waits for the disk, silence."""

import os
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from format_cases import export, labels, make_run, record

from vitpose_cli.formats import coco
from vitpose_cli.formats.import_options import ImportOptions
from vitpose_cli.formats.import_summary import ImportSummary
from vitpose_cli.formats.importing import import_corrections
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.tracking.smoothed_labels import for_document

COUNT = 300


def large_run(folder: Path) -> Path:
    """Write a run of photos with two people each."""
    one = record("x.jpg")
    keys = [FrameKey(f"{number:04d}.jpg") for number in range(COUNT)]
    return make_run(folder, [replace(one, key=key, uids=(), exact=True) for key in keys])


def brought_back(
    run: Path, path: Path, told: list[tuple[int, int | None]], **options: Any
) -> ImportSummary:
    settings = ImportOptions("coco", "bea", **options)
    return import_corrections(
        run, path, coco.read, settings, for_document, lambda *numbers: told.append(numbers)
    )


def test_frames_that_stay_take_little_memory(tmp_path: Path) -> None:
    run = large_run(tmp_path / "run")
    (path,) = export(run, "coco", tmp_path / "out.json").files
    brought_back(run, path, [], dry_run=True)  # what is loaded once
    tracemalloc.start()
    try:
        summary = brought_back(run, path, [], dry_run=True)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert summary.count("unchanged") == COUNT
    assert peak_bytes < 7_500 * COUNT, "with what is read ahead"


def test_the_disk_is_waited_for_once(tmp_path: Path) -> None:
    run = large_run(tmp_path / "run")
    (path,) = export(run, "coco", tmp_path / "out.json").files
    waits: list[str] = []

    def watch(frame: FrameType, event: str, called: object) -> None:
        if event == "c_call" and called is os.fsync:
            waits.append(frame.f_code.co_name)

    sys.setprofile(watch)
    try:
        summary = brought_back(run, path, [], accept_unchanged=True)
    finally:
        sys.setprofile(None)
    assert summary.count("accepted") == COUNT
    assert all(each.review is not None for each in labels(run).values())
    assert waits.count("append") == 1
    assert waits.index("append") == 0, "before the document"


def test_it_says_how_far_it_is(tmp_path: Path) -> None:
    run = large_run(tmp_path / "run")
    (path,) = export(run, "coco", tmp_path / "out.json").files
    told: list[tuple[int, int | None]] = []
    brought_back(run, path, told)
    assert told == [(number, COUNT) for number in range(COUNT + 1)]

"""Runs, contents and tools that several tests of formats use."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import label_cases
import numpy as np
import pytest
from numpy.typing import NDArray

from vitpose_cli.formats.content import Content, open_content
from vitpose_cli.formats.import_options import ImportOptions
from vitpose_cli.formats.import_summary import ImportSummary
from vitpose_cli.formats.importing import import_corrections
from vitpose_cli.formats.label_filter import LabelFilter
from vitpose_cli.formats.table import format_named
from vitpose_cli.formats.written import WriteOptions, Written
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.records.record import FrameRecord, Review
from vitpose_cli.records.run import Run
from vitpose_cli.tracking.smoothed_labels import for_document

COCO = keypoint_set("coco")
SIZE_WH = (640, 480)
NO_PICTURES = WriteOptions(pictures="none")


def people(count: int, seed: int = 0) -> Instances:
    """Return people who stand apart, some keypoints of whom are hidden or unlabelled."""
    random = np.random.default_rng(seed)
    low = np.stack([20 + 150 * np.arange(count), random.uniform(20, 80, count)], axis=1)
    high = low + random.uniform([100, 200], [140, 350], (count, 2))
    points = random.uniform(low[:, None] + 3, high[:, None] - 3, (count, 17, 2))
    visibility = random.choice([0, 1, 2, 2], (count, 17))
    visibility[:, :2] = 2
    arrays: list[Any] = [np.concatenate([low, high], axis=1), random.uniform(0.5, 1, count)]
    arrays += [points, random.uniform(0.1, 1, (count, 17)), visibility]
    return Instances(*arrays)


def record(name: str, count: int = 2, index: int = -1, **fields: Any) -> FrameRecord:
    """Return the labels of a frame as a model makes them, with a signal."""
    labelled = people(count, sum(name.encode()) + index)
    labelled = replace(labelled, signals={"flip": np.full(count, 0.25, np.float32)})
    time_s = index / 25 if index >= 0 else None
    values: dict[str, Any] = {"instances": labelled, "model": "0123456789abcdef", **fields}
    return FrameRecord(FrameKey(name, index), SIZE_WH, time_s, **values)


RECORDS = (
    record("a/one.jpg"),
    record("a/two.png", count=1),
    record("b/one.jpg", count=3),
    FrameRecord(FrameKey("bad.jpg"), error="the file is empty"),
    record("clip.mp4", index=0),
    record("clip.mp4", index=12),
    record("empty.jpg", count=0),
    record("fixed ü.jpg", count=1, review=Review("fixed", "anna", 1_700_000_000.5)),
    record("no.jpg", review=Review("rejected", "anna", 1_700_000_000.5)),
)
"""Everything that a run may hold."""

LABELLED = tuple(each for each in RECORDS if each.error is None and not each.rejected)
PHOTOS = tuple(each for each in LABELLED if each.key.index < 0)


def make_run(folder: Path, records: Sequence[FrameRecord] = RECORDS, **manifest: Any) -> Path:
    """Write a run of `records` and its document; return its folder."""
    return label_cases.make_run(folder, records, **({"sources": ("photos",)} | manifest))


def content(path: Path, **selection: Any) -> Content:
    return open_content(path, LabelFilter(**selection), for_document)


def export(run: Path, name: str, out: Path, options: WriteOptions = NO_PICTURES) -> Written:
    return format_named(name).write(content(run), out, options)


def bring_back(run: Path, path: Path, tool: str, **options: Any) -> ImportSummary:
    read = format_named(tool).read
    assert read is not None
    settings = ImportOptions(tool, "bea", **options)
    return import_corrections(run, path, read, settings, for_document, lambda *_: None)


def labels(run: Path) -> dict[str, FrameRecord]:
    """Return the records that count, by name."""
    return {str(each.key): each for each in Run.read(run).records()}


def moved(instances: Instances, row: int, keypoint: int, by: tuple[float, float]) -> Instances:
    """Return people of whom one keypoint is elsewhere."""
    points = instances.keypoints.copy()
    points[row, keypoint] += by
    return replace(instances, keypoints=points)


def assert_equal_people(found: Instances, expected: Instances) -> None:
    """Compare everything that a record holds, to the last bit."""
    np.testing.assert_array_equal(found.boxes, expected.boxes)
    np.testing.assert_array_equal(found.keypoints, expected.keypoints)
    np.testing.assert_array_equal(found.visibility, expected.visibility)
    np.testing.assert_array_equal(found.keypoint_scores, expected.keypoint_scores)
    np.testing.assert_array_equal(found.box_scores, expected.box_scores)


def extent(points: NDArray[Any]) -> list[float]:
    """Return the smallest COCO box round the labelled of (K, 3) keypoints."""
    labelled = points[points[:, 2] > 0, :2]
    low, high = labelled.min(axis=0), labelled.max(axis=0)
    return [*low.tolist(), *(high - low).tolist()]


def tool_python(variable: str, module: str) -> str:
    """Return a Python that has a tool, which wants an environment of its own; else skip."""
    python = os.environ.get(variable, sys.executable)
    done = subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"needs {module}: set {variable} to a Python that has it")
    return python


def run_tool(python: str, code: str, *arguments: str | Path) -> str:
    """Run code of a tool in its own Python; return what it prints."""
    command = [python, "-c", code, *map(str, arguments)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "FIFTYONE_DISABLE_SERVICES": "1", "FIFTYONE_DO_NOT_TRACK": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout

"""Runs for the tests of merging."""

from __future__ import annotations

from pathlib import Path

import label_cases
from label_cases import make_record

from vitpose_cli.records.record import FrameRecord


def make_run(folder: Path, *records: FrameRecord, **fields: object) -> Path:
    return label_cases.make_run(folder, records, **fields)


def of_model(name: str, model: str, count: int = 2) -> FrameRecord:
    return make_record(name, count=count, model=model)

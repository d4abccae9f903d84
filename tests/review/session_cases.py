"""A review of a run without a server, for several tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vitpose_cli.records.run import Run
from vitpose_cli.review.session import ReviewSession
from vitpose_cli.review.table import Query


def opened(folder: Path, **options: Any) -> ReviewSession:
    return ReviewSession(Run.edit(folder), reviewer="anna", **options)


def num_lines(folder: Path) -> int:
    return len((folder / "journal-review.jsonl").read_bytes().splitlines())


def listed(session: ReviewSession, query: Query) -> list[str]:
    return [str(session.key(number)) for number in session.frames(query)["numbers"]]

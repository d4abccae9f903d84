"""The report of a training run."""

from __future__ import annotations

from pathlib import Path


def write_report(folder: Path) -> None:
    """Write it."""

"""A job that faults are tried on, and how long to try."""

from __future__ import annotations

import os

import pytest
from annotate_jobs import Job, make_job
from launcher import Launcher

LONG = "VITPOSE_LONG_TESTS"


@pytest.fixture(scope="session")
def num_tries() -> tuple[int, int]:
    """Return how many kills, and how many examples of each other fault, are tried."""
    return (200, 200) if os.environ.get(LONG) else (10, 4)


@pytest.fixture(scope="package")
def job(tmp_path_factory: pytest.TempPathFactory, launcher: Launcher) -> Job:
    return make_job(tmp_path_factory.mktemp("job"), launcher)

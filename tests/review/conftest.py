"""Servers that the tests of a file share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from review_cases import Server, make_run, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a server over a run of its own."""
    run = make_run(tmp_path_factory.mktemp("review"))
    with running(run, "--reviewer", "anna") as running_server:
        yield running_server


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """Return a fresh run."""
    return make_run(tmp_path)

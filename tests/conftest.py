"""Fixtures that all tests share."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The consoles take COLUMNS when they are made, which no test's own environment is to decide.
os.environ.pop("COLUMNS", None)
import vitpose_cli.cli.console  # noqa: F401

# Tests are small and run side by side; several threads in each would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"

# Timing says nothing on a busy machine.
settings.register_profile("vitpose", deadline=None)
settings.load_profile("vitpose")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real photos beside the checkout, which is never part of it."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"needs the real photos in {SHARED_DATA}")
    return SHARED_DATA

"""Fixtures that all tests share."""

from pathlib import Path

import pytest
from hypothesis import settings

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

from __future__ import annotations

from collections.abc import Iterator

import pytest
from launcher import Launcher


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    """Start what forks commands whose libraries are loaded already."""
    with Launcher() as started:
        yield started

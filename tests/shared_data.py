"""Where the real photos, videos and teachers lie when a checkout has them beside it."""

from __future__ import annotations

from pathlib import Path

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"

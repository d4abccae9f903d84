"""`vitpose weights` as a user calls it, with a home of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Terminal:
    """Runs `vitpose` with a home of its own.

    Attributes:
        home: Where Hugging Face's cache and ours are.
        endpoint: The hub's address.
    """

    home: Path
    endpoint: str = "http://127.0.0.1:9"  # nothing listens there

    def run(
        self, *arguments: str | Path, offline: bool = False, variables: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        environment = {key: v for key, v in os.environ.items() if not key.startswith("HF_")}
        environment |= {
            "HF_HOME": str(self.home / "huggingface"),
            "HF_ENDPOINT": self.endpoint,
            "HF_HUB_OFFLINE": "1" if offline else "0",
            "OMP_NUM_THREADS": "1",
            **(variables or {}),
        }
        return subprocess.run(
            [sys.executable, "-m", "vitpose_cli", "weights", *map(str, arguments)],
            env=environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

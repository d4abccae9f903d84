"""Commands have PyTorch's threads sleep soon, unless a user says otherwise: OpenMP tells."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from runs import command, environment

PHOTO = Path(__file__).parent.parent / "examples" / "photos" / "astronaut.jpg"


@pytest.mark.skipif(sys.platform != "linux", reason="PyTorch has GNU's OpenMP on Linux alone")
@pytest.mark.parametrize(
    ("settings", "spins"),
    [({}, 1000), ({"GOMP_SPINCOUNT": "20"}, 20), ({"OMP_WAIT_POLICY": "ACTIVE"}, None)],
)
def test_threads_sleep_soon_unless_a_user_says_otherwise(
    settings: dict[str, str], spins: int | None, tmp_path: Path
) -> None:
    done = subprocess.run(
        command("annotate", PHOTO, "-o", tmp_path / "run", "--detector", "whole-image"),
        capture_output=True, text=True, check=True, timeout=120,
        env=environment() | {"OMP_DISPLAY_ENV": "verbose"} | settings,
    )  # fmt: skip
    said = re.search(r"GOMP_SPINCOUNT = '(\w+)'", done.stderr)
    assert said is not None
    assert said[1] != "1000" if spins is None else said[1] == str(spins)

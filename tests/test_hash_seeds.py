"""What commands write does not hang on the order of sets, which forks of one Python share."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from label_cases import make_fixed, make_record, make_run
from runs import command, environment


@pytest.mark.parametrize(
    "arguments",
    [
        ("split", "run", "-o", "out"),
        ("merge", "run", "other", "-o", "out.json"),
        ("export", "run", "-o", "out", "-f", "yolo", "--pictures", "none"),
        ("stats", "run", "--json"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_other_hashes_give_the_same_bytes(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    def written(seed: str) -> tuple[str, dict[Path, bytes]]:
        folder = tmp_path / seed
        for name in ("run", "other"):
            photos = [make_record(f"{name} {number % 3}/{number}.jpg") for number in range(9)]
            make_run(folder / name, [*photos, make_fixed(f"{name} 0/fixed.jpg")])
        done = subprocess.run(
            command(*arguments), cwd=folder, env=environment() | {"PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=False, timeout=240,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        files = [path for path in sorted(folder.glob("out*/**/*")) if path.is_file()]
        files += folder.glob("out*.json")
        return done.stdout, {path.relative_to(folder): path.read_bytes() for path in files}

    with ThreadPoolExecutor() as pool:
        first, second = pool.map(written, ("1", "2"))
    assert first == second
    assert first[1] or arguments[0] == "stats"

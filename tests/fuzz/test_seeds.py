"""What the fuzzers spoil: the same files in every process, so that a run that fails fails again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from runs import environment

NOTE_SEEDS = """
import os, sys
from hashlib import blake2b
import pytest
import spoiling

def note(seeds, *_):
    test = os.environ["PYTEST_CURRENT_TEST"]
    with open(sys.argv[1], "a") as file:
        for number, seed in enumerate(seeds):
            print(test, number, blake2b(seed, digest_size=8).hexdigest(), file=file)

spoiling.meet_spoiled = spoiling.meet_other_values = note
folder = sys.argv[2]
files = [f"{folder}/test_hostile_{what}.py" for what in ("labels", "media", "weights")]
asked = "not runs_no_code and not bomb and not that_are_none"
sys.exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", "-k", asked, *files]))
"""
"""A program that runs the fuzzers of all files, and writes down what they would spoil instead."""


def test_every_process_spoils_the_same_files(tmp_path: Path) -> None:
    folder = Path(__file__).parent
    noted = []
    for name in ("first", "second"):  # one after the other, as some formats hold the time
        program: list[str | Path] = [sys.executable, "-c", NOTE_SEEDS, tmp_path / name, folder]
        places = environment() | {"PYTHONPATH": f"{folder.parent}:{folder.parent.parent}"}
        done = subprocess.run(program, capture_output=True, text=True, env=places, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        noted.append((tmp_path / name).read_text().splitlines())
    first, second = noted
    assert len(first) > 50
    assert [pair for pair in zip(first, second, strict=True) if pair[0] != pair[1]] == []

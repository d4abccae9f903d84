"""The script that says what parts of training are worth."""

from __future__ import annotations

from pathlib import Path

from runs import program

CODE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from training_proofs import FILES, PROOFS, arms
from vitpose_cli.config import load_config
from vitpose_cli.training.config import TrainConfig

names = {}
for proof in PROOFS:
    for arm in arms(proof, Path("runs")):
        config = load_config(TrainConfig, FILES / arm.file, [*arm.changes, "data.validation=[]"])
        # Runs are found again by their names, whichever proof asks for them.
        run = config, arm.first, arm.token
        assert names.setdefault(arm.name, run) == run
        assert arm.first is None or (FILES / arm.first).is_file()
load_config(TrainConfig, FILES / "token.yaml", ["data.validation=[]"])
print(len(names))
"""


def test_every_arm_is_a_run_of_its_own(tmp_path: Path) -> None:
    script = tmp_path / "names.py"
    script.write_text(CODE)
    done = program(script, Path(__file__).parents[2] / "benchmarks")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 15

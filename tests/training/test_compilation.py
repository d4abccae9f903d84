"""torch.compile where it cannot compile: no bug of the program, and the way out is told."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from runs import command, environment
from training_cases import small_run, write_coco

from vitpose_cli.errors import ConfigError
from vitpose_cli.training.compilation import explained_compilation

NOTHING_OF_A_FILE = """#!{python}
import os, sys
if "-o" not in sys.argv:
    os.execvp("g++", sys.argv)
open(sys.argv[sys.argv.index("-o") + 1], "wb").close()
"""
"""A compiler whose every file is left as by one that is killed when it begins to write."""


@pytest.mark.parametrize("cut", [False, True])
def test_a_run_that_cannot_be_compiled_says_what_to_do(tmp_path: Path, cut: bool) -> None:
    write_coco(tmp_path)
    compiler = tmp_path / "g++-of-a-run-that-was-killed"
    if cut:
        compiler.write_text(NOTHING_OF_A_FILE.format(python=sys.executable))
        compiler.chmod(0o755)
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(small_run(tmp_path, compile=True)))
    done = subprocess.run(
        command("train", "-c", path, "-o", tmp_path / "run"),
        env=environment() | {"CXX": str(compiler), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "c")},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "torch.compile cannot compile the network here" in done.stderr
    assert ("file too short" if cut else "No working C++ compiler") in done.stderr
    assert "--set compile=false" in done.stderr


def test_the_error_of_an_older_torch_is_told_and_others_are_not() -> None:
    from torch._dynamo.exc import BackendCompilerFailed, Unsupported

    # Its constructor has other arguments in each release.
    failed = BackendCompilerFailed.__new__(BackendCompilerFailed, "no compiler")
    told = pytest.raises(ConfigError, match="cannot compile the network here: no compiler")
    with told, explained_compilation():
        raise failed
    with pytest.raises(Unsupported), explained_compilation():
        raise Unsupported("a bug of ours")

"""torch.compile where it cannot compile: no bug of the program, and the way out is told."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from runs import command, environment
from training_cases import small_run, write_coco

from vitpose_cli.errors import ConfigError, InputError
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


@pytest.mark.parametrize("compiled", [False, True])
def test_files_of_the_compiler_that_cannot_be_written_are_named(
    tmp_path: Path, compiled: bool
) -> None:
    """Its folder is made where nothing is compiled, too."""
    write_coco(tmp_path)
    path, folder = tmp_path / "config.yaml", tmp_path / "no-folder"
    path.write_text(yaml.safe_dump(small_run(tmp_path, compile=compiled)))
    folder.touch()
    done = subprocess.run(
        command("train", "-c", path, "-o", tmp_path / "run"),
        env=environment() | {"TORCHINDUCTOR_CACHE_DIR": str(folder / "c")},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    if not compiled and torch.__version__.startswith("2.7."):  # makes it only where it compiles
        assert done.returncode == 0, done.stderr
        return
    assert done.returncode == 3, done.stderr
    said = f"PyTorch's compiler cannot write its files: [Errno 20] Not a directory: '{folder}/c'"
    assert said in done.stderr
    assert "TORCHINDUCTOR_CACHE_DIR" in done.stderr


def test_what_the_compiler_meets_while_it_compiles_is_told() -> None:
    """A full disk, met by itself or by the C++ compiler that it calls."""
    from torch._inductor.exc import CppCompileError, InductorError

    full = OSError(errno.ENOSPC, "No space left on device")
    unwritable = pytest.raises(
        InputError, match=r"cannot write its files: \[Errno 28\] No space left"
    )
    with unwritable, explained_compilation():
        raise InductorError(full, None)
    output = "x.main.cpp\n/usr/bin/ld: final link failed: No space left on device\nno more"
    failed = InductorError(CppCompileError(["g++"], output), None)
    told = pytest.raises(ConfigError, match=r"here: /usr/bin/ld: final link failed: No space left")
    with told, explained_compilation():
        raise failed
    with pytest.raises(OSError, match="of ours"), explained_compilation():
        raise OSError("a bug of ours")


def test_the_error_of_an_older_torch_is_told_and_others_are_not() -> None:
    from torch._dynamo.exc import BackendCompilerFailed, Unsupported

    # Its constructor has other arguments in each release.
    failed = BackendCompilerFailed.__new__(BackendCompilerFailed, "no compiler")
    told = pytest.raises(ConfigError, match="cannot compile the network here: no compiler")
    with told, explained_compilation():
        raise failed
    with pytest.raises(Unsupported), explained_compilation():
        raise Unsupported("a bug of ours")

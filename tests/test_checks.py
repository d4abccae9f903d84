"""`.ci/run` ends what it has started in the background, with programs that only pretend."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

CHECKS = Path(__file__).parents[1] / ".ci/run"
PROGRAM = """#!/usr/bin/env bash
name=$(basename "$0")
here=$(cd "$(dirname "$0")" && pwd)
case "$name $*" in
"python -m venv "*)
    mkdir -p "$3/bin"
    for each in python pip ruff mypy vitpose; do cp "$0" "$3/bin/$each"; done ;;
"python -m build "*) mkdir -p "$5" && echo wheel >"$5/a.whl" ;;
"python .ci/audit.py") echo audited ;;
"pip install "*datumaro)
    [ "$SLOW" = background ] || exit 0
    while mkdir -p "$here"; do echo "$$" >>"$LOG"; sleep 0.02; done ;;
"pip install "*"--group dev")
    if [ -n "$SLOW" ]; then until [ -s "$LOG" ]; do sleep 0.02; done; fi
    case "$END" in fail) exit 1 ;; wait) : >"$LOG.waits"; exec sleep 60 ;; esac ;;
esac
"""


@pytest.mark.parametrize(
    ("end", "slow", "code"),
    [("fail", "background", 1), ("wait", "background", -signal.SIGINT), ("", "", 0)],
)
def test_nothing_runs_on_or_stays(tmp_path: Path, end: str, slow: str, code: int) -> None:
    for folder in ("clone/.ci", "clone/examples/photos", "bin", "temporary"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(CHECKS, tmp_path / "clone/.ci/run")
    for name in ("python", "chromium"):
        (tmp_path / "bin" / name).write_text(PROGRAM)
        (tmp_path / "bin" / name).chmod(0o755)
    log = tmp_path / "log"
    process = subprocess.Popen(
        ["bash", tmp_path / "clone/.ci/run"],
        env=os.environ | {"PYTHON": str(tmp_path / "bin/python"), "LOG": str(log)}
        | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "TMPDIR": f"{tmp_path}/temporary"}
        | {"END": end, "SLOW": slow},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    if end == "wait":
        while not Path(f"{log}.waits").exists():
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C
    said, _ = process.communicate(timeout=240)
    assert process.returncode == code, said
    assert ("audited" in said) == (not end)
    written = log.stat().st_size if slow else 0
    time.sleep(0.2)
    assert not list((tmp_path / "temporary").iterdir())
    assert not slow or log.stat().st_size == written

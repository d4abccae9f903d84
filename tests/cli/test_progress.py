"""How far a command is: a bar, a sign of work, or lines of a log."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from label_cases import make_record, make_run
from runs import command, environment, vitpose

_ON_A_TERMINAL = """
import os, sys, termios, time
from vitpose_cli.cli import console

far, near = os.openpty()
termios.tcsetwinsize(near, (24, 80))
os.dup2(near, 2)
console.talk_without_failing()
"""
_BAR = """
with console.progress("photos") as report:
    report(0, 3)
    shown = os.read(far, 1000)
    os.close(far)  # whoever writes there now gets an error
    for number in range(1, 4):
        time.sleep(0.15)
        report(number, 3)
console.note("done")
print(b"0/3" in shown, number)
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run", [make_record("a.jpg"), make_record("clip.mp4", 3)])


@pytest.mark.skipif(os.name == "nt", reason="needs a terminal that can be taken away")
def test_a_bar_on_a_terminal_that_is_gone_ends_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _ON_A_TERMINAL + _BAR], stdout=subprocess.PIPE, text=True,
        check=False, env=environment(), timeout=240,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("True 3\n", 0)


_TALK = """
with console.progress("photos") as report:
    report(0, 3)
    report(2, 3, 1)
    console.note("said meanwhile")
    report(3, 3, int(sys.argv[1]))
shown = b""
while shown.count(b"\\n") < 2:
    shown += os.read(far, 4000)
sys.stdout.buffer.write(shown)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs a terminal")
@pytest.mark.parametrize("num_failed", [0, 1])
def test_what_is_said_meanwhile_has_a_line_of_its_own(num_failed: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _ON_A_TERMINAL + _TALK, str(num_failed)], stdout=subprocess.PIPE,
        check=True, env=environment(), timeout=240,
    )  # fmt: skip
    lines = [
        line.rpartition("\r")[2]  # what of it is seen in the end
        for line in done.stdout.decode().replace("\r\n", "\n").split("\n")
    ]
    assert lines[0] == "said meanwhile"
    assert "3/3" in lines[1]
    assert ("1 failed" in lines[1]) == bool(num_failed)  # the other was tried again


@pytest.mark.skipif(os.name == "nt", reason="needs a terminal")
def test_commands_that_cannot_say_how_far_they_are_show_that_they_work(run: Path) -> None:
    far, near = os.openpty()
    done = subprocess.run(
        command("stats", run, "--json"), stdout=subprocess.PIPE, stderr=near, text=True,
        check=True, env=environment() | {"TERM": "xterm"}, timeout=240,
    )  # fmt: skip
    shown = os.read(far, 4000)
    os.close(near)
    os.close(far)
    assert "counting …".encode() in shown
    assert b"0:00:0" in shown
    assert json.loads(done.stdout)["num_frames"] == 2


@pytest.mark.skipif(os.name == "nt", reason="needs a terminal")
def test_an_import_shows_that_it_reads_before_it_can_say_how_far_it_is(
    run: Path, tmp_path: Path
) -> None:
    import termios

    file = tmp_path / "labels.json"
    assert vitpose("export", run, "-f", "coco", "-o", file).returncode == 0
    far, near = os.openpty()
    termios.tcsetwinsize(near, (24, 80))
    done = subprocess.run(
        command("import", file, "--into", run, "--dry-run", "--json"), stdout=subprocess.PIPE,
        stderr=near, text=True, check=True, env=environment() | {"TERM": "xterm"}, timeout=240,
    )  # fmt: skip
    shown = b""
    while b"2/2" not in shown:
        shown += os.read(far, 4000)
    os.close(near)
    os.close(far)
    assert shown.rindex("reading …".encode()) < shown.index(b"0/2")
    assert json.loads(done.stdout)["frames"]["unchanged"] == 2


def test_a_log_tells_now_and_then_how_far_a_long_job_is(tmp_path: Path) -> None:
    script = tmp_path / "job.py"
    script.write_text(
        "import time\n"
        "from vitpose_cli.cli import console, progress_lines\n"
        "progress_lines.FIRST_LINE_S, progress_lines.LINE_EVERY_S = 0.2, 0.5\n"
        "began_s = time.monotonic()\n"
        "with console.progress('frames') as report:\n"
        "    for done in range(1000, 1201):\n"
        "        report(done, 100_000, 1234 if done > 1150 else 0)\n"
        "        time.sleep(0.01)\n"
        "    report(100_000, 100_000, 1234)\n"
        "print(time.monotonic() - began_s)\n"
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=True, env=environment(),
        timeout=240,
    )  # fmt: skip
    lines = done.stderr.splitlines()
    assert 4 <= len(lines) <= 3 + float(done.stdout) / 0.5  # after 0.2, 0.4, 0.8, 1.3, 1.8 s ...
    begin, end = (
        r"\d{4}-\d\d-\d\d \d\d:\d\d  1,\d\d\d of 100,000 frames, ",
        r"(\S+)/s, about (\d+) min left",
    )
    first = re.fullmatch(begin + end, lines[0])
    last = re.fullmatch(f"{begin}1,234 of them failed, {end}", lines[-1])
    assert first is not None
    assert last is not None
    rate, minutes = float(last[1]), int(last[2])
    assert 5 < rate < 100
    assert abs(minutes - 98_900 / rate / 60) < 2

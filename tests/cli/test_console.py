"""What the terminal gets where the output goes nowhere."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from interruptions import load_interrupted
from label_cases import make_people, make_record, make_run
from runs import command, environment, save_photos, save_weights, wait_until

from vitpose_cli.cli.console import guarded
from vitpose_cli.records.record import Review


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run", [make_record("a.jpg"), make_record("clip.mp4", 3)])


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_reader_that_leaves_is_no_bug(run: Path, options: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as output:
        done = subprocess.run(
            command("stats", run, *options), stdout=output, stderr=subprocess.PIPE, text=True,
            check=False, env=environment(),
        )  # fmt: skip
    assert done.returncode == 141
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full disk to print to")
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_output_that_finds_no_room_is_no_bug(run: Path, options: list[str]) -> None:
    with Path("/dev/full").open("wb") as output:
        done = subprocess.run(
            command("stats", run, *options), stdout=output, stderr=subprocess.PIPE, text=True,
            check=False, env=environment(),
        )  # fmt: skip
    assert done.returncode == 3
    assert "error: Cannot write the output: No space left on device." in done.stderr
    assert "disk is full" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full disk to print to")
def test_talk_that_finds_no_room_changes_nothing(tmp_path: Path) -> None:
    names = save_photos(tmp_path / "photos", 3)
    weights = save_weights(tmp_path / "weights.safetensors")
    words: list[str | Path] = ["annotate", tmp_path / "photos", "-w", weights, "-o"]
    words += [tmp_path / "run", "--detector", "whole-image", "--json"]

    def ended(*words: str | Path) -> subprocess.CompletedProcess[bytes]:
        with Path("/dev/full").open("wb") as full:
            return subprocess.run(
                command(*words), stdout=subprocess.PIPE, stderr=full, check=False,
                env=environment(), timeout=120,
            )  # fmt: skip

    done = ended(*words)
    assert done.returncode == 0
    assert json.loads(done.stdout)["num_new"] == len(names)
    (tmp_path / "photos" / "empty.jpg").touch()
    assert ended(*words).returncode == 5
    assert ended("stats", tmp_path / "run").returncode == 0
    assert ended("stats", tmp_path / "none").returncode == 3
    assert ended("stats", "--none").returncode == 2


@pytest.mark.parametrize("words", [["stats", "none"], ["stats", "{run}"], ["--none"]])
def test_whoever_stops_to_listen_to_talk_is_told_nothing_more(run: Path, words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as talk:
        done = subprocess.run(
            command(*(word.format(run=run) for word in words)), stdout=subprocess.PIPE,
            stderr=talk, text=True, check=False, env=environment(),
        )  # fmt: skip
    assert done.returncode == (0 if "{run}" in words else 141)


@pytest.mark.skipif(os.name == "nt", reason="closes streams as POSIX shells do")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_lead_nowhere(run: Path, tmp_path: Path, closed: str) -> None:
    def ended(*arguments: str | Path) -> int:
        program = ["sh", "-c", f'exec "$@" {closed}', "sh", *command(*arguments)]
        return subprocess.run(program, check=False, env=environment(), timeout=240).returncode

    other = make_run(tmp_path / "other", [make_record("b.jpg")])
    assert ended("merge", run, other, "-o", tmp_path / "both.json", "--json") == 0
    images = json.loads((tmp_path / "both.json").read_bytes())["images"]
    assert [image["file_name"] for image in images][:2] == ["a.jpg", "b.jpg"]
    assert ended("stats", tmp_path / "none") == 3


def test_names_do_not_command_the_terminal(tmp_path: Path) -> None:
    name = "a\x1b]0;title\x07\r\x9b31m\t[red]\nerror: b"
    done = subprocess.run(
        command("stats", tmp_path / name), capture_output=True, text=True, check=False,
        env=environment(),
    )  # fmt: skip
    assert done.returncode == 3
    assert "a\\x1b]0;title\\x07\\r\\x9b31m\\t[red]\\nerror: b" in done.stderr
    assert not any(sign in done.stderr for sign in "\x1b\x07\r\x9b\t")
    assert len(done.stderr.splitlines()) == 2  # error and hint


@pytest.mark.parametrize(
    "words", [["select", "-n", "1"], ["history", "a\x1b[31m[red]\u202e.jpg"], ["diff"]]
)
def test_names_in_tables_do_not_command_the_terminal(tmp_path: Path, words: list[str]) -> None:
    name = "a\x1b[31m[red]\u202e.jpg"
    people = make_people(1)
    moved = replace(people, keypoints=people.keypoints + 5)
    one, other = (
        make_run(tmp_path / folder, [make_record(name, people=shown)])
        for folder, shown in (("one", people), ("other", moved))
    )
    program, *further = words
    others: dict[str, list[str | Path]] = {"diff": [other], "select": ["-o", tmp_path / "q.json"]}
    done = subprocess.run(
        command(program, one, *further, *others.get(program, [])),
        capture_output=True, text=True, check=False, env=environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "a\\x1b[31m[red]\\u202e.jpg" in done.stdout
    assert not {"\x1b", "\u202e"} & {*done.stdout}


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_an_encoding_that_lacks_a_sign_is_no_bug(tmp_path: Path, options: list[str]) -> None:
    run = make_run(tmp_path / "run", [make_record("日é.jpg")])
    done = subprocess.run(
        command("select", run, "-n", "1", "-o", tmp_path / "q.json", *options),
        capture_output=True, check=False, env=environment() | {"PYTHONIOENCODING": "latin-1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    if options:
        assert "日é.jpg" in json.dumps(json.loads(done.stdout), ensure_ascii=False)
    stats = subprocess.run(
        command("stats", run), capture_output=True, check=False,
        env=environment() | {"PYTHONIOENCODING": "latin-1"},
    )  # fmt: skip
    assert stats.returncode == 0, stats.stderr


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names of files are UTF-8 there")
def test_names_that_are_not_read_as_utf_8_are_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "Übung", [make_record("日é.jpg")])
    for locale, code in ({"PYTHONUTF8": "0"}, 2), ({"PYTHONUTF8": "1"}, 0):
        done = subprocess.run(
            command("history", run, "日é.jpg"), capture_output=True, text=True, check=False,
            encoding="utf-8", env=environment() | {"LC_ALL": "C"} | locale,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        assert ("Set PYTHONUTF8=1" in done.stderr) == bool(code)


def test_one_is_not_many(run: Path) -> None:
    done = subprocess.run(
        command("stats", run), capture_output=True, text=True, check=True, env=environment()
    )
    assert "4 people in 2 frames (1 photo, 1 of 1 video; 0 without people)" in done.stdout


def is_read(pipe: int) -> bool:
    """Return whether nothing is left in a pipe."""
    from fcntl import ioctl
    from termios import FIONREAD

    return int.from_bytes(ioctl(pipe, FIONREAD, bytes(4)), sys.byteorder) == 0


def is_asleep(pid: int) -> bool:
    """Return whether a process waits for something; so it may, where the system does not say."""
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "S"


def sent(path: Path, number: int, *before: str) -> tuple[int, str]:
    """Send a signal to a command that reads from a pipe; return its exit code and what it said."""
    os.mkfifo(path)
    process = subprocess.Popen(
        [*before, *command("validate", path)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, env=environment(),
    )  # fmt: skip
    with path.open("wb", buffering=0) as pipe:  # once it is read
        pipe.write(b"{")
        # Until it waits: between two reads of one buffer Python takes up no signal.
        wait_until(lambda: is_read(pipe.fileno()) and is_asleep(process.pid), process)
        time.sleep(0.5)
        process.send_signal(number)
        if before:  # it goes on, until there is nothing more to read
            time.sleep(0.5)
            pipe.close()
        _, said = process.communicate(timeout=240)
    return process.returncode, said


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_an_interrupted_command_says_that_it_goes_on_only_where_it_does(
    tmp_path: Path, name: str
) -> None:
    assert sent(tmp_path / "labels.json", signal.Signals[name]) == (130, "interrupted.\n")


@pytest.mark.skipif(not shutil.which("nohup"), reason="nothing outlives a terminal here")
def test_nohup_lets_a_command_outlive_the_terminal(tmp_path: Path) -> None:
    code, said = sent(tmp_path / "labels.json", signal.SIGHUP, "nohup")
    assert "is not" in said
    assert code == 3


def test_what_a_pipe_gets_is_not_cut(run: Path) -> None:
    done = subprocess.run(
        command("history", run, "a.jpg"), capture_output=True, text=True, check=True,
        env=environment(),
    )  # fmt: skip
    assert "model 0123456789abcdef" in done.stdout
    assert "…" not in done.stdout


@pytest.mark.parametrize("width", [40, 60, 79, 80])
def test_history_cuts_nothing_in_a_narrow_terminal(tmp_path: Path, width: int) -> None:
    model = make_record("a.jpg")
    assert model.instances is not None
    moved = replace(model.instances, keypoints=model.instances.keypoints + 5)
    decided = Review("accepted", "anna", 1_764_455_970.0, model.version)
    history = make_run(tmp_path / "run", [model, replace(model, instances=moved, review=decided)])
    done = subprocess.run(
        command("history", history, "a.jpg"), capture_output=True, text=True, check=True,
        env=environment() | {"COLUMNS": str(width), "TZ": "UTC"},
    )  # fmt: skip
    assert max(map(len, done.stdout.splitlines())) <= width
    assert "…" not in done.stdout
    words = done.stdout.split()
    assert {"anna", "yes"} <= {*words}
    if width >= 79:
        assert {model.version, model.model, "accepted", "people", "counts"} <= {*words}
        assert {"2025-11-29", "22:39:30+00:00"} <= {*words}


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_interrupted_while_it_is_loaded(run: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "typer.py").write_text(
        f"import signal\nsignal.raise_signal(signal.{name})\n"  # while it is imported
    )
    paths = os.pathsep.join(filter(None, (str(tmp_path / "slow"), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        command("stats", run), capture_output=True, text=True, check=False,
        env={**environment(), "PYTHONPATH": paths},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted.\n")


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_while_it_leaves_changes_no_exit_code(
    run: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        f"import atexit, signal\natexit.register(signal.raise_signal, signal.{name})\n"
    )
    paths = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        command("stats", run), capture_output=True, text=True, check=False,
        env={**environment(), "PYTHONPATH": paths},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_interrupted_while_the_options_are_taken_in(capsys: pytest.CaptureFixture[str]) -> None:
    def run() -> None:
        raise KeyboardInterrupt

    assert guarded(run, interrupted="stopped.") == 130
    assert capsys.readouterr().err == "stopped.\n"


def test_interrupted_while_a_library_is_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(load_interrupted, interrupted="stopped.") == 130
    assert capsys.readouterr().err == "stopped.\n"


def test_interrupted_while_an_error_is_handled(capsys: pytest.CaptureFixture[str]) -> None:
    def run() -> None:
        try:
            load_interrupted()
        except (RuntimeError, KeyboardInterrupt):
            raise ValueError("not there yet") from None

    assert guarded(run, interrupted="stopped.") == 130
    assert capsys.readouterr().err == "stopped.\n"


def test_the_trace_of_a_bug_is_shown_to_who_asks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VITPOSE_DEBUG", "1")
    assert guarded(lambda: 1 // 0) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("Traceback")
    assert shown.splitlines()[-1].startswith("ZeroDivisionError")


@pytest.mark.parametrize("columns", ["0", "1", "19", "20", "none"])
def test_a_terminal_without_columns_silences_nobody(tmp_path: Path, columns: str) -> None:
    run = make_run(tmp_path / "run", [make_record("a.jpg")])
    done = [
        subprocess.run(
            command("stats", path), capture_output=True, text=True, check=False,
            env=environment() | {"COLUMNS": columns},
        )
        for path in (tmp_path / "none", run)
    ]  # fmt: skip
    assert f"error: Cannot read {tmp_path / 'none'}" in done[0].stderr
    assert "frames" in done[1].stdout


def test_few_warnings_of_a_kind_are_shown_and_the_rest_is_counted() -> None:
    code = (
        "import logging; from vitpose_cli.cli.console import WarningsAsTalk;"
        "talk = WarningsAsTalk(); log = logging.getLogger('vitpose_cli'); log.addHandler(talk);"
        "[log.warning('%s is interlaced: look.', n % 300) for n in range(600)];"
        "[log.warning('%s', n, extra={'kind': 'The fault %s of a worker.'}) for n in 'abcd'];"
        "[log.warning('%s', n, extra={'kind': n}) for n in 'xyz']; talk.say_rest()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment()
    )
    assert done.stderr.splitlines() == [
        *(f"warning: {number} is interlaced: look." for number in range(3)),
        *(f"warning: {text}" for text in "abcxyz"),
        "warning: 297 more like these: … is interlaced: look.",
        "warning: 1 more like these: The fault … of a worker.",
    ]

import os
import socket
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from vitpose_cli.errors import InputError
from vitpose_cli.records import lock
from vitpose_cli.records.lock import FileLock


@pytest.fixture(params=["flock", "file"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Take systems with and without flock."""
    if request.param == "file":
        monkeypatch.setattr(lock, "fcntl", None)
    return str(request.param)


@pytest.mark.usefixtures("system")
def test_one_holder_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with FileLock(path, "The thing"):
        with pytest.raises(InputError) as caught:
            FileLock(path, "The thing").acquire()
        holder = f"process {os.getpid()} on {socket.gethostname()}"
        assert caught.value.message == f"The thing is being written by {holder}."
    assert list(tmp_path.iterdir()) == []
    with FileLock(path, "The thing"):
        pass


@pytest.mark.usefixtures("system")
def test_waiting_ends_when_the_holder_is_done(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    first = FileLock(path, "The thing")
    first.acquire()
    first.release()
    first.release()  # harmless
    with FileLock(path, "The thing", wait_s=5):
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    code = (
        "import sys, time; from pathlib import Path; from vitpose_cli.records.lock import FileLock;"
        "FileLock(Path(sys.argv[1]), 'x').acquire(); print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(InputError, match=f"process {process.pid} on "):
        FileLock(path, "The thing").acquire()
    process.kill()
    process.wait()
    with FileLock(path, "The thing"):
        pass


def ended_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_without_flock_a_dead_owner_of_this_machine_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "fcntl", None)
    pid = ended_pid()
    owner = tmp_path / "x.lock-owner"
    owner.write_bytes(orjson.dumps({"pid": pid, "host": socket.gethostname()}))
    with FileLock(tmp_path / "x.lock", "The thing"):
        pass
    owner.write_bytes(orjson.dumps({"pid": pid, "host": "elsewhere"}))
    with pytest.raises(InputError, match="on elsewhere"):
        FileLock(tmp_path / "x.lock", "The thing").acquire()


@pytest.mark.parametrize("left", [b'{"pid":7,"host":"elsewhere"}', b""])
def test_the_way_out_where_a_machine_died_is_said(tmp_path: Path, system: str, left: bytes) -> None:
    """A server may remember the lock of a client that is gone; nobody takes an owner file away."""
    path = tmp_path / "x.lock"
    gone = FileLock(path, "The thing")
    gone.acquire()
    (path if system == "flock" else tmp_path / "x.lock-owner").write_bytes(left)
    with pytest.raises(InputError) as caught:
        FileLock(path, "The thing").acquire()
    if system == "flock" and not left:  # on a full disk, say; the kernel takes it from who ends
        assert "rm" not in caught.value.hint
        return
    way_out = caught.value.hint.rpartition(": rm ")[2]
    Path(way_out).unlink()
    with FileLock(path, "The thing"):
        pass


def test_who_holds_a_lock_here_and_lives_is_only_waited_for(tmp_path: Path) -> None:
    with FileLock(tmp_path / "x.lock", "The thing"), pytest.raises(InputError) as caught:
        FileLock(tmp_path / "x.lock", "The thing").acquire()
    assert caught.value.hint.endswith("choose another output folder.")


def test_without_flock_one_of_two_takes_over_from_a_dead_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slower one has found the owner dead when the faster one takes the lock."""
    monkeypatch.setattr(lock, "fcntl", None)
    content = orjson.dumps({"pid": ended_pid(), "host": socket.gethostname()})
    (tmp_path / "x.lock-owner").write_bytes(content)
    faster, slower = (FileLock(tmp_path / "x.lock", "The thing") for _ in range(2))
    kill = os.kill

    def overtaken(pid: int, number: int) -> None:
        monkeypatch.setattr(os, "kill", kill)
        faster.acquire()
        kill(pid, number)

    monkeypatch.setattr(os, "kill", overtaken)
    with pytest.raises(InputError, match=f"process {os.getpid()} on "):
        slower.acquire()
    slower.release()
    assert [path.name for path in tmp_path.iterdir()] == ["x.lock-owner"]
    faster.release()
    with slower:
        pass
    assert list(tmp_path.iterdir()) == []


def test_without_flock_who_died_while_taking_over_blocks_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "fcntl", None)
    content = orjson.dumps({"pid": ended_pid(), "host": socket.gethostname()})
    for name in ("x.lock-owner", "x.lock-owner-dead"):
        (tmp_path / name).write_bytes(content)
    with FileLock(tmp_path / "x.lock", "The thing", wait_s=5):
        assert [path.name for path in tmp_path.iterdir()] == ["x.lock-owner"]
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_cannot_be_made_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Cannot write"):
        FileLock(tmp_path / "missing" / "x.lock", "The thing").acquire()

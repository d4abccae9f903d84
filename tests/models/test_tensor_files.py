"""Tensor files: whole or not there at all, and refused in our words when damaged."""

from __future__ import annotations

import multiprocessing
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from disks import Disk

from vitpose_cli.errors import InputError, WeightsError
from vitpose_cli.files import remove_left_over
from vitpose_cli.models.tensor_files import read_metadata, read_state, write_tensors

STATE = {"weight": torch.arange(4096.0).reshape(64, 64), "count": torch.tensor(3)}


@pytest.fixture(name="path")
def written(tmp_path: Path) -> Path:
    path = tmp_path / "gewichte-für-später.safetensors"
    write_tensors(path, STATE, {"note": 'Zürich, "quoted"\nand on'})
    return path


def test_what_is_written_is_read(path: Path) -> None:
    state = read_state(path)
    assert state.keys() == STATE.keys()
    assert all(torch.equal(state[key], STATE[key]) for key in STATE)
    assert read_metadata(path) == {"note": 'Zürich, "quoted"\nand on'}


def test_only_floating_point_tensors_change_their_type(path: Path) -> None:
    write_tensors(path, STATE, {}, dtype=torch.float16)
    assert {key: tensor.dtype for key, tensor in read_state(path).items()} == {
        "weight": torch.float16,
        "count": torch.int64,
    }


def test_tensors_that_share_memory_are_stored(tmp_path: Path) -> None:
    shared = torch.arange(12.0).reshape(3, 4)
    path = tmp_path / "shared.safetensors"
    write_tensors(path, {"a": shared, "b": shared[1:], "c": shared.T}, {})
    state = read_state(path)
    assert torch.equal(state["b"], shared[1:])
    assert torch.equal(state["c"], shared.T)


def test_files_can_be_read_by_whoever_may_read_new_files(path: Path) -> None:
    (path.parent / "plain").touch()
    assert path.stat().st_mode == (path.parent / "plain").stat().st_mode


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a pickle", b"\x80\x02", b"\xff" * 64])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.pth"
    path.write_bytes(content)
    for read in (read_metadata, read_state):
        with pytest.raises(WeightsError, match=r"not a whole \.safetensors file") as caught:
            read(path)
        assert f"vitpose weights convert {path}" in caught.value.hint


@pytest.mark.parametrize("kept", [0.001, 0.01, 0.5, 0.9999])
def test_truncated_files_are_refused(path: Path, kept: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(WeightsError, match=r"not a whole \.safetensors file"):
        read_state(path)


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.safetensors", tmp_path):
        with pytest.raises(WeightsError, match="no weights file"):
            read_state(path)


def test_writing_where_nothing_can_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Cannot write"):
        write_tensors(tmp_path / "absent" / "a.safetensors", STATE, {})
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="Cannot write"):
        write_tensors(tmp_path / "folder", STATE, {})
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


def write_forever(path: Path) -> None:
    while True:
        write_tensors(path, STATE, {})


def test_a_killed_writer_leaves_a_whole_file(path: Path) -> None:
    writer: Any = multiprocessing.get_context("spawn").Process(target=write_forever, args=(path,))
    before = path.stat().st_ino
    writer.start()
    while path.stat().st_ino == before:  # until it replaces the file again and again
        writer.join(0.05)
        assert writer.is_alive()
    writer.kill()
    writer.join()
    assert torch.equal(read_state(path)["weight"], STATE["weight"])
    remove_left_over(path)
    assert list(path.parent.iterdir()) == [path]


def test_a_disk_that_nobody_may_write_to_is_named(disk: Disk) -> None:
    disk.protect()
    path = disk.path / "a.safetensors"
    with pytest.raises(InputError, match=re.escape(f"Cannot write {path}: Read-only")) as caught:
        write_tensors(path, STATE, {})
    assert "Choose another place" in caught.value.hint

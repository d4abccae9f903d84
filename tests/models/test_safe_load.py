"""Reading a checkpoint gives its tensors and runs nothing."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from vitpose_cli.errors import WeightsError
from vitpose_cli.models.safe_load import read_tensors

TENSORS = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.ones(2)}


class Attack:
    """Unpickled, it makes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize(
    "wrapped",
    [
        TENSORS,
        {"state_dict": TENSORS, "meta": {"epoch": 210}},
        {"model": TENSORS},
        {"state_dict": {f"module.{key}": value for key, value in TENSORS.items()}},
        {"epoch": 3, **TENSORS},
    ],
    ids=["bare", "state_dict", "model", "parallel", "beside-numbers"],
)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_wrappings(wrapped: Any, zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    torch.save(wrapped, path, _use_new_zipfile_serialization=zipped)
    tensors = read_tensors(path)
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[key], TENSORS[key]) for key in TENSORS)


def test_safetensors_are_known_by_their_content(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    save_file(TENSORS, path)
    assert read_tensors(path).keys() == TENSORS.keys()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_pickle_that_would_run_code_is_refused(zipped: bool, tmp_path: Path) -> None:
    path, target = tmp_path / "weights.pth", tmp_path / "harm"
    malicious = {"state_dict": TENSORS, "meta": Attack(target)}
    torch.save(malicious, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match=r"refused.*`(posix|nt)\.system`") as caught:
        read_tensors(path)
    assert "trust it" in caught.value.hint
    assert not target.exists()


def test_a_plain_pickle_runs_nothing_either(tmp_path: Path) -> None:
    path, target = tmp_path / "weights.pth", tmp_path / "harm"
    path.write_bytes(pickle.dumps({"state_dict": Attack(target)}, protocol=2))
    with pytest.raises(WeightsError):
        read_tensors(path)
    assert not target.exists()


@pytest.mark.parametrize("content", [b"", b"PK", b"<!doctype html>" * 50, b"\x80\x02}."])
def test_damaged_files(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"no whole checkpoint|no state dict"):
        read_tensors(path)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_single_wrong_bytes(zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"weight": torch.zeros(2)}, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    num_refused = 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x11]) + whole[place + 1 :])
        try:
            read_tensors(path)
        except WeightsError:
            num_refused += 1
    assert 0 < num_refused < len(whole)  # bytes of numbers, and of padding, are not checked


def test_half_a_download(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"weight": torch.zeros(10_000)}, path)
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(WeightsError, match="no whole checkpoint"):
        read_tensors(path)
    save_file({"weight": torch.zeros(10_000)}, path)
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(WeightsError, match=r"not a whole \.safetensors file"):
        read_tensors(path)


def test_what_is_no_state_dict(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    for value in ([1, 2], {"epoch": 3}, {"state_dict": {"a": "b"}}):
        torch.save(value, path)
        with pytest.raises(WeightsError, match="no state dict"):
            read_tensors(path)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="No such file"):
        read_tensors(tmp_path / "nothing.pth")
    with pytest.raises(WeightsError, match=r"no model\.safetensors"):
        read_tensors(tmp_path)


def test_a_network_for_other_programs_is_no_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x08\x08\x12\x07pytorch")  # as one begins
    with pytest.raises(WeightsError, match="is a network for other programs") as caught:
        read_tensors(path)
    assert "exported from" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "content",
    [b"", b"\x10", b"\x10" + bytes(7) + b"no header at all", b"\xff" * 16, b"<!DOCTYPE html>"],
    ids=["empty", "one-byte", "no-header", "endless-header", "web-page"],
)
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_damaged_file_is_said_to_be_damaged(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights.{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"no(t a)? whole"):
        read_tensors(path)

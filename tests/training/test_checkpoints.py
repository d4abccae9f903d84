import errno
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from training_cases import small_run

from vitpose_cli.config import parse_config
from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.records.lock import FileLock
from vitpose_cli.training.checkpoints import Position, RunFolder
from vitpose_cli.training.config import TrainConfig
from vitpose_cli.training.fingerprints import DataFingerprint, Fingerprint

SOURCE = Fingerprint("people.json", "files", "people", 3, 2)
KNOWN = DataFingerprint((SOURCE,), {"coco": "who"}, (SOURCE,), {"coco": "whom"})


def test_a_state_is_read_back(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.load_state() is None
    folder.save_state(Position(1, 20, 0.5), {"model": {"w": torch.arange(3)}}, KNOWN)
    found = folder.load_state()
    assert found is not None
    assert found[0] == Position(1, 20, 0.5)
    assert torch.equal(found[1]["model"]["w"], torch.arange(3))
    assert found[2] == KNOWN


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")  # noqa: PTH110
def test_a_full_disk_leaves_the_last_state_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path)
    folder.save_state(Position(0, 1), {"big": torch.zeros(10)}, KNOWN)
    before = folder.state.read_bytes()
    opened = Path.open

    def full(self: Path, *args: Any, **kwargs: Any) -> Any:
        redirect = self.name.startswith(".state.pt")
        return opened(Path("/dev/full") if redirect else self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(InputError) as caught:
        folder.save_state(Position(0, 2), {"big": torch.zeros(3_000_000)}, KNOWN)
    assert os.strerror(errno.ENOSPC) in caught.value.message or "Cannot write" in str(caught.value)
    monkeypatch.undo()
    assert folder.state.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]


@pytest.mark.parametrize("data", [b"", b"rubbish", b"PK\x03\x04rubbish"])
def test_a_damaged_state_is_named(tmp_path: Path, data: bytes) -> None:
    folder = RunFolder(tmp_path)
    folder.state.write_bytes(data)
    with pytest.raises(InputError, match=r"state\.pt cannot be read"):
        folder.load_state()


def test_two_processes_do_not_train_in_one_folder(tmp_path: Path) -> None:
    config = parse_config(TrainConfig, small_run(tmp_path))
    first, second = (RunFolder(tmp_path / "run") for _ in range(2))
    with first.held(config), pytest.raises(InputError, match="is being written by"):
        second.held(config).__enter__()
    assert [path.name for path in first.path.iterdir()] == ["config.yaml"]
    (first.path / "config.yaml").unlink()
    (first.path / "training.lock").touch()  # of a process that was killed before it wrote anything
    (first.path / ".config.yaml.999999999.vitpose-tmp").touch()
    with second.held(config):
        names = {path.name for path in second.path.iterdir()}
    assert names == {"config.yaml", "training.lock"}


@pytest.mark.parametrize("name", ["best.safetensors", "last.safetensors", "report.html"])
def test_a_run_does_not_begin_among_what_an_earlier_one_has_come_to(
    tmp_path: Path, name: str
) -> None:
    folder = RunFolder(tmp_path / "run")
    config = parse_config(TrainConfig, small_run(tmp_path))
    folder.open(config)
    (folder.path / name).write_text("earlier")
    before = folder.config.read_bytes()
    other = parse_config(TrainConfig, small_run(tmp_path, seed=7))
    said = rf"{name} of an earlier run, and no state\.pt to go on from"
    with pytest.raises(InputError, match=said) as caught:
        folder.open(other)
    assert "--output" in caught.value.hint
    assert folder.config.read_bytes() == before
    folder.save_state(Position(0, 1), {}, KNOWN)
    folder.open(config)


def test_what_does_not_change_learning_may_change(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.open(parse_config(TrainConfig, small_run(tmp_path)))
    folder.save_state(Position(0, 1), {}, KNOWN)
    folder.open(parse_config(TrainConfig, small_run(tmp_path, log_every=7, compile=True)))
    assert "log_every: 7" in folder.config.read_text()


def test_whoever_runs_out_of_memory_may_take_smaller_passes(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    values = small_run(tmp_path)
    folder.open(parse_config(TrainConfig, values))
    folder.save_state(Position(0, 1), {}, KNOWN)
    changes = ["stages.1.accumulate=2", "model.activation_checkpointing=true"]
    folder.open(parse_config(TrainConfig, values, changes))
    with pytest.raises(ConfigError, match=r"stages\.1\.batch_size: 4 there, 2 now"):
        folder.open(parse_config(TrainConfig, values, [*changes, "stages.1.batch_size=2"]))


def test_how_photos_are_read_and_kept_may_change(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    values = small_run(tmp_path)
    folder.open(parse_config(TrainConfig, values))
    folder.save_state(Position(0, 1), {}, KNOWN)
    for cache in ("disk", "device", "ram"):
        changes = ["data.allow_missing=true", "data.threads=3", f"data.cache={cache}"]
        folder.open(parse_config(TrainConfig, values, changes))
    assert "allow_missing: true" in folder.config.read_text()
    with pytest.raises(ConfigError, match=r"data\.cache: ram there, none now"):
        folder.open(parse_config(TrainConfig, values, ["data.cache=none"]))


def test_a_file_is_no_folder_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    with pytest.raises(InputError, match="run is a file, and a run needs a folder"):
        RunFolder(tmp_path / "run").open(parse_config(TrainConfig, small_run(tmp_path)))
    assert (tmp_path / "run").read_text() == "mine"


def test_a_lock_of_a_dead_process_elsewhere_does_not_keep_the_next_run_waiting(
    tmp_path: Path,
) -> None:
    config = parse_config(TrainConfig, small_run(tmp_path))
    folder = RunFolder(tmp_path / "run")
    with folder.held(config):
        folder.cache.mkdir()
    left = folder.cache / "crops-0123.lock-owner"  # as where there is no flock
    left.write_text('{"pid": 1, "host": "elsewhere"}')
    crops = folder.cache / "crops-0123.npy"
    crops.touch()
    with folder.held(config):
        assert [*folder.cache.iterdir()] == [crops]
        with FileLock(folder.cache / "crops-0123.lock", "The file"):
            pass

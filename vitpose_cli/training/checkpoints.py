"""The folder of a training run: what is in it, and how a killed run goes on.

`config.yaml` (resolved, written before anything starts), `metrics.jsonl`, `state.pt` (all a step
depends on), `last.safetensors` and `best.safetensors` (weights for labelling), `pictures/` (what
the network is shown, and where it is worst), `report.html`.
Every file appears whole or stays as it was. The state is one file, so that no two halves of it can
be of different steps.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import BaseModel

from vitpose_cli.config import dump_config, load_config
from vitpose_cli.errors import ConfigError, InputError, is_out_of_memory
from vitpose_cli.files import (
    TEMPORARY_SUFFIX,
    atomic_file,
    make_folder,
    remove_all_left_over,
    remove_left_over,
)
from vitpose_cli.models.trained import BEST, CONFIG, LAST, trained_weights
from vitpose_cli.records.lock import FileLock
from vitpose_cli.training.config import TrainConfig
from vitpose_cli.training.fingerprints import DataFingerprint

_MAY_CHANGE = (
    *("device", "compile", "log_every", "checkpoint_every", "validation"),
    *("data.threads", "data.allow_missing"),
)
"""Options that a resumed run may have otherwise: they do not change what is learnt."""

_LOCK = "training.lock"
"""The file that is there while a process trains; a killed one may leave it, which does no harm."""

_KEPT_CROPS = ("ram", "disk", "device")
"""Values of `data.cache` that a resumed run may exchange: the crops are the same."""

_MAY_CHANGE_ANYWHERE = ("accumulate", "activation_checkpointing")
"""The same, for whoever runs out of memory in a later stage; rounding differs."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a run is.

    Attributes:
        stage: The stage, from 0.
        step: Steps of it that are done.
        best: The best mean AP so far; None before the first measurement.
        measured: Whether the measurement that is due after this step, if one is, has been made.
    """

    stage: int = 0
    step: int = 0
    best: float | None = None
    measured: bool = True

    def sentence(self, num_stages: int, num_steps: int) -> str:
        """Say where a run of so many stages, this of so many steps, goes on, or is done."""
        if self.measured and (self.stage + 1, self.step) == (num_stages, num_steps):
            return "All steps of this run are done: nothing is left to learn."
        return f"Going on with stage {self.stage + 1}, after step {self.step}."


class RunState(NamedTuple):
    """What a run goes on with.

    Attributes:
        position: How far it is.
        stage: The state of the stage.
        data: What it learns from, and what its best AP was measured on.
    """

    position: Position
    stage: dict[str, Any]
    data: DataFingerprint


class RunFolder:
    """A training run's files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / CONFIG
        self.metrics = path / "metrics.jsonl"
        self.state = path / "state.pt"
        self.last = path / LAST
        self.best = path / BEST
        self.report = path / "report.html"
        self.pictures = path / "pictures"
        self.events = path / "tensorboard"
        self.cache = path / "cache"

    @property
    def weights(self) -> Path:
        """The file to label with: the best, or the last where nothing was measured."""
        return trained_weights(self.path)

    @contextmanager
    def held(self, config: TrainConfig) -> Iterator[None]:
        """Open the folder, and keep other processes from it until the block ends.

        Raises:
            ConfigError: The folder holds a run with other options.
            InputError: It cannot be written, is something else, holds weights without a state, or
                another process trains in it.
        """
        self._check_place()
        make_folder(self.path)
        with FileLock(self.path / _LOCK, f"The training run in {self.path}"):
            self._clear()
            self.open(config)
            yield

    def open(self, config: TrainConfig) -> None:
        """Make the folder for `config`, or check that it was made for the same.

        A run with other options that has taken no step gives way to one that begins anew.

        Raises:
            ConfigError: The folder holds a run with other options.
            InputError: It cannot be written, is something else, or holds weights without a state.
        """
        self.check(config)
        if self.changed(config):
            for path in (self.best, self.last, self.state):
                path.unlink(missing_ok=True)
        make_folder(self.path)
        with atomic_file(self.config) as stream:
            stream.write(dump_config(config).encode())

    def check(self, config: TrainConfig) -> None:
        """Check that a run as `config` says may begin or go on here; nothing is written.

        Raises:
            ConfigError: The folder holds a run with other options, which has taken a step.
            InputError: It is something else, or holds weights without a state.
        """
        changed = self.changed(config)
        saved = self.load_state() if changed else None
        if saved is not None and (saved.position.stage, saved.position.step) > (0, 0):
            raise ConfigError(
                f"{self.path} holds a run with other options:\n  " + "\n  ".join(changed),
                "Choose another folder with --output, or take the options back.",
            )
        self._check_place()
        self._check_begun()

    def changed(self, config: TrainConfig) -> list[str]:
        """Name the options that differ from those of the run that is here, if one is.

        Raises:
            ConfigError: The folder's configuration cannot be read.
        """
        if not self.config.exists():
            return []
        begun = load_config(TrainConfig, self.config)
        return _differences(begun, config) if self.state.exists() else []

    def _check_place(self) -> None:
        """Refuse what is there already, unless it is a training run."""
        if self.config.exists() or not self.path.exists():
            return
        if not self.path.is_dir():
            raise InputError(
                f"{self.path} is a file, and a run needs a folder.",
                "Choose another folder with --output.",
            )
        if any(
            not each.name.startswith(_LOCK) and each.suffix != TEMPORARY_SUFFIX
            for each in self.path.iterdir()
        ):
            raise InputError(
                f"{self.path} is not empty and no training run.", "Choose another folder."
            )

    def _clear(self) -> None:
        """Delete what killed runs were writing; of other folders, another run may be writing it."""
        files = (self.config, self.metrics, self.state, self.last, self.best, self.report)
        for path in files:
            remove_left_over(path)
        for folder in (self.pictures, self.cache):
            remove_all_left_over(folder)
        # Whoever held one has ended, maybe on another machine, where nobody could look for it.
        for lock in self.cache.glob("*.lock*"):
            lock.unlink(missing_ok=True)

    def _check_begun(self) -> None:
        """Refuse to begin a run among what an earlier one has come to, which it would replace."""
        results = (self.best, self.last, self.report)
        kept = [path.name for path in results if path.exists()]
        if kept and not self.state.exists():
            raise InputError(
                f"{self.path} holds {' and '.join(kept)} of an earlier run, and no "
                f"{self.state.name} to go on from.",
                "Choose another folder with --output, or delete that of the run to begin anew.",
            )

    def save_state(self, position: Position, stage: dict[str, Any], data: DataFingerprint) -> None:
        """Write the state of a run.

        Args:
            position: How far it is.
            stage: The state of the stage.
            data: What it learns from, and what its best AP was measured on.

        Raises:
            InputError: It cannot be written; the last one stays whole.
        """
        state = {"position": asdict(position), "stage": stage, "data": data.as_dict()}
        with atomic_file(self.state) as stream:
            try:
                torch.save(state, stream)
            except RuntimeError as error:  # torch's name for a full disk
                raise InputError(
                    f"Cannot write {self.state}: {error}.",
                    "The last state stays whole. Free some space and run the same command again.",
                ) from error

    def load_state(self) -> RunState | None:
        """Read the state of a run; None where it has not begun.

        Raises:
            InputError: The file is damaged.
        """
        if not self.state.exists():
            return None
        try:
            if not zipfile.is_zipfile(self.state):
                raise RuntimeError("it is cut off or something else")
            state = torch.load(self.state, map_location="cpu", weights_only=True)
            data = DataFingerprint.from_dict(state["data"])
            return RunState(Position(**state["position"]), state["stage"], data)
        except Exception as error:  # damaged bytes make torch raise anything
            if is_out_of_memory(error):
                raise
            raise InputError(
                f"{self.state} cannot be read: {error}.",
                "Start again in another folder, from last.safetensors of this one.",
            ) from error


def _differences(old: TrainConfig, new: TrainConfig) -> list[str]:
    """Name every option that differs and matters."""
    flat_old, flat_new = _flat(old), _flat(new)
    keys = [*flat_old, *(key for key in flat_new if key not in flat_old)]
    return [
        f"{key}: {flat_old.get(key)} there, {flat_new.get(key)} now"
        for key in keys
        if key not in _MAY_CHANGE
        and key.split(".")[0] not in _MAY_CHANGE
        and key.rpartition(".")[2] not in _MAY_CHANGE_ANYWHERE
        and not (key == "data.cache" and {flat_old[key], flat_new[key]} <= {*_KEPT_CROPS})
        and flat_old.get(key) != flat_new.get(key)
    ]


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Return a configuration as one level of dotted keys."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    items = value.items() if isinstance(value, dict) else enumerate(value)
    flat: dict[str, Any] = {}
    for key, inner in items:
        name = f"{path}.{key}" if path else str(key)
        if isinstance(inner, (dict, list)) and inner:
            flat |= _flat(inner, name)
        else:
            flat[name] = inner
    return flat

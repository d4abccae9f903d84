"""How far a run is, and all that it leaves in its folder while it learns.

Of several processes the first alone writes and speaks; the others know the same and keep silent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.media.images import ImageSink
from vitpose_cli.models.checkpoint import save_checkpoint
from vitpose_cli.training.checkpoints import Position, RunFolder, RunState
from vitpose_cli.training.fingerprints import DataFingerprint, Fingerprint, same_people
from vitpose_cli.training.metrics import (
    JoinedObserver,
    Line,
    MetricsFile,
    Observer,
    Silence,
    read_metrics,
)
from vitpose_cli.training.sheets import Image
from vitpose_cli.training.stage import Stage
from vitpose_cli.training.tensorboard import TensorBoard


class Chronicle:
    """How far a run is, and who is told.

    Attributes:
        folder: The run's folder.
        position: How far it is.
        leads: Whether this process writes and speaks.
    """

    def __init__(self, folder: RunFolder, observer: Observer, *, leads: bool) -> None:
        self.folder = folder
        self.position = Position()
        self.leads = leads
        self._observer: Observer = observer if leads else Silence()
        self._measured_on: Sequence[Fingerprint] = ()
        self._known = DataFingerprint((), {}, (), {})

    def take_up(self, saved: RunState | None) -> None:
        """Begin where a run was saved, or at the start; files of metrics are cut to there.

        Raises:
            InputError: They cannot be read or written.
        """
        folder = self.folder
        if saved is not None:
            self.position = saved.position
            if self.position.best is not None and not folder.best.exists():
                self.position = replace(self.position, best=None)
                self.note(f"{folder.best} is gone, and with it the best AP so far.")
        if self.leads:
            position = self.position
            kept = None if saved is None else (position.stage, position.step)
            self._metrics = MetricsFile(folder.metrics, keep=kept, measured=position.measured)
            board = TensorBoard.open(folder.events, read_metrics(folder.metrics))
            self._observer = JoinedObserver(self._observer, board)

    def learns_from(self, known: DataFingerprint, begun: DataFingerprint | None) -> None:
        """Note what the run learns from and is measured on, to save it beside the weights.

        Args:
            known: As it is.
            begun: As it was when the run was begun; None where it begins now.
        """
        self._known, self._measured_on = known, known.measured
        if begun is not None:
            self._known = replace(known, measured=begun.measured)

    def note(self, sentence: str) -> None:
        """Tell the user something."""
        self._observer.note(sentence)

    def tell(self, sentences: Iterable[str]) -> None:
        """Tell the user some things."""
        for sentence in sentences:
            self.note(sentence)

    def prepare(self, done: int, total: int) -> None:
        """Tell the user how many people are ready, and of how many."""
        self._observer.prepare(done, total)

    def draw(self, name: str, picture: Image) -> None:
        """Write a picture for the report."""
        if self.leads:
            ImageSink(self.folder.pictures).write(Frame(FrameKey(name), picture))

    def write(self, kind: str, **numbers: Any) -> None:
        """Write a line of metrics, of where the run is."""
        if self.leads:
            place = {"stage": self.position.stage, "step": self.position.step}
            line: Line = {"kind": kind, **place, **numbers}
            self._metrics.append(line)
            self._observer.line(line)

    def write_measured(self, stage: Stage, numbers: dict[str, Any]) -> None:
        """Write a measurement, and keep the weights of a stage if they are the best."""
        self.write("validation", **numbers)
        best, ap = self.position.best, numbers["AP"]
        if best is None or ap >= best or not same_people(self._known.measured, self._measured_on):
            self.position = replace(self.position, best=ap)
            self._known = replace(self._known, measured=tuple(self._measured_on))
            self._save_weights(stage, self.folder.best)

    def save(self, stage: Stage) -> None:
        """Save what a run goes on from, and the last weights.

        Raises:
            ConfigError: The network has numbers that are not finite.
            InputError: A file cannot be written.
        """
        if self.leads:
            stage.check_finite()
            self.folder.save_state(self.position, stage.state_dict(), self._known)
            self._save_weights(stage, self.folder.last)

    def save_missing(self, stage: Stage) -> None:
        """Write the last weights once more where they are gone."""
        if self.leads and not self.folder.last.exists():
            self._save_weights(stage, self.folder.last)

    def _save_weights(self, stage: Stage, path: Path) -> None:
        network = stage.network
        save_checkpoint(path, network.weights, network.header)

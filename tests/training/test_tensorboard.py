import sys
from pathlib import Path
from types import ModuleType

import pytest
from training_cases import Stopping, small_run, write_coco

from vitpose_cli.config import parse_config
from vitpose_cli.training.config import TrainConfig
from vitpose_cli.training.loop import train
from vitpose_cli.training.metrics import Silence
from vitpose_cli.training.tensorboard import TensorBoard


def test_stages_follow_one_another(tmp_path: Path) -> None:
    module = "tensorboard.backend.event_processing.event_accumulator"
    accumulator = pytest.importorskip(module).EventAccumulator
    board = TensorBoard.open(tmp_path)
    assert board is not None
    numbers = dict.fromkeys(("lr", "gradient_norm", "people_per_s", "data_share", "memory_mib"), 1)
    for stage, step, loss in ((0, 5, 0.5), (0, 10, 0.25), (1, 5, 0.125)):
        board.line({"kind": "train", "stage": stage, "step": step, "loss": loss, **numbers})
    sources = {"1 people": {"AP": 0.75, "AP_L": None}}
    board.line({"kind": "validation", "stage": 1, "step": 5, "AP": 0.75, "sources": sources})
    events = accumulator(str(tmp_path))
    events.Reload()
    losses = [(one.step, one.value) for one in events.Scalars("train/loss")]
    assert losses == [(5, 0.5), (10, 0.25), (15, 0.125)]
    assert events.Scalars("1 people/AP")[0].step == 15
    assert "1 people/AP_L" not in events.Tags()["scalars"]


class Writer:
    """Writes into a list what torch's writer, which needs TensorBoard, would write into a file."""

    written: list[tuple[str, int]] = []  # noqa: RUF012 - a restart makes another writer

    def __init__(self, folder: str) -> None:
        """Write into the list, whatever the folder."""

    def add_scalar(self, name: str, value: float, at: int) -> None:
        self.written.append((name, at))

    def flush(self) -> None:
        """Have nothing to write."""


def test_a_run_that_goes_on_goes_on_along_the_axis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    write_coco(tmp_path, 4)
    data = small_run(tmp_path)["data"] | {"validation": []}
    config = parse_config(TrainConfig, small_run(tmp_path, data=data))
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", Stopping(4))  # the first step of the second stage
    train(config, tmp_path / "run", Silence())
    assert [at for name, at in Writer.written if name == "train/loss"] == [1, 2, 3, 4, 5, 6]

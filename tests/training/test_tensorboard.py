from pathlib import Path

import pytest

from vitpose_cli.training.tensorboard import TensorBoard


def test_stages_follow_one_another(tmp_path: Path) -> None:
    module = "tensorboard.backend.event_processing.event_accumulator"
    accumulator = pytest.importorskip(module).EventAccumulator
    board = TensorBoard.open(tmp_path)
    assert board is not None
    numbers = dict.fromkeys(("lr", "gradient_norm", "people_per_s", "data_share", "memory_mib"), 1)
    for stage, step, loss in ((0, 5, 0.5), (0, 10, 0.25), (1, 5, 0.125)):
        board.line({"kind": "train", "stage": stage, "step": step, "loss": loss, **numbers})
    sources = {"1 people": {"AP": 0.75}}
    board.line({"kind": "validation", "stage": 1, "step": 5, "AP": 0.75, "sources": sources})
    events = accumulator(str(tmp_path))
    events.Reload()
    losses = [(one.step, one.value) for one in events.Scalars("train/loss")]
    assert losses == [(5, 0.5), (10, 0.25), (15, 0.125)]
    assert events.Scalars("1 people/AP")[0].step == 15

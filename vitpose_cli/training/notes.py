"""What a run tells its user before it begins, and `--dry-run` with it."""

from __future__ import annotations

from collections.abc import Iterator

from vitpose_cli.training.config import TrainConfig
from vitpose_cli.training.data import OpenedData
from vitpose_cli.training.network import Network
from vitpose_cli.training.optim import Schedule
from vitpose_cli.training.unused import unused_options

REACHED = 0.8
"""Share of the rate asked for from which on a stage counts as reaching it."""


def opening_notes(config: TrainConfig, data: OpenedData, network: Network) -> list[str]:
    """Return sentences on data that are left out, options that do nothing, heads, and flips.

    Args:
        config: The run.
        data: Its people.
        network: What it begins with.
    """
    flips = [] if config.task == "pretrain" else _unmirrored(config, data)
    rates = _unreached_rates(config, data)
    return [*data.notes, *unused_options(config), *network.notes, *flips, *rates]


def _unreached_rates(config: TrainConfig, data: OpenedData) -> Iterator[str]:
    """Yield which stages are over, or slow down, before their rate is what was asked for."""
    for number, stage in enumerate(config.stages):
        schedule = Schedule.of_stage(stage, config.optimizer, data.epoch_length / stage.batch_size)
        if schedule.highest < REACHED * schedule.peak:
            yield (
                f"Stage {number + 1} has {schedule.num_steps:,} steps and "
                f"{config.optimizer.warmup_steps:,} of warm-up: its learning rate comes to "
                f"{schedule.highest:.2g}, not to {schedule.peak:g}. Lower optimizer.warmup_steps."
            )


def _unmirrored(config: TrainConfig, data: OpenedData) -> Iterator[str]:
    """Yield what is not mirrored, of keypoints whose other side is not known."""
    if not config.augmentation.flip and not (data.validation and config.validation.flip_test):
        return
    for name, keypoints in data.keypoint_sets.items():
        alone = ", ".join(keypoints.names[position] for position in keypoints.one_sided)
        if not keypoints.mirrorable:
            yield (
                f"The keypoints of {name} have no names of left and right: no crop is mirrored, "
                "and there is no flip test."
            )
        elif alone:
            yield f"Of {name}, mirrored crops tell nothing of {alone}, without a name on each side."

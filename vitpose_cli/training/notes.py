"""What a run tells its user before it begins, and `--dry-run` with it."""

from __future__ import annotations

from collections.abc import Iterator

from vitpose_cli.training.config import TrainConfig
from vitpose_cli.training.data import OpenedData
from vitpose_cli.training.network import Network
from vitpose_cli.training.unused import unused_options


def opening_notes(config: TrainConfig, data: OpenedData, network: Network) -> list[str]:
    """Return sentences on data that are left out, options that do nothing, heads, and flips.

    Args:
        config: The run.
        data: Its people.
        network: What it begins with.
    """
    flips = [] if config.task == "pretrain" else _unmirrored(config, data)
    return [*data.notes, *unused_options(config), *network.notes, *flips]


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

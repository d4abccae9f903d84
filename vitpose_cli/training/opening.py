"""What a run opens and tells its user before it begins, and `--dry-run` with it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from vitpose_cli.pose.keypoints import KEYPOINT_SETS, KeypointSet
from vitpose_cli.training.config import TrainConfig
from vitpose_cli.training.data import OpenedData, open_data
from vitpose_cli.training.network import Network
from vitpose_cli.training.start import first_network
from vitpose_cli.training.unused import unused_options

_LAST_WORD = "Where that is wrong, list the pairs as `flip_pairs` of the category in the COCO file."


def open_run(config: TrainConfig) -> tuple[OpenedData, Network]:
    """Read the labels, and build the network that learns from them; no photo is read.

    Args:
        config: The run, its inputs resolved.

    Returns:
        Also the people, whose keypoints are what the network's heads say of them.

    Raises:
        ConfigError: The options contradict each other, the labels or the weights.
        InputError: Labels cannot be used.
        WeightsError: The weights to start from cannot be used.
    """
    data = open_data(config.data, labelled=config.task != "pretrain")
    network = first_network(config, data.keypoint_sets, data.learnt_sets)
    return data.with_sets(network.header.keypoint_sets), network


def opening_notes(config: TrainConfig, data: OpenedData, network: Network) -> list[str]:
    """Return sentences on data that are left out, options that do nothing, heads, and flips.

    Args:
        config: The run.
        data: Its people.
        network: What it begins with.
    """
    flips = [] if config.task == "pretrain" else _mirroring(config, data)
    return [*data.notes, *unused_options(config), *network.notes, *flips]


def _mirroring(config: TrainConfig, data: OpenedData) -> Iterator[str]:
    """Yield what changes places in mirrored crops and what does not, of sets that are not ours."""
    if not config.augmentation.flip and not (data.validation and config.validation.flip_test):
        return
    for name, keypoints in data.keypoint_sets.items():
        last_word = "" if "flip_pairs" in keypoints.stated else f" {_LAST_WORD}"
        if not keypoints.mirrorable:
            why = "have no names of left and right" if last_word else "have no `flip_pairs`"
            yield (
                f"The keypoints of {name} {why}: no crop is mirrored, and there is no flip test."
                f"{last_word}"
            )
        elif KEYPOINT_SETS.get(keypoints.name) != keypoints:
            yield _swapped(name, keypoints) + last_word


def _swapped(name: str, keypoints: KeypointSet) -> str:
    """Say which keypoints change places, which lie in the middle, and which tell nothing."""
    names = keypoints.names
    alone = keypoints.one_sided
    sided = {*alone, *chain.from_iterable(keypoints.flip_pairs)}
    middle = [each for position, each in enumerate(names) if position not in sided]
    pairs = keypoints.text_of("flip_pairs")
    sentence = f"In mirrored crops of {name}, these change places: {pairs}"
    if middle:
        sentence += f"; taken to lie in the middle: {', '.join(middle)}"
    if alone:
        lone = ", ".join(names[position] for position in alone)
        sentence += f"; without a name on each side, and not learnt there: {lone}"
    return f"{sentence}."

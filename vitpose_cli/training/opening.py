"""What a run opens before it begins, and `--dry-run` with it: labels, and the first network."""

from __future__ import annotations

from vitpose_cli.training.config import TrainConfig
from vitpose_cli.training.data import OpenedData, open_data
from vitpose_cli.training.network import Network
from vitpose_cli.training.start import first_network


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

"""Heatmap networks in ncnn's format, such as PP-TinyPose, as teachers.

The only importer of `ncnn` (BSD-3), an optional dependency. It runs on the CPU, one crop a time,
several side by side, since ncnn lets go of Python's lock; so on a GPU it wants `looks: once`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitpose_cli.errors import ConfigError, WeightsError
from vitpose_cli.pose.heatmaps import HeatmapCodec
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.training.config import NcnnTeacher


@dataclass(frozen=True, slots=True)
class NcnnNetwork:
    """A loaded network; a `Teacher`.

    Attributes:
        network: An `ncnn.Net` with one input and one output.
        codec: The size of its crops, and how its heatmaps are drawn.
        identity: The hash of its files.
        num_threads: Crops at once.
    """

    network: Any
    codec: HeatmapCodec
    identity: str
    num_threads: int

    @classmethod
    def open(cls, options: NcnnTeacher, num_threads: int) -> NcnnNetwork:
        """Load the network and try it on a black crop.

        Raises:
            ConfigError: ncnn is not installed, or the keypoint set has another number of keypoints.
            WeightsError: The files are missing or damaged.
        """
        try:
            import ncnn
        except ImportError as error:
            raise ConfigError(
                f"{options.ncnn} is run by ncnn, which is not installed.",
                "pip install 'vitpose-cli[teachers]'",
            ) from error
        files = [options.ncnn, options.ncnn.with_suffix(".bin")]
        identity = _hash(files)
        network = ncnn.Net()
        network.opt.num_threads = 1
        loaded = network.load_param(str(files[0])) == 0 and network.load_model(str(files[1])) == 0
        names = [*network.input_names(), *network.output_names()] if loaded else []
        if len(names) != 2:
            raise WeightsError(
                f"{options.ncnn} cannot be read as an ncnn network of one input and one output."
            )
        width, height = options.input_wh
        count = keypoint_set(options.keypoint_set).num_keypoints
        found = _heatmaps(network, np.zeros((3, height, width), np.float32)).shape
        if len(found) != 3 or found[0] != count:
            raise ConfigError(
                f"{options.ncnn} gives {list(found)} numbers, expected {count} heatmaps.",
                "Set distill.teacher.keypoint_set to what it was trained for.",
            )
        map_wh = (found[2], found[1])
        codec = HeatmapCodec(options.input_wh, map_wh, options.alignment, options.blob_sigma)
        return cls(network, codec, f"{identity} {options.model_dump_json()}", num_threads)

    def maps(self, crops: Tensor) -> Tensor:
        """Return the heatmaps (B, K, h, w) float32 of normalised crops (B, 3, H, W)."""
        arrays = crops.cpu().contiguous().numpy()
        with ThreadPoolExecutor(self.num_threads) as pool:
            maps = list(pool.map(lambda crop: _heatmaps(self.network, crop), arrays))
        return torch.from_numpy(np.stack(maps)).to(crops.device)


def _heatmaps(network: Any, crop: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what the network says about one crop (3, H, W)."""
    import ncnn

    extractor = network.create_extractor()
    extractor.input(network.input_names()[0], ncnn.Mat(crop).clone())  # it borrows the memory
    _, found = extractor.extract(network.output_names()[0])
    return np.array(found, np.float32)


def _hash(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    try:
        for file in files:
            digest.update(file.read_bytes())
    except OSError as error:
        raise WeightsError(
            f"Cannot read the teacher {error.filename}: {error.strerror}."
        ) from error
    return digest.hexdigest()[:16]

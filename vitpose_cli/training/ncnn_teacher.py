"""Heatmap networks in ncnn's format, such as PP-TinyPose, as teachers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from vitpose_cli.errors import ConfigError, WeightsError, is_out_of_memory
from vitpose_cli.pose.geometry import Region
from vitpose_cli.pose.heatmaps import HeatmapCodec
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.training.config import NcnnTeacher
from vitpose_cli.training.ncnn_network import NcnnModule, read_network
from vitpose_cli.training.process import Placement


@dataclass(frozen=True, slots=True)
class NcnnNetwork:
    """A loaded network; a `Teacher`.

    Attributes:
        network: The layers, frozen and in evaluation mode, on their device.
        codec: The size of its crops, and how its heatmaps are drawn.
        identity: The hash of its files, and what it is said to be.
        dtype: Number format of its products.
        region: What of a frame it was shown when it learnt.
    """

    network: NcnnModule
    codec: HeatmapCodec
    identity: str
    dtype: torch.dtype
    region: Region = "fitted"

    @classmethod
    def open(cls, options: NcnnTeacher, placement: Placement) -> NcnnNetwork:
        """Load the network and try it on a black crop.

        Raises:
            ConfigError: The keypoint set has another number of keypoints.
            WeightsError: The files are missing or damaged, or have layers that are not known.
        """
        network = read_network(options.ncnn).eval()
        width, height = options.input_wh
        count = keypoint_set(options.keypoint_set).num_keypoints
        try:
            with torch.no_grad():
                found = network(torch.zeros(1, 3, height, width)).shape
        except (RuntimeError, IndexError, ValueError) as error:
            if is_out_of_memory(error):
                raise
            raise WeightsError(
                f"{options.ncnn} cannot be shown crops of {width} x {height} px: "
                f"{str(error).splitlines()[0]}",
                "Set distill.teacher.input_wh to what it was trained for, or copy the files again.",
            ) from error
        if found[1] != count:
            raise ConfigError(
                f"{options.ncnn} gives {list(found[1:])} numbers, expected {count} heatmaps.",
                "Set distill.teacher.keypoint_set to what it was trained for.",
            )
        files = (options.ncnn, options.ncnn.with_suffix(".bin"))
        digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
        map_wh = (found[3], found[2])
        codec = HeatmapCodec(options.input_wh, map_wh, options.alignment, options.blob_sigma)
        network.to(placement.device, placement.dtype).to(memory_format=torch.channels_last)
        return cls(network, codec, f"{digest} {options.model_dump_json()}", placement.dtype)

    @torch.no_grad()
    def maps(self, crops: Tensor) -> Tensor:
        """Return the heatmaps (B, K, h, w) float32 of normalised crops (B, 3, H, W)."""
        shown = crops.to(self.dtype, memory_format=torch.channels_last)
        maps: Tensor = self.network(shown)
        return maps.float().contiguous()

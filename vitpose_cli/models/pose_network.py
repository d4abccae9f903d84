"""From crops to numbers on one device: normalise, network, flip test, decode.

A batch goes in as bytes and comes out as one matrix of numbers, so that one copy brings home all
that is wanted. Nothing here waits for the device or reads from it: a whole call can be recorded
as a CUDA graph. How batches are made and fetched is in `engine` and `device_engine`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitpose_cli.errors import in_short
from vitpose_cli.models.checkpoint import LoadedViTPose
from vitpose_cli.models.normalisation import normalise
from vitpose_cli.pose.heatmap_signals import PEAK_SIGNALS, flip_disagreement, peak_signals
from vitpose_cli.pose.heatmaps import DecodedMaps, HeatmapCodec

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CropPoses:
    """What the network says about B crops.

    Attributes:
        crop_keypoints: (B, K, 2) float32 xy, crop px.
        scores: (B, K) float32 heatmap peaks.
        signals: (B,) float32 each, by name: how doubtful the pose is.
    """

    crop_keypoints: NDArray[np.float32]
    scores: NDArray[np.float32]
    signals: dict[str, NDArray[np.float32]]


class PoseNetwork:
    """A pose network on its device, with what comes before and after it.

    Attributes:
        input_wh: Width and height of the crops, px.
        codec: Reads the heatmaps.
        device: Where everything runs.
        num_values: Numbers of each crop.
    """

    def __init__(
        self,
        model: LoadedViTPose,
        *,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        flip_test: bool = True,
    ) -> None:
        """Take over a network.

        Args:
            model: With one head.
            device: Where to run it.
            dtype: The network's number type; crops in, heatmaps out and decoding stay exact.
            flip_test: Average with the mirrored crop, where left and right are known.
        """
        (head,) = model.header.heads.values()
        self.input_wh = model.config.input_wh
        self.codec = HeatmapCodec(self.input_wh, model.config.map_wh, head.alignment)
        self.device = device
        self._dtype = dtype
        self._flip_test = flip_test and head.keypoint_set.mirrorable
        self._flip_order = torch.from_numpy(head.keypoint_set.flip_order).to(device)
        self._one_sided = list(head.keypoint_set.one_sided)
        self._num_keypoints = head.keypoint_set.num_keypoints
        self._signal_names = [*PEAK_SIGNALS, *["flip_disagreement"] * self._flip_test]
        self.num_values = 3 * self._num_keypoints + len(self._signal_names)
        self._compiled: list[nn.Module] = []
        # Channels last, convolutions are faster on a CPU and a CUDA GPU; the numbers are the same.
        layout = torch.preserve_format if device.type == "mps" else torch.channels_last
        self._model = model.to(device=device, dtype=dtype).to(memory_format=layout)

    def compile(self) -> None:
        """Let PyTorch's compiler fuse the blocks and the head.

        Every block has the same code, so only the first is compiled, once for each batch size.
        Where the compiler cannot run, the network goes on without it, after a warning.
        """
        self._compiled = [*self._model.encoder.blocks, *self._model.heads.values()]
        for module in self._compiled:
            module.compile(dynamic=False)

    @torch.inference_mode()
    def __call__(self, crops: Tensor) -> Tensor:
        """Return the numbers (B, num_values) float32 of crops (B, H, W, 3) uint8, see `unpack`."""
        inputs = normalise(crops, self._dtype)
        if not self._flip_test:
            decoded = self.codec.decode(self.heatmaps(inputs))
            return _packed(decoded, peak_signals(decoded))
        maps, mirrored = self._with_mirrored(inputs)
        # All in one call, so that a GPU has no more kernels to launch than for one of them.
        every = self.codec.decode(torch.cat([(maps + mirrored) / 2, maps, mirrored]))
        count = len(crops)
        decoded = every.rows(0, count)
        straight, turned = every.crop_keypoints[count:].view(2, *decoded.crop_keypoints.shape)
        disagreement = flip_disagreement(straight, turned, self.input_wh)
        return _packed(decoded, torch.cat([peak_signals(decoded), disagreement[:, None]], dim=1))

    def unpack(self, values: NDArray[np.float32]) -> CropPoses:
        """Return views of the numbers (B, num_values) by their meaning."""
        count = self._num_keypoints
        signals = values[:, 3 * count :]
        return CropPoses(
            crop_keypoints=values[:, : 2 * count].reshape(len(values), count, 2),
            scores=values[:, 2 * count : 3 * count],
            signals={name: signals[:, n] for n, name in enumerate(self._signal_names)},
        )

    @torch.inference_mode()
    def heatmaps(self, inputs: Tensor) -> Tensor:
        """Return the heatmaps (B, K, H/4, W/4), float32, of normalised crops (B, 3, H, W)."""
        try:
            maps: Tensor = self._model(inputs)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            if not self._compiled:
                raise
            _log.warning("The network runs uncompiled: %s", in_short(error))
            self._uncompile()
            maps = self._model(inputs)
        return maps.float()

    def _with_mirrored(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the heatmaps of crops, and those of the mirrored crops turned back.

        Of keypoints without a partner on the other side, mirrored crops tell nothing.
        """
        if self.device.type == "cpu":  # which gains nothing from twice the batch
            maps, mirrored = self.heatmaps(inputs), self.heatmaps(inputs.flip(-1))
        else:
            both = self.heatmaps(torch.cat([inputs, inputs.flip(-1)]))
            maps, mirrored = both[: len(inputs)], both[len(inputs) :]
        mirrored = self.codec.turn_back(mirrored, self._flip_order)
        if self._one_sided:
            mirrored[:, self._one_sided] = maps[:, self._one_sided]
        return maps, mirrored

    def _uncompile(self) -> None:
        for module in self._compiled:
            module._compiled_call_impl = None
        self._compiled = []


def _packed(decoded: DecodedMaps, signals: Tensor) -> Tensor:
    """Return all numbers of each crop as one row, see `PoseNetwork.unpack`."""
    return torch.cat([decoded.crop_keypoints.flatten(1), decoded.scores, signals], dim=1)

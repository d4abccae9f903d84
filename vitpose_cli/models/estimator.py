"""Boxes of many frames in, instances out: the pose network with everything round it.

The estimator never sees a file. It turns boxes into crop transforms, runs crops that were pooled
from many frames through the network in full batches, decodes the heatmaps on the device, and
brings the points home to frame pixels. Only K x 3 numbers and a few signals for each person leave
the device.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitpose_cli.errors import ConfigError, InputError, WeightsError
from vitpose_cli.media.crops import normalise
from vitpose_cli.models.checkpoint import LoadedViTPose
from vitpose_cli.pose.geometry import CropTransforms
from vitpose_cli.pose.heatmaps import DecodedMaps, HeatmapCodec
from vitpose_cli.pose.instances import Detections, Instances
from vitpose_cli.pose.oks import oks_nms

OKS_NMS_THRESHOLD = 0.9
"""Poses nearer than this OKS are the same person (configs of the original repository)."""


@dataclass(frozen=True, slots=True)
class EstimatorOptions:
    """How the network is run.

    Attributes:
        device: Where it runs.
        dtype: The network's number type; crops in, heatmaps out and decoding stay exact.
        batch_size: Crops in one forward pass.
        flip_test: Average with the mirrored crop: twice the work, about 0.5-1 AP.
        keypoint_threshold: Keypoints scored below it get visibility 0.
        pose_threshold: Instances whose mean keypoint score is below it are dropped.
    """

    device: torch.device
    dtype: torch.dtype = torch.float32
    batch_size: int = 16
    flip_test: bool = True
    keypoint_threshold: float = 0.3
    pose_threshold: float = 0.0


@dataclass(frozen=True, slots=True)
class CropPoses:
    """What the network says about B crops; numpy, on the host.

    Attributes:
        crop_keypoints: (B, K, 2) float32 xy, crop px.
        scores: (B, K) float32 heatmap peaks.
        signals: (B,) float32 each, by name: how doubtful the pose is.
    """

    crop_keypoints: NDArray[np.float32]
    scores: NDArray[np.float32]
    signals: dict[str, NDArray[np.float32]]

    def rows(self, start: int, stop: int) -> CropPoses:
        """Return the crops from `start` up to `stop`."""
        part = slice(start, stop)
        signals = {name: values[part] for name, values in self.signals.items()}
        return CropPoses(self.crop_keypoints[part], self.scores[part], signals)

    @classmethod
    def joined(cls, parts: list[CropPoses]) -> CropPoses:
        """Return several results, at least one, as one, in order."""
        return cls(
            np.concatenate([part.crop_keypoints for part in parts]),
            np.concatenate([part.scores for part in parts]),
            {
                name: np.concatenate([part.signals[name] for part in parts])
                for name in parts[0].signals
            },
        )


class PoseEstimator:
    """A pose network, ready to label: weights, codec, device and thresholds."""

    def __init__(self, model: LoadedViTPose, options: EstimatorOptions) -> None:
        """Take over a network.

        Args:
            model: With one head, as `load_model(path, head=...)` returns it.
            options: How to run it.

        Raises:
            ConfigError: The network has several heads.
        """
        if len(model.header.heads) != 1:
            raise ConfigError(
                f"These weights label several keypoint sets: {', '.join(model.header.heads)}.",
                "Choose one with --keypoint-set.",
            )
        (head,) = model.header.heads.values()
        self.options = options
        self.keypoint_set = head.keypoint_set
        self.alignment = head.alignment
        self.input_wh = model.header.input_wh
        width, height = self.input_wh
        self.codec = HeatmapCodec(self.input_wh, (width // 4, height // 4), self.alignment)
        self._batch_size = options.batch_size
        self._model = model.to(device=options.device, dtype=options.dtype)
        self._flip_order = torch.from_numpy(self.keypoint_set.flip_order).to(options.device)

    @property
    def batch_size(self) -> int:
        """Crops in one forward pass now; smaller than asked for after running out of memory."""
        return self._batch_size

    def transforms(self, detections: Detections) -> CropTransforms:
        """Return the crop of each box: padded, of the input's aspect, aligned as in training."""
        return CropTransforms.from_boxes(detections.boxes, self.input_wh, alignment=self.alignment)

    def poses(self, crops: NDArray[np.uint8]) -> CropPoses:
        """Run the network over crops of any number.

        A batch that does not fit into the device's memory is tried again in halves, down to one
        crop, and the smaller size is kept.

        Args:
            crops: (B, H, W, 3) uint8 RGB, B >= 1, of size `input_wh`.

        Raises:
            InputError: Not even one crop fits into the device's memory.
        """
        parts: list[CropPoses] = []
        start = 0
        while start < len(crops):
            batch = crops[start : start + self._batch_size]
            try:
                parts.append(self._run(batch))
            except torch.OutOfMemoryError as error:
                if self._batch_size == 1:
                    raise InputError(
                        f"One crop of {self.input_wh} px does not fit into the memory of "
                        f"{self.options.device}.",
                        "Take smaller weights, --precision bf16, or --device cpu.",
                    ) from error
                self._batch_size = max(1, min(len(batch), self._batch_size) // 2)
                torch.cuda.empty_cache()
                continue
            start += len(batch)
        return CropPoses.joined(parts)

    def instances(
        self, detections: Detections, transforms: CropTransforms, poses: CropPoses
    ) -> Instances:
        """Return the people of one frame: points in frame px, duplicates removed, best first.

        Args:
            detections: The frame's N boxes.
            transforms: Their N crops, from `transforms`.
            poses: The network's answer for these N crops.

        Raises:
            WeightsError: The network answers with values that are no numbers.
        """
        keypoints = transforms.to_frame(poses.crop_keypoints).astype(np.float32)
        _check_finite(poses.scores, self.options.dtype)
        seen = poses.scores >= self.options.keypoint_threshold
        people = Instances(
            boxes=detections.boxes,
            box_scores=detections.scores,
            keypoints=keypoints,
            keypoint_scores=poses.scores,
            visibility=np.where(seen, 2, 0),
            signals=poses.signals,
        )
        plausible = poses.scores.mean(axis=1) >= self.options.pose_threshold
        areas = transforms.region_areas
        people, areas = people.select(plausible), areas[plausible]
        kept = oks_nms(
            people.keypoints, areas, people.scores, self.keypoint_set.sigmas, OKS_NMS_THRESHOLD
        )
        return people.select(kept)

    @torch.inference_mode()
    def _run(self, crops: NDArray[np.uint8]) -> CropPoses:
        """Run one batch, from uint8 crops to numbers on the host."""
        pixels = torch.from_numpy(crops)
        if self.options.device.type == "cuda":
            pixels = pixels.pin_memory()
        pixels = pixels.to(self.options.device, non_blocking=True)
        inputs = normalise(pixels).to(self.options.dtype)
        maps = self.heatmaps(inputs)
        disagreement: Tensor | None = None
        if self.options.flip_test:
            mirrored = self.heatmaps(inputs.flip(-1))
            merged = self.codec.merge_flipped(maps, mirrored, self._flip_order)
            disagreement = (merged - maps).abs().amax(dim=(2, 3)).mean(dim=1)
            maps = merged
        return _on_host(self.codec.decode(maps), disagreement)

    def heatmaps(self, inputs: Tensor) -> Tensor:
        """Return the heatmaps (B, K, H/4, W/4), float32, of normalised crops (B, 3, H, W)."""
        maps: Tensor = self._model(inputs)
        return maps.float()


def default_batch_size(device: torch.device) -> int:
    """Return how many crops to run at once on `device` when nobody chose.

    A CPU gains nothing from larger batches once its matrices are large; a GPU needs them.
    """
    return 64 if device.type == "cuda" else 16


def _on_host(decoded: DecodedMaps, disagreement: Tensor | None) -> CropPoses:
    """Copy the decoded numbers to the host."""
    scores = decoded.scores
    signals = {
        "mean_keypoint_score": scores.mean(dim=1),
        "min_keypoint_score": scores.amin(dim=1),
        "second_peak_ratio": decoded.peaks.second_peak_ratio.mean(dim=1),
        "peak_width": decoded.peaks.width.mean(dim=1),
    }
    if disagreement is not None:
        signals["flip_disagreement"] = disagreement
    return CropPoses(
        decoded.crop_keypoints.float().cpu().numpy(),
        scores.float().cpu().numpy(),
        {name: values.float().cpu().numpy() for name, values in signals.items()},
    )


def _check_finite(scores: NDArray[np.float32], dtype: torch.dtype) -> None:
    """Refuse what is no number: such people would vanish in silence, and the run look done."""
    if not np.isfinite(scores).all():
        number_type = str(dtype).removeprefix("torch.")
        raise WeightsError(
            f"The network answers with values that are no numbers (computing in {number_type}).",
            "Try --precision fp32; if that is no help, the weights are damaged.",
        )

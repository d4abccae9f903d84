"""How good the network is while it learns: COCO AP with the boxes of the ground truth.

The same crops, decoding and scoring as in labelling, from crops that are cut once for the stage.
Running `evaluate` itself was refused: it opens photos and detectors anew each time, and wants a
network that nobody trains meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitpose_cli.evaluate import Evaluation, evaluate_results
from vitpose_cli.media.crops import normalise
from vitpose_cli.pose.geometry import CropTransforms
from vitpose_cli.pose.heatmaps import HeatmapCodec
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.oks import oks_matrix, oks_nms
from vitpose_cli.training.cache import fill_crops
from vitpose_cli.training.config import ValidationOptions
from vitpose_cli.training.sheets import Image, keypoint_tile, sheet
from vitpose_cli.training.sources import OpenedSource


@dataclass(frozen=True, slots=True)
class Validation:
    """What the network said about one source.

    Attributes:
        evaluation: The numbers.
        keypoints: (N, K, 2) float32, frame px, of the source's people in their order.
        scores: (N, K) float32.
    """

    evaluation: Evaluation
    keypoints: NDArray[np.float32]
    scores: NDArray[np.float32]


class Validator:
    """One source of people, cropped for one input size."""

    def __init__(
        self, source: OpenedSource, head: str, codec: HeatmapCodec, options: ValidationOptions
    ) -> None:
        """Cut the crops of everybody in `source`, as labelling would."""
        people = source.frames.people
        self.source = source
        self.head = head
        self._codec = codec
        self._options = options
        self._transforms = CropTransforms.from_boxes(
            people.boxes, codec.input_wh, alignment=codec.alignment
        )
        width, height = codec.input_wh
        self._crops = np.zeros((len(people), height, width, 3), np.uint8)
        fill_crops(source.frames, self._transforms, self._crops)

    @torch.no_grad()
    def measure(self, model: nn.Module, device: torch.device, dtype: torch.dtype) -> Validation:
        """Measure `model`, which is in evaluation mode on `device`."""
        flip_order = torch.from_numpy(self.source.frames.people.keypoint_set.flip_order).to(device)

        def maps_of(inputs: Tensor) -> Tensor:
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                maps: Tensor = model(inputs, head=self.head)
            return maps.float()

        points, scores = [], []
        for start in range(0, len(self._crops), self._options.batch_size):
            pixels = torch.from_numpy(self._crops[start : start + self._options.batch_size])
            inputs = normalise(pixels.to(device))
            maps = maps_of(inputs)
            if self._options.flip_test:
                maps = self._codec.merge_flipped(maps, maps_of(inputs.flip(-1)), flip_order)
            decoded = self._codec.decode(maps)
            points.append(decoded.crop_keypoints.cpu().numpy())
            scores.append(decoded.scores.cpu().numpy())
        keypoints = self._transforms.to_frame(np.concatenate(points)).astype(np.float32)
        confidences = np.concatenate(scores)
        results = self._results(keypoints, confidences)
        return Validation(evaluate_results(self.source.truth, results), keypoints, confidences)

    def worst(self, validation: Validation, count: int = 16) -> Image:
        """Draw the people with the lowest OKS: the truth, and beside it what the network says.

        Args:
            validation: What `measure` returned.
            count: How many people, at most.

        Returns:
            (H, W, 3) uint8 RGB.
        """
        people = self.source.frames.people
        areas = np.prod(people.boxes[:, 2:] - people.boxes[:, :2], axis=1)
        labelled = (people.weights > 0).astype(np.int8)
        oks = [
            oks_matrix(
                validation.keypoints[row : row + 1],
                None,
                people.keypoints[row : row + 1],
                areas[row : row + 1],
                people.keypoint_set.sigmas,
                labelled[row : row + 1],
            )[0, 0]
            for row in range(len(people))
        ]
        truth = self._transforms.to_crop(people.keypoints)
        said = self._transforms.to_crop(validation.keypoints)
        tiles = []
        for row in np.argsort(oks)[:count]:
            for points in (truth[row], said[row]):
                tiles.append(
                    keypoint_tile(self._crops[row], points, 2 * labelled[row], people.keypoint_set)
                )
        return sheet(tiles)

    def _results(
        self, keypoints: NDArray[np.float32], scores: NDArray[np.float32]
    ) -> list[dict[str, Any]]:
        """Return COCO results, without the doubles that labelling would drop."""
        people = self.source.frames.people
        found = Instances(
            people.boxes,
            np.ones(len(people), np.float32),
            keypoints,
            scores,
            np.full(scores.shape, 2, np.int8),
        )
        results: list[dict[str, Any]] = []
        areas, sigmas = self._transforms.region_areas, people.keypoint_set.sigmas
        for number, image in enumerate(self.source.truth.images):
            rows = np.flatnonzero(people.images == number)
            own = found.select(rows)
            kept = own.select(oks_nms(own.keypoints, areas[rows], own.scores, sigmas))
            triples = np.concatenate([kept.keypoints, kept.keypoint_scores[..., None]], axis=2)
            results += [
                {
                    "image_id": image["id"],
                    "category_id": 1,
                    "keypoints": flat.tolist(),
                    "score": float(score),
                }
                for flat, score in zip(triples.reshape(len(kept), -1), kept.scores, strict=True)
            ]
        return results


def mean_ap(validations: Sequence[Validation]) -> float:
    """Return the mean AP over all sources; what the best weights are chosen by."""
    return float(np.mean([one.evaluation.coco["AP"] for one in validations]))

"""How good the network is while it learns: COCO AP with the boxes of the truth, or of a detector.

The same crops, decoding and scoring as in labelling, from crops that are cut once for the stage.
Running `evaluate` itself was refused: it opens photos and detectors anew each time, and wants a
network that nobody trains meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitpose_cli.evaluate import Evaluation, evaluate_results
from vitpose_cli.models.detection import tidy
from vitpose_cli.models.normalisation import normalise
from vitpose_cli.pose.geometry import CropTransforms
from vitpose_cli.pose.heatmaps import HeatmapCodec
from vitpose_cli.pose.instances import Detections, Instances
from vitpose_cli.pose.oks import oks_matrix, oks_nms
from vitpose_cli.training.cache import fill_crops, frame_sizes
from vitpose_cli.training.config import ValidationOptions
from vitpose_cli.training.people import LabelledFrames, People
from vitpose_cli.training.sheets import Image, keypoint_tile, sheet
from vitpose_cli.training.sources import OpenedSource

_UNKNOWN_WH = (1 << 24, 1 << 24)
"""Cuts no box of a frame that cannot be read and whose size nobody states, px."""


@dataclass(frozen=True, slots=True)
class Validation:
    """What the network said about one source.

    Attributes:
        evaluation: The numbers.
        found: What it found in each of the M boxes, frame px.
    """

    evaluation: Evaluation
    found: Instances


class Validator:
    """One source of people, cropped for one input size.

    Attributes:
        source: The source.
        head: The head that is measured.
        failures: Frames that could not be read; their crops are black.
    """

    def __init__(
        self, source: OpenedSource, head: str, codec: HeatmapCodec, options: ValidationOptions
    ) -> None:
        """Cut the crops of all boxes in `source`, as labelling would.

        Raises:
            InputError: A frame has another size than its labels state.
        """
        self.source = source
        self.head = head
        self._codec = codec
        self._options = options
        self._detections, self._images = _boxes_of(source)
        self._transforms = CropTransforms.from_boxes(
            self._detections.boxes, codec.input_wh, alignment=codec.alignment
        )
        width, height = codec.input_wh
        self._crops = np.zeros((len(self._images), height, width, 3), np.uint8)
        boxed = _as_people(source.frames, self._detections, self._images)
        frames = replace(source.frames, people=boxed)
        self.failures = fill_crops(frames, self._transforms, self._crops)

    @torch.no_grad()
    def measure(self, model: nn.Module, device: torch.device, dtype: torch.dtype) -> Validation:
        """Measure `model`, which is in evaluation mode on `device`."""
        keypoint_set = self.source.frames.people.keypoint_set
        flip_order = torch.from_numpy(keypoint_set.flip_order).to(device)
        one_sided = list(keypoint_set.one_sided)

        def maps_of(inputs: Tensor) -> Tensor:
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                maps: Tensor = model(inputs, head=self.head)
            return maps.float()

        confidences = np.empty((len(self._crops), len(flip_order)), np.float32)
        points = np.empty((*confidences.shape, 2), np.float32)
        for start in range(0, len(self._crops), self._options.batch_size):
            rows = slice(start, start + self._options.batch_size)
            inputs = normalise(torch.from_numpy(self._crops[rows]).to(device))
            maps = maps_of(inputs)
            if self._options.flip_test and keypoint_set.mirrorable:
                plain = maps
                maps = self._codec.merge_flipped(plain, maps_of(inputs.flip(-1)), flip_order)
                maps[:, one_sided] = plain[:, one_sided]
            decoded = self._codec.decode(maps)
            points[rows] = decoded.crop_keypoints.cpu().numpy()
            confidences[rows] = decoded.scores.cpu().numpy()
        found = Instances(
            self._detections.boxes,
            self._detections.scores,
            self._transforms.to_frame(points).astype(np.float32),
            confidences,
            np.full(confidences.shape, 2, np.int8),
        )
        return Validation(evaluate_results(self.source.truth, self._results(found)), found)

    def worst(self, validation: Validation, count: int = 16) -> Image:
        """Draw the people with the lowest OKS: the truth, and beside it what comes nearest to it.

        Args:
            validation: What `measure` returned.
            count: How many people, at most.

        Returns:
            (H, W, 3) uint8 RGB.
        """
        people, found = self.source.frames.people, validation.found
        nearest = np.zeros(len(people), np.int64)
        oks = np.full(len(people), np.inf)  # stays so where a photo has no box, and so no crop
        for number in range(len(self.source.frames.keys)):
            rows = np.flatnonzero(self._images == number)
            own = np.flatnonzero(people.images == number)
            if not len(rows):
                continue
            truth = people.select(own)
            alike = oks_matrix(
                found.keypoints[rows],
                None,
                truth.keypoints,
                np.prod(truth.boxes[:, 2:] - truth.boxes[:, :2], axis=1),
                people.keypoint_set.sigmas,
                (truth.weights > 0).astype(np.int8),
            )
            nearest[own] = rows[alike.argmax(axis=0)]
            oks[own] = alike.max(axis=0)
        tiles = []
        drawable = np.flatnonzero(np.isfinite(oks))
        for person in drawable[np.argsort(oks[drawable], kind="stable")][:count]:
            row = nearest[person]
            transform = self._transforms.select([row])
            visibility = np.where(people.weights[person] > 0, 2, 0)
            for points in (people.keypoints[person], found.keypoints[row]):
                placed = transform.to_crop(points[None])[0]
                tile = keypoint_tile(self._crops[row], placed, visibility, people.keypoint_set)
                tiles.append(tile)
        return sheet(tiles)

    def _results(self, found: Instances) -> list[dict[str, Any]]:
        """Return COCO results, without the doubles that labelling would drop."""
        results: list[dict[str, Any]] = []
        keypoint_set = self.source.frames.people.keypoint_set
        areas = self._transforms.region_areas
        for number, image in enumerate(self.source.truth.images):
            rows = np.flatnonzero(self._images == number)
            own = found.select(rows)
            kept = own.select(oks_nms(own.keypoints, areas[rows], own.scores, keypoint_set.sigmas))
            triples = np.concatenate([kept.keypoints, kept.keypoint_scores[..., None]], axis=2)
            results += [
                {
                    "image_id": image["id"],
                    "category_id": 1,
                    "keypoints": flat.tolist(),
                    "score": float(score),
                }
                for flat, score in zip(
                    triples.reshape(len(kept), 3 * keypoint_set.num_keypoints),
                    kept.scores,
                    strict=True,
                )
            ]
        return results


def mean_ap(validations: Sequence[Validation]) -> float:
    """Return the mean AP over all sources; what the best weights are chosen by."""
    return float(np.mean([one.evaluation.coco["AP"] for one in validations]))


def _boxes_of(source: OpenedSource) -> tuple[Detections, NDArray[np.int64]]:
    """Return the boxes to measure with, cut at their frames, and the frame of each."""
    found: list[Detections] = []
    for number, size_wh in enumerate(frame_sizes(source.frames)):
        given = _given_boxes(source, number)
        found.append(tidy(given.boxes, given.scores, 0.0, size_wh or _UNKNOWN_WH))
    boxes = np.concatenate([one.boxes for one in found])
    scores = np.concatenate([one.scores for one in found])
    images = np.repeat(np.arange(len(found)), [len(one) for one in found])
    return Detections(boxes, scores), images


def _given_boxes(source: OpenedSource, number: int) -> Detections:
    """Return the boxes of a detector in a frame, or those of its people."""
    if source.boxes is not None:
        return source.boxes.get(source.truth.images[number]["file_name"], Detections.empty())
    people = source.frames.people
    start, end = np.searchsorted(people.images, [number, number + 1])
    return Detections(people.boxes[start:end], np.ones(end - start, np.float32))


def _as_people(frames: LabelledFrames, detections: Detections, images: NDArray[np.int64]) -> People:
    """Return boxes as people of whom nothing else is known."""
    keypoint_set, count = frames.people.keypoint_set, len(detections)
    shape = (count, keypoint_set.num_keypoints)
    return People(
        keypoint_set,
        detections.boxes,
        np.zeros((*shape, 2), np.float32),
        np.zeros(shape, np.float32),
        np.ones(count, np.float32),
        images,
    )

"""How good the network is while it learns: COCO AP with the boxes of the truth, or of a detector.

The same crops, decoding and scoring as in labelling, from crops that are cut once for the stage.
Running `evaluate` itself was refused: it opens photos and detectors anew each time, and wants a
network that nobody trains meanwhile. Several processes deal out whole batches, not boxes: a network
rounds otherwise in batches of another size, and AP is to be that of one process.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitpose_cli.errors import InputError
from vitpose_cli.evaluate.body_categories import categories_of_boxes
from vitpose_cli.evaluate.evaluated_labels import evaluate_results, results_of_people
from vitpose_cli.evaluate.evaluation import Evaluation
from vitpose_cli.models.detection import tidy
from vitpose_cli.models.normalisation import normalise
from vitpose_cli.plurals import counted
from vitpose_cli.pose.geometry import CropTransforms, Region
from vitpose_cli.pose.heatmaps import HeatmapCodec
from vitpose_cli.pose.instances import Detections, Instances
from vitpose_cli.pose.oks import oks_matrix, oks_nms
from vitpose_cli.runtime import Process
from vitpose_cli.training.cache import fill_crops, frame_sizes
from vitpose_cli.training.config import ValidationOptions
from vitpose_cli.training.memory import explained_memory
from vitpose_cli.training.opened_source import OpenedSource
from vitpose_cli.training.people import LabelledFrames, People
from vitpose_cli.training.process import gathered
from vitpose_cli.training.sheets import MAX_CROPS, Image, keypoint_tile, tile_sheet

_UNKNOWN_WH = (1 << 24, 1 << 24)
"""Cuts no box of a frame that cannot be read and whose size nobody states, px."""


class Validator:
    """One source of people, cropped for one input size; each of several processes has a share.

    All processes must make it, and call `find` and `worst`, since each needs what the others have.

    Attributes:
        source: The source.
        head: The head that is measured.
        failures: Frames that any process could not read; their crops are black.
    """

    def __init__(
        self,
        source: OpenedSource,
        head: str,
        codec: HeatmapCodec,
        options: ValidationOptions,
        process: Process | None = None,
        region: Region = "fitted",
    ) -> None:
        """Cut the crops of this process's boxes in `source`, as labelling would.

        Args:
            source: The source.
            head: The head that is measured.
            codec: How its heatmaps are read.
            options: How to measure.
            process: Whose share of the boxes; everything by default.
            region: What of a frame the head was shown.

        Raises:
            InputError: A frame has another size than its labels state.
        """
        self.source = source
        self.head = head
        self._codec = codec
        self._options = options
        self._process = process or Process()
        self._sizes_wh = [size_wh or _UNKNOWN_WH for size_wh in frame_sizes(source.frames)]
        self._detections, self._images = _boxes_of(source, self._sizes_wh)
        self._transforms = CropTransforms.from_boxes(
            self._detections.boxes,
            codec.input_wh,
            alignment=codec.alignment,
            region=region,
            pixel_aspects=np.array(source.frames.pixel_aspects)[self._images],
        )
        batches = np.arange(len(self._images)) // options.batch_size
        self._rows = np.flatnonzero(batches % self._process.world_size == self._process.rank)
        width, height = codec.input_wh
        self._crops = np.zeros((len(self._rows), height, width, 3), np.uint8)
        failures = fill_crops(self._own_frames(), self._transforms.select(self._rows), self._crops)
        failed = {one.key: one for part in gathered(failures, self._process) for one in part}
        self.failures = [failed[key] for key in source.frames.keys if key in failed]

    @torch.no_grad()
    def find(
        self,
        model: nn.Module,
        device: torch.device,
        dtype: torch.dtype,
        stop: Callable[[], bool] = lambda: False,
    ) -> Instances:
        """Return what a network finds in each of the M boxes.

        Args:
            model: The network, in evaluation mode.
            device: Where it is.
            dtype: Number format of its products.
            stop: Asked before each batch, by all processes equally often, whether to leave off.

        Raises:
            InputError: A batch does not fit into memory.
            KeyboardInterrupt: It was to leave off.
        """
        keypoint_set = self.source.keypoint_set
        flip_order = torch.from_numpy(keypoint_set.flip_order).to(device)
        one_sided = list(keypoint_set.one_sided)

        def maps_of(inputs: Tensor) -> Tensor:
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                maps: Tensor = model(inputs, head=self.head)
            return maps.float()

        confidences = np.empty((len(self._crops), len(flip_order)), np.float32)
        points = np.empty((*confidences.shape, 2), np.float32)
        size = self._options.batch_size
        too_large = InputError(
            f"A pass of {counted(size, 'crop')} does not fit into memory while the network is "
            "measured.",
            f"Set validation.batch_size={max(1, size // 2)}; it takes a little longer.",
        )
        most = math.ceil(len(self._images) / (size * self._process.world_size))
        for start in range(0, most * size, size):
            if stop():
                raise KeyboardInterrupt
            rows = slice(start, start + size)
            if start >= len(self._crops):  # in the last round there may be none for this process
                break
            with explained_memory(too_large):
                inputs = normalise(torch.from_numpy(self._crops[rows]).to(device))
                maps = maps_of(inputs)
                if self._options.flip_test and keypoint_set.mirrorable:
                    plain = maps
                    maps = self._codec.merge_flipped(plain, maps_of(inputs.flip(-1)), flip_order)
                    maps[:, one_sided] = plain[:, one_sided]
                decoded = self._codec.decode(maps)
                points[rows] = decoded.crop_keypoints.cpu().numpy()
                confidences[rows] = decoded.scores.cpu().numpy()
        parts = gathered((self._rows, points, confidences), self._process)
        numbers, points, confidences = (np.concatenate(each) for each in zip(*parts, strict=True))
        order = np.argsort(numbers)
        return Instances(
            self._detections.boxes,
            self._detections.scores,
            self._transforms.to_frame(points[order]).astype(np.float32),
            confidences[order],
            np.full(confidences.shape, 2, np.int8),
        )

    def evaluate(self, found: Instances) -> Evaluation:
        """Score what `find` has returned; one process can do it alone."""
        results, known = self._results(found), self.source.keypoint_set
        return evaluate_results(self.source.truth, results, keypoint_set=known)

    def worst(self, found: Instances) -> Image:
        """Draw the people with the lowest OKS: the truth, and beside it what comes nearest to it.

        Args:
            found: What `find` has returned.

        Returns:
            (H, W, 3) uint8 RGB.
        """
        people = self.source.frames.people
        pairs = gathered(self._worst_pairs(found), self._process)[0]
        crops = self._crops_of([row for _, row in pairs])
        tiles = []
        for person, row in pairs:
            transform = self._transforms.select([row])
            visibility = np.where(people.weights[person] > 0, 2, 0)
            for points in (people.keypoints[person], found.keypoints[row]):
                placed = transform.to_crop(points[None])[0]
                tiles.append(keypoint_tile(crops[row], placed, visibility, people.keypoint_set))
        return tile_sheet(tiles)

    def _own_frames(self) -> LabelledFrames:
        """Return the frames to read: those of this process's boxes, and its part of the others."""
        frames = self.source.frames
        process, own = self._process, self._images[self._rows]
        without = np.setdiff1d(np.arange(len(frames.keys)), self._images)
        numbers = np.union1d(own, without[process.rank :: process.world_size])
        people = _as_people(frames, self._detections, self._images).select(self._rows)
        return replace(
            frames,
            people=replace(people, images=np.searchsorted(numbers, own)),
            keys=tuple(frames.keys[number] for number in numbers),
            sizes_wh=tuple(frames.sizes_wh[number] for number in numbers),
            pixel_aspects=tuple(frames.pixel_aspects[number] for number in numbers),
        )

    def _crops_of(self, rows: Sequence[int]) -> dict[int, NDArray[np.uint8]]:
        """Return the crops of some boxes, whichever process has them."""
        places = np.flatnonzero(np.isin(self._rows, rows))
        own = {int(self._rows[place]): self._crops[place] for place in places}
        return {row: crop for part in gathered(own, self._process) for row, crop in part.items()}

    def _worst_pairs(self, found: Instances) -> list[tuple[int, int]]:
        """Return the people with the lowest OKS, and the box of each in which it is highest."""
        people = self.source.frames.people
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
        drawable = np.flatnonzero(np.isfinite(oks))
        chosen = drawable[np.argsort(oks[drawable], kind="stable")][:MAX_CROPS]
        return [(int(person), int(nearest[person])) for person in chosen]

    def _results(self, found: Instances) -> list[dict[str, Any]]:
        """Return COCO results, without the doubles that labelling would drop."""
        results: list[dict[str, Any]] = []
        areas, sigmas = self._transforms.region_areas, self.source.keypoint_set.sigmas
        annotations = self.source.truth.by_image()
        for number, image in enumerate(self.source.truth.images):
            rows = np.flatnonzero(self._images == number)
            own = found.select(rows)
            best = oks_nms(
                own.keypoints,
                areas[rows],
                own.scores,
                sigmas,
                pixel_aspect=self.source.frames.pixel_aspects[number],
            )
            kept = own.select(best)
            people = results_of_people(image["id"], kept)
            if self.source.boxes is None:  # a detector's do not say whose they are
                labels, size_wh = annotations[image["id"]], self._sizes_wh[number]
                categories = categories_of_boxes(kept.boxes, labels, size_wh)
                for person, category in zip(people, categories, strict=True):
                    person["category_id"] = category
            results += people
        return results


def mean_ap(evaluations: Sequence[Evaluation]) -> float:
    """Return the mean AP over all sources; what the best weights are chosen by."""
    return float(np.mean([one.coco["AP"] for one in evaluations]))


def _boxes_of(
    source: OpenedSource, sizes_wh: Sequence[tuple[int, int]]
) -> tuple[Detections, NDArray[np.int64]]:
    """Return the boxes to measure with, cut at their frames, and the frame of each."""
    found: list[Detections] = []
    for number, size_wh in enumerate(sizes_wh):
        given = _given_boxes(source, number)
        found.append(tidy(given.boxes, given.scores, 0.0, size_wh))
    boxes = np.concatenate([one.boxes for one in found])
    scores = np.concatenate([one.scores for one in found])
    images = np.repeat(np.arange(len(found)), [len(one) for one in found])
    return Detections(boxes, scores), images


def _given_boxes(source: OpenedSource, number: int) -> Detections:
    """Return the boxes of a detector in a frame, or those of its people."""
    if source.boxes is not None:
        return source.boxes.get(source.truth.images[number]["file_name"]) or Detections.empty()
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
        np.array(frames.pixel_aspects, np.float32)[images],
    )

"""Boxes of many frames in, instances out: the pose network with everything round it.

The estimator never sees a file. It turns boxes into crop transforms, has crops that were pooled
from many frames run through the network in full batches, and brings the points home to frame
pixels. Only K x 3 numbers and a few signals for each person leave the device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from itertools import pairwise, starmap

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitpose_cli.errors import ConfigError, WeightsError
from vitpose_cli.media.frames import Frame
from vitpose_cli.models.batching import LARGEST_BUCKET, BatchLimit
from vitpose_cli.models.checkpoint import LoadedViTPose
from vitpose_cli.models.device_engine import DeviceEngine
from vitpose_cli.models.engine import Engine, HostEngine, PendingValues
from vitpose_cli.models.memory import CudaMemory
from vitpose_cli.models.pose_network import PoseNetwork
from vitpose_cli.pose.geometry import CropTransforms
from vitpose_cli.pose.instances import Detections, Instances, instance_scores
from vitpose_cli.pose.oks import NMS_THRESHOLD, oks_nms
from vitpose_cli.pose.signals import frame_signals
from vitpose_cli.records.keypoint_threshold import visibility_of
from vitpose_cli.records.record import scores_of_network
from vitpose_cli.termination import was_interrupted

DEFAULT_KEYPOINT_THRESHOLD = 0.3
"""The score from which on keypoints are labelled, where nobody chose another one."""

HOST_BATCH_SIZE = 8
"""Crops in one forward pass on a CPU: 16 are slower by 4 to 8 %, their features leave the cache."""


@dataclass(frozen=True, slots=True)
class EstimatorOptions:
    """How the network is run.

    Attributes:
        device: Where it runs.
        dtype: The network's number type; crops in, heatmaps out and decoding stay exact.
        batch_size: Most crops in one forward pass; None takes what suits the device.
        flip_test: Average with the mirrored crop: twice the work, about 0.5-1 AP.
        keypoint_threshold: Keypoints scored below it get visibility 0.
        pose_threshold: Instances whose mean keypoint score is below it are dropped.
        nms_threshold: Of instances whose OKS is above it the best alone is kept.
        compiled: Fuse the network with PyTorch's compiler: faster after a slow start.
        graphs: Record CUDA graphs; ignored elsewhere.
    """

    device: torch.device
    dtype: torch.dtype = torch.float32
    batch_size: int | None = None
    flip_test: bool = True
    keypoint_threshold: float = DEFAULT_KEYPOINT_THRESHOLD
    pose_threshold: float = 0.0
    nms_threshold: float = NMS_THRESHOLD
    compiled: bool = False
    graphs: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class CropBatch:
    """The people of some frames, cut out.

    Attributes:
        detections: The boxes of each frame.
        pixel_aspects: Width of each frame's pixels by their height.
        transforms: The crops of all boxes.
        crops: (B, height, width, 3) uint8, where the network runs or on the host.
    """

    detections: Sequence[Detections]
    pixel_aspects: Sequence[float]
    transforms: CropTransforms
    crops: Tensor

    def __len__(self) -> int:
        return len(self.crops)

    @property
    def bounds(self) -> NDArray[np.int64]:
        """Where the crops of each frame begin, and where those of the last end."""
        return _bounds(self.detections)

    def only(self, frame: int) -> CropBatch:
        """Return the people of one frame."""
        start, stop = self.bounds[frame : frame + 2]
        return CropBatch(
            self.detections[frame : frame + 1],
            self.pixel_aspects[frame : frame + 1],
            self.transforms.select(np.arange(start, stop)),
            self.crops[start:stop],
        )


class PoseEstimator:
    """A pose network, ready to label.

    Attributes:
        options: How it is run.
        keypoint_set: What it finds.
        input_wh: Width and height of the crops, px.
        alignment: How crops and heatmaps are aligned.
        region: What of a frame a crop shows.
        config: Of the network's module.
        network: From crops to numbers.
    """

    def __init__(
        self, model: LoadedViTPose, options: EstimatorOptions, engine: Engine | None = None
    ) -> None:
        """Take over a network.

        Args:
            model: With one head, as `load_model(path, head=...)` returns it.
            options: How to run it.
            engine: Who runs it; None takes the one for the device.

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
        self.region = head.region
        self.input_wh = model.header.input_wh
        self.config = model.config
        self.network = PoseNetwork(
            model, device=options.device, dtype=options.dtype, flip_test=options.flip_test
        )
        if options.compiled:
            self.network.compile()
        self._engine = engine or _engine(self.network, options)

    @property
    def batch_size(self) -> int:
        """Most crops in one forward pass now; smaller than asked for where memory is short."""
        return self._engine.batch_size

    @property
    def chunks_ahead(self) -> int:
        """How many chunks of frames to start before the first is asked for, in another thread."""
        return self._engine.chunks_ahead

    def cut(self, frames: Sequence[Frame], detections: Sequence[Detections]) -> CropBatch:
        """Cut what is boxed out of some frames, which are not needed after that.

        Args:
            frames: Who is cut out is seen in the proportions in which these are shown.
            detections: The boxes of each.
        """
        boxes = [each.boxes for each in detections] or [np.zeros((0, 4), np.float32)]
        pixel_aspects = [frame.pixel_aspect for frame in frames]
        transforms = CropTransforms.from_boxes(
            np.concatenate(boxes),
            self.input_wh,
            alignment=self.alignment,
            region=self.region,
            pixel_aspects=np.repeat(pixel_aspects, [len(each) for each in detections]),
        )
        by_frame = [
            self._transforms(transforms.matrices[each])
            for each in starmap(slice, pairwise(_bounds(detections)))
        ]
        crops = self._engine.cut([frame.image for frame in frames], by_frame)
        return CropBatch(detections, pixel_aspects, transforms, crops)

    def start(self, cuts: Sequence[CropBatch]) -> PendingPeople:
        """Start on the people of some frames, their crops pooled; on a GPU queue the network.

        Args:
            cuts: At least one, frame after frame.
        """
        together = CropBatch(
            detections=[each for cut in cuts for each in cut.detections],
            pixel_aspects=[each for cut in cuts for each in cut.pixel_aspects],
            transforms=self._transforms(np.concatenate([cut.transforms.matrices for cut in cuts])),
            crops=torch.cat([cut.crops for cut in cuts]),
        )
        return PendingPeople(self._queue, together)

    def _queue(self, people: CropBatch) -> _PooledPeople:
        return _PooledPeople(self, people, self._engine.start(people.crops))

    def _transforms(self, matrices: NDArray[np.float64]) -> CropTransforms:
        return CropTransforms(matrices, self.input_wh, self.alignment)


class PendingPeople:
    """The people of some frames, on their way: pooled, or frame by frame once that has failed."""

    def __init__(self, start: Callable[[CropBatch], _PooledPeople], people: CropBatch) -> None:
        """Start on some people.

        Args:
            start: Starts the network on the people of some frames, or raises what a library may.
            people: Who they are.
        """
        self._start = start
        self._people = people
        self._pooled: _PooledPeople | None = None
        try:
            self._pooled = start(people)
        except Exception as error:  # who is to blame shows when it is asked for
            if was_interrupted(error):
                raise

    def of(self, frame: int) -> Instances:
        """Return the people of one frame: points in frame px, best first, without duplicates.

        Waits for the network as far as this frame needs.

        Raises:
            InputError: Not even one crop fits into the device's memory.
            WeightsError: The network answers with values that are no numbers.
            Exception: What the network raises over this frame alone.
        """
        if self._pooled is not None:
            try:
                return self._pooled.of(frame)
            except Exception as error:  # another frame may be to blame
                if was_interrupted(error):
                    raise
                self._pooled = None
        return self._start(self._people.only(frame)).of(0)


class _PooledPeople:
    """The people of some frames, whose crops share batches."""

    def __init__(self, estimator: PoseEstimator, people: CropBatch, values: PendingValues) -> None:
        """Wait for the network's numbers.

        Args:
            estimator: Whose thresholds and keypoints these are.
            people: Who they are.
            values: What the network says about them.
        """
        self._estimator = estimator
        self._detections = people.detections
        self._pixel_aspects = people.pixel_aspects
        self._bounds = people.bounds
        self._transforms = people.transforms
        self._areas = people.transforms.region_areas
        self._values = values
        self._poses = estimator.network.unpack(values.values)
        self._keypoints = np.empty(self._poses.crop_keypoints.shape, np.float32)
        self._num_done = 0

    def of(self, frame: int) -> Instances:
        """Return the people of one frame; see `PendingPeople`."""
        start, stop = self._bounds[frame : frame + 2]
        if start == stop:
            return Instances.empty(self._estimator.keypoint_set.num_keypoints)
        self._bring_home(stop)
        options, poses = self._estimator.options, self._poses
        scores = poses.scores[start:stop]
        _check_finite(scores, options.dtype)
        detections, keypoint_set = self._detections[frame], self._estimator.keypoint_set
        pixel_aspect = self._pixel_aspects[frame]
        plausible = np.flatnonzero(scores.mean(axis=1) >= options.pose_threshold)
        best = oks_nms(
            self._keypoints[start:stop][plausible],
            self._areas[start:stop][plausible],
            instance_scores(detections.scores, scores)[plausible],
            keypoint_set.sigmas,
            options.nms_threshold,
            pixel_aspect,
        )
        kept = plausible[best]
        boxes, keypoints = detections.boxes[kept], self._keypoints[start:stop][kept]
        keypoint_scores = scores_of_network(scores[kept])
        measured = {name: values[start:stop][kept] for name, values in poses.signals.items()}
        return Instances(
            boxes=boxes,
            box_scores=detections.scores[kept],
            keypoints=keypoints,
            keypoint_scores=keypoint_scores,
            visibility=visibility_of(keypoint_scores, options.keypoint_threshold),
            signals={
                **measured,
                **frame_signals(boxes, keypoints, keypoint_set, pixel_aspect),
            },
        )

    def _bring_home(self, num_crops: int) -> None:
        """Carry the points of all crops that are done, these at least, to frame px."""
        if num_crops <= self._num_done:
            return
        done = self._values.wait(num_crops)
        fresh = slice(self._num_done, done)
        transforms = self._transforms.select(np.arange(self._num_done, done))
        self._keypoints[fresh] = transforms.to_frame(self._poses.crop_keypoints[fresh])
        self._num_done = done


def _engine(network: PoseNetwork, options: EstimatorOptions) -> Engine:
    """Return who runs the network best on its device."""
    device = options.device
    if device.type != "cuda":
        return HostEngine(network, BatchLimit(options.batch_size or HOST_BATCH_SIZE, str(device)))
    limit = BatchLimit(options.batch_size or LARGEST_BUCKET, str(device))
    memory = CudaMemory(device) if options.batch_size is None else None
    return DeviceEngine(network, limit, memory=memory, record=options.graphs)


def _bounds(groups: Sequence[Sized]) -> NDArray[np.int64]:
    """Return where each of some groups begins in all of them together, and where the last ends."""
    return np.cumsum([0, *map(len, groups)], dtype=np.int64)


def _check_finite(scores: NDArray[np.float32], dtype: torch.dtype) -> None:
    """Refuse what is no number: such people would vanish in silence, and the run look done."""
    if not np.isfinite(scores).all():
        number_type = str(dtype).removeprefix("torch.")
        raise WeightsError(
            f"The network answers with values that are no numbers (computing in {number_type}).",
            "Try --precision fp32; if that is no help, the weights are damaged.",
        )

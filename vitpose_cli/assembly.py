"""From names and files to a ready labeler: weights, detector, device and precision resolved.

Every command that labels takes its options through here, so that `annotate` and `evaluate` mean
the same by the same words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch

from vitpose_cli.errors import ConfigError
from vitpose_cli.models.boxes_file import BoxesFile
from vitpose_cli.models.catalog import resolve_weights
from vitpose_cli.models.checkpoint import head_named, load_model, read_header
from vitpose_cli.models.detection import Detector, DetectorOptions, classes_of
from vitpose_cli.models.detectors import (
    WHOLE_IMAGE,
    WholeImage,
    detector_weights,
    open_detector,
    shipped_detector_path,
)
from vitpose_cli.models.estimator import (
    DEFAULT_KEYPOINT_THRESHOLD,
    EstimatorOptions,
    PoseEstimator,
)
from vitpose_cli.models.tiled_detector import TiledDetector
from vitpose_cli.models.weights_files import weights_hash
from vitpose_cli.pose.oks import NMS_THRESHOLD
from vitpose_cli.ranges import COUNTS, DETECTOR_SIZES, DETECTOR_TILES, SCORES, check_types
from vitpose_cli.records.shards import document_files
from vitpose_cli.runtime import resolve_device, resolve_precision

WHOLE_IMAGE_POSE_THRESHOLD = 0.5
"""A whole photo taken as one box holds a person only if its mean keypoint score reaches this.

`LabelerOptions.box_threshold` says otherwise: a body cut by the photo has few keypoints in it, and
the mean is low however clear these are.

Of 222 cut-outs of people (COCO val2017, at least five keypoints and 60 px high) the shipped tiny
weights keep 82 % at 0.5, of 140 cut-outs without people 3 % (`benchmarks/whole_image.py`).
"""

MEASURED_BOXES = 100
"""Best boxes of a frame that are measured where it is seen in tiles, as many as torchvision's
detectors give of one look; COCO's AP counts the 20 best people."""

COMPILE_FROM_FRAMES = 100_000
"""Frames from which on the network is compiled unasked, so that its slow start is worth it."""

SHIPPED_ARE_SMALL = (
    "The weights that ship are small, for trying things out. For labels worth keeping: "
    "--weights vitpose-b --detector dfine-m (downloaded once)."
)
NO_DETECTOR = (
    "No person detector is here: each photo is taken as one box, and a person is written only "
    "where the pose is clear. Give --detector dfine-s (downloaded once) or --boxes FILE."
)


@dataclass(frozen=True, slots=True)
class LabelerOptions:
    """What to label with, in the user's words.

    Attributes:
        weights: Catalog name or file.
        keypoint_set: The head to use of weights that have several.
        detector: Catalog name, file, folder, Hugging Face id or `whole-image`; None takes the
            detector that ships with the tool, or `whole-image` where none does.
        detector_size: Side of the square that the detector sees or that photos are fitted into,
            px; None takes the detector's own size.
        detector_tile: Side of the smallest tiles of a frame that the detector sees beside the whole
            of it, px of the frame; see `TiledDetector`. None shows it whole frames alone.
        boxes: COCO annotations, a glob of their shards, a run, or results, whose boxes are used
            instead of a detector.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: auto, fp32, bf16 or fp16.
        batch_size: Crops in one forward pass; None takes what suits the device.
        compiled: Fuse the network with PyTorch's compiler, on a CUDA GPU; None decides by the
            number of frames.
        flip_test: Average with the mirrored crop; the detector that ships looks at the mirrored
            photo, too.
        box_threshold: Boxes scored below it are dropped; None takes the detector's own. With
            `whole-image`, people whose keypoints score below it on average; None takes 0.5.
        keypoint_threshold: Keypoints scored below it get visibility 0; None takes that of the run
            that is gone on with, for a new one 0.3.
        detect_every: In videos, detect on every so manieth frame at least; see `linked_people`.

    Paths may be given as text.
    """

    weights: str = "tiny"
    keypoint_set: str | None = None
    detector: str | None = None
    detector_size: int | None = None
    detector_tile: int | None = None
    boxes: Path | None = None
    device: str = "auto"
    precision: str = "auto"
    batch_size: int | None = None
    compiled: bool | None = None
    flip_test: bool = True
    box_threshold: float | None = None
    keypoint_threshold: float | None = None
    detect_every: int = 1

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ConfigError: A number is out of its range, or something is of another type.
        """
        check_types(self)
        if self.batch_size is not None:
            COUNTS.check("batch_size", self.batch_size)
        if self.detector_size is not None:
            DETECTOR_SIZES.check("detector_size", self.detector_size)
        if self.detector_tile is not None:
            DETECTOR_TILES.check("detector_tile", self.detector_tile)
        if self.box_threshold is not None:
            SCORES.check("box_threshold", self.box_threshold)
        if self.keypoint_threshold is not None:
            SCORES.check("keypoint_threshold", self.keypoint_threshold)
        COUNTS.check("detect_every", self.detect_every)


@dataclass(frozen=True, slots=True)
class Assembly:
    """A detector and an estimator, and how they are called in a run's manifest.

    Attributes:
        detector: Who finds the boxes.
        estimator: Who finds the keypoints.
        weights_name: The weights as the user called them.
        weights_hash: The first 16 hex digits of the weights file's sha256.
        detector_name: What finds the boxes, in words.
        advice: A sentence for the user about the choice that was made for them; may be empty.
    """

    detector: Detector
    estimator: PoseEstimator
    weights_name: str
    weights_hash: str
    detector_name: str
    advice: str = ""


def assemble(
    options: LabelerOptions,
    num_frames: int | None = None,
    image_names: Mapping[int, str] | None = None,
    *,
    measured: bool = False,
) -> Assembly:
    """Load everything that labelling needs.

    Args:
        options: What to label with.
        num_frames: How many frames there are in all, done or not; None if unknown.
        image_names: File names of the photos by image id, where they have ids: boxes of a results
            file may name these alone.
        measured: Whether the labels are to be measured, and so are made as those of published
            results: of people whose poses are alike the best alone, whoever gave the boxes.

    Raises:
        ConfigError: Options contradict each other or this machine.
        InputError: The boxes file cannot be used.
        WeightsError: Weights or detector cannot be found, read or matched.
    """
    if options.boxes is not None and options.detector is not None:
        raise ConfigError("--boxes and --detector exclude each other: boxes come from one of them.")
    side = options.detector_size
    device = resolve_device(options.device)
    dtype = resolve_precision(options.precision, device)
    path = resolve_weights(options.weights, keypoint_set=options.keypoint_set)
    header = read_header(path)
    head = head_named(
        header, options.keypoint_set, of=options.weights, option="--keypoint-set NAME"
    )
    model = load_model(path, head=head)
    settings = DetectorOptions(
        device=device,
        dtype=dtype,
        threshold=options.box_threshold,
        input_wh=None if side is None else (side, side),
        flip_test=options.flip_test,
        classes=classes_of(header.heads[head].keypoint_set.category),
        image_names=image_names,
    )
    detector, name = _detector(options, settings)
    _check_useful(options, detector)
    whole_image = isinstance(detector, WholeImage)
    stated = isinstance(detector, BoxesFile) and not detector.are_scored
    estimator = PoseEstimator(
        model,
        EstimatorOptions(
            device=device,
            dtype=dtype,
            batch_size=options.batch_size,
            compiled=_compiled(options, device, num_frames),
            flip_test=options.flip_test,
            keypoint_threshold=(
                DEFAULT_KEYPOINT_THRESHOLD
                if options.keypoint_threshold is None
                else options.keypoint_threshold
            ),
            nms_threshold=math.inf if stated and not measured else NMS_THRESHOLD,
            pose_threshold=_pose_threshold(options) if whole_image else -math.inf,
        ),
    )
    tile, most = options.detector_tile, MEASURED_BOXES if measured else None
    return Assembly(
        detector if tile is None else TiledDetector(detector, tile, most=most),
        estimator,
        options.weights,
        weights_hash(path),
        name,
        advice=_advice(options, whole_image),
    )


def _check_useful(options: LabelerOptions, detector: Detector) -> None:
    """Refuse options that do nothing with what gives the boxes."""
    if options.detect_every > 1 and isinstance(detector, BoxesFile):
        raise ConfigError(
            "--detect-every does nothing with boxes of a file, which has them for every frame.",
            "Leave it out.",
        )
    finds_nobody = isinstance(detector, WholeImage | BoxesFile)
    for name, given in (("size", options.detector_size), ("tile", options.detector_tile)):
        if given is not None and finds_nobody:
            raise ConfigError(
                f"--detector-{name} does nothing without a network that finds the people.",
                "Leave it out, or give --detector one.",
            )


def _pose_threshold(options: LabelerOptions) -> float:
    """Return how high keypoints have to score on average in a photo that is one box."""
    return WHOLE_IMAGE_POSE_THRESHOLD if options.box_threshold is None else options.box_threshold


def _advice(options: LabelerOptions, whole_image: bool) -> str:
    """Say what was chosen for a user who chose nothing."""
    if options.detector is not None or options.boxes is not None:
        return ""
    if whole_image:
        return NO_DETECTOR
    return SHIPPED_ARE_SMALL if options.weights == LabelerOptions().weights else ""


def _compiled(options: LabelerOptions, device: torch.device, num_frames: int | None) -> bool:
    """Say whether to compile the network: the same for every part of one run."""
    if options.compiled and device.type != "cuda":
        raise ConfigError(
            f"--compile makes nothing faster on {device}.", "Leave it out, or use a CUDA GPU."
        )
    if options.compiled is not None:
        return options.compiled
    return device.type == "cuda" and (num_frames or 0) >= COMPILE_FROM_FRAMES


def _detector(options: LabelerOptions, settings: DetectorOptions) -> tuple[Detector, str]:
    """Open what gives the boxes; return it with its name."""
    if options.boxes is not None:
        return BoxesFile.open(options.boxes, settings), f"boxes of {_document_name(options.boxes)}"
    shipped = shipped_detector_path()
    if options.detector is None and shipped is not None:
        return open_detector(str(shipped), settings), _file_name(shipped)
    name = options.detector or WHOLE_IMAGE
    return open_detector(name, settings), _detector_name(name)


def _detector_name(name: str) -> str:
    """Name a detector so that other weights under its name have another name."""
    weights = detector_weights(name)
    if weights is None:
        return name
    called = Path(name).resolve().name if Path(name).exists() else name
    return f"{called} ({weights_hash(weights)})"


def _document_name(path: Path) -> str:
    """Name a document like a file, whether it is one file or several."""
    files = document_files(path)
    if len(files) == 1:
        return _file_name(files[0])
    content = sha256("".join(map(weights_hash, files)).encode()).hexdigest()[:16]
    return f"{path.name} ({content})"


def _file_name(path: Path) -> str:
    """Name a file so that another, or the same with other content, has another name."""
    return f"{path.name} ({weights_hash(path)})"

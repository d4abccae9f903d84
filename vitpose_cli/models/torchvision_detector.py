"""Object detectors of torchvision from local files: SSDlite, SSD, FCOS, RetinaNet, the R-CNNs.

Two kinds of file. Ours is a .safetensors file with a header that names the architecture, the
classes and the input size; the detector that ships with the tool is one. The other is a state
dict as torchvision publishes them, which says nothing about itself: it is of the architecture
into which torchvision's own strict loading fits it, with COCO's classes.

The networks resize their input themselves, one frame after the other in float32. Frames are
resized before, as uint8, to the very size the network would choose, and it finds nothing to do.

In 16 bits run the parts that convolve and multiply, never what makes boxes of their answers: fp16
has steps of half a pixel from 512 px on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vitpose_cli.models.without_compiler  # noqa: F401 - first, so that it has an effect

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn
from torchvision.models import detection, get_model, get_model_weights, list_models

from vitpose_cli.errors import ConfigError, WeightsError
from vitpose_cli.faults import fault_texts
from vitpose_cli.media.frames import Frame
from vitpose_cli.media.resizing import resize_image
from vitpose_cli.models.detection import (
    DEFAULT_THRESHOLD,
    DetectorOptions,
    detect_by_size,
    detections_of,
    find_classes,
)
from vitpose_cli.models.half_precision import HalfPrecision
from vitpose_cli.models.person_fcos import LEAST_VOTE, PERSON_FCOS, VotingFCOS, build_person_fcos
from vitpose_cli.models.safe_load import read_tensors
from vitpose_cli.models.tensor_files import read_metadata, write_tensors
from vitpose_cli.pose.instances import Detections

FORMAT = 1
"""Version of the header; a file with a higher one is refused."""

_METADATA_KEY = "vitpose_detector"
_PARTS = ("backbone", "head", "rpn.head", "roi_heads.box_head", "roi_heads.box_predictor")
"""What may run in 16 bits; each architecture has some of them."""

_TRAINED_WITHOUT_EPS = frozenset(
    f"{kind}_resnet50_fpn" for kind in ("fasterrcnn", "maskrcnn", "keypointrcnn", "retinanet")
)
"""Architectures whose published weights were trained with an epsilon of 0 in their frozen batch
norms (torchvision's `overwrite_eps`)."""


@dataclass(frozen=True, slots=True)
class DetectorHeader:
    """What a detector's weights file says about itself.

    Attributes:
        architecture: torchvision's name of the network, such as `ssdlite320_mobilenet_v3_large`,
            or one of `PERSON_FCOS`.
        class_names: Names by label; label 0 is the background.
        source: Where the weights come from, in words or as an address.
        licence: Licence of the weights, an SPDX identifier where there is one.
        input_wh: Size of the network's input, px: what SSDs stretch a frame to, and what the
            others fit it into, short side within short side; None for the architecture's own.
        antialias: Whether frames were shrunk with averaging in training.
        threshold: Score from which on a box is worth having, as measured after training.
        batch_norm_eps: Epsilon of the backbone's batch norms; None for the architecture's own.
        format: Version of this header.
    """

    architecture: str
    class_names: tuple[str, ...]
    source: str
    licence: str
    input_wh: tuple[int, int] | None = None
    antialias: bool = True
    threshold: float = DEFAULT_THRESHOLD
    batch_norm_eps: float | None = None
    format: int = FORMAT


def build_detector(header: DetectorHeader) -> nn.Module:
    """Build the network of a header with random weights, in training mode.

    Raises:
        WeightsError: Neither this project nor torchvision has such a detector.
    """
    name, num_classes = header.architecture, len(header.class_names)
    network: nn.Module
    if name in PERSON_FCOS:
        network = build_person_fcos(PERSON_FCOS[name], num_classes)
    elif name in list_models(module=detection):
        network = get_model(name, weights=None, weights_backbone=None, num_classes=num_classes)
    else:
        raise WeightsError(
            f"torchvision has no detector {name!r}.",
            f"It has {', '.join(list_models(module=detection))}.",
        )
    if header.input_wh is not None:
        _set_input_size(network, header.input_wh)
    if header.batch_norm_eps is not None:
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = header.batch_norm_eps
    return network


def save_detector(
    path: Path,
    state: Mapping[str, Tensor],
    header: DetectorHeader,
    *,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a detector's weights and header, so that the file appears whole or not at all.

    Args:
        path: The file, by custom ending in .safetensors; replaced where it exists.
        state: State dict of the network that `build_detector` makes of the header.
        header: What it is.
        dtype: Storage type of floating-point weights, such as `torch.float16`.

    Raises:
        InputError: The file cannot be written.
    """
    text = TypeAdapter(DetectorHeader).dump_json(header).decode()
    write_tensors(path, state, {_METADATA_KEY: text}, dtype=dtype)


class TorchvisionDetector:
    """An object detector of torchvision, ready to find one or a few classes.

    Attributes:
        header: What its weights say about themselves.
        threshold: Boxes scored below it are dropped.
    """

    def __init__(
        self, network: nn.Module, header: DetectorHeader, options: DetectorOptions, name: str
    ) -> None:
        """Take a network of `build_detector` with its weights loaded.

        Args:
            network: The network, in float32.
            header: What it is.
            options: How to run it.
            name: What to call it in errors.

        Raises:
            ConfigError: It does not know the wanted classes.
        """
        self.header = header
        self.threshold = header.threshold if options.threshold is None else options.threshold
        self._options = options
        self._labels = find_classes(dict(enumerate(header.class_names)), options.classes, name)
        if options.input_wh is not None:
            _set_input_size(network, options.input_wh)
        _drop_early(network, self.threshold)
        if isinstance(network, VotingFCOS):
            network.mirror = options.flip_test
        self._network: Any = network.eval().to(options.device)
        _run_in(options.finer_dtype, self._network, options.device)

    @classmethod
    def open(cls, path: Path, options: DetectorOptions) -> TorchvisionDetector:
        """Load a detector from a file of ours, or from a state dict of torchvision's.

        Raises:
            ConfigError: It does not know the wanted classes.
            WeightsError: The file is missing, damaged, unsafe, or of no known network.
        """
        state = read_tensors(path)
        header = read_detector_header(path) if path.suffix.lower() == ".safetensors" else None
        if header is None:
            header = _recognise(path, state)
        network = build_detector(header)
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise WeightsError(
                f"The tensors of {path} do not match its header: {error}",
                "The file was edited, or its recipe saved another network than it named.",
            ) from error
        return cls(network, header, options, str(path))

    @torch.inference_mode()
    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """Return the boxes of each frame; see `Detector`."""
        transform = self._network.transform
        sizes_wh = [_input_size(transform, frame.shown_wh) for frame in frames]
        return detect_by_size(frames, sizes_wh, self._detect)

    def _detect(self, frames: list[Frame], size_wh: tuple[int, int]) -> Iterator[Detections]:
        """Yield the boxes of frames, each resized to one size."""
        found = self._network([self._input(frame, size_wh) for frame in frames])
        for frame, result in zip(frames, found, strict=True):
            scale = torch.tensor(frame.size_wh * 2) / torch.tensor(size_wh * 2)
            result["boxes"] = result["boxes"] * scale.to(self._options.device)
            yield detections_of(result, self._labels, self.threshold, frame.size_wh)

    def _input(self, frame: Frame, size_wh: tuple[int, int]) -> Tensor:
        """Return a frame as the network takes it: (3, H, W) in [0, 1], resized, on the device."""
        resized = resize_image(frame.image, size_wh, antialias=self.header.antialias)
        pixels = torch.from_numpy(resized).to(self._options.device)
        return pixels.permute(2, 0, 1).float().div_(255)


def read_detector_header(path: Path) -> DetectorHeader:
    """Read what a detector's weights file says about itself, without its tensors.

    Raises:
        WeightsError: The file is missing, damaged, or not one of ours.
    """
    metadata = read_metadata(path)
    if _METADATA_KEY not in metadata:
        raise WeightsError(
            f"{path} is no detector: it carries no {_METADATA_KEY} header.",
            "Give torchvision's own file (.pth), or a folder with a transformers model.",
        )
    try:
        header = TypeAdapter(DetectorHeader).validate_json(metadata[_METADATA_KEY])
    except ValidationError as error:
        raise WeightsError(
            f"The detector header of {path} cannot be read: {fault_texts(error, 'header')}.",
            "A newer release may have written it.",
        ) from error
    if header.format > FORMAT:
        raise WeightsError(
            f"{path} has header format {header.format}, this release reads up to {FORMAT}.",
            "Install a newer release.",
        )
    return header


def _recognise(path: Path, state: Mapping[str, Tensor]) -> DetectorHeader:
    """Find the published network that a state dict is of.

    Of two networks that differ in their input size alone, the one that the file is named after is
    taken, else the first in the alphabet.

    Raises:
        WeightsError: It fits none.
    """
    names = sorted(list_models(module=detection), key=lambda name: name not in path.name)
    without_data = {key: value.to("meta") for key, value in state.items()}
    for name in names:
        with torch.device("meta"):
            network = get_model(name, weights=None, weights_backbone=None)
        try:
            network.load_state_dict(without_data, assign=True)
        except RuntimeError:
            continue
        return DetectorHeader(
            architecture=name,
            class_names=tuple(get_model_weights(name).DEFAULT.meta["categories"]),
            source="torchvision",
            licence="BSD-3-Clause",
            antialias=False,
            batch_norm_eps=0.0 if name in _TRAINED_WITHOUT_EPS else None,
        )
    raise WeightsError(
        f"{path} is of no detector that torchvision publishes.",
        f"Known are the state dicts, with COCO's classes, of {', '.join(sorted(names))}.",
    )


def _set_input_size(network: Any, input_wh: tuple[int, int]) -> None:
    """Make the network resize its frames to, or into, another size.

    Raises:
        ConfigError: The size is impossible.
    """
    if min(input_wh) < 32:
        raise ConfigError(f"A detector's input of {input_wh[0]}x{input_wh[1]} px is too small.")
    transform = network.transform
    if transform.fixed_size is not None:
        transform.fixed_size = input_wh
    else:
        transform.min_size, transform.max_size = (min(input_wh),), max(input_wh)


def _input_size(transform: Any, frame_wh: tuple[int, int]) -> tuple[int, int]:
    """Return the width and height to which a network's transform would resize a frame."""
    if transform.fixed_size is not None:
        width, height = transform.fixed_size
        return width, height
    limits = (transform.min_size[-1] / min(frame_wh), transform.max_size / max(frame_wh))
    width, height = (max(1, int(side * min(limits) + 1e-6)) for side in frame_wh)
    return width, height


def _run_in(dtype: torch.dtype, network: nn.Module, device: torch.device) -> None:
    """Make a network on `device` compute its answers in `dtype`, and its boxes in float32."""
    if dtype == torch.float32:
        return
    for path in _PARTS:
        owner_path, _, name = path.rpartition(".")
        owner = getattr(network, owner_path, None) if owner_path else network
        if hasattr(owner, name):
            setattr(owner, name, HalfPrecision(getattr(owner, name), device, dtype))


def _drop_early(network: Any, threshold: float) -> None:
    """Make the network drop boxes under the threshold before it compares them with each other.

    That takes nothing from the others: a box only ever suppresses lower ones. Where lower ones have
    a say in where a box lies, they stay.
    """
    owner = getattr(network, "roi_heads", network)
    votes = isinstance(network, VotingFCOS)
    owner.score_thresh = min(threshold, LEAST_VOTE) if votes else threshold

"""Opening a detector by its name.

The one that needs no weights lives here. Those of Hugging Face are in `hub_detector` (the only
importer of transformers), those of torchvision in `torchvision_detector`, boxes from a file in
`boxes_file`; each is imported when it is opened, so that a run with boxes from a file does not wait
for transformers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vitpose_cli.errors import WeightsError
from vitpose_cli.media.frames import Frame
from vitpose_cli.models.catalog import (
    Repository,
    download_detector,
    resolve_detector,
    shipped_weights_dir,
)
from vitpose_cli.models.detection import Detector, DetectorOptions
from vitpose_cli.models.weights_files import SAVED_MODEL
from vitpose_cli.pose.instances import Detections

WHOLE_IMAGE = "whole-image"
"""Name of the detector that takes every frame as one box."""

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_WEIGHTS_SUFFIXES = (".safetensors", ".pth", ".pt")
_SHIPPED = "person-detector.safetensors"


class WholeImage:
    """Takes every frame as one box with the score 1."""

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """Return the one box of each frame."""
        ones = np.ones(1, np.float32)
        return [Detections(np.array([[0, 0, *frame.size_wh]]), ones) for frame in frames]


def open_detector(name: str, options: DetectorOptions) -> Detector:
    """Open the detector called `name`.

    Args:
        name: `whole-image`; a file: boxes (.json) or torchvision weights (.safetensors, .pth); a
            folder with a transformers model; a name of the catalog; or an id on Hugging Face.
        options: How to run it.

    Raises:
        ConfigError: The detector does not know the wanted classes, or cannot run as wanted.
        InputError: A file of boxes is missing or damaged.
        WeightsError: There is no such name, or its weights are missing, damaged, of another kind,
            or cannot be downloaded.
    """
    path = Path(name)
    if name == WHOLE_IMAGE:
        return WholeImage()
    if path.suffix.lower() == ".json":
        from vitpose_cli.models.boxes_file import BoxesFile

        return BoxesFile.open(path, options)
    if path.suffix.lower() in _WEIGHTS_SUFFIXES:
        from vitpose_cli.models.torchvision_detector import TorchvisionDetector

        return TorchvisionDetector.open(path, options)
    folder = _folder(name)
    from vitpose_cli.models.hub_detector import TransformersDetector

    return TransformersDetector.open(folder, options, name=name)


def detector_weights(name: str) -> Path | None:
    """Return the file that the detector called `name` keeps its weights or boxes in, if any.

    Raises:
        WeightsError: There is no such name, or it cannot be downloaded.
    """
    path = Path(name)
    if name == WHOLE_IMAGE:
        return None
    if not path.is_file():
        path = _folder(name) / SAVED_MODEL
    return path if path.is_file() else None


def _folder(name: str) -> Path:
    """Return the folder of a transformers model: on the disk, of the catalog, or of an id.

    Raises:
        WeightsError: It is a file, there is no such name, or it cannot be downloaded.
    """
    path = Path(name)
    if path.is_dir():
        return path
    if path.is_file():
        raise WeightsError(
            f"{path} is a file of no kind that a detector has: {', '.join(_WEIGHTS_SUFFIXES)} of "
            "torchvision, or .json with boxes.",
            "What another program found is taken as a COCO file: --boxes FILE.json.",
        )
    is_id = _HUB_ID.fullmatch(name)
    return download_detector(Repository(repo=name) if is_id else resolve_detector(name))


def shipped_detector_path() -> Path | None:
    """Return the person detector that came with the tool, None where none did."""
    path = shipped_weights_dir() / _SHIPPED
    return path if path.is_file() else None

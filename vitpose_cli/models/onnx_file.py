"""A pose network as an ONNX file, for programs that have no torch.

The graph is the network alone: normalised crops in, heatmaps out. Cutting crops and reading
heatmaps differ from program to program, so what they need to know stands in the file's metadata.
Putting both into the graph was refused: the flip test and the exact decoding would triple it, and
runtimes other than ONNX Runtime lack the operators.
"""

from __future__ import annotations

import json
import logging
import mmap
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from vitpose_cli import __version__
from vitpose_cli.errors import ConfigError, InputError, WeightsError
from vitpose_cli.files import reason_of
from vitpose_cli.models.checkpoint import LoadedViTPose
from vitpose_cli.models.normalisation import IMAGENET_MEAN, IMAGENET_STD
from vitpose_cli.pose.geometry import PADDING

INPUT_NAME = "images"
OUTPUT_NAME = "heatmaps"

MAX_DIFFERENCE = 1e-3
"""Heatmap values that differ by more are another network; 1e-6 is usual in float32."""

_LIBRARIES = ("onnx", "onnxscript", "onnxruntime")
_MADE_BY = b'"vitpose '
"""How the metadata begins that says which release wrote a file."""

_TESTED_BATCHES = (1, 2, 5)
_LARGEST_FILE = 2**31 - 2**24
"""Protocol buffers end at 2 GiB; what is larger gets its weights beside it."""


def write_onnx(model: LoadedViTPose, path: Path) -> float:
    """Write a network with one head, and run the file against it.

    Args:
        model: The network, in evaluation mode on the CPU.
        path: The file; it appears whole or not at all. A network of more than 2 GiB has its
            weights in a second file, `path` with `.data` behind it.

    Returns:
        The greatest difference of any heatmap value between ONNX Runtime and torch.

    Raises:
        ConfigError: The libraries for it are not installed.
        InputError: The file cannot be written.
        WeightsError: The file says something else than the network.
    """
    missing = [name for name in _LIBRARIES if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"Writing ONNX needs {', '.join(missing)}.", "pip install 'vitpose-cli[onnx]'"
        )
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".onnx-") as folder:
            draft = Path(folder) / path.name
            _export(model, draft)
            difference = _difference(model, draft)
            if difference > MAX_DIFFERENCE:
                raise WeightsError(
                    f"The exported network differs from the original by {difference:.2g}; "
                    "nothing was written.",
                    "Please report it with the versions of torch, onnx and onnxscript.",
                )
            for file in sorted(draft.parent.iterdir(), reverse=True):  # weights first
                file.replace(path.with_name(file.name))
    except OSError as error:
        raise InputError(
            f"Cannot write {path}: {reason_of(error)}.",
            "Check that the folder exists, is writable and has room.",
        ) from error
    return difference


def is_exported(path: Path) -> bool:
    """Return whether a file is a network that `write_onnx` wrote, by what its metadata says."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(_MADE_BY) >= 0


def onnx_metadata(model: LoadedViTPose) -> dict[str, str]:
    """Return what a program must know to use the file, JSON values by name."""
    (head,) = model.header.heads.values()
    known = head.keypoint_set
    facts = {
        "input_wh": model.config.input_wh,
        "heatmap_wh": model.config.map_wh,
        "colours": "RGB",
        "scale": 1 / 255,
        "mean": IMAGENET_MEAN,
        "std": IMAGENET_STD,
        "alignment": head.alignment,
        "region": head.region,
        "box_padding": PADDING,
        "keypoint_set": known.name,
        "keypoints": known.names,
        "flip_pairs": known.flip_pairs,
        "sigmas": known.oks_sigmas,
        "skeleton": known.edges,
        "variant": model.header.variant,
        "source": model.header.source,
        "licence": model.header.licence,
        "made_by": f"vitpose {__version__}",
    }
    return {name: json.dumps(value) for name, value in facts.items()}


def _export(model: LoadedViTPose, path: Path) -> None:
    """Write the graph; any number of crops may come in at once."""
    width, height = model.config.input_wh
    crops = torch.zeros(2, 3, height, width)
    with _quiet():
        program = torch.onnx.export(
            model,
            (crops,),
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            dynamic_shapes={INPUT_NAME: {0: torch.export.Dim("batch")}},
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # it is None only where torch writes the file itself
    program.model.metadata_props.update(onnx_metadata(model))
    size = sum(value.nbytes for value in model.state_dict().values())
    program.save(path, external_data=size > _LARGEST_FILE)


def _difference(model: LoadedViTPose, path: Path) -> float:
    """Return the greatest difference between a file and its network, over several batch sizes."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    width, height = model.config.input_wh
    random = np.random.default_rng(0)
    worst = 0.0
    for count in _TESTED_BATCHES:
        crops = random.standard_normal((count, 3, height, width)).astype(np.float32)
        (found,) = session.run([OUTPUT_NAME], {INPUT_NAME: crops})
        with torch.inference_mode():
            expected = model(torch.from_numpy(crops)).numpy()
        worst = max(worst, float(np.abs(found - expected).max()))
    return worst


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks about its own insides from the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)

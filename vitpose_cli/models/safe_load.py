"""Tensors out of a checkpoint file of any origin, without running anything that it contains.

Old checkpoints are pickles, and reading a pickle may run any code, so everything goes through
torch's restricted unpickler, always. Asking the user whether a file is trusted was refused: the
question is answered yes by habit.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vitpose_cli.errors import WeightsError, is_out_of_memory
from vitpose_cli.files import reason_of
from vitpose_cli.models.tensor_files import read_state
from vitpose_cli.models.weights_files import SAVED_MODEL

_WRAPPERS = ("state_dict", "model", "module")
_NUMPY_TYPES = (np.float16, np.float32, np.float64, np.int32, np.int64, np.uint8, np.bool_, np.str_)
_HARMLESS: list[Any] = [np.ndarray, np.dtype, *(type(np.dtype(kind)) for kind in _NUMPY_TYPES)]
_HARMLESS += [
    (getattr(np._core.multiarray, name), f"numpy.{module}.multiarray.{name}")  # type: ignore[attr-defined]
    for module in ("core", "_core")  # before and since numpy 2
    for name in ("_reconstruct", "scalar")
]
"""What the metadata of mmpose 1.x files needs beyond tensors: plain numpy arrays and numbers."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint without running anything that it contains.

    Args:
        path: A .safetensors file, a pickled checkpoint, or a folder that transformers saved.

    Raises:
        WeightsError: The file is missing, damaged, holds no tensors, or is a pickle that needs
            more than tensors and plain data to be read.
    """
    if path.is_dir():
        inside = path / SAVED_MODEL
        if not inside.is_file():
            raise WeightsError(
                f"The folder {path} holds no {SAVED_MODEL}.",
                f"A transformers folder needs config.json and {SAVED_MODEL}.",
            )
        return read_state(inside)
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise WeightsError(f"Cannot read the weights {path}: {reason_of(error)}.") from error
    # A safetensors file begins with the length of its JSON header, then the header. torch goes by
    # the name, so a damaged one must not reach it either.
    if start[8:9] == b"{" or path.suffix == ".safetensors":
        return read_state(path)
    return _tensors_of(_unpickle(path), path)


def _unpickle(path: Path) -> Any:
    """Load a pickled checkpoint with torch's restricted unpickler; anything else is refused."""
    try:
        with torch.serialization.safe_globals(_HARMLESS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the pickle's protocol, which nobody can mend
            return torch.load(
                path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
            )
    except pickle.UnpicklingError as error:
        wanted = re.search(r"(?:GLOBAL|[Uu]nsupported (?:class|global))\s+([\w.]+)", str(error))
        if wanted is None:
            raise _damaged(path) from error
        raise WeightsError(
            f"{path} is refused: to read it, Python would have to run `{wanted[1]}`, "
            "and a file that can do that can do anything.",
            "Only if you trust it completely: load it yourself and save its bare state dict, "
            "torch.save({'state_dict': torch.load(FILE, weights_only=False)['state_dict']}, NEW).",
        ) from error
    except Exception as error:  # damaged bytes make the unpickler and zipfile raise anything
        if is_out_of_memory(error):
            raise
        raise _damaged(path) from error


def _damaged(path: Path) -> WeightsError:
    if path.suffix == ".onnx":
        return WeightsError(
            f"{path} is a network for other programs.",
            "Give the weights that it was exported from: a training run's folder, or .safetensors.",
        )
    return WeightsError(
        f"{path} is no whole checkpoint: neither .safetensors nor a pickle of tensors.",
        "Copy or download it again; half a download and a saved web page look like this.",
    )


def _tensors_of(loaded: Any, path: Path) -> dict[str, Tensor]:
    """Unwrap the state dict, and take off the prefix of a parallel training."""
    state = loaded
    while isinstance(state, Mapping) and not any(isinstance(v, Tensor) for v in state.values()):
        wrapper = next((name for name in _WRAPPERS if name in state), None)
        if wrapper is None:
            break
        state = state[wrapper]
    tensors = (
        {str(key): value for key, value in state.items() if isinstance(value, Tensor)}
        if isinstance(state, Mapping)
        else {}
    )
    if not tensors:
        raise WeightsError(
            f"{path} holds no state dict, but {type(state).__name__}.",
            "A checkpoint is a dict of tensors, bare or under 'state_dict' or 'model'.",
        )
    if all(key.startswith("module.") for key in tensors):
        tensors = {key.removeprefix("module."): value for key, value in tensors.items()}
    return tensors

"""Files of tensors: .safetensors read with our errors, and written whole or not at all.

What the tensors mean is the business of `checkpoint` and of the detectors, which keep their headers
in the file's metadata. Pickles were refused as a format of ours: reading one may run any code.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vitpose_cli.errors import InputError, WeightsError, is_out_of_memory
from vitpose_cli.files import TEMPORARY_SUFFIX, temporary_name, write_error
from vitpose_cli.models.weights_files import no_weights_file


def read_metadata(path: Path) -> dict[str, str]:
    """Read the texts that a .safetensors file carries beside its tensors, and these alone.

    Raises:
        WeightsError: The file is missing or damaged.
    """
    with _opened(path) as file:
        return file.metadata() or {}


def read_state(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a .safetensors file to the CPU, as they are stored.

    Raises:
        WeightsError: The file is missing or damaged.
    """
    with _opened(path) as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def write_tensors(
    path: Path,
    state: Mapping[str, Tensor],
    metadata: Mapping[str, str],
    *,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a .safetensors file, so that it appears whole or not at all.

    Args:
        path: The file; replaced where it exists.
        state: The tensors, on any device.
        metadata: Texts to keep beside them.
        dtype: Storage type of floating-point tensors, such as `torch.float16`; as they are by
            default.

    Raises:
        InputError: The file cannot be written.
    """
    tensors = {
        key: value.detach()
        .to("cpu", dtype if value.is_floating_point() else None)
        .clone(memory_format=torch.contiguous_format)
        for key, value in state.items()
    }
    # A folder, since safetensors writes files under names of its own beside the one that it makes.
    temporary = path.with_name(temporary_name(path.name, TEMPORARY_SUFFIX))
    made = temporary / "weights"
    try:
        temporary.mkdir(exist_ok=True)
        made.touch()
        mode = made.stat().st_mode
        save_file(tensors, made, dict(metadata))
        made.chmod(mode)  # safetensors writes files that only their owner may read
        with made.open("rb+") as file:
            os.fsync(file.fileno())
        made.replace(path)
    except OSError as error:
        raise write_error(path, error) from error
    except SafetensorError as error:
        raise InputError(
            f"Cannot write the weights to {path}: {error}",
            "Check that the folder exists, is writable and has room.",
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a .safetensors file, turning its errors into ours."""
    if not path.is_file():
        raise no_weights_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (OSError, SafetensorError) as error:
        if is_out_of_memory(error):
            raise
        raise WeightsError(
            f"{path} is not a whole .safetensors file: {error}",
            "Copy or download it again; weights of other projects are translated by "
            f"`vitpose weights convert {path}`.",
        ) from error

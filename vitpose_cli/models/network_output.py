"""Where a network is written to: nothing that is read is replaced, and nothing of others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vitpose_cli.errors import InputError
from vitpose_cli.files import check_replaceable, make_folder
from vitpose_cli.models.onnx_file import is_exported
from vitpose_cli.models.weights_files import SAVED_MODEL, is_ours

_PART_OF_A_MODEL = (SAVED_MODEL, "pytorch_model.bin")


def check_network_output(output: Path, sources: Sequence[Path], *, overwrite: bool) -> None:
    """Refuse to replace a file unless that was said; make the folder it goes into.

    Args:
        output: The file, .onnx or .safetensors.
        sources: Files that the network comes from, or folders of transformers.
        overwrite: Whether a network written earlier may be replaced.

    Raises:
        InputError: It is there already and may not be replaced, or its folder cannot be made.
    """
    if output.exists() and not overwrite:
        raise InputError(f"{output} exists.", "Take another name, or --overwrite.")
    read = (each / name for each in sources for name in ("", *_PART_OF_A_MODEL))
    if any(output.exists() and each.exists() and output.samefile(each) for each in read):
        raise InputError(f"{output} is what the network comes from.", "Take another name.")
    check_replaceable(output, is_exported if output.suffix == ".onnx" else is_ours)
    make_folder(output.parent)

"""A file of weights before it is loaded: which it is, by its bytes, and whether it is ours.

Nothing here loads torch, so that what is kept or known is found without waiting.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from vitpose_cli.errors import WeightsError
from vitpose_cli.files import reason_of

METADATA_KEY = "vitpose"
"""Where a .safetensors file has our header."""

SAVED_MODEL = "model.safetensors"
"""What transformers calls the weights in a folder that it saves."""

_HASH_DIGITS = 16
_LONGEST_HEADER = 100_000_000  # bytes; the limit of safetensors itself


def is_ours(path: Path) -> bool:
    """Return whether a file is weights in our format, of whatever release."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length < _LONGEST_HEADER else {}
        return METADATA_KEY in header.get("__metadata__", {})
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return False


def head_of_file(path: Path) -> tuple[Path, str] | None:
    """Return file and head of `FILE:HEAD`, as catalog names are written, where the file exists."""
    file, colon, head = str(path).rpartition(":")
    return (Path(file), head) if colon and Path(file).exists() else None


def no_weights_file(path: Path) -> WeightsError:
    """Return the error to raise where there is no file at `path`."""
    hint = "Check the path, or see `vitpose weights list`."
    if (known := head_of_file(path)) is not None:
        hint = (
            f"`vitpose weights show {known[0]}` lists the heads of a file; where it is used, one "
            f"of them is chosen by --keypoint-set {known[1]}."
        )
    return WeightsError(f"There is no weights file {path}.", hint)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal.

    Raises:
        WeightsError: The file is missing or cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"Cannot read the weights {path}: {reason_of(error)}.") from error


def weights_hash(path: Path) -> str:
    """Return the first 16 hexadecimal digits of the file's SHA-256: the name of these weights.

    Raises:
        WeightsError: As `sha256_of`.
    """
    return sha256_of(path)[:_HASH_DIGITS]

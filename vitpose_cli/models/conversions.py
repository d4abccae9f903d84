"""Foreign weights converted once and kept, under the hash of their bytes, in the hub's folder.

Knowing a file by its bytes and not by its path means that a moved file is not converted again, and
that a changed one is. Neither torch nor the foreign file is loaded where the conversion is kept.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vitpose_cli.errors import InputError, WeightsError
from vitpose_cli.files import atomic_file
from vitpose_cli.models import hub

_VERSION = 2
"""Raised when conversion changes, so that files converted before are not taken any more."""

_LONGEST_HEADER = 100_000_000  # bytes; the limit of safetensors itself
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Origin:
    """What the catalog says about a downloaded file.

    Attributes:
        name: Its name there.
        address: Where it is from, in words.
        licence: Licence of the weights.
        sha256: Hash of the file, None where it is not known.
    """

    name: str
    address: str
    licence: str
    sha256: str | None


def is_ours(path: Path) -> bool:
    """Whether a file is .safetensors with our header; read without torch, so without waiting."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length < _LONGEST_HEADER else {}
        return "vitpose" in header.get("__metadata__", {})
    except (OSError, ValueError, AttributeError):
        return False


def convert_once(
    path: Path, keypoint_set: str | None, origin: Origin | None = None, *, whole: bool = False
) -> Path:
    """Return our form of a foreign file; what had to be assumed is logged as a warning.

    Args:
        path: The file or folder.
        keypoint_set: The head to take; the main one if None.
        origin: What the file should be, where it comes from the catalog.
        whole: Keep all heads and experts, that head first.

    Raises:
        ConfigError: There is no keypoint set of this name.
        InputError: There is no place to keep the conversion.
        WeightsError: The file is not what it should be, or cannot be read or converted.
    """
    content = path / "model.safetensors" if path.is_dir() else path
    digest = hub.known_sha256(content) or hub.sha256_of(content)
    folder = hub.cache_dir() / "converted"
    kept = f"{keypoint_set or 'main'}{'-whole' * whole}"
    target = folder / f"{digest[:32]}-{kept}-{_VERSION}.safetensors"
    said = target.with_suffix(".notes")
    if target.is_file() and said.is_file():
        _warn(path, said.read_text("utf-8").splitlines())
        return target
    if origin is not None:
        _check_bytes(content, origin)
    from vitpose_cli.models.checkpoint import save_checkpoint
    from vitpose_cli.models.convert import convert_file

    source, licence = (origin.address, origin.licence) if origin else (path.name, "unknown")
    conversion = convert_file(
        path, keypoint_set=keypoint_set, whole=whole, source=source, licence=licence
    )
    _warn(path, conversion.notes)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"Cannot make the folder {folder} for converted weights: {error.strerror}.",
            "Set HF_HOME: they are kept in it. Or convert with `vitpose weights convert`.",
        ) from error
    with atomic_file(said) as stream:  # first, since what is converted is never without
        stream.write("\n".join(conversion.notes).encode())
    save_checkpoint(target, conversion.state, conversion.header)
    return target


def _warn(path: Path, notes: Iterable[str]) -> None:
    """Say what had to be assumed: whenever a file is taken, for it is as true as the first time."""
    for note in notes:
        _log.warning("%s: %s", path, note)


def _check_bytes(path: Path, origin: Origin) -> None:
    """Throw a download away that is not the file the catalog means."""
    if origin.sha256 is None or hub.sha256_of(path) == origin.sha256:
        return
    path.resolve().unlink()
    path.unlink(missing_ok=True)
    raise WeightsError(
        f"The download of {origin.name} is not the published file: its SHA-256 is wrong.",
        "It was thrown away; pull it again. If that does not help, the server or a mirror "
        "(HF_ENDPOINT) serves other bytes.",
    )

"""Foreign weights converted once and kept, under the hash of their bytes, in the hub's folder.

Knowing a file by its bytes and not by its path means that a moved file is not converted again, and
that a changed one is. Neither torch nor the foreign file is loaded where the conversion is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vitpose_cli.errors import InputError, WeightsError
from vitpose_cli.files import atomic_file, reason_of
from vitpose_cli.models import hub
from vitpose_cli.models.weights_files import SAVED_MODEL, sha256_of

_VERSION = 3
"""Raised when conversion, or the check before it, changes, so that files converted before are not
taken any more."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Provenance:
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


def find_converted(path: Path, keypoint_set: str) -> Path | None:
    """Return our form of a foreign file, see `convert_once`; None where it is not kept yet.

    Raises:
        WeightsError: The file cannot be read.
    """
    target = _place(path, keypoint_set)
    return target if target.is_file() and _notes_of(target).is_file() else None


def _place(content: Path, kept: str) -> Path:
    """Return where what is kept of a foreign file goes."""
    digest = hub.known_sha256(content) or sha256_of(content)
    return hub.cache_dir() / "converted" / f"{digest[:32]}-{kept}-{_VERSION}.safetensors"


def _notes_of(target: Path) -> Path:
    """Return where stands what had to be assumed."""
    return target.with_suffix(".notes")


def convert_once(
    path: Path,
    keypoint_set: str | None,
    provenance: Provenance | None = None,
    *,
    whole: bool = False,
) -> Path:
    """Return our form of a foreign file; what had to be assumed is logged as a warning.

    Args:
        path: The file or folder.
        keypoint_set: The head to take; the main one if None.
        provenance: What the file should be, where it comes from the catalog.
        whole: Keep all heads and experts, that head first.

    Raises:
        ConfigError: There is no keypoint set of this name.
        InputError: There is no place to keep the conversion.
        WeightsError: The file is not what it should be, or cannot be read or converted.
    """
    content = path / SAVED_MODEL if path.is_dir() else path
    target = _place(content, f"{keypoint_set or 'main'}{'-whole' * whole}")
    folder, said = target.parent, _notes_of(target)
    if target.is_file() and said.is_file():
        _warn(path, said.read_text("utf-8").splitlines())
        return target
    _check_bytes(content, provenance)
    from vitpose_cli.models.checkpoint import save_checkpoint
    from vitpose_cli.models.convert import convert_file

    source, licence = (
        (provenance.address, provenance.licence) if provenance else (path.name, "unknown")
    )
    try:
        conversion = convert_file(
            path, keypoint_set=keypoint_set, whole=whole, source=source, licence=licence
        )
    except WeightsError as error:
        raise error if provenance is None else _unreadable(error, content, provenance) from error
    _warn(path, conversion.notes)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"Cannot make the folder {folder} for converted weights: {reason_of(error)}.",
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


def _check_bytes(path: Path, provenance: Provenance | None) -> None:
    """Refuse a file that is not the one the catalog means, or not the one the cache stored.

    A download is thrown away, so that the next one is not this one again.
    """
    stated = _stated_hashes(path, provenance)
    if not stated or stated == {sha256_of(path)}:
        return
    if provenance is None:
        raise WeightsError(
            f"{path} is damaged: its SHA-256 is not that of its name, {path.resolve().name}.",
            "Delete it, and download or copy it again.",
        )
    raise WeightsError(
        f"The download of {provenance.name} is not the published file: its SHA-256 is wrong.",
        f"{_thrown_away([path])} If that does not help, the server or a mirror (HF_ENDPOINT) "
        "serves other bytes.",
    )


def _stated_hashes(path: Path, provenance: Provenance | None) -> set[str]:
    """Return what the SHA-256 of a file should be: after the catalog, and its name in the cache."""
    stated = {hub.known_sha256(path), provenance.sha256 if provenance is not None else None}
    return {one for one in stated if one is not None}


def _unreadable(error: WeightsError, path: Path, provenance: Provenance) -> WeightsError:
    """Return the error of a download that cannot be converted.

    What nobody knows the hash of is thrown away: half a file would else stay for ever.
    """
    config = path.with_name("config.json")
    unsure = [] if _stated_hashes(path, provenance) else [path]
    unsure += [config] if config.is_file() and hub.known_sha256(config) is None else []
    if not unsure:
        return error
    return WeightsError(
        f"The download of {provenance.name} cannot be used: {error.message}", _thrown_away(unsure)
    )


def _thrown_away(downloads: Iterable[Path]) -> str:
    """Delete downloads from the cache and say so; say what to delete where that is forbidden."""
    files = [file for path in downloads for file in dict.fromkeys((path.resolve(), path))]
    try:
        for file in files:
            file.unlink(missing_ok=True)
    except OSError as error:
        names = " and ".join(map(str, files))
        return f"Delete {names}, which we may not ({reason_of(error)}), and pull it again."
    return "It was thrown away; pull it again."

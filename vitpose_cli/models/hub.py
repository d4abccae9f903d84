"""Files from Hugging Face, with its own cache, mirrors and offline mode.

The only importer of huggingface_hub. What is in the cache is used without asking the network, so
that a run needs it once and gives the same result ever after; the library alone asks every time
whether a branch has moved. Its errors are turned into ours here.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from vitpose_cli.errors import WeightsError, in_short

_TIMEOUT_S = 10.0
_BUSY = frozenset({408, 429, 500, 502, 503, 504})
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Use:
    """What files of a repository are wanted for, so that a user without a network can bring them.

    Attributes:
        files: All that belong together.
        option: Where one file alone, or the folder of several, is given.
    """

    files: tuple[str, ...]
    option: str


def fetch(repo: str, file: str, revision: str, use: Use) -> Path:
    """Return a file of a repository, downloaded if it is not in the cache.

    Args:
        repo: Repository on Hugging Face, `owner/name`.
        file: Path inside it.
        revision: Commit, tag or branch.
        use: What it is wanted for.

    Raises:
        WeightsError: There is no such file, no way to the server, or no room; or HF_ENDPOINT is no
            address.
    """
    _check_endpoint()
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError

    try:
        from huggingface_hub.utils import httpx  # type: ignore[attr-defined]
    except ImportError:  # huggingface_hub 1
        import httpx  # type: ignore[import-not-found,no-redef]

    if present := find_cached(repo, file, revision):
        return present
    # Proxies and tokens that cannot be used, and packages that they need, are neither of the first.
    unreachable = (httpx.HTTPError, OSError, ImportError, ValueError)
    try:
        # Asked first because the download tries a dead server again for half a minute.
        get_hf_file_metadata(hf_hub_url(repo, file, revision=revision), timeout=_TIMEOUT_S)
    except HfHubHTTPError as error:
        if error.response.status_code not in _BUSY:
            raise _error(error, repo, file, revision, use) from error
    except unreachable as error:
        raise _error(error, repo, file, revision, use) from error
    try:
        return Path(hf_hub_download(repo, file, revision=revision))
    except unreachable as error:
        raise _error(error, repo, file, revision, use) from error


def find_cached(repo: str, file: str, revision: str) -> Path | None:
    """Return a file of a repository if it is in the cache, without asking the network.

    Raises:
        WeightsError: HF_ENDPOINT is no address.
    """
    _check_endpoint()
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo, file, revision=revision)
    return Path(found) if isinstance(found, str) else None


def cache_dir() -> Path:
    """Return where converted weights are kept: the folder `vitpose` in Hugging Face's.

    Raises:
        WeightsError: HF_ENDPOINT is no address.
    """
    _check_endpoint()
    from huggingface_hub.constants import HF_HOME

    return Path(HF_HOME).expanduser() / "vitpose"


def known_sha256(path: Path) -> str | None:
    """Return the SHA-256 by which the cache stores a large file, None for any other file.

    That is what the file should have: the library checks sizes alone, and a disk may fail later.
    """
    name = path.resolve().name
    return name if _SHA256.fullmatch(name) else None


def endpoint_error() -> WeightsError | None:
    """Return why HF_ENDPOINT is no address, None if it is one.

    huggingface_hub takes it apart when any file of it is imported, by timm for example, and what it
    raises then does not name it.
    """
    endpoint = os.environ.get("HF_ENDPOINT", "")
    try:
        _ = urlsplit(endpoint).port
    except ValueError as error:
        return WeightsError(
            f"HF_ENDPOINT is {endpoint!r}, which is no address: {in_short(error)}.",
            "Give that of a mirror, such as https://HOST, or unset it.",
        )
    return None


def _check_endpoint() -> None:
    error = endpoint_error()
    if error is not None:
        raise error


def _by_hand(repo: str, revision: str, use: Use) -> str:
    """Say how files are brought from a machine that has a network."""
    from huggingface_hub import constants

    first, *others = use.files
    if not others:
        address = f"{constants.ENDPOINT}/{repo}/resolve/{revision}/{first}"
        return f"Or fetch {address} on another machine and give the file to {use.option}."
    names = f"{', '.join(use.files[:-1])} and {use.files[-1]}"
    return (
        f"Or fetch {names} from {constants.ENDPOINT}/{repo}/tree/{revision} on another machine, "
        f"put them in one folder, and give the folder to {use.option}."
    )


def _error(error: Exception, repo: str, file: str, revision: str, use: Use) -> WeightsError:
    """Say what went wrong with a download, and how to do without the network."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    where = f"{file} of {repo} (revision {revision})"
    by_hand = _by_hand(repo, revision, use)
    if isinstance(error, OfflineModeIsEnabled):
        return WeightsError(
            f"{where} is not in the cache, and HF_HUB_OFFLINE forbids to download it.",
            f"Run `vitpose weights pull` once without HF_HUB_OFFLINE. {by_hand}",
        )
    if isinstance(error, GatedRepoError):
        return WeightsError(
            f"{where} is given only to those who asked its owner.",
            "Ask on the repository's page, then log in with `hf auth login`.",
        )
    missing = (EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError)
    if isinstance(error, missing) and not isinstance(error, LocalEntryNotFoundError):
        return WeightsError(
            f"{constants.ENDPOINT} has no {where}.",
            "It was moved or removed, or HF_ENDPOINT names a mirror without it. "
            "`vitpose weights list` names others.",
        )
    if isinstance(error, HfHubHTTPError):
        return WeightsError(
            f"{constants.ENDPOINT} answered {error.response.status_code} for {where}.",
            f"Try again later. {by_hand}",
        )
    if isinstance(error, OSError) and error.errno is not None:
        return WeightsError(
            f"Cannot store {where} in {error.filename or constants.HF_HUB_CACHE}: "
            f"{error.strerror}.",
            "Make room, or set HF_HOME to a folder on another disk.",
        )
    return WeightsError(
        f"Cannot reach {constants.ENDPOINT} for {where}: {in_short(error)}.",
        "Check the network, a proxy (HTTPS_PROXY, ALL_PROXY), a mirror (HF_ENDPOINT) and HF_TOKEN. "
        f"{by_hand}",
    )

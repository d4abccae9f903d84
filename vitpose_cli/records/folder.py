"""The names of the files in a run folder, and what may be done to a folder before it is one.

A folder that is not ours is never written to, and of ours only our own files are deleted.
"""

from __future__ import annotations

import os
import re
from contextlib import ExitStack, suppress
from fnmatch import fnmatch
from pathlib import Path

import orjson

from vitpose_cli.errors import InputError
from vitpose_cli.files import TEMPORARY_SUFFIX, read_error, write_error
from vitpose_cli.media.marks import JOURNALS, MANIFEST, PREVIEW, RUN_SUFFIX, is_marked
from vitpose_cli.media.places import based
from vitpose_cli.media.remote import is_url
from vitpose_cli.plurals import counted
from vitpose_cli.records.journal import Scan
from vitpose_cli.records.lock import FileLock
from vitpose_cli.records.manifest import RunManifest

FAILURES = "failures.jsonl"
MADE = "annotations.made"
QUEUE = "queue.json"
REVIEW_JOURNAL = "journal-review.jsonl"
EXPORTED_EDITS = "journal-review.exported"
OPENING_LOCK = ".opening.lock"
EXPORTING_LOCK = ".exporting.lock"
OPEN_WAIT_S = 30.0
COMPLETE_SUFFIX = ".complete"
COMPLETE_MARKS = f"journal-*{COMPLETE_SUFFIX}"
_GENERATION = re.compile(r"journal-g(\d+)-")
_WORKER = re.compile(r"-(\d+)-of-(\d+)\.jsonl$")
_OURS = re.compile(
    rf"manifest\.json|annotations(-\d{{5}}-of-\d{{5}})?\.json|annotations\.made|failures\.jsonl|journal-[^/]*\.(jsonl|lock|lock-owner(-dead)*|complete|exported)"
    rf"|\.(opening|exporting)\.lock(-owner(-dead)*)?|\..*{re.escape(TEMPORARY_SUFFIX)}"
)


def journal_name(generation: int, worker: tuple[int, int]) -> str:
    """Return the name of the journal of worker k of n; `generation` counts from 1."""
    prefix = "journal-" if generation == 1 else f"journal-g{generation:03d}-"
    return f"{prefix}{worker[0]}-of-{worker[1]}.jsonl"


def journal_generation(path: Path) -> int:
    """Return the generation of labels that a journal holds, by its name."""
    found = _GENERATION.match(path.name)
    return int(found[1]) if found else 1


def journal_worker(path: Path) -> tuple[int, int] | None:
    """Return which worker writes a journal, as (k, n); None for the journal of a person."""
    found = _WORKER.search(path.name)
    return (int(found[1]), int(found[2])) if found else None


def complete_mark(journal: Path) -> Path:
    """Return the file that exists while the worker of `journal` has nothing left to do."""
    return journal.with_suffix(COMPLETE_SUFFIX)


def check_unused(folder: Path, allowed_count: int | None) -> None:
    """Refuse a folder that workers are busy in.

    Args:
        folder: The run.
        allowed_count: Workers of this many are welcome; None for nobody.

    Raises:
        InputError: A process writes one of the journals.
    """
    for path in sorted(folder.glob(JOURNALS)):
        worker = journal_worker(path)
        if worker is None or worker[1] == allowed_count:
            continue
        lock = path.with_suffix(".lock")
        if any(folder.glob(f"{lock.name}*")):
            number, count = worker
            whose = f" (worker {number} of {count})" if count > 1 else ""
            with FileLock(lock, f"The run in {folder}{whose}"):
                pass


def stored_manifest(folder: Path) -> RunManifest:
    """Return the manifest of the run in `folder`.

    Raises:
        InputError: There is no run.
    """
    path = folder / MANIFEST
    if not path.is_file():
        said = f"There is no run folder {folder}."
        if folder.is_dir():
            said = f"{folder} is not a run folder: it has no {MANIFEST}."
        elif folder.exists():
            said = f"{folder} is a file, not a run folder."
        raise InputError(said, run_meant(folder))
    return RunManifest.read(path)


def has_run(folder: Path) -> bool:
    """Return whether there is a run in `folder`."""
    try:
        return (folder / MANIFEST).is_file()
    except OSError:  # no folder can be called so, which is said when it is to be made
        return False


def known_roots(folder: Path) -> tuple[Path, ...]:
    """Return what the media names of a run may be relative to; nothing where there is no run.

    Raises:
        InputError: Its manifest cannot be read.
    """
    if not has_run(folder):
        return ()
    manifest = stored_manifest(folder)
    roots = map(manifest.media_root, manifest.bases(folder))
    return tuple(root for root in roots if root is not None)


def known_sources(folder: Path) -> list[str]:
    """Return the sources of a run as they are named from here; none where there is no run.

    Those of which it is not known where they are come with each base that they may have.

    Raises:
        InputError: Its manifest cannot be read.
    """
    if not has_run(folder):
        return []
    manifest = stored_manifest(folder)
    files = [source for source in manifest.sources if not is_url(source)]
    return [based(source, base) for base in manifest.bases(folder) for source in files]


def run_meant(path: Path, more: str = "") -> str:
    """Return the hint for whoever gave something else as a run, its photos perhaps.

    Args:
        path: What was given.
        more: What could be given as well.
    """
    name = path.resolve().name if path.name in ("", "..") else path.name
    for run in (Path(name + RUN_SUFFIX), path.parent / (name + RUN_SUFFIX)):
        if (run / MANIFEST).is_file():
            return f"Did you mean {run}?"
    return f"Give the folder that `vitpose annotate -o` wrote{more}."


def check_folder(folder: Path) -> None:
    """Refuse a folder that is neither empty nor a run.

    Raises:
        InputError: It holds something else.
    """
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise read_error(folder, error) from error
    if MANIFEST in names:
        RunManifest.read(folder / MANIFEST)  # other programs have manifests, too
        return
    foreign = [name for name in names if not _OURS.fullmatch(name)]
    if foreign:
        raise InputError(
            f"{folder} is not a run folder, and it is not empty: it holds {foreign[0]}"
            + (f" and {len(foreign) - 1} more." if foreign[1:] else "."),
            "Choose another output folder with -o.",
        )
    # Looked for again: another worker may have begun the run while the folder was being listed.
    if any(fnmatch(name, JOURNALS) for name in names) and not (folder / MANIFEST).exists():
        raise InputError(
            f"{folder} holds labels, but its {MANIFEST} is missing.",
            "Restore it from a copy, or choose another output folder with -o.",
        )


def clear_run(folder: Path) -> None:
    """Delete what an earlier run left in `folder`, which need not exist.

    Raises:
        InputError: It is no run, in use, holds a person's labels, or cannot be deleted.
    """
    if folder.exists():
        check_folder(folder)
        with FileLock(folder / OPENING_LOCK, f"The run in {folder}", OPEN_WAIT_S):
            clear_folder(folder)


def clear_folder(folder: Path) -> None:
    """Delete what an earlier run left, unless someone works on it or a person's labels are in it.

    Raises:
        InputError: It is in use, holds a person's labels, or cannot be deleted.
    """
    with ExitStack() as locks:
        for path in sorted(folder.glob(JOURNALS)):
            locks.enter_context(FileLock(path.with_suffix(".lock"), f"The journal {path}"))
            entries = (entry for entry in Scan(path).entries() if entry.human)
            if num_human := len({(entry.media, entry.frame_index) for entry in entries}):
                raise InputError(
                    f"{folder} holds labels of a person, in {counted(num_human, 'frame')}; they "
                    "are not overwritten.",
                    f"Choose another output folder with -o, or move {path} away.",
                )
        clear_previews(folder)
        if is_queue(folder / QUEUE):
            _delete(folder / QUEUE)
        # The manifest last: without it, what is left would be nobody's.
        for path in sorted(folder.iterdir(), key=lambda path: path.name == MANIFEST):
            if _OURS.fullmatch(path.name) and not path.suffix.startswith(".lock"):
                _delete(path)


def clear_previews(folder: Path) -> bool:
    """Delete the drawn copies of the run in `folder`, and folders that held nothing else.

    Returns:
        Whether there were some.

    Raises:
        InputError: One cannot be read or deleted.
    """
    emptied = set()
    for base, _, names in os.walk(folder / PREVIEW, topdown=False):
        here = Path(base)
        for path in (here / name for name in names):
            try:
                ours = path.suffix == TEMPORARY_SUFFIX or (path.is_file() and is_marked(path))
            except OSError as error:
                raise read_error(path, error) from error
            if ours:
                _delete(path)
                emptied.add(here)
        if here in emptied:
            with suppress(OSError):  # something else is in it
                here.rmdir()
                emptied.add(here.parent)
    return bool(emptied)


def is_queue(path: Path) -> bool:
    """Return whether a file was written by `select`."""
    try:
        return "selection" in orjson.loads(path.read_bytes())["info"]["vitpose"]
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _delete(path: Path) -> None:
    try:
        path.unlink()
    except OSError as error:
        raise write_error(path, error) from error

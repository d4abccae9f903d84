"""What differs between what a run was made with and what it is to go on with, in words."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vitpose_cli.records.manifest import RunManifest
from vitpose_cli.records.run_options import CHOICE_OF_FRAMES, differing_options

FEW_SOURCES = 3
"""How many sources a message lists; of more it says how many there are."""


def differences(run: RunManifest, wanted: RunManifest, folder: Path) -> Iterator[str]:
    """Yield what differs that changes labels.

    Args:
        run: What a run was made with.
        wanted: What it is to go on with.
        folder: The folder that the run lies in.
    """
    if run.weights_hash != wanted.weights_hash:
        before = f"{run.weights_name} ({run.weights_hash})"
        yield f"weights: was {before}, now {wanted.weights_name} ({wanted.weights_hash})"
    yield from _foreign(run, wanted, folder)
    for name, old, new in differing_options(run.options, wanted.options):
        yield f"{name}: was {_shown(old)}, now {_shown(new)}"


def lasting_differences(run: RunManifest, wanted: RunManifest, folder: Path) -> Iterator[str]:
    """Yield the differences that no refresh may bring.

    With another choice of video frames, those that it does not take would keep labels of before
    among the new ones.
    """
    yield from _foreign(run, wanted, folder)
    for name, old, new in differing_options(run.options, wanted.options):
        if name in CHOICE_OF_FRAMES:
            yield f"{name}: was {_shown(old)}, now {_shown(new)}"


def _foreign(run: RunManifest, wanted: RunManifest, folder: Path) -> Iterator[str]:
    """Yield the differences that make another run of it."""
    if run.keypoint_set["keypoints"] != wanted.keypoint_set["keypoints"]:
        before, now = (_set_name(manifest.keypoint_set) for manifest in (run, wanted))
        yield f"keypoint set: was {before}, now {now}"
    meant = _real(wanted.sources, Path())
    known = {base: _real(run.sources, base) for base in run.bases(folder)}
    here = next((base for base, each in known.items() if _is_same(each, meant)), None)
    if here is None:
        written: tuple[Sequence[str], Sequence[str]] = (run.sources, wanted.sources)
        if run.sources == wanted.sources:  # only where they lie differs
            written = (next(iter(known.values())), meant)
        yield f"sources: {_changed(*written)}"
        return
    old, new = run.media_root(here), wanted.media_root()
    if old is not None and new is not None and old != new:
        yield (
            f"names: were relative to {old}, but not all photos and videos lie there now; "
            f"their common folder is {new}"
        )


def _is_same(known: Sequence[str], meant: Sequence[str]) -> bool:
    """Return whether sources are those of before, or more files, as a shell makes of a glob."""
    return known == meant or ({*known} <= {*meant} and all(map(os.path.isfile, meant)))


def _changed(before: Sequence[str], now: Sequence[str]) -> str:
    """Say how sources differ; of many, how many there are and what is new."""
    if max(len(before), len(now)) <= FEW_SOURCES:
        return f"was {_shown(before)}, now {_shown(now)}"
    said = [f"{len(before)}, now {len(now)}"]
    for what, names, others in ("new", now, {*before}), ("gone", before, {*now}):
        if first := next((name for name in names if name not in others), None):
            said.append(f"first {what}: {first}")
    return "; ".join(said)


def _set_name(keypoint_set: Mapping[str, Any]) -> str:
    return f"'{keypoint_set.get('name')}' with {len(keypoint_set.get('keypoints', ()))} keypoints"


def _shown(value: Any) -> str:
    if value is None:
        return "not given"
    if isinstance(value, (tuple, list)):
        return " ".join(map(str, value)) or "nothing"
    return str(value)


def _real(sources: Sequence[str], base: Path) -> list[str]:
    """Return what sources mean, however their paths are written; relative ones from `base`."""
    signs = ["@" * source.startswith("@") for source in sources]
    return [
        sign + os.path.realpath(base / source[len(sign) :])
        for sign, source in zip(signs, sources, strict=True)
    ]

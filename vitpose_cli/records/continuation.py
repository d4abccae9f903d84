"""Whether a run may go on with what a user asks for now, and its manifest once it is refreshed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

from vitpose_cli.errors import ConfigError
from vitpose_cli.pose.keypoints import STATEMENTS
from vitpose_cli.records.manifest import RunManifest
from vitpose_cli.records.manifest_differences import (
    FEW_SOURCES,
    differences,
    lasting_differences,
)
from vitpose_cli.records.renamed_folder import with_renamed_folder
from vitpose_cli.records.run_options import differing_options


class Continuation(NamedTuple):
    """What a run goes on with, or begins with.

    Attributes:
        manifest: The manifest.
        as_begun: Whether it labels as it has from its beginning, so that others may do so, too.
        renamed_from: What its folder of photos and videos was called before, where it has another
            name now; else None.
    """

    manifest: RunManifest
    as_begun: bool
    renamed_from: str | None


def continued(
    before: RunManifest | None, wanted: RunManifest, folder: Path, *, refresh: bool
) -> Continuation:
    """Return what a run goes on with.

    Args:
        before: What it was made with; None for a new one.
        wanted: What the caller asks for.
        folder: The run's folder.
        refresh: Whether frames may be labelled otherwise from now on.

    Raises:
        ConfigError: As `check_resumable` or, to refresh, `refreshed_manifest`.
        InputError: A journal cannot be read.
    """
    if before is None:
        return Continuation(wanted, False, None)
    found = with_renamed_folder(before, wanted, folder)
    chosen = found
    if refresh:
        chosen = refreshed_manifest(found, wanted, folder)
    else:
        check_resumable(found, wanted, folder)
    manifest = replace(chosen.with_sources(wanted, folder), document=wanted.document)
    renamed_from = None if found is before else before.sources[0]
    return Continuation(manifest, chosen is found, renamed_from)


def check_resumable(run: RunManifest, wanted: RunManifest, folder: Path) -> None:
    """Refuse to go on with a run that was made with something else than `wanted`.

    Args:
        run: What it was made with.
        wanted: What it is to go on with.
        folder: The run's folder.

    Raises:
        ConfigError: Something differs that changes results; all of it is listed. Or the run
            calls its photos and videos otherwise than labelling would.
    """
    _check_names(run, folder)
    differing = list(differences(run, wanted, folder))
    if differing:
        _check_machine(run, wanted, folder, differing)
        refresh = "--refresh model to label anew what nobody has reviewed, "
        if any(lasting_differences(run, wanted, folder)):
            refresh = ""  # would be refused
        advice = ""
        if len(wanted.sources) > FEW_SOURCES:
            advice = " Name many files by their folder, a glob in quotes, or @list.txt."
        advice += _way_back(run, folder)
        raise ConfigError(
            f"The run in {folder} was made with other options:\n  " + "\n  ".join(differing),
            "Use the same options to go on with it, another output folder (-o), "
            f"{refresh}or --overwrite to delete its labels and start anew.{advice}",
        )


def refreshed_manifest(run: RunManifest, wanted: RunManifest, folder: Path) -> RunManifest:
    """Return the manifest of a run that is to be labelled anew with what `wanted` says.

    Its keypoints stay what they are called and how they are joined; flip pairs and sigmas that the
    new weights do not have by names alone count from now on.

    Args:
        run: What it was made with.
        wanted: What it is to be made with now.
        folder: The run's folder.

    Raises:
        ConfigError: The keypoints, the sources or the choice of video frames differ: that
            would be another run. Or as `check_resumable`.
    """
    _check_names(run, folder)
    differing = list(lasting_differences(run, wanted, folder))
    if differing:
        raise ConfigError(
            f"The run in {folder} cannot be refreshed:\n  " + "\n  ".join(differing),
            "Only how frames are labelled may change, not which; choose another output folder "
            f"(-o).{_way_back(run, folder)}",
        )
    if not list(differences(run, wanted, folder)):
        return run
    names = ("weights_name", "weights_hash", "options", "tool_version", "created")
    said: dict[str, Any] = {
        what: wanted.keypoint_set[what] for what in STATEMENTS if what in wanted.keypoint_set
    }
    past = {name: value for name, value in asdict(run).items() if name in names}
    return replace(
        wanted,
        keypoint_set={**run.keypoint_set, **said},
        sources=run.sources,
        root=run.root,
        base=run.base,
        history=(*run.history, past),
    )


def _check_names(run: RunManifest, folder: Path) -> None:
    """Refuse to label what a merged run has already, under other names.

    Raises:
        ConfigError: Its names are relative to each source.
    """
    if run.names_per_source:
        raise ConfigError(
            f"The run in {folder} was merged from runs of several sources, and calls their "
            "photos and videos by the names that they have in each: labelled here, they would "
            "all be labelled a second time, under other names.",
            "Go on with the runs that it was merged from and merge them again, or label all "
            "sources into a new run (-o).",
        )


def _way_back(run: RunManifest, folder: Path) -> str:
    """Return what helps where nothing is left of the sources, with a space before it."""
    if not run.sources or not run.are_sources_gone(folder):
        return ""
    return (
        f" Nothing is at {run.sources[0]} any more: if what was labelled there has another "
        "name or place now, the run goes on once it has its old one, or a link there leads "
        "to it."
    )


def _check_machine(
    run: RunManifest, wanted: RunManifest, folder: Path, differing: Sequence[str]
) -> None:
    """Refuse to go on where nothing that was given makes the difference, but the machine.

    Raises:
        ConfigError: The precision alone differs, and was left to the machine.
    """
    changed = list(differing_options(run.options, wanted.options))
    if len(differing) > 1 or not changed or wanted.notes.get("precision") != "auto":
        return
    name, old, new = changed[0]
    if name != "precision" or old is None:
        return
    here = "take another output folder (-o), --refresh model or --overwrite here"
    advice = f"Go on with it on a machine that computes in {old}, or {here}."
    if old in wanted.notes.get("computes-in", ()):
        advice = f"Go on with --precision {old}, or {here}."
    raise ConfigError(
        f"The run in {folder} was made in {old}, and this machine takes {new} by itself "
        "(--precision auto).",
        f"{advice} Where machines differ, start runs with --precision fp32, which all have.",
    )

"""Whether a run may go on with what a user asks for now, and its manifest once it is refreshed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

from vitpose_cli.errors import ConfigError
from vitpose_cli.pose.keypoints import STATEMENTS
from vitpose_cli.records.manifest import HOLDS_FILES, RunManifest
from vitpose_cli.records.manifest_differences import (
    FEW_SOURCES,
    differences,
    lasting_differences,
)
from vitpose_cli.records.renamed_folder import with_renamed_folder
from vitpose_cli.records.run_options import KEYPOINT_THRESHOLD, differing_options


class NewThreshold(NamedTuple):
    """That keypoints are labelled from another score on than before.

    Attributes:
        before: The score until now.
        now: The score from now on.
        removed_previews: Whether drawn copies, which showed the labels of before, were removed.
    """

    before: float
    now: float
    removed_previews: bool = False


class Continuation(NamedTuple):
    """What a run goes on with, or begins with.

    Attributes:
        manifest: The manifest.
        as_begun: Whether it labels as it has from its beginning, so that others may do so, too.
            With another keypoint threshold nobody else may be at it: who is, knows the old one.
        renamed_from: What its folder of photos and videos was called before, where it has another
            name now; else None.
        new_options: What is otherwise than before, in words: a refresh labels so from now on.
        new_threshold: The keypoint threshold where that alone is otherwise, which labels nothing
            anew; else None.
    """

    manifest: RunManifest
    as_begun: bool
    renamed_from: str | None
    new_options: tuple[str, ...] = ()
    new_threshold: NewThreshold | None = None


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
        ConfigError: As `resumed_manifest` or, to refresh, `refreshed_manifest`.
        InputError: A journal cannot be read.
    """
    if before is None:
        return Continuation(wanted, False, None)
    found = with_renamed_folder(before, wanted, folder)
    if refresh:
        chosen = refreshed_manifest(found, wanted, folder)
    else:
        chosen = resumed_manifest(found, wanted, folder)
    manifest = replace(chosen.with_sources(wanted, folder), document=wanted.document)
    renamed_from = None if found is before else before.sources[0]
    result = Continuation(manifest, chosen is found, renamed_from)
    if chosen.generation > found.generation:
        return result._replace(new_options=tuple(differences(found, wanted, folder)))
    old, new = found.keypoint_threshold, chosen.keypoint_threshold
    if old is None or new is None or old == new:
        return result
    return result._replace(new_threshold=NewThreshold(old, new))


def resumed_manifest(run: RunManifest, wanted: RunManifest, folder: Path) -> RunManifest:
    """Return the manifest of a run that goes on with `wanted`, perhaps at another threshold.

    Args:
        run: What it was made with.
        wanted: What it is to go on with.
        folder: The run's folder.

    Returns:
        `run` itself, where nothing is to be otherwise.

    Raises:
        ConfigError: Something differs that changes what a network says; all of it is listed. Or
            the run calls its photos and videos otherwise than labelling would.
    """
    _check_names(run, folder)
    read = run.at_threshold(wanted.keypoint_threshold)
    differing = list(differences(read, wanted, folder))
    if differing:
        _check_machine(run, wanted, folder, differing)
        refresh = "--refresh model to label anew what nobody has reviewed, "
        if any(lasting_differences(run, wanted, folder)):
            refresh = ""  # would be refused
        advice = ""
        if len(wanted.sources) > FEW_SOURCES:
            advice = " Name many files by their folder, a glob in quotes, or @list.txt."
        advice += _why_fixed(run, wanted) + _way_back(run, folder)
        raise ConfigError(
            f"The run in {folder} was made with other options:\n  " + "\n  ".join(differing),
            "Use the same options to go on with it, another output folder (-o), "
            f"{refresh}or --overwrite to delete its labels and start anew.{advice}",
        )
    return read


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
            would be another run. Or as `resumed_manifest`.
    """
    _check_names(run, folder)
    differing = list(lasting_differences(run, wanted, folder))
    if differing:
        raise ConfigError(
            f"The run in {folder} cannot be refreshed:\n  " + "\n  ".join(differing),
            "Only how frames are labelled may change, not which; choose another output folder "
            f"(-o).{_way_back(run, folder)}",
        )
    read = run.at_threshold(wanted.keypoint_threshold)
    if not list(differences(read, wanted, folder)):
        return read
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
        past_thresholds=read.past_thresholds,
        notes={**wanted.notes, **({HOLDS_FILES: True} if run.holds_files else {})},
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


def _why_fixed(run: RunManifest, wanted: RunManifest) -> str:
    """Return why the threshold of a run of files cannot change, with a space before it."""
    before, now = (each.options.get(KEYPOINT_THRESHOLD) for each in (run, wanted))
    if before == now or not run.holds_files:
        return ""
    go_on = "" if before is None else f"go on with --{KEYPOINT_THRESHOLD} {before}, or "
    return (
        " The run was merged from COCO files, or may have been, which do not say where keypoints "
        f"below their threshold are, so that it cannot have another: {go_on}choose it in the runs "
        "that were merged, and merge them again."
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

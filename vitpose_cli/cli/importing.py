"""`vitpose import`: corrections made in other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitpose_cli.cli import options
from vitpose_cli.cli.console import note, print_json, progress, warn, warn_of_each
from vitpose_cli.errors import ConfigError, PartialRunError
from vitpose_cli.plurals import counted, first_few, people

if TYPE_CHECKING:
    from vitpose_cli.formats.import_summary import ImportSummary


def import_labels(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="What the other program exported: CVAT's archive (COCO Keypoints 1.0), Label "
            "Studio's JSON, a COCO file, or a glob of shards.",
            show_default=False,
        ),
    ],
    into: Annotated[
        Path,
        typer.Option(
            "--into", metavar="RUN", help="The run that was exported.", show_default=False
        ),
    ],
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            metavar="coco|cvat|labelstudio|fiftyone",
            help="The format of FILE. Default: recognised from the file.",
        ),
    ] = None,
    reviewer: Annotated[
        str | None,
        typer.Option(
            "--reviewer", metavar="NAME", help="Who made the corrections. Default: your login."
        ),
    ] = None,
    accept_unchanged: Annotated[
        bool,
        typer.Option(
            "--accept-unchanged",
            help="Take frames without changes as reviewed and right.",
        ),
    ] = False,
    video: Annotated[
        str | None,
        typer.Option(
            "--video",
            metavar="NAME",
            help="The video of the run that the file belongs to, where its frames are called "
            "frame_000123.",
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Also replace what somebody labelled here since the export."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    json: options.Json = False,
) -> None:
    """Bring corrections from another program back into a run.

    People are recognised by the ids they were exported with, or else by their poses. Boxes that
    the other program replaced are restored. Frames that somebody has labelled here since the
    export are listed, not changed.

    Examples:
      vitpose import task_7.zip --into photos.vitpose --reviewer anna
      vitpose import project-3.json --into photos.vitpose --accept-unchanged
    """
    from vitpose_cli.formats.import_options import ImportOptions
    from vitpose_cli.formats.importing import import_corrections
    from vitpose_cli.formats.table import format_named, format_of
    from vitpose_cli.tracking.smoothed_labels import for_document

    tool = format or format_of(file)
    read = format_named(tool).read
    if read is None:
        raise ConfigError(
            f"{tool} cannot be read back: it does not say who is who.",
            "Correct labels in a format that can: coco, cvat, labelstudio, fiftyone.",
        )
    settings = ImportOptions(
        tool=tool,
        reviewer=options.login() if reviewer is None else reviewer,
        accept_unchanged=accept_unchanged,
        force=force,
        video=video,
        dry_run=dry_run,
    )
    with progress("frames", opening="reading") as report:
        summary = import_corrections(into, file, read, settings, for_document, report)
    if json:
        print_json(summary.as_dict())
    else:
        _show(summary, dry_run)
    conflicts, unmatched = summary.count("conflict"), summary.count("unmatched")
    if conflicts or unmatched:
        raise PartialRunError(
            f"Left as in the run: {counted(conflicts, 'frame')} labelled here meanwhile, "
            f"{unmatched} that could not be found in the run.",
            "--force takes the file's labels for the first; --video names a video's frames.",
        )


def _show(summary: ImportSummary, dry_run: bool) -> None:
    """Say on stderr what was done."""
    problems = [each for each in summary.decisions if each.outcome in ("conflict", "unmatched")]
    warn_of_each([f"{each.name}: {each.reason}." for each in problems])
    left_out = "the one that was not exported so, else the later one, was left out."
    warn_of_each([f"{where}; {left_out}" for where in summary.repeated])
    if summary.overruled:
        warn(
            f"Annotations that differ in {counted(len(summary.overruled), 'task')}, such as "
            f"{summary.overruled[0]}: the newest of each was taken."
        )
    note(
        f"{'Would change' if dry_run else 'Changed'} {counted(summary.count('changed'), 'frame')}: "
        f"{people(summary.total('num_changed'))} corrected "
        f"({counted(summary.total('num_keypoints'), 'keypoint')}), "
        f"{summary.total('num_added')} added, {summary.total('num_removed')} removed."
    )
    note(
        f"{counted(summary.count('accepted'), 'frame')} accepted, "
        f"{summary.count('unchanged')} as they were, {summary.num_missing} not in the file."
    )
    if since := summary.num_labelled_since:
        them = (
            "it was before somebody labelled it"
            if since == 1
            else ("they were before somebody labelled them")
        )
        note(f"{counted(since, 'frame')} among them came back as {them}: the newer labels stay.")
    if between := summary.count("between"):
        choice = f" ({summary.frame_choice})" if summary.frame_choice else ""
        were = "was" if between == 1 else "were"
        frames = counted(between, "frame")
        note(f"{frames} between those that the run labels{choice} {were} not taken.")
    if identities := summary.total("num_identities"):
        note(f"{people(identities)} got another identity (track_id).")
    if summary.num_identities_lost:
        note(
            f"{people(summary.num_identities_lost)} with another identity (track_id) in the file: "
            "left out, as the run tracks people anew for its document: say who is who in review."
        )
    if summary.num_ignored:
        shapes = counted(summary.num_ignored, "shape is", "shapes are")
        note(f"{shapes} no people with keypoints: left out.")
    if summary.other_labels:
        names = first_few(summary.other_labels)
        note(f"Among them are points labelled {names}: no keypoint of the run is called so.")
    if summary.num_left_behind:
        note(
            f"{counted(summary.num_left_behind, 'keypoint')} of people whose rectangle is not "
            "there any more: left out."
        )
    if summary.similarity is not None:
        note(
            f"Mean OKS between the model's labels and the corrected ones: {summary.similarity:.3f}."
        )

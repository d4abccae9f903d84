"""`vitpose merge`: several sets of labels as one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitpose_cli.cli import options
from vitpose_cli.cli.console import busy, note, print_json, warn, warn_of_each
from vitpose_cli.plurals import counted, people


def merge(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN|FILE", help="Run folders and COCO-keypoint files.", show_default=False
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="A .json for a COCO file, any other name for a run folder.",
            show_default=False,
        ),
    ],
    human: Annotated[
        list[Path] | None,
        typer.Option(
            "--human",
            metavar="FILE",
            help="An input whose labels a person made, though the file does not say so.",
        ),
    ] = None,
    shards: options.Shards = None,
    json: options.Json = False,
) -> None:
    """Join sets of labels; a person's labels beat a model's.

    Else those of the earlier input are taken. Frames in which two people disagree are listed.
    A single FILE is written anew, as every reader takes it.

    Examples:
      vitpose merge monday.vitpose tuesday.vitpose -o week.vitpose
      vitpose merge corrected.json photos.vitpose --human corrected.json -o all.json
      vitpose merge refused.json -o accepted.json
    """
    from vitpose_cli.merge.merging import MergeOptions, merge_labels
    from vitpose_cli.records.body_sizes import SIZE_HINT, without_size

    with busy("merging"):
        summary = merge_labels(MergeOptions(tuple(inputs), output, tuple(human or ()), shards))
    if json:
        print_json(summary.as_dict())
        return
    warn_of_each(
        [
            f"{each.file_name}: people differ; took {each.kept}, not {', '.join(each.dropped)}"
            for each in summary.conflicts
        ]
    )
    if summary.left_out:
        lost = ", ".join(f"{what} ({count:,})" for what, count in sorted(summary.left_out.items()))
        warn(f"Left out, as {summary.output} has no place for it: {lost}.")
    if summary.num_unmarked:
        warn(
            f"{people(summary.num_unmarked)} of files that do not say who labelled them count as a "
            "model's in the run; give --human FILE for files that a person made."
        )
    if summary.num_without_size:
        warn(
            f"{without_size(summary.num_without_size)}: evaluate and train pass over them, and a "
            f"box of a pixel stands for it in a run. {SIZE_HINT}"
        )
    note(
        f"{people(summary.num_people)} in {counted(summary.num_frames, 'frame')} "
        f"({summary.num_shared} in "
        f"several inputs, {summary.num_human} by people, {len(summary.conflicts)} conflicts) "
        f"-> {summary.output}"
    )

"""`vitpose render`: draw labels onto photos and videos."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from vitpose_cli.cli import options
from vitpose_cli.cli.console import note, print_json, progress, starting
from vitpose_cli.errors import ConfigError, InputError, PartialRunError
from vitpose_cli.plurals import counted, time_taken

_MOST_NAMED = 5
"""Sources that a hint lists one by one."""


def render(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            help="Folders, photos, videos, .tar archives, globs, shard-{00..99}.tar, or @list.txt.",
            show_default=False,
        ),
    ],
    annotations: Annotated[
        Path | None,
        typer.Option(
            "--annotations",
            "-a",
            metavar="RUN|FILE",
            help="A run folder or COCO-keypoint file. Default: label the sources first, as "
            "`vitpose annotate SOURCE` does.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="A file for one source, else a folder. Default: ./SOURCE-pose.",
        ),
    ] = None,
    boxes: Annotated[
        bool, options.drawing_option("--draw-boxes/--no-draw-boxes", help="Draw boxes.")
    ] = True,
    ids: Annotated[
        bool,
        options.drawing_option(
            "--draw-ids/--no-draw-ids", help="Write the identities of people in videos."
        ),
    ] = True,
    scores: Annotated[bool, options.drawing_option("--draw-scores", help="Write scores.")] = False,
    labels: Annotated[
        bool, options.drawing_option("--draw-labels", help="Write what they are (person, animal).")
    ] = False,
    keypoint_threshold: Annotated[
        float,
        options.drawing_option(
            "--keypoint-threshold",
            min=0.0,
            max=1.0,
            metavar="SCORE",
            help="Leave out keypoints that score below this.",
        ),
    ] = 0.0,
    line_width: Annotated[
        float,
        options.drawing_option(
            "--line-width",
            min=0.1,
            max=20.0,
            metavar="FACTOR",
            help="Make all lines this many times as wide.",
        ),
    ] = 1.0,
    palette: Annotated[
        Literal["side", "track"],
        options.drawing_option(
            "--palette",
            help="Colour by the side of the body, or give everybody a colour of their own.",
        ),
    ] = "side",
    skeleton_only: Annotated[
        bool,
        options.drawing_option("--skeleton-only", help="Draw on black instead of on the picture."),
    ] = False,
    side_by_side: Annotated[
        bool, options.drawing_option("--side-by-side", help="Put the original picture to the left.")
    ] = False,
    trail: Annotated[
        float,
        options.drawing_option(
            "--trail", metavar="SECONDS", min=0.0, help="Show the path of people over this time."
        ),
    ] = 0.0,
    smooth: Annotated[
        bool,
        options.drawing_option(
            "--smooth", help="In videos, fill short gaps and remove jitter; the labels stay raw."
        ),
    ] = False,
    codec: Annotated[
        Literal["h264", "h265"],
        options.drawing_option("--codec", help="h264 plays everywhere, h265 gives smaller files."),
    ] = "h264",
    crf: Annotated[
        int | None,
        options.drawing_option(
            "--crf",
            min=0,
            max=51,
            metavar="N",
            help="Quality of videos; lower is better. Default: 20 (h265: 24).",
        ),
    ] = None,
    every: options.Every = 1,
    fps: options.Fps = None,
    start: options.Start = 0.0,
    end: options.End = None,
    max_frames: options.MaxFrames = None,
    weights: options.Weights = "tiny",
    detector: options.DetectorName = None,
    detect_every: options.DetectEvery = 1,
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Draw labels on photos and videos; videos keep their sound.

    Examples:
      vitpose render clip.mp4
      vitpose render clip.mp4 -a clip.mp4.vitpose --palette track --trail 2 --smooth
      vitpose render photos/ -a photos/annotations.json -o drawn/
    """
    with starting():
        from vitpose_cli.annotate.notices import say_what_would_be_labelled
        from vitpose_cli.media.drawing import DrawStyle
        from vitpose_cli.media.kinds import is_run_folder
        from vitpose_cli.media.video_encoder import EncodeOptions
        from vitpose_cli.records.folder import known_sources
        from vitpose_cli.render.options import RenderOptions
        from vitpose_cli.render.rendering import render
        from vitpose_cli.tracking.smoothing import SmoothOptions

        if annotations is None:
            from vitpose_cli.assembly import LabelerOptions

    for source in filter(os.path.isdir, sources):
        if is_run_folder(Path(source)):
            found = filter(os.path.exists, known_sources(Path(source)))
            raise InputError(
                f"{source} is a run folder: it holds labels, not what they are drawn on.",
                f"`vitpose render {_arguments(list(found))} -a {shlex.quote(source)}` draws them.",
            )
    labeler = None
    if annotations is not None and (weights, detector, detect_every) != ("tiny", None, 1):
        raise ConfigError(
            "--annotations draws labels that are there; --weights, --detector and --detect-every "
            "make new ones.",
            "Leave one or the other out.",
        )
    if annotations is None:
        labeler = LabelerOptions(
            weights=weights, detector=detector, device=device, detect_every=detect_every
        )
    chosen = RenderOptions(
        sources=tuple(sources),
        output=output,
        annotations=annotations,
        labeler=labeler,
        video=options.video_options(every, fps, start, end, max_frames),
        style=DrawStyle(
            boxes=boxes,
            ids=ids,
            scores=scores,
            labels=labels,
            keypoint_threshold=keypoint_threshold,
            line_scale=line_width,
            palette="instance" if palette == "track" else "side",
        ),
        skeleton_only=skeleton_only,
        side_by_side=side_by_side,
        trail_s=trail,
        smooth=SmoothOptions() if smooth else None,
        encode=EncodeOptions(codec, crf),
    )
    with progress("frames") as report:
        summary = render(chosen, report=report, say=note)
    if json:
        print_json(summary.as_dict())
    else:
        rate = summary.num_frames / max(summary.seconds, 1e-9)
        note(
            f"{counted(summary.num_frames, 'frame')} in {time_taken(summary.seconds)} "
            f"({rate:.1f}/s)" + (f" -> {summary.output}" if summary.num_frames else "")
        )
        if summary.num_left_out:
            note(f"Left out: {counted(summary.num_left_out, 'frame')} without labels.")
        labelled = [] if annotations is None else known_sources(annotations)
        say_what_would_be_labelled(summary.output, [*sources, *labelled], note)
    if summary.num_failed:
        raise PartialRunError(
            f"Could not be drawn: {counted(summary.num_failed, 'frame')}.",
            "The others are drawn." if summary.num_frames else "There are no others.",
        )


def _arguments(sources: list[str]) -> str:
    """Return sources as one types them; many of one folder are that folder."""
    if len(sources) > _MOST_NAMED:
        folders = {str(Path(source).parent) for source in sources}
        sources = list(folders) if len(folders) == 1 else []
    return shlex.join(sources) or "SOURCE…"

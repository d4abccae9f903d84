"""`vitpose annotate`: label photos and videos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vitpose_cli.cli import options
from vitpose_cli.cli.console import note, print_json, progress, starting
from vitpose_cli.errors import ConfigError, PartialRunError
from vitpose_cli.plurals import counted, people, time_taken
from vitpose_cli.ranges import COUNTS

if TYPE_CHECKING:
    from vitpose_cli.annotate.summary import AnnotateSummary


def annotate(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            help="Folders, photos, videos, .tar archives, URLs, globs, shard-{00..99}.tar, or "
            "@list.txt.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="RUN",
            help="The run folder. Default: ./SOURCE.vitpose, by the first SOURCE; several files of "
            "one folder are called as it is.",
        ),
    ] = None,
    weights: options.Weights = "tiny",
    keypoint_set: options.KeypointSetName = None,
    detector: options.DetectorName = None,
    detector_size: options.DetectorSize = None,
    detector_tile: options.DetectorTile = None,
    boxes: options.Boxes = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    batch_size: options.BatchSize = "auto",
    compile: options.Compile = None,
    flip_test: options.FlipTest = True,
    box_threshold: options.BoxThreshold = None,
    keypoint_threshold: options.KeypointThreshold = None,
    every: options.Every = 1,
    fps: options.Fps = None,
    start: options.Start = 0.0,
    end: options.End = None,
    max_frames: options.MaxFrames = None,
    detect_every: options.DetectEvery = 1,
    max_pixels: Annotated[
        int,
        options.network_option(
            "--max-pixels",
            metavar="N",
            min=COUNTS.low,
            help="Refuse photos of more pixels before they take memory.",
        ),
    ] = 500_000_000,
    track: Annotated[
        bool,
        options.video_option(
            "--track/--no-track", help="Give people in videos identities (track_id)."
        ),
    ] = True,
    smooth: Annotated[
        bool,
        options.video_option(
            "--smooth",
            help="Also write keypoints without jitter, as keypoints_smoothed; keypoints stay raw.",
        ),
    ] = False,
    preview: Annotated[
        bool,
        typer.Option(
            "--preview", help="Also write copies with the labels drawn, into RUN/preview."
        ),
    ] = False,
    extract_frames: Annotated[
        Path | None,
        typer.Option(
            "--extract-frames",
            metavar="DIR",
            help="Also write the labelled pictures into DIR, named as in annotations.json, for "
            "CVAT and other programs: photos as they are, frames of videos as JPEG.",
        ),
    ] = None,
    worker: Annotated[
        str | None,
        options.machine_option(
            "--worker",
            metavar="K/N",
            help="Label part K of N; the last worker to finish writes the document. Default: the "
            "place in a Slurm array or under torchrun, else 1/1.",
            show_default=False,
        ),
    ] = None,
    devices: Annotated[
        str | None,
        options.machine_option(
            "--devices",
            metavar="0,1,…",
            help="Start one worker process on each of these GPUs, counted as CUDA_VISIBLE_DEVICES "
            "shows them.",
        ),
    ] = None,
    ray: Annotated[
        str | None,
        options.machine_option(
            "--ray",
            metavar="auto|ADDRESS",
            help="Label on a Ray cluster, with the run folder on this machine. Needs "
            "vitpose-cli[ray].",
        ),
    ] = None,
    gpus_per_worker: Annotated[
        float | None,
        options.machine_option(
            "--gpus-per-worker",
            min=0.0,
            metavar="F",
            help="With --ray: GPUs for each worker. Default: 1 where the cluster has any.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        options.machine_option(
            "--workers",
            min=COUNTS.low,
            metavar="N",
            help="With --ray: how many workers. Default: as many as there is room for.",
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Start again: delete the labels and drawn copies of the run, and nothing else.",
        ),
    ] = False,
    refresh: Annotated[
        Literal["model"] | None,
        typer.Option(
            "--refresh",
            help="Label again what a model labelled, with other weights or options; what a person "
            "reviewed stays. The frames of videos are the same: give --fps, --every, --start, "
            "--end and --max-frames again.",
        ),
    ] = None,
    shards: options.Shards = None,
    json: options.Json = False,
) -> None:
    """Label everybody in photos and videos, into a COCO-keypoint file.

    The labels are in annotations.json in the run folder. After an interruption of any kind, run
    the same command again: it does only what is missing.

    Examples:
      vitpose annotate photos/
      vitpose annotate photos/ --weights vitpose-plus-l --detector dfine-m --preview
      vitpose annotate photos/ --weights tuned.safetensors --refresh model
    """
    with starting():
        from vitpose_cli.annotate.labelling import annotate, default_run
        from vitpose_cli.annotate.options import AnnotateOptions
        from vitpose_cli.assembly import LabelerOptions

    if devices is not None and device != "auto":
        raise ConfigError("--devices and --device exclude each other.", "Give one of them.")
    if devices is not None and ray is not None:
        raise ConfigError("--devices and --ray exclude each other.", "Give one of them.")
    if ray is None and (workers is not None or gpus_per_worker is not None):
        raise ConfigError("--workers and --gpus-per-worker need --ray.", "See also --devices.")
    chosen = AnnotateOptions(
        sources=tuple(sources),
        run=output or default_run(sources),
        labeler=LabelerOptions(
            weights=weights,
            keypoint_set=keypoint_set,
            detector=detector,
            detector_size=detector_size,
            detector_tile=detector_tile,
            boxes=boxes,
            device=device,
            precision=precision,
            batch_size=options.parse_batch_size(batch_size),
            compiled=compile,
            flip_test=flip_test,
            box_threshold=box_threshold,
            keypoint_threshold=keypoint_threshold,
            detect_every=detect_every,
        ),
        video=options.video_options(every, fps, start, end, max_frames),
        max_pixels=max_pixels,
        track=track,
        smooth=smooth,
        preview=preview,
        extract_to=extract_frames,
        worker=_place("1/1" if ray is not None and worker is None else worker),
        overwrite=overwrite,
        refresh=refresh is not None,
        num_shards=shards,
    )
    with progress("frames") as report:
        if ray is not None:
            from vitpose_cli.annotate.distributed import ClusterOptions, annotate_on_cluster

            cluster = ClusterOptions(ray, gpus_per_worker, workers)
            summary = annotate_on_cluster(cluster, chosen, report=report, say=note)
        elif devices is None:
            summary = annotate(chosen, report=report, say=note)
        else:
            from vitpose_cli.annotate.devices import annotate_on

            names = options.parse_devices(devices)
            summary = annotate_on(names, chosen, report=report, say=note)
    if json:
        print_json(summary.as_dict())
    else:
        _show(summary)
    if summary.num_failed and summary.annotations is None:
        raise PartialRunError(
            f"{summary.num_failed:,} of {summary.num_frames:,} in this part could not be labelled.",
            "The same command tries again.",
        )
    if summary.num_failed:
        raise PartialRunError(
            f"{summary.num_failed:,} of {summary.num_frames:,} could not be labelled.",
            f"They are listed in {summary.run / 'failures.jsonl'}; the same command tries again.",
        )


def _place(worker: str | None) -> tuple[int, int]:
    """Return which worker this is, of how many; what the environment says is told."""
    from vitpose_cli.runtime import Process

    if worker is not None:
        return options.parse_worker(worker)
    process = Process.from_array()
    number, count = process.rank + 1, process.world_size
    if count > 1:
        note(
            f"Worker {number} of {count}, as the environment says; --worker 1/1 labels everything."
        )
    return number, count


def _show(summary: AnnotateSummary) -> None:
    """Say on stderr what was done."""
    if summary.annotations is None:
        now = f"{summary.num_new:,} now, {time_taken(summary.seconds)}"
        done = f"{_frames(summary)} of this part are done ({now})"
        done = done if summary.num_frames else "There are no frames in this part"
        note(f"{done}; the last worker to finish writes the document.")
        return
    note(
        f"{people(summary.num_people or 0)} in {_frames(summary)} "
        f"({summary.num_new:,} now, {time_taken(summary.seconds)}) -> {summary.annotations}"
    )


def _frames(summary: AnnotateSummary) -> str:
    """Say how many photos there are, and how many frames of how many videos."""
    num_of_videos = summary.num_frames - summary.num_photos
    parts = [counted(summary.num_photos, "photo")] if summary.num_photos else []
    if summary.num_videos:
        videos = counted(summary.num_videos, "video")
        parts.append(f"{counted(num_of_videos, 'frame')} of {videos}")
    return " and ".join(parts) or "no frames"

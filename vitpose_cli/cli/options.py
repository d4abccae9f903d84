"""The options that several commands share: one spelling and one help text each."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitpose_cli.cli.help import DRAWING, HARDWARE, MACHINES, NETWORKS, VIDEOS
from vitpose_cli.errors import ConfigError
from vitpose_cli.ranges import COUNTS, DETECTOR_SIZES, DETECTOR_TILES, SCORES, SHARDS

if TYPE_CHECKING:
    from vitpose_cli.media.video import VideoOptions

network_option = partial(typer.Option, rich_help_panel=NETWORKS)
video_option = partial(typer.Option, rich_help_panel=VIDEOS)
hardware_option = partial(typer.Option, rich_help_panel=HARDWARE)
machine_option = partial(typer.Option, rich_help_panel=MACHINES)
drawing_option = partial(typer.Option, rich_help_panel=DRAWING)

Weights = Annotated[
    str,
    network_option(
        "--weights",
        "-w",
        metavar="NAME|FILE",
        help="The pose network: a catalog name (`vitpose weights list`), a weights file, or "
        "the folder of a training run.",
    ),
]
KeypointSetName = Annotated[
    str | None,
    network_option(
        "--keypoint-set",
        metavar="NAME",
        help="Which keypoint set to label, for weights that know several.",
    ),
]
DetectorName = Annotated[
    str | None,
    network_option(
        "--detector",
        metavar="NAME|FILE|whole-image",
        help="What finds the people: a catalog name, file, folder or Hugging Face id; or "
        "whole-image, for photos that one person nearly fills (people whose pose is unclear get "
        "no labels; `evaluate` measures them, too). Default: the detector that ships.",
    ),
]
DetectorSize = Annotated[
    int | None,
    network_option(
        "--detector-size",
        metavar="PX",
        min=DETECTOR_SIZES.low,
        max=DETECTOR_SIZES.high,
        help="Show the detector photos of PX x PX pixels (usually a multiple of 32). Larger "
        "finds smaller people, but takes longer, and far above the detector's own size, "
        "the default, it also finds people who are not there.",
    ),
]
DetectorTile = Annotated[
    int | None,
    network_option(
        "--detector-tile",
        metavar="PX",
        min=DETECTOR_TILES.low,
        help="Look for people in tiles of each frame, too: squares of PX of its pixels, of twice "
        "that, and so on up to the whole. Finds small people in large photos. A photo of 12 "
        "megapixels at 640 takes 65 times the detector's work, and more people are found who are "
        "not there. Try six to ten times the height of the smallest people.",
    ),
]
Boxes = Annotated[
    Path | None,
    network_option(
        "--boxes",
        metavar="FILE",
        help="Take boxes from a COCO annotation or results file, a glob of shards, or a run, "
        "instead of a detector. Where two boxes get the same pose, one is dropped; but "
        "`annotate` keeps all boxes of a file without scores, as those were drawn by a "
        "person.",
    ),
]
Labels = Annotated[
    Path,
    typer.Argument(
        metavar="RUN|FILE", help="A run folder or COCO-keypoint file.", show_default=False
    ),
]
LabelledImages = Annotated[
    Path | None,
    typer.Option(
        "--images",
        "-i",
        metavar="DIR",
        help="Where the photos and videos are now. Default: where they were labelled.",
    ),
]
Device = Annotated[
    str,
    hardware_option("--device", metavar="auto|cpu|cuda|cuda:N|mps", help="Where the networks run."),
]
Shards = Annotated[
    int | None,
    typer.Option(
        "--shards",
        min=SHARDS.low,
        max=SHARDS.high,
        metavar="N",
        help="Split the document into N files, each valid on its own. Commands read them as "
        "one, by the run folder or by a glob in quotes. Default: as many as last time, at "
        "first 1.",
    ),
]
Precision = Annotated[
    str,
    hardware_option(
        "--precision",
        metavar="auto|fp32|bf16|fp16",
        help="Number format of the network; auto takes bf16 where the hardware is fast in it.",
    ),
]
BatchSize = Annotated[
    str,
    hardware_option(
        "--batch-size", metavar="auto|N", help="How many people go through the network at once."
    ),
]
Compile = Annotated[
    bool | None,
    hardware_option(
        "--compile/--no-compile",
        help="Compile the network with PyTorch on a CUDA GPU: slower to start, then faster. "
        "Default: from 100,000 frames on.",
    ),
]
FlipTest = Annotated[
    bool,
    network_option(
        "--flip-test/--no-flip-test",
        help="Look at everybody mirrored as well, and let the detector that ships do the same: "
        "about 0.5-1 AP better, twice the work.",
    ),
]
BoxThreshold = Annotated[
    float | None,
    network_option(
        "--box-threshold",
        min=SCORES.low,
        max=SCORES.high,
        metavar="SCORE",
        help="Drop boxes that score below this; with whole-image, people whose keypoints score "
        "below it on average. Default: the detector's own limit; 0.5 with whole-image.",
    ),
]
KeypointThreshold = Annotated[
    float | None,
    network_option(
        "--keypoint-threshold",
        min=SCORES.low,
        max=SCORES.high,
        metavar="SCORE",
        help="Keypoints that score below this get visibility 0; their raw score is kept, so that a "
        "run may get another one without labelling anew. Default: the run's own, at first 0.3.",
    ),
]
Every = Annotated[int, video_option("--every", metavar="N", help="Take every N-th frame.")]
Fps = Annotated[
    float | None, video_option("--fps", metavar="F", help="Take at most F frames a second.")
]
Start = Annotated[float, video_option("--start", metavar="SECONDS", help="Begin at this time.")]
End = Annotated[float | None, video_option("--end", metavar="SECONDS", help="Stop at this time.")]
MaxFrames = Annotated[
    int | None,
    video_option("--max-frames", metavar="N", help="Take at most N frames of each video."),
]
DetectEvery = Annotated[
    int,
    video_option(
        "--detect-every",
        metavar="N",
        min=COUNTS.low,
        help="Run the detector on every N-th frame only; in between, people are followed by "
        "their poses, and detected again where somebody comes or goes.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


def refuse_useless(context: typer.Context, names: Iterable[str], where: str, hint: str) -> None:
    """Refuse options that were given and do nothing.

    Args:
        context: What was given.
        names: The parameters that have no use.
        where: When they do nothing, such as "beside --predictions".
        hint: What to do.

    Raises:
        ConfigError: One of them was given.
    """
    useless = {name for name in names if _is_given(context, name)}
    spelled = [each.opts[0] for each in context.command.params if each.name in useless]
    if spelled:
        does = "does" if len(spelled) == 1 else "do"
        raise ConfigError(f"{' and '.join(spelled)} {does} nothing {where}.", hint)


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def login() -> str:
    """Return the user's login, empty where the system knows none, as in many containers."""
    try:
        return getuser()
    except (OSError, KeyError, ImportError):
        return ""


def parse_batch_size(text: str) -> int | None:
    """Return the batch size of `--batch-size`; None for auto.

    Raises:
        ConfigError: It is neither `auto` nor a positive whole number.
    """
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) == 0:
        raise ConfigError(f"--batch-size {text!r} is neither auto nor a positive whole number.")
    return int(text)


def parse_worker(text: str) -> tuple[int, int]:
    """Return k and n of `--worker k/n`.

    Raises:
        ConfigError: It is nothing of the kind.
    """
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise ConfigError(f"--worker {text!r} is not like 1/4.", "Count from 1 to the last one.")
    return int(number), int(count)


def parse_devices(text: str) -> list[str]:
    """Return the devices of `--devices 0,1`: a number is that of a CUDA GPU.

    Raises:
        ConfigError: A name is empty.
    """
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise ConfigError(f"--devices {text!r} is not like 0,1.", "Separate names by commas.")
    return [f"cuda:{name}" if name.isdecimal() else name for name in names]


def video_options(
    every: int, fps: float | None, start_s: float, end_s: float | None, max_frames: int | None
) -> VideoOptions | None:
    """Return which frames of videos to take; None for all, without loading the video library.

    Raises:
        ConfigError: A value is out of its range, or two exclude each other.
    """
    if (every, fps, start_s, end_s, max_frames) == (1, None, 0.0, None, None):
        return None
    from vitpose_cli.media.video import VideoOptions

    return VideoOptions(every, fps, start_s, end_s, max_frames)

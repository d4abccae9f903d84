"""What drawing may be told: the options of `render`, checked whoever gives them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vitpose_cli.errors import ConfigError
from vitpose_cli.media.drawing import DrawStyle
from vitpose_cli.media.video import VideoOptions
from vitpose_cli.media.video_encoder import EncodeOptions
from vitpose_cli.ranges import check_types
from vitpose_cli.tracking.smoothing import SmoothOptions

if TYPE_CHECKING:
    from vitpose_cli.assembly import LabelerOptions


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """What to draw, how, and where to.

    Attributes:
        sources: Folders, files, globs, `@list` files.
        output: A file for a single source, else a folder; None names it after the source.
        annotations: A run folder or COCO file; None labels the sources first.
        labeler: What to label with then; None takes what `annotate` takes.
        video: Which frames of videos to draw; None takes those that were labelled.
        style: How people are drawn.
        skeleton_only: Draw on black.
        side_by_side: Put the picture as it is to the left.
        trail_s: Show where people were for this long; 0 shows no trails.
        smooth: Smooth the people of videos, in the picture alone.
        encode: How videos are encoded.

    Paths may be given as text, and sources as paths.
    """

    sources: tuple[str, ...]
    output: Path | None = None
    annotations: Path | None = None
    labeler: LabelerOptions | None = None
    video: VideoOptions | None = None
    style: DrawStyle = field(default_factory=DrawStyle)
    skeleton_only: bool = False
    side_by_side: bool = False
    trail_s: float = 0.0
    smooth: SmoothOptions | None = None
    encode: EncodeOptions = field(default_factory=EncodeOptions)

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ConfigError: Sources are not several paths, an option is out of its range, or something
                is of another type.
        """
        check_types(self)
        if self.trail_s < 0:
            raise ConfigError(f"trail is {self.trail_s} s, expected 0 or more.")

"""Labels drawn onto the photos and videos they belong to.

The workflow behind `vitpose render`. A photo gives a photo, a video a video with its own times and
sound. Decoding, drawing and encoding run side by side, and a few frames are in memory at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from itertools import chain, groupby
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.identities import NOMINAL_FPS
from vitpose_cli.labels import Labels, open_labels
from vitpose_cli.media.drawing import DrawStyle, draw_instances
from vitpose_cli.media.finding import is_video
from vitpose_cli.media.frames import Frame, FrameFailure, FrameKey, FrameSink, prefetch
from vitpose_cli.media.images import ImageSink, PictureTooLargeError
from vitpose_cli.media.source import MediaSource, open_source
from vitpose_cli.media.trails import Trails, draw_trails
from vitpose_cli.media.video import VideoOptions
from vitpose_cli.media.video_encoder import EncodeOptions
from vitpose_cli.media.video_sink import VideoSink
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.smoothing import SmoothOptions, smooth_stream
from vitpose_cli.tracking import Tracker

if TYPE_CHECKING:
    from vitpose_cli.assembly import LabelerOptions

Report = Callable[[int, "int | None"], None]
"""Takes how many frames are done and how many there are (None while unknown)."""

VIDEO_SUFFIX = ".mp4"
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png")
_DRAWING_THREADS = 2
_AHEAD = 4  # drawn frames held ready


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
            ConfigError: One is out of its range.
        """
        if self.trail_s < 0:
            raise ConfigError(f"trail is {self.trail_s} s, expected 0 or more.")


@dataclass(frozen=True, slots=True)
class Summary:
    """What was drawn.

    Attributes:
        output: The file or folder.
        num_frames: Photos and video frames drawn.
        num_failed: Frames that could not be read, or are too large for their format.
        num_left_out: Frames without labels.
        seconds: Wall time.
    """

    output: Path
    num_frames: int
    num_failed: int
    num_left_out: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self) | {"output": str(self.output)}


def render(options: RenderOptions, report: Report, say: Callable[[str], None]) -> Summary:
    """Draw the labels of every labelled frame.

    Args:
        options: What to do.
        report: Told after every frame.
        say: Takes a sentence for the user.

    Raises:
        ConfigError: Options that cannot be meant.
        InputError: Sources, annotations or output cannot be used.
        WeightsError: The sources are to be labelled first, and weights cannot be used.
    """
    started = monotonic()
    annotations = options.annotations or _annotated(options, report, say)
    labels = open_labels(annotations)
    taken = options.video or _labelled_frames(labels)
    source = open_source(options.sources, video=taken)
    if labels.media.isdisjoint(source.media):
        _check_readable(source)
        raise InputError(
            f"{annotations} has no labels for {source.media[0]} or anything else in "
            f"{' '.join(options.sources)}.",
            f"It names {min(labels.media, default='nothing')}; give the same sources as when it "
            "was made.",
        )
    targets = _Targets(options, source, taken or VideoOptions())
    skip = _Unlabelled(labels)
    total = source.expected
    num_frames = num_failed = 0
    for _, group in groupby(source.frames(skip), key=_clip):
        readable = _Readable(group)
        first = next(readable, None)
        if first is not None:
            drawn = _drawn(chain([first], readable), labels, options)
            with closing(drawn), targets.sink(first.key) as sink:
                for frame in drawn:
                    try:
                        sink.write(replace(frame, key=targets.key(frame.key)))
                    except PictureTooLargeError as error:
                        say(error.message)
                        num_failed += 1
                        continue
                    num_frames += 1
                    report(num_frames, total)
        num_failed += readable.num_failed
    return Summary(targets.output, num_frames, num_failed, skip.num_met, monotonic() - started)


def _check_readable(source: MediaSource) -> None:
    """Raise with its reason if the first frame cannot be read, so that nothing was labelled."""
    first = next(source.frames(), None)
    if isinstance(first, FrameFailure):
        raise InputError(f"{first.key.media}: {first.error}")


def _annotated(options: RenderOptions, report: Report, say: Callable[[str], None]) -> Path:
    """Label the sources, or what is missing of them, in the usual run folder; return it."""
    # Only here, so that drawing labels which exist does not wait for the network's libraries.
    from vitpose_cli.annotate import AnnotateOptions, annotate, default_run
    from vitpose_cli.assembly import LabelerOptions

    run = default_run(options.sources)
    labeler = options.labeler or LabelerOptions()
    wanted = AnnotateOptions(options.sources, run, labeler, video=options.video)
    try:
        annotate(wanted, report, say)
    except ConfigError as error:
        if not run.is_dir():
            raise
        raise ConfigError(
            error.message, f"--annotations {run} draws the labels that are there."
        ) from error
    return run


def _labelled_frames(labels: Labels) -> VideoOptions | None:
    """Return which frames of videos were labelled, if the labels tell."""
    chosen: dict[str, Any] = {}
    for one in fields(VideoOptions):
        value = labels.options.get(one.name)
        if isinstance(value, int | float):
            chosen[one.name] = value
    return VideoOptions(**chosen) if chosen else None


class _Unlabelled(Container[FrameKey]):
    """The frames to pass over, as a source wants to be told.

    Attributes:
        num_met: How many there were so far.
    """

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self.num_met = 0

    def __contains__(self, key: object) -> bool:
        if key in self._labels:
            return False
        if isinstance(key, FrameKey) and key.index < 0 and key.media in self._labels.media:
            return False  # a video that has labelled frames
        self.num_met += 1
        return True


class _Readable(Iterator[Frame]):
    """The frames that could be read.

    Attributes:
        num_failed: How many could not, so far.
    """

    def __init__(self, frames: Iterable[Frame | FrameFailure]) -> None:
        self._frames = iter(frames)
        self.num_failed = 0

    def __next__(self) -> Frame:
        for frame in self._frames:
            if isinstance(frame, Frame):
                return frame
            self.num_failed += 1
        raise StopIteration


class _Targets:
    """Where drawn photos and videos go.

    Attributes:
        output: The one file, or the folder of all.
    """

    def __init__(self, options: RenderOptions, source: MediaSource, taken: VideoOptions) -> None:
        """Decide between a file and a folder.

        Raises:
            ConfigError: A video is to be written as something else than MP4.
            InputError: The sources would be overwritten.
        """
        self._encode = options.encode
        self._source = source
        self._taken = taken
        only = source.path(source.media[0]) if len(source.media) == 1 else None
        if options.output is None:
            stem = only.stem if only else source.root.name
            self.output = Path(f"{stem}-pose{_suffix(only) if only else ''}")
        else:
            self.output = options.output
        self._one_file = bool(only and self.output.suffix and not self.output.is_dir())
        if self._one_file and only:
            if is_video(only) != (self.output.suffix.lower() == VIDEO_SUFFIX):
                raise ConfigError(
                    f"{only} cannot be drawn into {self.output}.",
                    "A video gives an .mp4 file, a photo a .jpg or .png.",
                )
            if self.output.exists() and only.exists() and self.output.samefile(only):
                raise InputError(f"{self.output} is the source.", "Give the output another name.")
        elif self.output.resolve() == source.root.resolve():
            raise InputError(
                f"The drawn copies would overwrite the sources in {source.root}.",
                "Choose another output folder with -o.",
            )

    def key(self, key: FrameKey) -> FrameKey:
        """Return the name that a frame has in its sink."""
        return FrameKey(self.output.name) if self._one_file else key

    def sink(self, key: FrameKey) -> AbstractContextManager[FrameSink]:
        """Open the sink of a frame and of those that belong with it."""
        if key.index < 0:
            return closing(ImageSink(self.output.parent if self._one_file else self.output))
        path = self.output
        if not self._one_file:
            name = key.media if key.media.endswith(VIDEO_SUFFIX) else key.media + VIDEO_SUFFIX
            path = self.output / name
            path.parent.mkdir(parents=True, exist_ok=True)
        source_video = self._source.path(key.media)
        return VideoSink(path, self._encode, source_video=source_video, taken=self._taken)


def _suffix(path: Path) -> str:
    """Return the suffix of the drawn copy of a photo or video."""
    if is_video(path):
        return VIDEO_SUFFIX
    return path.suffix if path.suffix.lower() in PHOTO_SUFFIXES else PHOTO_SUFFIXES[0]


def _clip(frame: Frame | FrameFailure) -> str | None:
    """Return what the frames of one video share; all photos share one value."""
    return frame.key.media if frame.key.index >= 0 else None


@dataclass(frozen=True, slots=True)
class _Job:
    """A frame to draw on, and what to draw."""

    frame: Frame
    people: Instances
    trails: Mapping[int, NDArray[np.float32]]


def _drawn(
    frames: Iterable[Frame], labels: Labels, options: RenderOptions
) -> Generator[Frame, None, None]:
    """Yield the drawn copies of photos, or of the frames of one video."""
    draw = partial(_draw, keypoint_set=labels.keypoint_set, options=options)
    jobs = _jobs(frames, labels, options)
    return prefetch(draw, jobs, num_threads=_DRAWING_THREADS, ahead=_AHEAD)


def _jobs(frames: Iterable[Frame], labels: Labels, options: RenderOptions) -> Iterator[_Job]:
    """Bring frames and people together; those in videos get identities, if they have none."""
    tracker = Tracker(labels.keypoint_set.sigmas)
    trails = Trails(options.trail_s)
    smooth: Iterator[tuple[FrameKey, Instances]] | None = None
    for frame in frames:
        if frame.key.index < 0:
            yield _Job(frame, labels.people(frame.key), {})
            continue
        time_s = frame.key.index / NOMINAL_FPS if frame.time_s is None else frame.time_s
        if options.smooth is None:
            people = _identified(tracker, time_s, labels.people(frame.key))
        else:
            smooth = smooth or _smoothed(frame.key.media, labels, options.smooth)
            people = next(people for key, people in smooth if key == frame.key)
        yield _Job(frame, people, trails.update(time_s, people) if options.trail_s else {})


def _smoothed(
    media: str, labels: Labels, options: SmoothOptions
) -> Iterator[tuple[FrameKey, Instances]]:
    """Yield the people of all labelled frames of one video, smoothed."""
    tracker = Tracker(labels.keypoint_set.sigmas)
    keys: deque[FrameKey] = deque()

    def frames() -> Iterator[tuple[float, Instances]]:
        for key, time_s, people in labels.video(media):
            keys.append(key)
            yield time_s, _identified(tracker, time_s, people)

    for people in smooth_stream(frames(), options):
        yield keys.popleft(), people


def _identified(tracker: Tracker, time_s: float, people: Instances) -> Instances:
    if people.track_ids is not None:
        return people
    return replace(people, track_ids=tracker.update(time_s, people))


def _draw(job: _Job, *, keypoint_set: KeypointSet, options: RenderOptions) -> Frame:
    """Draw one frame. Runs in several threads."""
    image = job.frame.image
    canvas = np.zeros_like(image) if options.skeleton_only else image
    if job.trails:
        canvas = draw_trails(canvas, job.trails, options.style.line_scale)
    canvas = draw_instances(canvas, job.people, keypoint_set, options.style)
    if options.side_by_side:
        canvas = np.hstack([image, canvas])
    return replace(job.frame, image=canvas)

"""Labels drawn onto the photos and videos they belong to.

The workflow behind `vitpose render`. A photo gives a photo, a video a video with its own times and
sound. Decoding, drawing and encoding run side by side, and a few frames are in memory at a time.

Videos without labels are labelled and drawn in one pass, so that the network works beside the
encoder and nothing is decoded twice. Two passes are made where one would not do: smoothing looks
ahead, a run that was begun earlier has labels of frames that are gone by, and photos and large
videos would take gigabytes while they wait for their chunk's labels.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, fields, replace
from itertools import chain, groupby
from math import prod
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from vitpose_cli.annotate.notices import FAILURES_SHOWN
from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.labels import Labels, open_labels
from vitpose_cli.media.frames import Frame, FrameFailure, FrameKey
from vitpose_cli.media.images import PictureTooLargeError
from vitpose_cli.media.source import open_source
from vitpose_cli.media.video import VideoOptions
from vitpose_cli.media.video_reader import open_reader
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.progress import Report
from vitpose_cli.records.as_documented import as_documented
from vitpose_cli.records.folder import has_run, known_roots, stored_manifest
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.stated_sizes import check_size
from vitpose_cli.render.drawn_files import DrawnFiles
from vitpose_cli.render.drawn_frames import Look, drawn_frames
from vitpose_cli.render.labelled_frames import FramePeople, Unlabelled, with_people
from vitpose_cli.render.options import RenderOptions
from vitpose_cli.tracking.identities import with_track_ids

if TYPE_CHECKING:
    from vitpose_cli.annotate.labelling import Labelled

ONE_PASS_PIXELS = 2_500_000
"""Largest frames of a video that is labelled and drawn in one pass: 80 of them take 600 MB."""


@dataclass(frozen=True, slots=True)
class RenderSummary:
    """What was drawn.

    Attributes:
        output: The file or folder.
        num_frames: Photos and video frames drawn.
        num_failed: Frames that could not be read, have another size than was labelled, or are too
            large for their format.
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


def render(options: RenderOptions, report: Report, say: Callable[[str], None]) -> RenderSummary:
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
    if options.annotations is not None:
        with closing(open_labels(options.annotations)) as labels:
            taken = options.video or _video_options(labels)
            return _Rendering(options, taken, options.annotations, report, say).draw(
                labels, options.annotations
            )
    # Only here, so that drawing labels which exist does not wait for the network's libraries.
    from vitpose_cli.annotate.labelling import annotate, annotate_along, default_run
    from vitpose_cli.annotate.options import AnnotateOptions
    from vitpose_cli.assembly import LabelerOptions

    labeler = options.labeler or LabelerOptions()
    run = default_run(options.sources)
    besides = stored_manifest(run).document if has_run(run) else {}
    wanted = AnnotateOptions(
        options.sources,
        run,
        labeler,
        video=options.video,
        track=besides.get("track", True),
        smooth=besides.get("smooth", False),
    )
    rendering = _Rendering(options, options.video, run, report, say)
    if rendering.takes_one_pass(run):
        with closing(annotate_along(wanted, report, say)) as labelled:
            summary = rendering.draw_along(labelled, run)
        if summary.num_frames:
            return summary
    else:
        try:
            annotate(wanted, report, say)
        except ConfigError as error:
            if not run.is_dir():
                raise
            hint = f"--annotations {run} draws the labels that are there."
            raise ConfigError(error.message, hint) from error
    with closing(open_labels(run)) as labels:
        return rendering.draw(labels, run)


class _Rendering:
    """Sources that are being drawn."""

    def __init__(
        self,
        options: RenderOptions,
        taken: VideoOptions | None,
        annotations: Path,
        report: Report,
        say: Callable[[str], None],
    ) -> None:
        """Find the sources and a place for their copies.

        Args:
            options: What to do.
            taken: Which frames of videos are drawn.
            annotations: Where labels come from; a run says what its names are relative to.
            report: Told after every frame.
            say: Takes a sentence for the user.

        Raises:
            ConfigError, InputError: See `render`.
        """
        self._options = options
        self._taken = taken or VideoOptions()
        self._source = open_source(options.sources, video=taken, roots=known_roots(annotations))
        self._targets = DrawnFiles(
            options.output,
            self._source,
            options.encode,
            self._taken,
            of_folder=any(map(os.path.isdir, options.sources)),
        )
        self._look = Look(
            options.style, options.skeleton_only, options.side_by_side, options.trail_s
        )
        self._report = report
        self._say = say
        self._started = monotonic()
        self._num_frames = 0
        self._num_failed = 0
        self._num_left_out = 0

    def takes_one_pass(self, run: Path) -> bool:
        """Return whether to draw while labelling; `run` is where the labels will be.

        A run's document counts identities on from video to video in the order of their names, so
        that one pass must come by them in that order.
        """
        media = self._source.media
        return (
            self._options.smooth is None
            and not run.exists()
            and self._source.videos == media == tuple(sorted(media))
            and all(map(self._is_small, media))
        )

    def _is_small(self, media: str) -> bool:
        """Return whether a video's frames may wait in memory; one that cannot be read has none."""
        with suppress(InputError), closing(open_reader(self._source.path(media))) as reader:
            return prod(reader.size_wh) <= ONE_PASS_PIXELS
        return True

    def draw(self, labels: Labels, annotations: Path) -> RenderSummary:
        """Draw labels that are there.

        Args:
            labels: What to draw.
            annotations: Where they come from.

        Raises:
            InputError: See `render`.
        """
        options, source = self._options, self._source
        videos = frozenset(source.videos)
        unlabelled = Unlabelled(labels.keys, videos)
        drawn = frozenset(media for media in source.media if FrameKey(media) not in unlabelled)
        if not drawn:
            self._check_any_readable()
            raise InputError(
                f"{annotations} has no labels for {source.media[0]} or anything else in "
                f"{' '.join(options.sources)}.",
                f"It names {min(labels.keys.media, default='nothing')}; give the same sources as "
                "when it was made.",
            )
        self._targets.check_apart(drawn)
        skip = Unlabelled(labels.keys, videos)
        total = source.expected
        usable = self._usable(source.frames(skip), labels, annotations)
        labelled = with_people(usable, labels, options.smooth)

        def report() -> None:
            num_done = self._num_frames + self._num_failed
            self._report(num_done, total, self._num_failed)

        self._write(labelled, labels.keypoint_set, report)
        self._num_left_out = skip.num_met
        if not self._num_frames and not self._num_failed:
            raise self._nothing_drawn(annotations)
        return self._summary()

    def _check_any_readable(self) -> None:
        """Look at the first frame, where nothing is labelled.

        Raises:
            InputError: It cannot be read, or no frame is taken at all.
        """
        first = next(self._source.frames(), None)
        if first is None:
            raise self._nothing_between()
        if isinstance(first, FrameFailure):
            raise InputError(f"{first.key.media}: {first.error}")

    def _nothing_drawn(self, annotations: Path) -> InputError:
        """Return the error that says why no frame was drawn, though none had failed."""
        if self._taken.start_s or self._taken.end_s is not None:
            return self._nothing_between()
        return InputError(
            f"No frame of {' '.join(self._options.sources)} that is taken is labelled in "
            f"{annotations}.",
            "Without --every, --fps and --max-frames, those that were labelled are taken.",
        )

    def _nothing_between(self) -> InputError:
        """Return the error that says that no labelled frame is shown in the time to be drawn."""
        start, end = f"--start {self._taken.start_s:g} s", f"--end {self._taken.end_s or 0:g} s"
        where = f"at or after {start}"
        if self._taken.end_s is not None:
            where = f"between {start} and {end}" if self._taken.start_s else f"before {end}"
        return InputError(f"No labelled frame of {' '.join(self._options.sources)} lies {where}.")

    def draw_along(self, labelled: Iterator[Labelled], run: Path) -> RenderSummary:
        """Draw videos while they are labelled.

        Args:
            labelled: Frames of videos and their records.
            run: Where the records are journaled, so that its manifest is there with the first.

        Raises:
            InputError: See `render`.
        """
        for first in labelled:
            keypoint_set = KeypointSet.from_category(stored_manifest(run).keypoint_set)
            people = self._identified(chain([first], labelled), keypoint_set)
            self._write(people, keypoint_set, lambda: None)
        return self._summary()

    def _identified(
        self, labelled: Iterable[Labelled], keypoint_set: KeypointSet
    ) -> Iterator[FramePeople]:
        """Yield what could be labelled, with ids, boxes and keypoints of the run's document."""
        frames: deque[Frame | None] = deque()

        def records() -> Iterator[FrameRecord]:
            for frame, record in labelled:
                frames.append(frame)
                yield record

        for record in with_track_ids(records(), keypoint_set.sigmas):
            frame, people = frames.popleft(), as_documented(record).instances
            if frame is None or people is None:
                self._num_left_out += 1
            else:
                yield frame, people

    def _usable(
        self, frames: Iterable[Frame | FrameFailure], labels: Labels, annotations: Path
    ) -> Iterator[Frame]:
        """Yield the frames that could be read, and have the size of what was labelled."""
        is_said = False
        num_unread = 0
        for frame in frames:
            if isinstance(frame, FrameFailure):
                self._num_failed += 1
                num_unread += 1
                if num_unread <= FAILURES_SHOWN:
                    self._say(f"{frame.key}: {frame.error}")
                continue
            try:
                stated_wh = labels.size_wh(frame.key)
                check_size(frame.key, frame.size_wh, stated_wh, annotations)
            except InputError as error:
                self._num_failed += 1
                if not is_said:
                    self._say(f"{error.message} Neither it nor others like it are drawn.")
                    is_said = True
                continue
            yield frame

    def _write(
        self,
        labelled: Iterable[FramePeople],
        keypoint_set: KeypointSet,
        report: Callable[[], None],
    ) -> None:
        """Draw frames and write them, each video into a file of its own."""
        for video, group in groupby(labelled, key=lambda each: each[0].key.video):
            drawn = drawn_frames(group, keypoint_set, self._look)
            with closing(drawn), self._targets.sink(video) as sink:
                for frame in drawn:
                    try:
                        sink.write(replace(frame, key=self._targets.key(frame.key)))
                    except PictureTooLargeError as error:
                        self._say(error.message)
                        self._num_failed += 1
                        continue
                    self._num_frames += 1
                    report()

    def _summary(self) -> RenderSummary:
        return RenderSummary(
            self._targets.output,
            self._num_frames,
            self._num_failed,
            self._num_left_out,
            monotonic() - self._started,
        )


def _video_options(labels: Labels) -> VideoOptions | None:
    """Return which frames of videos were labelled, if the labels tell."""
    chosen: dict[str, Any] = {}
    for one in fields(VideoOptions):
        value = labels.options.get(one.name)
        if isinstance(value, int | float):
            chosen[one.name] = value
    return VideoOptions(**chosen) if chosen else None

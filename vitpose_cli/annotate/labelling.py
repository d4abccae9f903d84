"""From sources to a run folder: label what is missing, journal every frame, write the document.

The workflow behind `vitpose annotate`. What is done is read from the journal; what was under way
when a run was stopped is done again as a whole chunk, so that the same crops share a batch and the
document comes out byte for byte as that of a run nobody stopped.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from time import monotonic
from typing import TypeVar

from vitpose_cli.annotate.frame_pictures import FramePictures
from vitpose_cli.annotate.new_manifest import labeler_of_run, located, new_manifest, roots_of_names
from vitpose_cli.annotate.notices import (
    say_what_came_late,
    say_what_failed,
    say_what_is_empty,
    say_what_is_new,
    say_what_was_kept,
    say_what_was_seen,
)
from vitpose_cli.annotate.options import AnnotateOptions
from vitpose_cli.annotate.outages import through_outages
from vitpose_cli.annotate.summary import AnnotateSummary
from vitpose_cli.annotate.video_ends import with_ends
from vitpose_cli.annotate.worker_part import WorkerPart
from vitpose_cli.assembly import Assembly, assemble
from vitpose_cli.errors import InputError
from vitpose_cli.files import fitted_name
from vitpose_cli.labeler import Labeler
from vitpose_cli.media.copies import CopySink
from vitpose_cli.media.extracted import ExtractedFrames
from vitpose_cli.media.frames import AllBut, Frame, FrameKey
from vitpose_cli.media.marks import PREVIEW, RUN_SUFFIX
from vitpose_cli.media.places import is_there
from vitpose_cli.media.remote import without_secrets
from vitpose_cli.media.source import MediaSource, open_source
from vitpose_cli.models.boxes_file import BoxesFile
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.progress import Report
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run
from vitpose_cli.runtime import num_reader_threads, resolve_device
from vitpose_cli.tracking.smoothed_labels import for_document

Labelled = tuple[Frame | None, FrameRecord]
"""A record, and the frame it is of; None where that failed."""

Result = TypeVar("Result")


def default_run(sources: Sequence[str]) -> Path:
    """Return the run folder of sources that were given without one: `./NAME.vitpose`.

    NAME is that of the first source: the folder or file itself, the folder that a glob or braces
    look into, or a list file without its ending. Several files of one folder are named after it,
    as they are what a shell makes of a glob; but the root of a disk has no name.
    """
    first = sources[0]
    if first.startswith("@"):
        return Path(fitted_name(Path(first[1:]).stem, RUN_SUFFIX))
    path = Path(without_secrets(first))
    while any(sign in path.name for sign in "*?[{") and not is_there(path):
        path = path.parent
    if len(sources) > 1 and all(map(os.path.isfile, sources)):
        folders = {Path(each).parent for each in sources}
        if len(folders) == 1 and (folder := folders.pop()).resolve().name:
            path = folder
    name = path.resolve().name if path.name in ("", "..") else path.name
    return Path(fitted_name(name, RUN_SUFFIX))


def annotate(
    options: AnnotateOptions, report: Report, say: Callable[[str], None]
) -> AnnotateSummary:
    """Label every frame that the run folder does not have yet; write the document.

    Args:
        options: What to do.
        report: Told after every frame.
        say: Takes a sentence for the user.

    Raises:
        ConfigError: Options that cannot be meant, or a run folder made with others.
        InputError: Sources or run folder cannot be used.
        WeightsError: Weights or detector cannot be used.
    """
    summary = annotate_part(options, report, say)
    say_what_came_late(summary.num_missing, summary.missing_of, say)
    return summary


def annotate_part(
    options: AnnotateOptions, report: Report, say: Callable[[str], None]
) -> AnnotateSummary:
    """Do what `annotate` does, for a caller who knows of the other workers what they miss.

    Raises:
        VitposeError: As `annotate`.
    """
    return run_through(annotate_along(options, report, say, with_frames=False))


def annotate_along(
    options: AnnotateOptions,
    report: Report,
    say: Callable[[str], None],
    *,
    with_frames: bool = True,
) -> Generator[Labelled, None, AnnotateSummary]:
    """Do what `annotate` does while the caller goes along, and yield every frame it works on.

    A frame is in the journal before it is yielded. A caller that stops in between leaves the run
    as an interruption does.

    Args:
        options: What to do.
        report: Told after every frame.
        say: Takes a sentence for the user.
        with_frames: Yield the frames themselves, not their records alone. About 80 frames of a
            video are then in memory.

    Raises:
        VitposeError: As `annotate`.
    """
    started = monotonic()
    source, assembly = prepare(options)
    say_what_is_empty(options.sources, say)
    if assembly.advice:
        say(assembly.advice)
    with (
        Run.open(
            options.run,
            located(new_manifest(options, assembly), options, source),
            overwrite=options.overwrite,
            refresh=options.refresh,
            worker=options.worker,
        ) as run,
        _pictures(options, source, assembly.estimator.keypoint_set) as pictures,
    ):
        say_what_is_new(run, say)
        part = WorkerPart(source, run, options.worker)
        latest: list[Frame] = []

        def take(frame: Frame, record: FrameRecord) -> None:
            latest[:] = [frame]
            if pictures is not None:
                decided = _labelled(run, frame.key) if frame.key in run.reviewed() else None
                pictures(frame, record if decided is None else decided)

        wanted = with_frames or pictures is not None
        labeler = new_labeler(options, assembly, take if wanted else None)
        if run.fresh():
            labeler.trust()

        def label(skip: Container[FrameKey]) -> Iterator[FrameRecord]:
            return with_ends(labeler.label(source.frames(skip)), source)

        num_new = 0
        for record in through_outages(lambda: part.label_missing(label, report), say):
            num_new += 1
            yield (latest.pop() if record.error is None and latest else None), record
        if pictures is not None:
            _write_what_lacks(pictures, part, say)
        summary = conclude(options, part, say)
    return replace(summary, num_new=num_new, seconds=monotonic() - started)


def prepare(options: AnnotateOptions) -> tuple[MediaSource, Assembly]:
    """Open what is to be labelled and load what is to label it; nothing is written.

    Raises:
        VitposeError: As `annotate`.
    """
    num_threads = num_reader_threads(resolve_device(options.labeler.device))
    source = open_source(
        options.sources,
        num_threads=num_threads,
        video=options.video,
        max_pixels=options.max_pixels,
        roots=roots_of_names(options),
    )
    if options.extract_to is not None:
        _check_apart(source, options.extract_to)
    assembly = assemble(labeler_of_run(options), source.expected)
    if isinstance(assembly.detector, BoxesFile):
        assembly.detector.check(source.media)
    return source, assembly


def run_through(steps: Generator[object, None, Result]) -> Result:
    """Take all steps of some work and return what comes of it."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result


def new_labeler(
    options: AnnotateOptions,
    assembly: Assembly,
    on_frame: Callable[[Frame, FrameRecord], None] | None = None,
) -> Labeler:
    """Return what labels frames as `options` say."""
    return Labeler(
        assembly.detector,
        assembly.estimator,
        assembly.weights_hash,
        on_frame=on_frame,
        detect_every=options.labeler.detect_every,
    )


@contextmanager
def _pictures(
    options: AnnotateOptions, source: MediaSource, keypoint_set: KeypointSet
) -> Iterator[FramePictures | None]:
    """Give who writes the pictures that are wanted; None for none."""
    drawn = CopySink(options.run / PREVIEW) if options.preview else None
    if options.extract_to is None:
        yield FramePictures(drawn, None, keypoint_set) if drawn else None
        return
    with closing(ExtractedFrames(options.extract_to, source, options.worker[0])) as plain:
        yield FramePictures(drawn, plain, keypoint_set)


def _write_what_lacks(
    pictures: FramePictures, part: WorkerPart, say: Callable[[str], None]
) -> None:
    """Write the pictures that frames labelled by an earlier call lack, through outages."""

    def write() -> Iterator[FrameKey]:
        return pictures.write_what_lacks(
            part.own(part.run.done()),
            lambda wanted: part.source.frames(AllBut(wanted)),
            partial(_labelled, part.run),
            say,
        )

    for _ in through_outages(write, say):
        pass  # each is written when it comes


def _labelled(run: Run, key: FrameKey) -> FrameRecord | None:
    """Return the record of a frame; None where it is not labelled."""
    record = run.record(key)
    return None if record is None or record.instances is None else record


def conclude(
    options: AnnotateOptions, part: WorkerPart, say: Callable[[str], None]
) -> AnnotateSummary:
    """Write the document, if no other worker is still to come; say what a user should know.

    Returns:
        The state of the run; what this call did is not in it.
    """
    source, run = part.source, part.run
    say_what_was_seen(source, say)
    if options.smooth and not source.videos:
        say("There is no video among the sources, so --smooth changes nothing.")
    if run.manifest.generation > 1:
        say_what_was_kept(run, say)
    if not run.complete():
        return _unfinished(part)
    written = run.export(for_document, options.num_shards)
    say_what_failed(written.failures, say)
    missing = part.unseen_by_others()
    count = options.worker[1]
    frames = run.done(retry_errors=False)  # with those that a person rejected
    return AnnotateSummary(
        run=options.run,
        annotations=written.annotations,
        num_frames=len(frames),
        num_new=0,
        num_people=written.num_instances,
        num_failed=written.num_failures,
        seconds=0.0,
        **_kinds(frames),
        num_missing=missing.total(),
        missing_of=tuple(f"{number}/{count}" for number in sorted(missing)),
    )


def _check_apart(source: MediaSource, folder: Path) -> None:
    """Refuse to write frames where photos and videos lie that are to be labelled.

    Raises:
        InputError: They do. What lies in a folder round it is searched without its frames.
    """
    inside = folder.resolve()
    resolved = cache(Path.resolve)  # of folders: a million photos have few
    for path, media in ((source.path(media), media) for media in source.media):
        place = path.resolve() if path.is_symlink() else resolved(path.parent)
        if place.is_relative_to(inside):
            raise InputError(
                f"Frames cannot be extracted to {folder}: what is to be labelled lies there, "
                f"such as {media}.",
                "Choose a folder apart from the sources.",
            )


def _unfinished(part: WorkerPart) -> AnnotateSummary:
    """Return what a worker's part has come to while others are not done yet."""
    run = part.run
    done = list(part.own(run.fresh(retry_errors=False)))
    num_failed = len(done) - sum(1 for _ in part.own(run.fresh()))
    return AnnotateSummary(
        run=run.path,
        annotations=None,
        num_frames=len(done),
        num_new=0,
        num_people=None,
        num_failed=num_failed,
        seconds=0.0,
        **_kinds(done),
        num_missing=None,
        missing_of=(),
    )


def _kinds(keys: Iterable[FrameKey]) -> dict[str, int]:
    """Return how many of some frames are photos, and of how many videos the others are."""
    frames_of = Counter(key.video for key in keys)
    num_photos = frames_of.pop(None, 0)
    return {"num_photos": num_photos, "num_videos": len(frames_of)}

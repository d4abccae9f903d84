"""A pool of Ray actors that label blocks of frames, each actor in a process of its own.

The driver gives blocks out and takes records back in the order of the blocks, whatever the order
in which they come. What a dead worker had is given to another. Ray's own retries of tasks were
refused: it sends them to the same actor again and again.

Ray itself is handed in by `distributed`, which connects to a cluster.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vitpose_cli.annotate.labelling import new_labeler
from vitpose_cli.annotate.new_manifest import new_manifest
from vitpose_cli.annotate.options import AnnotateOptions
from vitpose_cli.annotate.outages import wait_out
from vitpose_cli.annotate.video_ends import with_ends
from vitpose_cli.assembly import LabelerOptions, assemble
from vitpose_cli.errors import ConfigError, InputError, VitposeError, in_short
from vitpose_cli.labeler import Labeler
from vitpose_cli.media.finding import FoundMedia
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.media.source import MediaSource
from vitpose_cli.media.storage import StorageGoneError
from vitpose_cli.models.boxes_file import BoxesFile
from vitpose_cli.models.catalog import is_catalog_name
from vitpose_cli.records.manifest import RunManifest
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.runtime import num_reader_threads, resolve_device

BLOCKS_AHEAD = 2
"""Blocks that an actor holds: one that it labels, one that waits."""

JOBS_IN_WINDOW = 8
"""For each worker, blocks between the oldest that is not done and the newest that is dealt."""

MAX_TRIES = 3
"""A block during which this many workers died is recorded as failed: it may be what kills them."""

_MAX_RESTARTS = 100  # of one actor; who dies more often does not work at all
_PATIENCE_S = 20.0


@dataclass(slots=True)
class Job:
    """A block of frames on its way.

    Attributes:
        found: The files.
        skip: Frames of videos among them that are done.
        trusted: Whether the same weights have labelled something in this run.
        num_tries: How many workers died while they had it.
        records: What came of it; None until then.
    """

    found: FoundMedia
    skip: frozenset[FrameKey]
    trusted: bool
    num_tries: int = 0
    records: list[FrameRecord] | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """What an actor says of itself once it has loaded everything."""

    manifest: RunManifest
    advice: str


class _Annotator:
    """Labels blocks of frames. Lives in a process of its own, as a Ray actor."""

    def __init__(self, options: AnnotateOptions, num_frames: int | None) -> None:
        self._options = options
        self._num_frames = num_frames
        self._labeler: Labeler | None = None
        self._ready: Ready | None = None

    def prepare(self, media: Sequence[str] | None = None) -> Ready:
        """Load everything; `media` are the names that a boxes file must know some of."""
        assembly = assemble(self._options.labeler, self._num_frames)
        if media is not None and isinstance(assembly.detector, BoxesFile):
            assembly.detector.check(media)
        self._labeler = new_labeler(self._options, assembly)
        self._ready = Ready(new_manifest(self._options, assembly), assembly.advice)
        return self._ready

    def wait_out(self, outage: StorageGoneError) -> Ready:
        """Wait until this machine can read again what it could not; see `outages.wait_out`."""
        assert self._ready is not None
        wait_out(outage, lambda _: None)
        return self._ready

    def label(
        self, found: FoundMedia, skip: frozenset[FrameKey], trusted: bool
    ) -> list[FrameRecord]:
        """Label the frames of a block; see `Job`."""
        assert self._labeler is not None
        if trusted:
            self._labeler.trust()
        source = MediaSource(
            found,
            num_threads=num_reader_threads(resolve_device(self._options.labeler.device)),
            video=self._options.video,
            max_pixels=self._options.max_pixels,
        )
        return list(with_ends(self._labeler.label(source.frames(skip)), source))


@dataclass(slots=True, eq=False)
class _Worker:
    """An actor, seen from the driver.

    Attributes:
        actor: The handle.
        jobs: What it has to do, by the promise of each.
        waking: The promise that it is ready (again); None while it works.
        is_cut_off: Whether it waits for storage.
    """

    actor: Any
    jobs: dict[Any, Job] = field(default_factory=dict)
    waking: Any = None
    is_cut_off: bool = False


class ActorPool:
    """The actors of one run.

    Attributes:
        num_workers: How many there are, dead or alive.
    """

    def __init__(
        self,
        ray: Any,
        options: AnnotateOptions,
        source: MediaSource,
        *,
        gpus_per_worker: float | None = None,
        num_workers: int | None = None,
    ) -> None:
        """Ask for actors; they begin to load everything when the pool starts.

        Args:
            ray: The library, connected to a cluster.
            options: What to label with, and which frames.
            source: All photos and videos.
            gpus_per_worker: Of each actor, also fractions; None takes 1 where the cluster has GPUs.
            num_workers: Actors; None takes as many as the cluster has room for.
        """
        resources = ray.cluster_resources()
        gpus = gpus_per_worker
        if gpus is None:
            gpus = 1.0 if resources.get("GPU", 0) else 0.0
        room = resources.get("GPU", 0) / gpus if gpus else resources.get("CPU", 1)
        self.num_workers = num_workers or max(1, int(room))
        self._ray = ray
        self._needs = f"{gpus:g} GPU{'' if gpus == 1 else 's'} and 1 CPU" if gpus else "1 CPU"
        self._names = source.media if options.labeler.boxes is not None else None
        factory = ray.remote(
            num_cpus=1,
            num_gpus=gpus,
            max_restarts=_MAX_RESTARTS,
            scheduling_strategy="SPREAD",
        )(_Annotator)
        everywhere = replace(options, labeler=_absolute(options.labeler))
        self._workers = [
            _Worker(factory.remote(everywhere, source.expected)) for _ in range(self.num_workers)
        ]
        self._first: Ready | None = None
        self._again: deque[Job] = deque()

    def start(self, say: Callable[[str], None]) -> Ready:
        """Wait until one actor is ready; the others join when they are.

        Raises:
            VitposeError: What it met.
            InputError: All of them died.
        """
        for place, worker in enumerate(self._workers):
            self._wake(worker, self._names if place == 0 else None)
        while self._first is None:
            self._listen(say)
        return self._first

    def stop(self) -> None:
        """End the actors."""
        for worker in self._workers:
            self._ray.kill(worker.actor)

    def label(self, jobs: deque[Job], say: Callable[[str], None]) -> Iterator[FrameRecord]:
        """Yield the records of all jobs, in the order of the jobs.

        Raises:
            VitposeError: What a worker met.
            InputError: All of them died.
        """
        window: deque[Job] = deque()
        while jobs or window:
            self._deal(jobs, window)
            self._listen(say)
            while window and window[0].records is not None:
                yield from window.popleft().records or ()

    def _deal(self, jobs: deque[Job], window: deque[Job]) -> None:
        """Give every worker something to do, as long as there is room in the window."""
        for num_held in range(BLOCKS_AHEAD):
            for worker in self._workers:
                if worker.waking is not None or len(worker.jobs) > num_held:
                    continue
                if self._again:
                    job = self._again.popleft()
                elif jobs and len(window) < JOBS_IN_WINDOW * self.num_workers:
                    job = jobs.popleft()
                    window.append(job)
                else:
                    return
                worker.jobs[worker.actor.label.remote(job.found, job.skip, job.trusted)] = job

    def _listen(self, say: Callable[[str], None]) -> None:
        """Wait for one thing to happen."""
        owners = {promise: worker for worker in self._workers for promise in worker.jobs}
        owners |= {worker.waking: worker for worker in self._workers if worker.waking is not None}
        if not owners:
            raise InputError(
                "All workers died, again and again.",
                "The same command goes on; look into Ray's logs for what kills them.",
            )
        ready, _ = self._ray.wait(list(owners), num_returns=1, timeout=_PATIENCE_S)
        if not ready:
            if all(each.waking is not None and not each.is_cut_off for each in self._workers):
                say(f"Waiting for Ray to find room for a worker ({self._needs}).")
            return
        worker, promise = owners[ready[0]], ready[0]
        try:
            answer = self._ray.get(promise)
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, StorageGoneError) and promise != worker.waking:
                self._let_wait(worker, promise, cause, say)
                return
            if isinstance(cause, StorageGoneError) and self._workers[1:]:
                self._dismiss(worker, cause, say)
                return
            raise cause if isinstance(cause, VitposeError) else error from error
        except self._ray.exceptions.RayError as error:
            self._bury(worker, promise, error)
            return
        if promise == worker.waking:
            if worker.is_cut_off:
                say("A worker can read again and goes on.")
            worker.waking, worker.is_cut_off = None, False
            self._welcome(answer)
        else:
            worker.jobs.pop(promise).records = answer

    def _welcome(self, ready: Ready) -> None:
        """Take a worker into the pool, unless it would label otherwise than the first."""
        self._first = self._first or ready
        ours, theirs = self._first.manifest, ready.manifest
        if (ours.options, ours.weights_hash) != (theirs.options, theirs.weights_hash):
            raise ConfigError(
                f"Workers differ: {dict(ours.options)} with weights {ours.weights_hash}, but "
                f"{dict(theirs.options)} with {theirs.weights_hash}.",
                "Give --precision, and put the same weights on every machine.",
            )

    def _let_wait(
        self, worker: _Worker, promise: Any, outage: StorageGoneError, say: Callable[[str], None]
    ) -> None:
        """Give a job of a worker that cannot read it to others, until it can."""
        self._again.append(worker.jobs.pop(promise))
        if worker.waking is None:
            say(f"{outage.message} A worker waits until it is back.")
            worker.waking, worker.is_cut_off = worker.actor.wait_out.remote(outage), True

    def _dismiss(
        self, worker: _Worker, outage: StorageGoneError, say: Callable[[str], None]
    ) -> None:
        """Let a worker go that waited in vain; others may read what it cannot."""
        say(f"{outage.message} A worker waited for it in vain and ends; the others go on.")
        self._workers.remove(worker)
        self._again.extend(worker.jobs.values())
        self._ray.kill(worker.actor)

    def _bury(self, worker: _Worker, promise: Any, error: Exception) -> None:
        """Take back what a dead worker had, for others."""
        if promise == worker.waking and not worker.is_cut_off:  # it will not be started again
            self._workers.remove(worker)
            return
        jobs = deque(worker.jobs.values())
        worker.jobs.clear()
        self._wake(worker)
        if jobs:  # none where it waited for storage
            oldest = jobs.popleft()  # only that was under way
            oldest.num_tries += 1
            if oldest.num_tries < MAX_TRIES:
                self._again.append(oldest)
            else:
                died = f"{MAX_TRIES} workers died of it: {in_short(error)}"
                oldest.records = _given_up(oldest, died)
        self._again.extend(jobs)

    def _wake(self, worker: _Worker, names: Sequence[str] | None = None) -> None:
        # Without an end, as it waits for a restart; that has one.
        call = worker.actor.prepare.options(max_task_retries=-1)
        worker.waking, worker.is_cut_off = call.remote(names), False


def _given_up(job: Job, error: str) -> list[FrameRecord]:
    """Return a failure for each photo of a job, or for the video."""
    source = MediaSource(job.found, num_threads=1)
    keys = [*source.keys(), *(FrameKey(video, 0) for video in source.videos)]
    return [FrameRecord(key, error=error) for key in keys]


def _absolute(options: LabelerOptions) -> LabelerOptions:
    """Return options whose files are found from any working folder."""

    def found(name: str) -> str:
        return str(Path(name).absolute()) if Path(name).exists() else name

    return replace(
        options,
        weights=options.weights if is_catalog_name(options.weights) else found(options.weights),
        detector=options.detector and found(options.detector),
        boxes=options.boxes and options.boxes.absolute(),
    )

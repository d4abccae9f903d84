"""One run over a Ray cluster: blocks of frames to a pool of actors, one journal here.

The driver lists the sources and deals blocks to the actors (`actor_pool`), which send records back;
the driver alone opens the run folder, so that only it needs the disk. A block of photos is whole
chunks of the labeler, a video is one block. Blocks are written in the order of the listing: the
journal is that of a single process at every moment, and any way of running goes on with it.

Ray Data was refused: it owns the loop, and a second run over half of the frames is not its idea of
a data set.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

from vitpose_cli.annotate.actor_pool import BLOCKS_AHEAD, ActorPool, Job
from vitpose_cli.annotate.labelling import conclude
from vitpose_cli.annotate.new_manifest import labeler_of_run, located, roots_of_names
from vitpose_cli.annotate.notices import say_what_is_empty, say_what_is_new
from vitpose_cli.annotate.options import AnnotateOptions
from vitpose_cli.annotate.summary import AnnotateSummary
from vitpose_cli.annotate.worker_part import WorkerPart
from vitpose_cli.annotate.workers import ALONE, blocks
from vitpose_cli.errors import ConfigError, in_short
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.media.source import MediaSource, open_source
from vitpose_cli.progress import Report
from vitpose_cli.ranges import check_types
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run

CHUNKS_IN_BLOCK = 8
"""Chunks of photos that an actor gets at once, so that it can read ahead; fewer for small sets."""


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """Which cluster, and how much of it.

    Attributes:
        address: `auto` for the cluster that this machine belongs to, `local` for one that is
            started for this run alone, else `HOST:PORT` or `ray://HOST:PORT`.
        gpus_per_worker: Of each actor, also fractions; None takes 1 where the cluster has GPUs.
        num_workers: Actors; None takes as many as the cluster has room for.
    """

    address: str
    gpus_per_worker: float | None = None
    num_workers: int | None = None

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ConfigError: Something is of another type.
        """
        check_types(self)


def annotate_on_cluster(
    cluster: ClusterOptions, options: AnnotateOptions, report: Report, say: Callable[[str], None]
) -> AnnotateSummary:
    """Label on a Ray cluster; else as `labelling.annotate`.

    Raises:
        ConfigError: Ray is not installed, there is no cluster, or options cannot be meant there.
        VitposeError: As `annotate`.
    """
    started = monotonic()
    if options.worker != ALONE:
        raise ConfigError("--ray and --worker exclude each other.", "Give one of them.")
    if options.preview or options.extract_to is not None:
        raise ConfigError(
            "With --ray no pictures are written.", "Draw them afterwards with `vitpose render`."
        )
    source = open_source(
        options.sources,
        video=options.video,
        max_pixels=options.max_pixels,
        roots=roots_of_names(options),
    )
    say_what_is_empty(options.sources, say)
    with _connected(cluster.address) as ray:
        pool = ActorPool(
            ray,
            replace(options, labeler=labeler_of_run(options)),
            source,
            gpus_per_worker=cluster.gpus_per_worker,
            num_workers=cluster.num_workers,
        )
        try:
            ready = pool.start(say)
            manifest = replace(ready.manifest, weights_name=options.labeler.weights)
            manifest = located(manifest, options, source)
            if ready.advice:
                say(ready.advice)
            with Run.open(
                options.run, manifest, overwrite=options.overwrite, refresh=options.refresh
            ) as run:
                say_what_is_new(run, say)

                def label(skip: Container[FrameKey]) -> Iterator[FrameRecord]:
                    return pool.label(_jobs(source, run, skip, pool.num_workers), say)

                part = WorkerPart(source, run)
                num_new = sum(1 for _ in part.label_missing(label, report))
                summary = conclude(options, part, say)
        finally:
            pool.stop()
    return replace(summary, num_new=num_new, seconds=monotonic() - started)


def _jobs(source: MediaSource, run: Run, skip: Container[FrameKey], num_workers: int) -> deque[Job]:
    """Deal what `skip` does not hold, in the order of the listing."""
    num_chunks = len(blocks(source, skip)) // (2 * BLOCKS_AHEAD * num_workers)
    dealt = blocks(source, skip, max(1, min(num_chunks, CHUNKS_IN_BLOCK)))
    trusted = bool(run.fresh())
    done: dict[str, set[FrameKey]] = {}
    for key in run.fresh(retry_errors=False):
        if key.video is not None and key in skip:
            done.setdefault(key.video, set()).add(key)
    return deque(
        Job(
            source.part(key.media for key in block),
            frozenset(done.get(block[0].media, ())),
            trusted,
        )
        for block in dealt
    )


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Connect to a cluster; yield the library.

    Raises:
        ConfigError: It is not installed, or there is no cluster.
    """
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            "--ray needs the package ray, which is not installed.",
            'Install it on every machine: pip install "vitpose-cli[ray]".',
        ) from error
    with redirect_stdout(sys.stderr):  # where Ray prints what it has to say, up to its end
        _join(ray, address)
        try:
            yield ray
        finally:
            ray.shutdown()


def _join(ray: Any, address: str) -> None:
    on_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) if on_main else None
    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"There is no Ray cluster at {address!r}: {in_short(error)}",
            "Start one with `ray start --head`, or use --ray local.",
        ) from error
    if on_main:
        signal.signal(signal.SIGTERM, before)  # Ray puts its own there

"""One worker's part of a run: which frames it has, and labelling those that have no labels yet.

How parts are dealt is in `workers`, what of them need not be read again in `resume`. Who labels
the frames, this process or a cluster, is up to the caller.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Container, Iterable, Iterator, Set
from dataclasses import replace
from itertools import count

from vitpose_cli.annotate.resume import finished, unseen
from vitpose_cli.annotate.workers import ALONE, Outside, owners, share
from vitpose_cli.labeler import CHUNK_FRAMES
from vitpose_cli.media.frames import AllBut, FrameKey
from vitpose_cli.media.source import MediaSource
from vitpose_cli.progress import Report
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run


class WorkerPart:
    """The photos and videos that one worker labels.

    Attributes:
        source: All photos and videos, also those of other workers.
        run: Takes the records.
    """

    def __init__(self, source: MediaSource, run: Run, worker: tuple[int, int] = ALONE) -> None:
        """Take the part of worker k of n.

        Args:
            source: All photos and videos.
            run: Opened by this worker.
            worker: (k, n), k from 1.
        """
        self.source = source
        self.run = run
        self._worker = worker
        self._media = share(source, worker)

    def own(self, keys: Iterable[FrameKey]) -> Iterator[FrameKey]:
        """Yield those frames that lie in this part."""
        return (key for key in keys if key.media in self._media)

    def unseen_by_others(self) -> Counter[int]:
        """Count the photos and videos of other parts that nobody has worked on, by worker k.

        Where the others are done, these came after them.
        """
        lacking = [key for key in unseen(self.source, self.run) if key.media not in self._media]
        if not lacking:  # as nearly always
            return Counter()
        owner = owners(self.source, self._worker[1])
        return Counter(owner[key.media] for key in lacking)

    def label_missing(
        self,
        label: Callable[[Container[FrameKey]], Iterable[FrameRecord]],
        report: Report,
    ) -> Iterator[FrameRecord]:
        """Label what the run lacks, then try again what failed before; yield what was written.

        What failed before and is not there any more (a photo that was deleted, an archive or video
        that was mended) is forgotten. A video that cannot be read on, though all that came of it is
        labelled, is a failure at the first frame that is missing.

        Args:
            label: Labels the frames of the source whose keys are not in what it is given, and tells
                where videos end (`video_ends`).
            report: Told after every frame.

        Raises:
            InputError: A record cannot be written.
        """
        source, run = self.source, self.run
        recorded, labelled = run.fresh(retry_errors=False), run.fresh()
        failed_before = frozenset(recorded - labelled) if run.num_failed else frozenset()
        total = source.expected_of(self._media)
        num_done = sum(1 for _ in self.own(recorded))
        failing = set(self.own(failed_before))
        gone = set(failed_before)
        report(num_done, total, len(failing))
        again = _LabelledAgain(run)
        for skip in self._passes(gone):
            for record in _placed(label(Outside(self._media, skip)), labelled):
                if record.ended_after is not None:
                    run.append_end(record)
                    continue
                gone.discard(record.key)
                if record.key in labelled:
                    again.hold(record)
                else:
                    again.write_before(record)
                    run.append(record)
                    num_done += record.key not in failed_before
                    (failing.discard if record.error is None else failing.add)(record.key)
                    report(num_done, total, len(failing))
                    yield record
        others = set(source.media).difference(self._media)
        run.forget_failures(key for key in gone if key.media not in others)

    def _passes(self, unmet: Set[FrameKey]) -> Iterator[Container[FrameKey]]:
        """Yield what to skip in each pass: first what is finished, then all but what is left.

        Args:
            unmet: A live view of what failed in earlier calls and was not read again by this one.
                The first pass comes by some of it, as it reads videos with failures.
        """
        yield finished(self.source, self.run)
        if unmet:
            yield AllBut(frozenset(unmet))


class _LabelledAgain:
    """Labels of a chunk of video that was done when the video ended, and goes on now.

    Its crops share batches with those of the new frames, as they do in a run over the whole file,
    so that its labels may have other last decimals. Where no new frame comes they stay as they are.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._held: deque[FrameRecord] = deque(maxlen=CHUNK_FRAMES)

    def hold(self, record: FrameRecord) -> None:
        """Take a record of a frame that the run has labels for."""
        if record.error is None and record.key.video is not None:
            self._held.append(record)

    def write_before(self, new: FrameRecord) -> None:
        """Write what was held of the video of a new frame, where a model said otherwise before.

        Raises:
            InputError: A record cannot be written.
        """
        if new.error is not None and self._held and self._held[-1].key.media == new.key.media:
            return  # that is the end, or the next will come
        while self._held:
            record = self._held.popleft()
            if record.key.media == new.key.media and record.key not in self._run.reviewed():
                before = self._run.record(record.key)
                if before is not None and before.version != record.version:
                    self._run.append(record)


def _placed(records: Iterable[FrameRecord], labelled: Set[FrameKey]) -> Iterator[FrameRecord]:
    """Yield the records, and failures of videos that came to no end once more where frames lack.

    A frame that was labelled before may fail when it is read again, which does not matter as long
    as the others come. Where nothing comes behind it, it is the only word of what is missing.
    """
    broken: dict[str, FrameRecord] = {}
    for record in records:
        if record.error is None or record.key.video is None:
            yield record
            continue
        broken.pop(record.key.media, None)
        if record.ended_after is None and record.key in labelled:
            broken[record.key.media] = record
        yield record
    for record in broken.values():
        keys = (FrameKey(record.key.media, index) for index in count(record.key.index))
        yield replace(record, key=next(key for key in keys if key not in labelled))

"""Corrections from another program become a person's records in a run.

Every frame is decided upon before the first one is written. A frame is compared with the labels
that it was exported from, also where other ones count by now: only what somebody changed in them is
a correction. Nothing is taken from a person who labelled a frame here meanwhile: such frames are
listed as conflicts, unless the file was exported from that very state, is of the same person who
went on, or brings only what the run has known before, which changes nothing. A frame that the file
does not have stays as it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal

from vitpose_cli.errors import InputError
from vitpose_cli.formats.corrections import CorrectedFrame, Corrections
from vitpose_cli.formats.frame_names import FrameBetweenError, FrameNames
from vitpose_cli.formats.identities import (
    Known,
    have_identities,
    kept_identities,
    known_identities,
    num_changed,
    numbered_as_in_run,
    without_identities,
    written_identities,
)
from vitpose_cli.formats.import_options import ImportOptions
from vitpose_cli.formats.import_summary import LABELLED_SINCE, Decision, ImportSummary, Outcome
from vitpose_cli.formats.people import Comparison, Differences, compare_people
from vitpose_cli.formats.undone import undoes
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.progress import Report
from vitpose_cli.records.history import histories
from vitpose_cli.records.keypoint_threshold import versions_apart
from vitpose_cli.records.record import FrameRecord, Review
from vitpose_cli.records.run import Run
from vitpose_cli.records.run_document import Finish
from vitpose_cli.records.run_options import choice_of_frames
from vitpose_cli.records.shards import lacks_edits

Read = Callable[[Path, Sequence[str]], Corrections]
"""Reads a file of another program, given the names of the run's keypoints."""


def import_corrections(
    folder: Path,
    path: Path,
    read: Read,
    options: ImportOptions,
    finish: Finish,
    report: Report,
) -> ImportSummary:
    """Bring the corrections in a file into a run, and write its document anew.

    Args:
        folder: The run; text will do.
        path: The file; text will do.
        read: Reads it.
        options: How to do it.
        finish: What is to be done with the records on their way into the document.
        report: Told after every frame of the file how many are decided, and how many there are.

    Raises:
        InputError: File or run cannot be used, somebody edits the run just now, or the file has
            nobody in any frame, which is more likely a mistake than meant.
    """
    folder, path = Path(folder), Path(path)
    with Run.read(folder) if options.dry_run else Run.edit(folder) as run:
        keypoint_set = KeypointSet.from_category(run.manifest.keypoint_set)
        corrections = read(path, keypoint_set.names)
        if not options.force and not any(frame.people for frame in corrections.frames):
            raise InputError(
                f"Nobody is in any of the {len(corrections.frames)} frames of {path}.",
                "With --force everybody is removed from these frames of the run.",
            )
        judge = _Judge(run, corrections, keypoint_set, options, finish)
        decisions = judge.decide(report)
        records = [each.record for each in decisions if each.record is not None]
        if not options.dry_run and (records or lacks_edits(folder)):
            run.append(*records)
            run.export(finish)
        num_matched = sum(each.outcome not in ("unmatched", "between") for each in decisions)
        return ImportSummary(
            decisions,
            corrections.num_ignored,
            corrections.num_left_behind,
            len(run) - num_matched,
            judge.num_identities_lost,
            corrections.other_labels,
            corrections.repeated,
            corrections.overruled,
            choice_of_frames(run.manifest.options),
        )


class _Judge:
    """Decides what becomes of each frame of a file.

    Attributes:
        num_identities_lost: See `ImportSummary`.
    """

    def __init__(
        self,
        run: Run,
        corrections: Corrections,
        keypoint_set: KeypointSet,
        options: ImportOptions,
        finish: Finish,
    ) -> None:
        self.num_identities_lost = 0
        self._run = run
        self._finish = finish
        self._corrections = corrections
        self._sigmas = keypoint_set.sigmas
        self._options = options
        self._now_s = round(time.time(), 3)

    def decide(self, report: Report) -> list[Decision]:
        """Return a decision for each frame of the file, in its order.

        Args:
            report: See `import_corrections`.
        """
        decisions: list[Decision] = []
        later: dict[FrameKey, tuple[int, CorrectedFrame]] = {}
        frames = self._corrections.frames
        names = FrameNames(
            self._run.done(retry_errors=False),
            lambda: ((record.key, _marks(record)) for record in self._run.records()),
            lambda key: _marks(self._run.record(key)),
            self._options.video,
            without_folders=self._corrections.without_folders,
        )
        keys = names.find_all(frames)
        if have_identities(frames):
            frames = self._with_identities(frames, keys)
        for number, (frame, key) in enumerate(zip(frames, keys, strict=True)):
            report(number - len(later), len(frames))
            try:
                if isinstance(key, LookupError):
                    raise key
                decision = self._decision(key, frame)
            except LookupError as error:
                if frame.people:
                    is_between = isinstance(error, FrameBetweenError)
                    outcome: Outcome = "between" if is_between else "unmatched"
                    decisions.append(Decision(frame.name, outcome, str(error)))
                continue
            if decision is None:
                later[key] = len(decisions), frame
            decisions.append(decision or Decision(frame.name, "unchanged"))
        past_of = histories(self._run.path, later)
        for number, (key, past) in enumerate(past_of, len(frames) - len(later)):
            report(number, len(frames))
            place, frame = later[key]
            decisions[place] = self._decision_by_past(key, frame, past)
        report(len(frames), len(frames))
        return decisions

    def _with_identities(
        self, frames: Sequence[CorrectedFrame], keys: Sequence[FrameKey | LookupError]
    ) -> Sequence[CorrectedFrame]:
        """Return frames whose people have identities as the run has, where it keeps them."""
        found = {key for key in keys if isinstance(key, FrameKey)}
        kept = kept_identities(self._run.json_records(found))
        known = kept
        if not kept.keys() >= found:  # the document has them all the same
            known = self._written_identities(found)
        pairs = [*zip(keys, frames, strict=True)]
        if self._corrections.own_track_ids:
            pairs = [*zip(keys, numbered_as_in_run(pairs, known), strict=True)]
        videos = {key.media for key in kept}
        lost = {
            place
            for place, key in enumerate(keys)
            if isinstance(key, LookupError)
            or (key not in kept and not (key.media in videos and self._is_empty(key)))
        }
        self.num_identities_lost = num_changed([pairs[place] for place in lost], known)
        return [
            without_identities(frame) if place in lost else frame
            for place, (_, frame) in enumerate(pairs)
        ]

    def _written_identities(self, keys: Set[FrameKey]) -> Known:
        """Return who is who in some frames, as the document of the run has it or would have it."""
        with suppress(InputError):
            written = written_identities(self._run.path)
            if written.keys() >= keys and any(written.values()):
                return written
        # Following people takes several times as long as reading who they were found to be.
        return known_identities(self._finish(self._run.manifest, self._run.records()), keys)

    def _is_empty(self, key: FrameKey) -> bool:
        record = self._run.record(key)
        return record is not None and not record.uids

    def _compare(
        self, record: FrameRecord, frame: CorrectedFrame, *, names_first: bool = True
    ) -> Comparison:
        found = self._corrections
        return compare_people(
            record,
            frame,
            self._sigmas,
            found.tolerance_px,
            tells_hidden=found.tells_hidden,
            missing_at_origin=found.missing_at_origin,
            names_first=names_first,
        )

    def _decision(self, key: FrameKey, frame: CorrectedFrame) -> Decision | None:
        """Return what becomes of a frame that the run has; None where its past has to tell.

        Raises:
            LookupError: It is a frame of another size.
        """
        record = self._run.record(key)
        size_wh = None if record is None else record.size_wh or frame.size_wh
        if record is None or size_wh is None:
            raise LookupError("the run could not read it, and the file does not say its size")
        if frame.size_wh not in (None, size_wh):
            raise LookupError(
                f"it is {_shown(frame.size_wh)} px in the file and {_shown(size_wh)} in the run"
            )
        comparison = self._compare(record, frame)
        if comparison.differences.same:
            return self._as_it_was(record, record, comparison.differences)
        if frame.version == record.version:
            return self._corrected(record, record, comparison, size_wh)
        return None

    def _decision_by_past(
        self, key: FrameKey, frame: CorrectedFrame, past: Sequence[FrameRecord]
    ) -> Decision:
        """Return what becomes of a frame that is not as it is in the run, nor exported from that.

        Args:
            key: The frame.
            frame: What came back.
            past: Every record of it.
        """
        record = self._run.record(key)
        assert record is not None
        states = {each.version: each for each in past if each.error is None}
        line = _line(record, states)
        exported = states.get(frame.version)
        foreign = exported is None and frame.version != ""  # of another run over these photos
        if foreign:
            frame = without_identities(frame)
        base = record
        of_line = versions_apart(states[version] for version in line if version in states)
        same_uids = exported is not None or of_line == versions_apart(states.values())
        names_first = not foreign and same_uids
        if exported is not None and exported.version not in line:
            base = exported
        comparison = self._compare(base, frame, names_first=names_first)
        if comparison.differences.same:
            return self._as_it_was(record, base, comparison.differences)
        for state in states.values():
            known = self._compare(state, frame, names_first=not foreign)
            if known.differences.same:
                return self._as_it_was(record, state, known.differences)
        if record.review is not None and not self._options.force:
            start = states.get(line[-1]) if exported is None else exported
            lacks_some = base is exported
            if start is not None and not lacks_some:
                by_start = self._compare(start, frame, names_first=not foreign)
                lacks_some = undoes(start, record, by_start, comparison)
            if reason := self._conflict(record.review, lacks_some):
                return Decision(str(key), "conflict", reason)
        return self._corrected(record, base, comparison, record.size_wh or frame.size_wh)

    def _conflict(self, review: Review, lacks_some: bool) -> str:
        """Return why what a person decided is not replaced; empty where it is.

        Args:
            review: What the person decided.
            lacks_some: Whether the file lacks corrections of the person.
        """
        options = self._options
        if (review.tool, review.reviewer) != (options.tool, options.reviewer):
            return f"{review.reviewer or 'somebody'} labelled it here meanwhile"
        if lacks_some:
            return "the file lacks what was corrected in it before, under the same name"
        return ""

    def _as_it_was(self, record: FrameRecord, base: FrameRecord, same: Differences) -> Decision:
        """Return what becomes of a frame in which nothing was corrected.

        Args:
            record: The labels that count.
            base: Those that came back, possibly earlier ones.
            same: What was compared.
        """
        review = record.review
        if review is not None and base is not record:
            return Decision(str(record.key), "unchanged", LABELLED_SINCE)
        looked_at = review is not None and review.state != "draft"
        if looked_at or base.error is not None or not self._options.accept_unchanged:
            return Decision(str(record.key), "unchanged")
        accepted = replace(base, review=self._review("accepted", base), exact=True)
        by_model = record.origin == "model"
        return Decision(str(record.key), "accepted", "", accepted, same, by_model)

    def _corrected(
        self,
        record: FrameRecord,
        base: FrameRecord,
        comparison: Comparison,
        size_wh: tuple[int, int] | None,
    ) -> Decision:
        """Return that a correction is taken.

        Args:
            record: The labels that count until now.
            base: Those that were corrected, possibly earlier ones.
            comparison: What was corrected in them.
            size_wh: Of the frame, px.
        """
        fixed = FrameRecord(
            record.key,
            size_wh,
            record.time_s,
            comparison.instances,
            model=base.model,
            uids=comparison.uids,
            recognised=record.recognised,
            review=self._review("fixed", base),
        )
        return Decision(
            str(record.key),
            "changed",
            record=fixed,
            comparison=comparison.differences,
            of_model=record.origin == "model",
        )

    def _review(self, state: Literal["accepted", "fixed"], record: FrameRecord) -> Review:
        options = self._options
        return Review(state, options.reviewer, self._now_s, record.version, options.tool)


def _marks(record: FrameRecord | None) -> tuple[str, ...]:
    """Return what tells a frame apart beside its name."""
    return () if record is None else (*record.uids, record.version)


def _line(record: FrameRecord, states: Mapping[str, FrameRecord]) -> list[str]:
    """Return the versions of a record and of those that people made it from, the first one last.

    Args:
        record: The labels that count.
        states: Every record of the frame, by version.
    """
    found = [record.version]
    before: FrameRecord | None = record
    while before is not None and before.review is not None:
        previous = before.review.previous
        if previous in found:
            break
        found.append(previous)
        before = states.get(previous)
    return found


def _shown(size_wh: tuple[int, int] | None) -> str:
    return "?" if size_wh is None else f"{size_wh[0]} x {size_wh[1]}"

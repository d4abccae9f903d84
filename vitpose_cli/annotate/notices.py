"""What a user is told of a run, beyond its numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

import orjson

from vitpose_cli.media.archives import ARCHIVE_SUFFIX, PACKED_ARCHIVES
from vitpose_cli.media.kinds import DRAWN, LISTED, VIDEO_SUFFIXES
from vitpose_cli.media.marks import is_named_as_drawn
from vitpose_cli.media.named_files import where_found
from vitpose_cli.media.source import MediaSource
from vitpose_cli.plurals import counted
from vitpose_cli.records.run import Run

FAILURES_SHOWN = 3
_KINDS = frozenset({".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw", *PACKED_ARCHIVES})
UNREAD = _KINDS | {
    f"{suffix} {place}"
    for suffix in (*_KINDS, *VIDEO_SUFFIXES, ARCHIVE_SUFFIX)
    for place in ("in archives", "at URLs")
}
"""Suffixes of files that users have and we cannot read; worth a word when they are passed over."""


def say_what_is_new(run: Run, say: Callable[[str], None]) -> None:
    """Tell what a run does otherwise than before, and that its folder has another name."""
    if run.new_options:
        say("Labelling anew what nobody has reviewed:\n  " + "\n  ".join(run.new_options))
    if run.new_threshold is not None:
        before, now, removed_previews = run.new_threshold
        say(
            f"Keypoints are labelled from a score of {now:g} on (was {before:g}). All scores are "
            "in the run: nothing is looked at anew for it."
        )
        if removed_previews:
            say("Drawn copies showed the labels of before and were removed; --preview draws anew.")
        _say_how_many_stay(run, say)
    if run.renamed_from is not None:
        say(
            f"{run.renamed_from} is gone, and {run.manifest.sources[0]} has what the run labelled "
            "first there, in the same sizes: the run goes on with it."
        )


def say_what_is_empty(sources: Sequence[str], say: Callable[[str], None]) -> None:
    """Tell of folders in which there is nothing at all, as where a disk or share is not mounted."""
    for folder in map(Path, sources):
        with suppress(OSError):
            if folder.is_dir() and not any(folder.iterdir()):
                say(
                    f"{folder} is empty. If something should be mounted there, mount it and run "
                    "the same command again."
                )


def say_what_would_be_labelled(
    drawn: Path, sources: Sequence[str], say: Callable[[str], None]
) -> None:
    """Tell that what was drawn lies among what is labelled, under a name that says nothing of it.

    Args:
        drawn: A picture or video, or a folder of them.
        sources: What is labelled.
        say: Takes the sentence.
    """
    around = None if is_named_as_drawn(drawn.name) else where_found(drawn, sources)
    if around is not None:
        say(
            f"{drawn} lies in {around}: before `vitpose annotate {around}` is called again, move "
            "it away, or it is labelled, too."
        )


def say_what_was_seen(source: MediaSource, say: Callable[[str], None]) -> None:
    """Tell what a user may not expect of the photos."""
    if source.num_rotated:
        say(
            f"{counted(source.num_rotated, 'photo was', 'photos were')} turned upright by EXIF "
            "orientation; sizes and coordinates are those of the upright picture."
        )
    made = [f"{source.ignored[kind]} {kind}" for kind in (DRAWN, LISTED) if kind in source.ignored]
    if made:
        say(f"Files that vitpose itself made were passed over: {', '.join(made)}.")
    unread = {suffix: count for suffix, count in source.ignored.items() if suffix in UNREAD}
    if unread:
        passed_over = ", ".join(f"{count} {suffix}" for suffix, count in unread.items())
        say(f"Files of kinds that cannot be read were passed over: {passed_over}.")


def say_what_came_late(
    num_missing: int | None,
    workers: Sequence[str],
    say: Callable[[str], None],
    *,
    of_this_command: bool = False,
) -> None:
    """Tell of photos and videos that came after workers had dealt out what there was.

    Args:
        num_missing: How many; None where workers are still to come.
        workers: Whose parts they are in, as `k/n`.
        say: Takes the sentence.
        of_this_command: Whether the command that the user called has all parts.
    """
    if not num_missing:
        return
    came = counted(num_missing, "photo or video", "photos or videos")
    if of_this_command:
        say(f"{came} came while workers ran; the same command again labels what is missing.")
        return
    say(
        f"{came} came to parts whose workers were done: unless they run now, call them again "
        f"(--worker {' and '.join(workers)}), or --worker 1/1, which labels everything."
    )


def say_what_failed(failures: Path, say: Callable[[str], None]) -> None:
    """Tell the first reasons, so that nobody need open the list for the usual one or two."""
    with failures.open("rb") as lines:
        for failure in map(orjson.loads, islice(lines, FAILURES_SHOWN)):
            say(f"{failure['file_name']}: {failure['error']}")


def say_what_was_kept(run: Run, say: Callable[[str], None]) -> None:
    """Tell whose labels a refresh has left."""
    num_older = len(run.done()) - len(run.fresh())
    _say_how_many_stay(run, say)
    if num_older:
        say(
            f"{counted(num_older, 'frame keeps', 'frames keep')} the labels of before: what cannot "
            "be read, or is not among the sources any more."
        )


def _say_how_many_stay(run: Run, say: Callable[[str], None]) -> None:
    if num_reviewed := len(run.reviewed()):
        say(f"{counted(num_reviewed, 'reviewed frame stays', 'reviewed frames stay')} unchanged.")

"""Frames of a run found by what other programs call them.

A program may drop the suffix, put a folder in front, lose the folders, or call a video's frames
`frame_000123`. A name is therefore compared from its end, part by part, in any form of Unicode;
where two frames fit equally well none is taken, unless the people in it tell which one is meant.
Nor is one that another frame of the file has the exact name of, or may be as well.

The people also tell where a name fits a frame that they are not of, as `img.jpg` does that was
`a/img.jpg`, even if it fits exactly. Those who come in several frames of the file were copied from
one into the other: they tell nothing against a name.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from operator import itemgetter

from vitpose_cli.formats.corrections import CorrectedFrame
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.media.headers import IMAGE_SUFFIXES
from vitpose_cli.records.composed_names import ByName, composed

Marks = Iterable[str]
"""What tells a frame apart beside its name: the uids of its people, the version of its record."""

_BREAK, _AFTER_BREAK = "\0", "\1"
"""What is between the parts of a name, which no name has in it; and what sorts next after it."""

_NO_FRAME = "no frame of the run is called so"
_NUMBERED = re.compile(r"(.+)-[0-9]+")  # what FiftyOne makes of a name that comes again


class FrameBetweenError(LookupError):
    """A name is that of a frame of a video between those that the run labels."""


class FrameNames:
    """The frames of a run by name."""

    def __init__(
        self,
        keys: Iterable[FrameKey],
        all_marks: Callable[[], Iterable[tuple[FrameKey, Marks]]],
        marks_of: Callable[[FrameKey], Marks],
        video: str | None = None,
        *,
        without_folders: bool = False,
    ) -> None:
        """Take the frames.

        Args:
            keys: All frames of the run.
            all_marks: Gives all of them with their marks; looked through once, when names alone do
                not tell frames apart.
            marks_of: Gives the marks of one.
            video: Take frames of this video alone; None for all.
            without_folders: Names to be found lost their folders: an exact one tells no more than
                another with the same end.
        """
        exact = {str(key): key for key in keys if video is None or key.media == video}
        self._whole = ByName(exact)
        ends = sorted(((_end(_parts(name)), key) for name, key in exact.items()), key=itemgetter(0))
        # In order, so that those with a common end are neighbours.
        self._ends = [end for end, _ in ends]
        self._keys = [key for _, key in ends]
        self._all_marks, self._marks_of = all_marks, marks_of
        self._without_folders = without_folders
        self._frames_of: dict[str, tuple[FrameKey, ...]] | None = None

    def exact(self, name: str) -> FrameKey | None:
        """Return the frame of just this name, in any form of Unicode; None where there is none."""
        return self._whole.get(name)

    def find_all(self, frames: Sequence[CorrectedFrame]) -> list[FrameKey | LookupError]:
        """Return which frame each frame of a file is, or why it is none.

        What several claim belongs to the only one of them whose people are its own; else to the
        only one that has its exact name, else to none of them. What is none may be
        `FrameBetweenError`.

        Args:
            frames: Those of the file.
        """
        marks = [{*_uids(frame), frame.version} for frame in frames]
        counts = Counter(mark for each in marks for mark in each)
        copied = {mark for mark, count in counts.items() if count > 1}
        found: list[FrameKey | LookupError] = []
        claims: dict[FrameKey, list[int]] = defaultdict(list)
        for place, frame in enumerate(frames):
            try:
                key = self.find(frame.name, _uids(frame), frame.version, copied)
            except LookupError as error:
                found.append(error)
                continue
            found.append(key)
            claims[key].append(place)
        for key, places in claims.items():
            if len(places) == 1:
                continue
            ranks = [
                (self._has(key, marks[place]), self.exact(frames[place].name) == key)
                for place in places
            ]
            best = max(ranks)
            is_one = any(best) and ranks.count(best) == 1
            owner = places[ranks.index(best)] if is_one else None
            said = "may be" if owner is None else "is"
            for place in places:
                if place != owner:
                    rival = next(each for each in places if each != place and owner in (None, each))
                    reason = f"it comes twice: {frames[rival].name!r} {said} {key}, too"
                    found[place] = LookupError(reason)
        labelled = self._indices({key.media for key in found if isinstance(key, FrameKey)})
        for place, none in enumerate(found):
            if isinstance(none, LookupError) and _is_between(frames[place].name, labelled):
                found[place] = FrameBetweenError(*none.args)
        return found

    def find(
        self, name: str, uids: Set[str], version: str = "", copied: Set[str] = frozenset()
    ) -> FrameKey:
        """Return the frame of a name.

        Args:
            name: What a program calls it.
            uids: The people in it, as far as their names came back.
            version: That of the record it was exported from, empty where it got lost.
            copied: Names of people, and versions, that are in other frames of the file, too.

        Raises:
            LookupError: None has this name, several do, or the people in it are of another one; the
                message says which.
        """
        named = self._named(name)
        marks = {*uids, version} - {""}
        if len(named) == 1 and self._has(named[0], marks):
            return named[0]
        told = self._of(marks).intersection(named)
        others = set() if told else self._others(name, uids - copied, {version} - copied)
        if others:
            return _other(name, others, is_named=bool(named))
        if not named:
            raise LookupError(_NO_FRAME)
        # Those with the people first: they are few, and all that are called alike may be many.
        best = sorted(told) or named
        if len(best) > 1:
            suffix = _suffix(name)
            best = [key for key in best if _suffix(str(key)) == suffix] or best
        if len(best) > 1:
            examples = ", ".join(str(key) for key in best[:3])
            raise LookupError(f"it may be any of {len(best)} frames: {examples}")
        return best[0]

    def _indices(self, media: Set[str]) -> dict[str, list[int]]:
        """Return which frames the run has of some files, as far as these are videos; in order."""
        indices: dict[str, list[int]] = defaultdict(list)
        for key in self._keys:
            if key.index >= 0 and key.media in media:
                indices[key.media].append(key.index)
        return {video: sorted(each) for video, each in indices.items()}

    def _named(self, name: str) -> list[FrameKey]:
        """Return the frames whose name a name fits best, all of them equally well."""
        whole = self.exact(name)
        if whole is not None and not self._without_folders:
            return [whole]
        alike = [*self._alike(name)]
        most = max((depth for depth, _ in alike), default=0)
        return [key for depth, keys in alike if depth == most for key in keys]

    def _alike(self, name: str) -> Iterator[tuple[int, list[FrameKey]]]:
        """Yield the frames whose name ends like a name, and how many parts they share with it.

        What follows a dot may be another suffix, or belong to a name without any, as in `img.v2`.
        """
        whole, stem = _whole_parts(name), _parts(name)
        yield self._with_end(whole)
        if stem != whole:
            depth, keys = self._with_end(stem)
            suffix = _suffix(name)
            if f".{suffix}" not in IMAGE_SUFFIXES:
                keys = [key for key in keys if suffix == _suffix(str(key))]
            yield depth if keys else 0, keys

    def _with_end(self, parts: tuple[str, ...]) -> tuple[int, list[FrameKey]]:
        """Return how many parts are shared by the frames whose name and these end alike, and them.

        Theirs are the end of these, or these of theirs; where several do, those that share most.
        """
        end = _end(parts)
        start = bisect_left(self._ends, end)
        stop = bisect_left(self._ends, end + _AFTER_BREAK, start)
        depth = len(parts)
        while start == stop and depth > 1:
            depth -= 1
            end = _end(parts[:depth])
            start, stop = bisect_left(self._ends, end), bisect_right(self._ends, end)
        keys = self._keys[start:stop]
        return depth if keys else 0, keys

    def _has(self, key: FrameKey, marks: Set[str]) -> bool:
        """Return whether a frame has some of these marks."""
        return bool(marks) and not marks.isdisjoint(self._marks_of(key))

    def _of(self, marks: Set[str]) -> set[FrameKey]:
        """Return the frames that have some of these marks."""
        return {key for mark in marks for key in self._with_mark(mark)}

    def _others(self, name: str, uids: Set[str], version: Set[str]) -> set[FrameKey]:
        """Return the frames that people are of, and of no other; else the one of a version.

        A version has 32 bits, and those of many frames come again by chance: it only counts for a
        frame whose name ends alike.
        """
        found = {keys[0] for uid in uids if len(keys := self._with_mark(uid)) == 1}
        return found or {key for key in self._of(version) if _is_alike(name, key)}

    def _with_mark(self, mark: str) -> tuple[FrameKey, ...]:
        """Return the frames that have a mark."""
        if not mark:
            return ()
        if self._frames_of is None:
            self._frames_of = {}
            known = {*self._keys}
            for key, marks in self._all_marks():
                for each in marks if key in known else ():
                    self._frames_of[each] = (*self._frames_of.get(each, ()), key)
        return self._frames_of.get(mark, ())


def _uids(frame: CorrectedFrame) -> set[str]:
    """Return the names of the people in a frame, as far as they came back."""
    return {each.uid for each in frame.people if each.uid}


def _other(name: str, others: Set[FrameKey], *, is_named: bool) -> FrameKey:
    """Return the frame that people are of whom a name does not lead to.

    Args:
        name: The name.
        others: The frames that they are of.
        is_named: Whether a frame of the run is called so.

    Raises:
        LookupError: They are of several, or of one that is called otherwise.
    """
    first, *more = sorted(others)
    if not more and (not is_named or _is_alike(name, first)):
        return first
    examples = ", ".join(str(key) for key in [first, *more][:3])
    called = "" if is_named else f"{_NO_FRAME}, and "
    raise LookupError(f"{called}the people in it are of {examples}")


def _is_between(name: str, labelled: Mapping[str, Sequence[int]]) -> bool:
    """Return whether a name is that of a frame of one video between those that a run labels.

    Those behind the last one count, too, up to where the next would be.

    Args:
        name: What a program calls it.
        labelled: Which frames of each video the run has, in order.
    """
    stem, *_ = _parts(name)
    frames = (FrameKey.of_video(f"{video}/{stem}.jpg") for video in labelled)
    fitting = [frame for frame in frames if frame is not None and _is_alike(name, frame)]
    if len(fitting) != 1:
        return False
    (frame,) = fitting
    indices = labelled[frame.media]
    step = indices[-1] - indices[-2] if len(indices) > 1 else 1
    place = bisect_left(indices, frame.index)
    is_there = indices[place : place + 1] == [frame.index]
    return indices[0] < frame.index < indices[-1] + step and not is_there


def _is_alike(name: str, key: FrameKey) -> bool:
    """Return whether a name, or what it was before it was numbered, ends as that of a frame."""
    theirs = _parts(str(key))
    for parts in (_parts(name), _whole_parts(name)):
        last, *folders = parts
        numbered = _NUMBERED.fullmatch(last)
        for stem in (last, numbered[1]) if numbered else (last,):
            if all(map(str.__eq__, (stem, *folders), theirs)):
                return True
    return False


def _parts(name: str) -> tuple[str, ...]:
    """Return the parts of a name without its suffix, the last one first."""
    last, *folders = _whole_parts(name)
    stem, dot, _ = last.rpartition(".")
    return (stem if dot else last, *folders)


def _whole_parts(name: str) -> tuple[str, ...]:
    """Return the parts of a name, the last one first."""
    *folders, last = composed(name).replace("\\", "/").split("/")
    return (last, *filter(None, folders[::-1]))


def _end(parts: tuple[str, ...]) -> str:
    """Return parts, the last one of a name first, as a text that sorts as they do."""
    return _BREAK.join(parts)


def _suffix(name: str) -> str:
    return name.rpartition(".")[2].lower()

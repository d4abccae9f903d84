"""Frames of a run found by what other programs call them.

A program may drop the suffix, put a folder in front, lose the folders, or call a video's frames
`frame_000123`. A name is therefore compared from its end, part by part, in any form of Unicode;
where two frames fit equally well none is taken, unless the people in it tell which one is meant.
Nor is one that another frame of the file has the exact name of, or may be as well.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from operator import itemgetter

from vitpose_cli.formats.corrections import CorrectedFrame
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.media.headers import IMAGE_SUFFIXES
from vitpose_cli.records.composed_names import ByName, composed

People = Callable[[], Iterable[tuple[FrameKey, Iterable[str]]]]
"""Gives the frames of a run with the names of the people in each."""

_BREAK, _AFTER_BREAK = "\0", "\1"
"""What is between the parts of a name, which no name has in it; and what sorts next after it."""


class FrameNames:
    """The frames of a run by name."""

    def __init__(self, keys: Iterable[FrameKey], people: People, video: str | None = None) -> None:
        """Take the frames.

        Args:
            keys: All frames of the run.
            people: Looked through once, when names alone do not tell frames apart.
            video: Take frames of this video alone; None for all.
        """
        exact = {str(key): key for key in keys if video is None or key.media == video}
        self._whole = ByName(exact)
        ends = sorted(((_end(_parts(name)), key) for name, key in exact.items()), key=itemgetter(0))
        # In order, so that those with a common end are neighbours.
        self._ends = [end for end, _ in ends]
        self._keys = [key for _, key in ends]
        self._people = people
        self._frames_of: dict[str, tuple[FrameKey, ...]] | None = None

    def exact(self, name: str) -> FrameKey | None:
        """Return the frame of just this name, in any form of Unicode; None where there is none."""
        return self._whole.get(name)

    def find_all(self, frames: Sequence[CorrectedFrame]) -> list[FrameKey | LookupError]:
        """Return which frame each frame of a file is, or why it is none.

        What several claim belongs to the one that has its exact name, else to none of them.

        Args:
            frames: Those of the file.
        """
        found: list[FrameKey | LookupError] = []
        claims: dict[FrameKey, list[int]] = defaultdict(list)
        owners: dict[FrameKey, int] = {}
        for place, frame in enumerate(frames):
            try:
                key = self.find(frame.name, {each.uid for each in frame.people})
            except LookupError as error:
                found.append(error)
                continue
            found.append(key)
            claims[key].append(place)
            if self.exact(frame.name) is not None:
                owners.setdefault(key, place)
        for key, places in claims.items():
            owner = owners.get(key)
            said = "may be" if owner is None else "is"
            for place in places if len(places) > 1 else ():
                if place != owner:
                    rival = next(each for each in places if each != place and owner in (None, each))
                    reason = f"it comes twice: {frames[rival].name!r} {said} {key}, too"
                    found[place] = LookupError(reason)
        return found

    def find(self, name: str, uids: Set[str]) -> FrameKey:
        """Return the frame of a name.

        Args:
            name: What a program calls it.
            uids: The people in it, as far as their names came back.

        Raises:
            LookupError: None has this name, or several do; the message says which.
        """
        whole = self.exact(name)
        if whole is not None:
            return whole
        alike = [*self._alike(name)]
        most = max((depth for depth, _ in alike), default=0)
        best = [key for depth, keys in alike if depth == most for key in keys]
        if len(best) > 1:
            suffix = _suffix(name)
            told = self._of_people(uids).intersection(best)
            # Those with the people first: they are few, and all that are called alike may be many.
            fitting = [key for key in sorted(told) if _suffix(str(key)) == suffix]
            if not fitting:
                fitting = [key for key in best if _suffix(str(key)) == suffix] or best
            best = [key for key in fitting if key in told] or fitting
        if not best:
            raise LookupError("no frame of the run is called so")
        if len(best) > 1:
            examples = ", ".join(str(key) for key in best[:3])
            raise LookupError(f"it may be any of {len(best)} frames: {examples}")
        return best[0]

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

    def _of_people(self, uids: Set[str]) -> set[FrameKey]:
        """Return the frames that have some of these people."""
        if not uids:
            return set()
        if self._frames_of is None:
            self._frames_of = {}
            for key, names in self._people():
                for uid in names:
                    self._frames_of[uid] = (*self._frames_of.get(uid, ()), key)
        return {key for uid in uids for key in self._frames_of.get(uid, ())}


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

"""Frames of a run found by what other programs call them.

A program may drop the suffix, put a folder in front, lose the folders, or call a video's frames
`frame_000123`. A name is therefore compared from its end, part by part, in any form of Unicode;
where two frames fit equally well none is taken, unless the people in it tell which one is meant.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Set

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.composed_names import ByName, composed


class FrameNames:
    """The frames of a run by name."""

    def __init__(self, keys: Iterable[FrameKey], video: str | None = None) -> None:
        """Take the frames.

        Args:
            keys: All frames of the run.
            video: Take frames of this video alone; None for all.
        """
        exact: dict[str, FrameKey] = {}
        self._by_stem: dict[str, list[FrameKey]] = defaultdict(list)
        for key in keys:
            if video is None or key.media == video:
                exact[str(key)] = key
                self._by_stem[_parts(str(key))[0]].append(key)
        self._whole = ByName(exact)
        self._video: str | None = None  # that people told last

    def find(self, name: str, uids: Set[str], known: Callable[[FrameKey], Set[str]]) -> FrameKey:
        """Return the frame of a name.

        Args:
            name: What a program calls it.
            uids: The people in it, as far as their names came back.
            known: Gives the names of the people in a frame of the run.

        Raises:
            LookupError: None has this name, or several do; the message says which.
        """
        whole = self._whole.get(name)
        if whole is not None:
            return whole
        parts = _parts(name)
        shared = {
            key: depth
            for key in self._by_stem.get(parts[0], ())
            if (depth := _shared_tail(parts, _parts(str(key))))
        }
        most = max(shared.values(), default=0)
        best = [key for key, depth in shared.items() if depth == most]
        if len(best) > 1:
            best = [key for key in best if _suffix(str(key)) == _suffix(name)] or best
        if len(best) > 1:
            best = self._with_people(best, uids, known) or best
        if not best:
            raise LookupError("no frame of the run is called so")
        if len(best) > 1:
            examples = ", ".join(str(key) for key in best[:3])
            raise LookupError(f"it may be any of {len(best)} frames: {examples}")
        return best[0]

    def _with_people(
        self, keys: Iterable[FrameKey], uids: Set[str], known: Callable[[FrameKey], Set[str]]
    ) -> list[FrameKey]:
        """Return the frames that have some of these people.

        A file's frames are mostly of one video. That of the frame before is therefore looked at
        first, and the others only where these people are not in it.
        """
        if not uids:
            return []
        first = [key for key in keys if key.video is not None and key.video == self._video]
        for some in (first, keys):
            found = [key for key in some if uids & known(key)]
            if found:
                break
        if len(found) == 1:
            self._video = found[0].video
        return found


def _parts(name: str) -> tuple[str, ...]:
    """Return the parts of a name without its suffix, the last one first."""
    *folders, last = composed(name).replace("\\", "/").split("/")
    stem, dot, _ = last.rpartition(".")
    return (stem if dot else last, *filter(None, folders[::-1]))


def _suffix(name: str) -> str:
    return name.rpartition(".")[2].lower()


def _shared_tail(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    """Return how many parts two names share if one is the end of the other, else 0."""
    depth = min(len(a), len(b))
    return depth if a[:depth] == b[:depth] else 0

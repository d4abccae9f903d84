"""Frames that have labels, found by either form of their key: in a video, or extracted from it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.composed_names import extracted_frame, plain


class LabelledKeys:
    """The keys that labels know, to be asked for by those that a source knows.

    Photos and videos are found in other forms of their names, too (`composed_names`).

    Attributes:
        media: Names of the photos and videos, also of videos whose extracted frames are there.
    """

    def __init__(self, labelled: Collection[FrameKey]) -> None:
        """Take the frames; no second set of them is made of a dictionary by key."""
        self._labelled = labelled
        self._sorted = sorted(labelled)
        self._extracted: dict[str, list[FrameKey]] = defaultdict(list)
        for key in self._sorted:
            frame = extracted_frame(key.media) if key.video is None else None
            if frame is not None:
                self._extracted[frame.media].append(key)
        self.media = frozenset(key.media for key in self._sorted) | self._extracted.keys()
        self._forms = {
            form: media for media in sorted(self.media) if (form := plain(media)) != media
        }

    def find(self, key: FrameKey) -> FrameKey | None:
        """Return the key that the labels have for a frame; None where it has no labels."""
        for own in (key, key.other_form):
            if own in self._labelled:
                return own
        other = extracted_frame(key.media) if key.video is None else key.other_form
        for own in (key, other):
            if own is not None:
                called = FrameKey(self._called(own.media), own.index)
                if called in self._labelled:
                    return called
        return None

    def has_media(self, media: str) -> bool:
        """Return whether a photo or video, or an extracted frame of it, is among the keys."""
        return self._called(media) in self.media

    def of_media(self, media: str) -> list[tuple[FrameKey, FrameKey]]:
        """Return the frames of a photo or video, in order: as it has them, and as the labels do."""
        name = self._called(media)
        first = bisect_left(self._sorted, name, key=_media)
        last = bisect_right(self._sorted, name, lo=first, key=_media)
        found = {FrameKey(media, key.index): key for key in self._sorted[first:last]}
        for photo in self._extracted.get(name, ()):
            frame = extracted_frame(photo.media)
            if frame is not None:
                found.setdefault(FrameKey(media, frame.index), photo)
        return sorted(found.items())

    def _called(self, media: str) -> str:
        """Return the form of a name that the labels have; its plain form where they have none."""
        form = plain(media)
        return media if media in self.media else self._forms.get(form, form)


def _media(key: FrameKey) -> str:
    return key.media

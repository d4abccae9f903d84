"""Frames that have labels, found by either form of their key: in a video, or extracted from it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.composed_names import plain

_FRAMES, _AFTER_FRAMES = "/frame_", "/frame_:"  # what sorts around the names of extracted frames


class LabelledKeys:
    """The keys that labels know, to be asked for by those that a source knows.

    Attributes:
        media: Names of the photos and videos, also of videos whose extracted frames are there.
    """

    def __init__(self, labelled: Collection[FrameKey]) -> None:
        """Take the frames; no second set of them is made of a dictionary by key."""
        self._labelled = labelled
        self._sorted = sorted(labelled)
        photos = [key for key in self._sorted if key.video is None]
        forms = ((plain(key.media), key) for key in photos)
        self._forms = {form: key for form, key in forms if form != key.media}
        extracted_of = {frame.media for key in photos if (frame := key.other_form) is not None}
        self.media = frozenset(key.media for key in self._sorted) | extracted_of

    def find(self, key: FrameKey) -> FrameKey | None:
        """Return the key that the labels have for a frame; None where it has no labels.

        Photos are found in other forms of their names, too (`composed_names`).
        """
        for own in (key, key.other_form):
            if own in self._labelled:
                return own
        if key.video is not None:
            return None
        form = FrameKey(plain(key.media))
        return self._forms.get(form.media, form if form in self._labelled else None)

    def of_media(self, media: str) -> list[tuple[FrameKey, FrameKey]]:
        """Return the frames of a photo or video, in order: as it has them, and as the labels do."""
        first = bisect_left(self._sorted, media, key=_media)
        last = bisect_right(self._sorted, media, lo=first, key=_media)
        found = {key: key for key in self._sorted[first:last]}
        first = bisect_left(self._sorted, media + _FRAMES, key=_media)
        last = bisect_left(self._sorted, media + _AFTER_FRAMES, lo=first, key=_media)
        for photo in self._sorted[first:last]:
            frame = photo.in_videos({media})
            if frame is not photo:
                found.setdefault(frame, photo)
        return sorted(found.items())


def _media(key: FrameKey) -> str:
    return key.media

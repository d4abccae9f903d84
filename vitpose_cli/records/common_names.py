"""What the frames of several sets of labels are called, so that they are found in each other.

The name of one photo comes in several forms (`composed_names`), and frames that were extracted from
a video are photos to some. Each set calls its frames as one before it does that has them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.composed_names import extracted_frame, plain


@dataclass(slots=True)
class CommonNames:
    """What the frames of one set are called; false where all keep their names.

    Attributes:
        videos: What the videos that any of the sets has are called, by the names that they have
            there and by the plain form of these: a photo that is named as a frame of one of them
            is that frame.
        forms: What photos and videos are called that have another form of their name elsewhere.
    """

    videos: dict[str, str] = field(default_factory=dict)
    forms: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.videos or self.forms)

    def __call__(self, key: FrameKey) -> FrameKey:
        """Return the key of a frame among those of all sets."""
        form = self.forms.get(key.media)
        common = key if form is None else FrameKey(form, key.index)
        frame = extracted_frame(common.media) if self.videos and common.index < 0 else None
        if frame is None:
            return common
        video = self.videos.get(frame.media) or self.videos.get(plain(frame.media))
        return common if video is None else FrameKey(video, frame.index)

    def add_videos(self, names: Iterable[str]) -> None:
        """Take the videos of the set, once its forms are known."""
        for name in names:
            self.videos[name] = self.forms.get(name, name)
            self.videos.setdefault(plain(name), self.videos[name])


def agree_on_forms(sets: Sequence[tuple[CommonNames, Callable[[], Iterable[str]]]]) -> None:
    """Find the forms of names that several sets have in different ones.

    A name that an earlier set has as it is stays, as do two of one set that look the same.

    Args:
        sets: What is to know the forms, and what returns the names of the set, again and again;
            those of which the names count come first.
    """
    several = {form for _, names in sets for name in names() if (form := plain(name)) != name}
    known: dict[str, list[str]] = {}
    for common, names in sets if several else ():
        own = {name: form for name in names() if (form := plain(name)) in several}
        times = Counter(own.values())
        for name, form in own.items():
            there = known.get(form, ())
            if there and name not in there and times[form] == 1:
                common.forms[name] = there[0]
        for name, form in own.items():
            known.setdefault(form, []).append(common.forms.get(name, name))

"""Frames with the people who were labelled in them, those in videos with identities.

For workflows that show a source together with its labels (`labels`). Both come in the same order,
so that neither waits in memory for the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterable, Iterator
from dataclasses import replace
from itertools import groupby

from vitpose_cli.labels import Labels
from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.pose.instances import Instances
from vitpose_cli.records.labelled_keys import LabelledKeys
from vitpose_cli.tracking.identities import Identities, frame_time_s
from vitpose_cli.tracking.smoothing import SmoothOptions, smooth_stream

FramePeople = tuple[Frame, Instances]
"""A frame and who is in it."""


class Unlabelled(Container[FrameKey]):
    """The frames to pass over, as a source wants to be told.

    Attributes:
        num_met: How many there were so far.
    """

    def __init__(self, labelled: LabelledKeys, videos: Container[str]) -> None:
        """Pass over the photos, videos and frames of which there are no labels.

        Args:
            labelled: What has labels.
            videos: Names of what the source takes for videos: labels may name frames of a photo.
        """
        self._labelled = labelled
        self._videos = videos
        self.num_met = 0

    def __contains__(self, key: object) -> bool:
        if isinstance(key, FrameKey):
            if self._labelled.find(key) is not None:
                return False
            if key.index < 0 and key.media in self._videos and self._labelled.has_media(key.media):
                return False  # a video that has labelled frames
        self.num_met += 1
        return True


def with_people(
    frames: Iterable[Frame], labels: Labels, smooth: SmoothOptions | None
) -> Iterator[FramePeople]:
    """Bring frames and people together; those in videos get identities, if they have none.

    Args:
        frames: Labelled ones, in the order of their source.
        labels: Who is in them.
        smooth: How the people of videos are smoothed, and put into short gaps; None for not.
    """
    for video, group in groupby(frames, key=lambda frame: frame.key.video):
        if video is None:
            yield from ((frame, labels.people(frame.key)) for frame in group)
        elif smooth is None:
            identities = Identities(labels.keypoint_set.sigmas)
            for frame in group:
                yield (
                    frame,
                    _identified(
                        identities, frame_time_s(frame.key, frame.time_s), labels.people(frame.key)
                    ),
                )
        else:
            smoothed = _smoothed(video, labels, smooth)
            for frame in group:
                yield frame, next(people for key, people in smoothed if key == frame.key)


def _smoothed(
    media: str, labels: Labels, options: SmoothOptions
) -> Iterator[tuple[FrameKey, Instances]]:
    """Yield the people of all labelled frames of one video, smoothed."""
    identities = Identities(labels.keypoint_set.sigmas)
    keys: deque[FrameKey] = deque()

    def frames() -> Iterator[tuple[float, Instances]]:
        for key, time_s, people in labels.video(media):
            keys.append(key)
            yield time_s, _identified(identities, time_s, people)

    for people in smooth_stream(frames(), options, media=media):
        yield keys.popleft(), people


def _identified(identities: Identities, time_s: float, people: Instances) -> Instances:
    return replace(people, track_ids=identities.identify(time_s, people))

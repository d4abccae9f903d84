"""Pictures that labelling leaves beside labels: frames with people drawn on them, or as they are.

They are written while a frame's pixels are at hand. Frames that were labelled by an earlier call
which wrote none are read once more; who wants other pictures calls `render`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import replace

from vitpose_cli.media.copies import CopySink
from vitpose_cli.media.drawing import draw_instances
from vitpose_cli.media.extracted import ExtractedFrames, NameTooLongError
from vitpose_cli.media.frames import Frame, FrameFailure, FrameKey
from vitpose_cli.media.images import PictureTooLargeError
from vitpose_cli.plurals import counted
from vitpose_cli.pose.keypoints import KeypointSet
from vitpose_cli.records.as_documented import as_documented
from vitpose_cli.records.record import FrameRecord


class FramePictures:
    """Writes drawn copies of frames, and the frames themselves, as far as they are wanted."""

    def __init__(
        self, drawn: CopySink | None, plain: ExtractedFrames | None, keypoint_set: KeypointSet
    ) -> None:
        """Write into folders.

        Args:
            drawn: Takes frames with people drawn on them; None for not.
            plain: Takes the frames themselves; None for not.
            keypoint_set: What the people have.
        """
        self._drawn = drawn
        self._plain = plain
        self._keypoint_set = keypoint_set
        self._too_large: set[FrameKey] = set()
        self._unnamed: set[FrameKey] = set()

    def __call__(self, frame: Frame, record: FrameRecord) -> None:
        """Write the pictures of one frame, with the boxes and keypoints that its document has."""
        people = as_documented(record).instances
        if self._drawn is not None and people is not None:
            image = draw_instances(frame.image, people, self._keypoint_set)
            self._write(self._drawn, replace(frame, image=image))
        if self._plain is not None:
            self._write(self._plain, frame)

    def write_what_lacks(
        self,
        done: Iterable[FrameKey],
        read: Callable[[Set[FrameKey]], Iterable[Frame | FrameFailure]],
        labelled: Callable[[FrameKey], FrameRecord | None],
        say: Callable[[str], None],
    ) -> Iterator[FrameKey]:
        """Write the pictures that frames labelled earlier lack, and tell which have none.

        Yields the key of a frame when its pictures are written.

        Args:
            done: All frames that are labelled.
            read: Yields some frames of the source, or why they cannot be read.
            labelled: Returns the record of a frame; None where there are no labels.
            say: Takes a sentence for the user.

        Raises:
            StorageGoneError: The place of a frame is gone; what was written is.
            InputError: A picture cannot be written.
        """
        left_out = self._too_large | self._unnamed
        lacking = {key for key in done if key not in left_out and self._lacks(key)}
        if lacking:
            was = counted(len(lacking), "frame was", "frames were")
            say(f"{was} labelled earlier without pictures, which are written now.")
        for frame in read(frozenset(lacking)) if lacking else ():
            if isinstance(frame, Frame) and (found := labelled(frame.key)) is not None:
                self(frame, found)
                lacking.discard(frame.key)
                yield frame.key
        if self._too_large:
            first = min(self._too_large)
            say(
                f"{counted(len(self._too_large), 'frame')}, such as {first}, "
                f"{'is' if len(self._too_large) == 1 else 'are'} labelled but too large to be "
                "written as JPEG."
            )
        if self._unnamed:
            say(
                f"{counted(len(self._unnamed), 'frame')}, such as {min(self._unnamed)}, "
                f"{'is' if len(self._unnamed) == 1 else 'are'} labelled but not extracted: names "
                "are longer than those of files may be (255 bytes)."
            )
        if lacking:
            say(
                f"{counted(len(lacking), 'frame')}, such as {min(lacking)}, cannot be read again "
                "and so cannot be written as pictures."
            )

    def _lacks(self, key: FrameKey) -> bool:
        sinks: tuple[CopySink | ExtractedFrames | None, ...] = (self._drawn, self._plain)
        return any(sink is not None and not sink.has(key) for sink in sinks)

    def _write(self, sink: CopySink | ExtractedFrames, frame: Frame) -> None:
        """Write a picture; one that fits into no format, or no folder, ends no run."""
        try:
            sink.write(frame)
        except PictureTooLargeError:
            self._too_large.add(frame.key)
        except NameTooLongError:
            self._unnamed.add(frame.key)

"""Pictures that wait until what they may build on has come out of the decoder.

Where B-frames are, a picture builds on one that is shown later, and comes out before it. Whether
that one was damaged is known only then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from vitpose_cli.media.picture import Picture

_MOST_HELD = 16
"""No decoder of H.264 or HEVC keeps more pictures to build on (ITU-T H.264, A.3.1)."""


class HeldPictures:
    """The pictures of one video between the decoder and whoever wants them."""

    def __init__(self) -> None:
        """Hold nothing."""
        self._num_given = 0
        self._places: dict[int, int] = {}  # in the order of decoding, by pts, of those not yet out
        self._held: deque[tuple[int, int, Picture]] = deque()  # pts, place, picture

    def give(self, pts: int) -> None:
        """Take note of a packet on its way to the decoder.

        Args:
            pts: When its picture is shown, in the file's ticks.
        """
        self._places[pts] = self._num_given
        self._num_given += 1

    def take(self, picture: Picture, pts: int | None) -> Iterator[Picture]:
        """Take a picture that came out, and yield those that wait for nothing more.

        Args:
            picture: The one that is shown after all that came before.
            pts: That of its packet; if it was not given, nothing is held.
        """
        place = -1 if pts is None else self._places.get(pts, -1)
        if pts is None or place < 0:
            yield from self.rest()
            yield picture
            return
        self._held.append((pts, place, picture))
        # Pictures come out as they are shown: what is not out by now never will be.
        for gone in [each for each in self._places if each <= pts]:
            del self._places[gone]
        first_due = min(self._places.values(), default=self._num_given)
        while self._held and (self._held[0][1] < first_due or len(self._held) > _MOST_HELD):
            yield self._held.popleft()[2]

    def decoded_before(self, pts: int | None) -> Iterator[Picture]:
        """Yield the pictures up to the first one that may build on that of a packet.

        Args:
            pts: That of a packet that was given, whose picture was not taken.
        """
        place = -1 if pts is None else self._places.get(pts, -1)
        while self._held and self._held[0][1] < place:
            yield self._held.popleft()[2]

    def rest(self) -> Iterator[Picture]:
        """Yield all that are held."""
        while self._held:
            yield self._held.popleft()[2]

"""Where the record that counts for each frame lies, over all journals of a run.

A run of a million frames is opened in seconds and held in about 200 MB: a frame is one dictionary
entry, its name as text and its place packed into one integer. Numpy columns were refused: they
need the names as well, and a sorted order that every new frame would break.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Set

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey, key_text
from vitpose_cli.records.journal import Entry
from vitpose_cli.records.place_reader import PlaceReader
from vitpose_cli.records.record import FrameRecord

_DECIDED = 8  # a person has looked, whoever made the labels
_WHOLE = 4  # not failed
_HUMAN = 2
_CURRENT = 1  # labelled by the weights of now, whoever has the last word
_RANKS = _HUMAN | _WHOLE | _CURRENT
_RANK_BITS = 4
_LENGTH_BITS = 32
_FILE_BITS = 24


class JournalIndex:
    """The record that counts for each frame.

    Of several records for a frame one with labels beats an error, a person's beats a model's, one
    by the weights of now beats one by those before a refresh, and else the later one in the order
    of the calls of `add` wins. What a person decided about a frame that could not be read stays
    beside the labels of a model that can read it: see `decision`.
    """

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._unread: dict[str, int] = {}  # places of what people decided without labels
        self._num_failed = 0
        self._latest: dict[int, str] = {}
        self._ends: dict[str, dict[int, int]] = {}  # by the size of the file

    def __len__(self) -> int:
        return len(self._places)

    @property
    def num_failed(self) -> int:
        """How many frames have an error and nothing better."""
        return self._num_failed

    def add(self, entry: Entry, file_number: int, *, current: bool = True) -> str | None:
        """Take note of a record.

        Args:
            entry: Where it lies.
            file_number: The number of its journal.
            current: Whether this journal is one of the weights of now.

        Returns:
            The `FrameKey.text` of the frame, where another record counts for it now, or none does.
        """
        media, frame_index, offset, length, human, failed, taken_back, ended_after, size, aside = (
            entry
        )
        if aside:
            return None
        current = current and not human
        rank = (_HUMAN | _DECIDED if human else 0) | (0 if failed else _WHOLE) | current
        text = media if frame_index < 0 else key_text(media, frame_index)
        if taken_back:
            is_forgotten = self._forget_failure(text)
            if current and ended_after is not None and size is not None:
                self._ends.setdefault(media, {})[size] = ended_after
            return text if is_forgotten else None
        if current:
            self._latest[file_number] = text
        before = self._places.get(text)
        place = offset << _FILE_BITS | file_number
        packed = (place << _LENGTH_BITS | length) << _RANK_BITS
        if human and failed:
            self._unread[text] = packed
        if before is not None:
            if _precedence(rank) < _precedence(before):
                # Where only an error is new, the frame is to be tried again.
                self._places[text] = before | (current and not failed) | rank & _DECIDED
                return text if human else None
            if before & _WHOLE:
                rank |= before & _CURRENT
            rank |= before & _DECIDED
            self._num_failed -= not before & _WHOLE
        self._places[text] = packed | rank
        self._num_failed += failed
        return text

    def _forget_failure(self, text: str) -> bool:
        """Leave out a frame that has an error and nothing better; return whether it had."""
        if self._places.get(text, _WHOLE) & _WHOLE:
            return False
        del self._places[text]
        self._unread.pop(text, None)
        self._num_failed -= 1
        return True

    def place(self, key: FrameKey) -> tuple[int, int, int] | None:
        """Return (file number, offset, length) of the record of `key`, None where there is none."""
        packed = self._places.get(key.text)
        return None if packed is None else _unpack(packed)

    def decision(self, key: FrameKey) -> tuple[int, int, int] | None:
        """Return the place of the record whose decision counts for the labels of a model.

        None where the record that counts has a decision itself, or nobody made one.
        """
        packed = self._unread.get(key.text) if self._unread else None
        own = packed is None or self._places.get(key.text, 0) & (_HUMAN | _WHOLE) != _WHOLE
        return None if packed is None or own else _unpack(packed)

    def places(
        self, called: Callable[[FrameKey], FrameKey] | None = None
    ) -> Iterator[tuple[int, int, int]]:
        """Yield (file number, offset, length) of every frame in the order of the keys.

        Args:
            called: Returns the key by which a frame is sorted; None for its own.
        """

        def place_in_order(text: str) -> str:
            key = FrameKey.from_text(text)
            other = key if called is None else called(key)
            return text if other is key else other.text  # no second copy of a million names

        for text in sorted(self._places, key=None if called is None else place_in_order):
            yield _unpack(self._places[text])

    def texts(self) -> list[str]:
        """Return the `FrameKey.text` of all frames, in order."""
        return sorted(self._places)

    def failed_texts(self) -> set[str]:
        """Return the `FrameKey.text` of the frames that have an error and nothing better."""
        if not self._num_failed:
            return set()
        return {text for text, packed in self._places.items() if not packed & _WHOLE}

    def ends(self, media: str) -> Mapping[int, int]:
        """Return after how many frames a video ended, by the size of its file then, bytes."""
        return self._ends.get(media, {})

    def videos(self) -> dict[str, frozenset[int]]:
        """Return the videos of the weights of now, and at which sizes of the file they are whole.

        A video is whole where all of its frames are there, which is known only of one that was read
        to its end.
        """
        counts = Counter(
            media
            for text, packed in self._places.items()
            if packed & _CURRENT
            for media, separator, _ in (text.partition("\0"),)
            if separator
        )
        return {
            media: frozenset(
                size
                for size, ended_after in self.ends(media).items()
                if counts[media] >= ended_after
            )
            for media in {*counts, *self._ends}
        }

    def latest_by_file(self) -> dict[int, FrameKey]:
        """Return the frame that was added last from each current journal of a model."""
        return {number: FrameKey.from_text(text) for number, text in self._latest.items()}

    def keys(
        self, *, failed: bool = True, human: bool = False, current: bool = False
    ) -> Set[FrameKey]:
        """Return a live view of the frames.

        Args:
            failed: Also those that failed.
            human: Only those about which a person has decided.
            current: Only those that the weights of now have labelled.
        """
        wanted = ((_WHOLE, not failed), (_DECIDED, human), (_CURRENT, current))
        return _Keys(self._places, sum(bit for bit, is_wanted in wanted if is_wanted))


class _Keys(Set[FrameKey]):
    """The frames whose rank has the bits of `needed`: no second copy of a million names."""

    def __init__(self, places: dict[str, int], needed: int) -> None:
        self._places = places
        self._needed = needed

    @classmethod
    def _from_iterable(cls, it: Iterator[FrameKey]) -> set[FrameKey]:  # type: ignore[override]
        return set(it)

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, FrameKey):
            return False
        packed = self._places.get(key.text)
        return packed is not None and packed & self._needed == self._needed

    def __iter__(self) -> Iterator[FrameKey]:
        for text, packed in self._places.items():
            if packed & self._needed == self._needed:
                yield FrameKey.from_text(text)

    def __len__(self) -> int:
        return sum(packed & self._needed == self._needed for packed in self._places.values())


class JournalReader(PlaceReader):
    """Reads single records from numbered journals."""

    def read(self, file_number: int, offset: int, length: int) -> FrameRecord:
        """Return the record at a place.

        Raises:
            InputError: The journal was changed behind our back, or cannot be read.
        """
        try:
            return FrameRecord.from_json(self.read_bytes(file_number, offset, length))
        except InputError as error:
            path = self.paths[file_number]
            raise InputError(f"{path}, byte {offset}: {error.message}", error.hint) from error


def _precedence(packed: int) -> int:
    """Return which record counts; of a person's, it does not matter what models did beside."""
    rank = packed & _RANKS
    return rank | _CURRENT if rank & _HUMAN else rank


def _unpack(packed: int) -> tuple[int, int, int]:
    packed >>= _RANK_BITS
    length = packed & (1 << _LENGTH_BITS) - 1
    packed >>= _LENGTH_BITS
    return packed & (1 << _FILE_BITS) - 1, packed >> _FILE_BITS, length

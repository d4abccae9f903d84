"""Packs: person crops, ready cut, with their keypoints, in one .npz file.

The most compact form of training data, and the quickest to bring to a GPU: no photo has to be
decoded to get at one person. The format is described in docs/training.md. To the rest of training
a pack is a source of frames like any other, each frame being one crop.
"""

from __future__ import annotations

import zipfile
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.errors import InputError, is_out_of_memory
from vitpose_cli.files import read_error
from vitpose_cli.media.frames import Frame, FrameFailure, FrameKey, prefetch
from vitpose_cli.media.images import decode_image
from vitpose_cli.plurals import counted
from vitpose_cli.pose.geometry import PADDING

_ARRAYS = {
    "blob": ("bytes (uint8)", (np.uint8,), 1),
    "offsets": ("integers", (np.integer,), 1),
    "keypoints": ("numbers", (np.floating, np.integer), 3),
    "source": ("integers", (np.integer,), 1),
}
"""What each array holds, in words and in numpy's types, and how many dimensions it has."""


@dataclass(frozen=True, slots=True)
class Pack:
    """N person crops; a `FrameReader`.

    Attributes:
        name: What the frames' keys begin with.
        blob: All encoded pictures, one after the other, uint8.
        offsets: (N + 1,) int64, where each begins.
        keypoints: (N, K, 4) float32: x, y in crop px, 0 unknown / 1 by a network / 2 by a person,
            the network's score.
        sources: (N,) int64, where each comes from, as the maker of the pack numbered it.
        num_threads: Crops decoded at once.
    """

    name: str
    blob: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    keypoints: NDArray[np.float32]
    sources: NDArray[np.int64]
    num_threads: int = 4

    @classmethod
    def open(cls, path: Path, num_threads: int = 4) -> Pack:
        """Read the pack at `path`; pictures stay encoded.

        Raises:
            InputError: The file is missing or no pack.
        """
        try:
            with path.open("rb") as file:
                if not zipfile.is_zipfile(file):
                    raise ValueError("it is no whole .npz file")
            with np.load(path) as arrays:
                missing = [name for name in _ARRAYS if name not in arrays]
                if missing:
                    raise InputError(f"{path} is no pack: it has no {', '.join(missing)}.")
                blob, offsets, keypoints, sources = (arrays[name] for name in _ARRAYS)
        except FileNotFoundError as error:
            raise read_error(path, error) from error
        except Exception as error:  # damaged bytes make numpy and zipfile raise anything
            if isinstance(error, InputError) or is_out_of_memory(error):
                raise
            raise InputError(
                f"{path} cannot be read as a pack: {error}.",
                "Copy it once more, or make it again; docs/training.md describes packs.",
            ) from error
        for name, array in zip(_ARRAYS, (blob, offsets, keypoints, sources), strict=True):
            _check_kind(path, name, array)
        count = len(offsets) - 1
        fits = keypoints.shape[::2] == (count, 4)
        if count < 1 or not fits or sources.shape != (count,) or offsets[-1] > len(blob):
            raise InputError(f"{path} is no pack: its arrays do not fit each other.")
        strange = ~np.isfinite(keypoints).all(axis=(1, 2))
        if strange.any():
            raise InputError(
                f"{path} has keypoints that are not finite, first of person {strange.argmax()}.",
                "Write zeros for keypoints that are not known.",
            )
        return cls(
            path.name,
            blob,
            offsets.astype(np.int64),
            keypoints.astype(np.float32),
            sources.astype(np.int64),
            num_threads,
        )

    @property
    def expected(self) -> int:
        """How many crops there are."""
        return len(self.offsets) - 1

    def keys(self) -> list[FrameKey]:
        """Return the keys of all crops, in order."""
        return [FrameKey(f"{self.name}/{index:06d}") for index in range(self.expected)]

    def frames(self, skip: Container[FrameKey] = ()) -> Iterator[Frame | FrameFailure]:
        """Yield every crop that is not in `skip`, in order, decoding ahead."""
        wanted = (key for key in self.keys() if key not in skip)
        yield from prefetch(
            self._load, wanted, num_threads=self.num_threads, ahead=2 * self.num_threads
        )

    def read(self, key: FrameKey) -> Frame:
        """Return one crop.

        Raises:
            InputError: The key is not of this pack, or its picture is damaged.
        """
        frame = self._load(key)
        if isinstance(frame, FrameFailure):
            raise InputError(f"{key}: {frame.error}")
        return frame

    def size_wh(self) -> tuple[int, int]:
        """Return width and height of all crops, px: those of the first that can be read.

        Raises:
            InputError: None can be read.
        """
        failure = ""
        for key in self.keys():
            frame = self._load(key)
            if not isinstance(frame, FrameFailure):
                return frame.size_wh
            failure = failure or f"{key}: {frame.error}"
        raise InputError(
            f"None of the {self.expected} pictures of {self.name} can be read ({failure})."
        )

    def boxes(self, size_wh: tuple[int, int], context: float) -> NDArray[np.float32]:
        """Return the box of every person, (N, 4) float32 xyxy, crop px.

        Padded and made `context` times larger, it is the whole crop.
        """
        size = np.array(size_wh, np.float32)
        half = size / (2 * PADDING * context)
        return np.tile(np.concatenate([size / 2 - half, size / 2 + half]), (self.expected, 1))

    def _load(self, key: FrameKey) -> Frame | FrameFailure:
        number = key.media.removeprefix(f"{self.name}/")
        if key.index >= 0 or not number.isdigit() or int(number) >= self.expected:
            return FrameFailure(key, "The pack has no such crop.")
        start, end = self.offsets[int(number) : int(number) + 2]
        try:
            return Frame(key, decode_image(self.blob[start:end].tobytes()))
        except InputError as error:
            return FrameFailure(key, error.message)


def _check_kind(path: Path, name: str, array: NDArray[Any]) -> None:
    """Refuse an array that holds something else than it should, or in another shape."""
    words, types, num_dimensions = _ARRAYS[name]
    if array.ndim != num_dimensions or not any(np.issubdtype(array.dtype, one) for one in types):
        dimensions = counted(num_dimensions, "dimension")
        raise InputError(
            f"{path} is no pack: {name} must hold {words} in {dimensions}, not {array.dtype} in "
            f"{array.ndim}.",
            "Make it again; docs/training.md describes packs.",
        )

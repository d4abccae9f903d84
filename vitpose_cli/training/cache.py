"""Cut every person's crop once, and keep it.

A kept crop shows more than the network will see, so that it can be turned, moved and scaled; it is
the same for every epoch and every stage. Keeping decoded photos was refused: a person is a small
part of a photo, and the CPU would warp what the GPU can.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.errors import InputError, in_short, is_out_of_memory
from vitpose_cli.files import (
    TEMPORARY_SUFFIX,
    atomic_file,
    make_folder,
    temporary_name,
    write_error,
)
from vitpose_cli.media.crops import warp_crops
from vitpose_cli.media.frames import AllBut, Frame, FrameFailure, FrameKey
from vitpose_cli.pose.geometry import PADDING, CropTransforms
from vitpose_cli.records.lock import FileLock
from vitpose_cli.training.people import LabelledFrames, People

Progress = Callable[[int, int], None]
"""Told how many people are ready, and of how many."""

_NO_FRAME = "There is no such frame."
_ANIMATION = "It is read as a video, whose frames are named NAME/frame_000000.jpg."
_OTHERS_WAIT_S = 86_400.0
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class CroppedPeople:
    """People with their own crops: points and boxes are px of the crop, `images` its row.

    Attributes:
        people: Those whose frame could be read.
        pixels: (N, h, w, 3) uint8 RGB.
        failures: Frames that could not be read.
    """

    people: People
    pixels: NDArray[np.uint8]
    failures: tuple[FrameFailure, ...]


def crop_people(
    frames: LabelledFrames,
    size_wh: tuple[int, int],
    context: float,
    *,
    folder: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> CroppedPeople:
    """Cut a crop of `size_wh` px round every person, reading each frame once.

    Args:
        frames: The people and their frames.
        size_wh: Width and height of a crop, px.
        context: How much larger its region is than the one a network sees.
        folder: Keep the crops in a file there, where later runs find them; else in memory.
        progress: Told of the progress.

    Raises:
        InputError: The file cannot be written, or a frame has another size than its labels state.
    """
    people = frames.people
    transforms = CropTransforms.from_boxes(
        people.boxes,
        size_wh,
        alignment="classic",
        padding=PADDING * context,
        pixel_aspects=people.pixel_aspects,
    )
    shape = (len(people), size_wh[1], size_wh[0], 3)
    if folder is None:
        pixels = np.empty(shape, np.uint8)
        failures = fill_crops(frames, transforms, pixels, progress)
    else:
        text = f"{_FORMAT} {frames.identity} {shape} {context}"
        path = folder / f"crops-{hashlib.sha256(text.encode()).hexdigest()[:16]}.npy"
        written_by_one(path, lambda: _write_crops(path, frames, transforms, progress))
        with damage_told(path):
            pixels = np.load(path, mmap_mode="r")
            listed = json.loads(_failures_path(path).read_text(encoding="utf-8"))
            failures = [FrameFailure(FrameKey(*key), error) for *key, error in listed]
    return CroppedPeople(_in_crops(frames, transforms, failures), pixels, tuple(failures))


def written_by_one(path: Path, write: Callable[[], None]) -> None:
    """Let one of several processes write a file that is not there, while the others wait for it.

    Args:
        path: The file; its folder is made.
        write: Writes it.

    Raises:
        InputError: The folder cannot be written to.
    """
    if path.exists():
        return
    make_folder(path.parent)
    with FileLock(path.with_suffix(".lock"), f"The file {path}", _OTHERS_WAIT_S):
        if not path.exists():
            write()


@contextmanager
def damage_told(path: Path) -> Iterator[None]:
    """Say of what `written_by_one` has written, and cannot be read any more, what to do.

    Raises:
        InputError: It is damaged.
    """
    try:
        yield
    except Exception as error:  # damaged bytes make numpy raise anything
        if is_out_of_memory(error):
            raise
        raise InputError(
            f"{path}, or what lies beside it, cannot be read: {in_short(error)}.",
            f"Delete {path}: it is made again.",
        ) from error


def fill_crops(
    frames: LabelledFrames,
    transforms: CropTransforms,
    out: NDArray[np.uint8],
    progress: Progress = lambda done, total: None,
) -> list[FrameFailure]:
    """Write the crop of every person to `out` (N, h, w, 3).

    Returns:
        The frames that failed, each as often as it is listed.

    Raises:
        InputError: A frame has another size than its labels state.
    """
    first = np.searchsorted(frames.people.images, np.arange(len(frames.keys) + 1))
    failures: list[FrameFailure] = []
    for frame, numbers in _each_frame(frames, progress):
        if isinstance(frame, FrameFailure):
            failures += [frame] * len(numbers)
            continue
        for start, end in ((first[number], first[number + 1]) for number in numbers):
            rows = np.arange(start, end)
            warp_crops(frame.image, transforms.select(rows), out=out[start:end])
    return failures


def readable_people(
    frames: LabelledFrames, progress: Progress = lambda done, total: None
) -> tuple[People, tuple[FrameFailure, ...]]:
    """Read every frame once, and keep nothing of it.

    Returns:
        The people of those that could be read, and the frames that failed, each as often as it is
        listed.

    Raises:
        InputError: A frame has another size than its labels state.
    """
    failures: list[FrameFailure] = []
    for frame, numbers in _each_frame(frames, progress):
        if isinstance(frame, FrameFailure):
            failures += [frame] * len(numbers)
    return frames.people.select(_in_readable(frames, failures)), tuple(failures)


def frame_sizes(frames: LabelledFrames) -> list[tuple[int, int] | None]:
    """Return width and height of every frame, px; frames whose labels state none are read.

    Returns:
        One size for each of `frames.keys`, None for a frame that cannot be read.
    """
    sizes_wh = list(frames.sizes_wh)
    unknown = [number for number, size_wh in enumerate(sizes_wh) if size_wh is None]
    if unknown:
        keys, stated = tuple(frames.keys[number] for number in unknown), (None,) * len(unknown)
        asked = replace(frames, keys=keys, sizes_wh=stated)
        for frame, places in _each_frame(asked, lambda done, total: None):
            if isinstance(frame, Frame):
                for place in places:
                    sizes_wh[unknown[place]] = frame.size_wh
    return sizes_wh


@contextmanager
def atomic_array(
    path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> Iterator[NDArray[Any]]:
    """Open a mapped .npy file to write to, that appears as `path` when the block ends.

    Raises:
        InputError: The file cannot be written.
    """
    temporary = path.with_name(temporary_name(path.name, TEMPORARY_SUFFIX))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        array = np.lib.format.open_memmap(temporary, mode="w+", dtype=dtype, shape=shape)
        if hasattr(os, "posix_fallocate"):  # holes would turn a full disk into a bus error
            with temporary.open("rb+") as file:
                os.posix_fallocate(file.fileno(), 0, temporary.stat().st_size)
        yield array
        array.flush()
        temporary.replace(path)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _in_crops(
    frames: LabelledFrames, transforms: CropTransforms, failures: Sequence[FrameFailure]
) -> People:
    """Return the people of readable frames as they lie in their crops."""
    people = frames.people
    corners = transforms.to_crop(people.boxes.reshape(-1, 2, 2)).reshape(-1, 4)
    in_crops = People(
        people.keypoint_set,
        corners.astype(np.float32),
        transforms.to_crop(people.keypoints).astype(np.float32),
        people.weights,
        people.repeats,
        np.arange(len(people)),
        np.ones(len(people), np.float32),
    )
    return in_crops.select(_in_readable(frames, failures))


def _in_readable(frames: LabelledFrames, failures: Sequence[FrameFailure]) -> NDArray[np.bool_]:
    """Return whose frame could be read, (N,)."""
    unread = {failure.key for failure in failures}
    readable = np.array([key not in unread for key in frames.keys], bool)
    chosen: NDArray[np.bool_] = readable[frames.people.images]
    return chosen


def _each_frame(
    frames: LabelledFrames, progress: Progress
) -> Iterator[tuple[Frame | FrameFailure, list[int]]]:
    """Yield every frame and its numbers: a file may list one photo several times, it is read once.

    What the source does not have fails.

    Raises:
        InputError: A frame has another size than its labels state.
    """
    waiting: dict[FrameKey, list[int]] = {}
    for number, key in enumerate(frames.keys):
        waiting.setdefault(key, []).append(number)
    done = 0
    for frame in frames.source.frames(skip=AllBut(frames.keys)):
        numbers = waiting.pop(frame.key)
        if isinstance(frame, Frame):
            for number in numbers:
                frames.check_size(number, frame.size_wh)
        yield frame, numbers
        done += len(numbers)
        progress(done, len(frames.keys))
    for key, numbers in waiting.items():
        yield FrameFailure(key, _NO_FRAME if key.index >= 0 else _ANIMATION), numbers


def _write_crops(
    path: Path, frames: LabelledFrames, transforms: CropTransforms, progress: Progress
) -> None:
    """Write the crops to a file that appears when it is whole."""
    shape = (len(frames.people), transforms.size_wh[1], transforms.size_wh[0], 3)
    with atomic_array(path, np.dtype(np.uint8), shape) as pixels:
        failures = fill_crops(frames, transforms, pixels, progress)
        listed = [(one.key.media, one.key.index, one.error) for one in failures]
        with atomic_file(_failures_path(path)) as stream:
            stream.write(json.dumps(listed).encode())


def _failures_path(path: Path) -> Path:
    return path.with_suffix(".failures.json")

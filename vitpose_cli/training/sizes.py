"""A first look at the sizes of all photos, before the hours in which they are read.

Whether a photo has the size that its labels state is told for certain where it is read. One wrong
photo of a million would be met there after hours, so the first bytes of every file are asked
before. A sample of the photos was refused: it does not find that one.
"""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import prefetch
from vitpose_cli.media.headers import HEADER_BYTES, upright_size
from vitpose_cli.media.reading import read_start
from vitpose_cli.media.source import MediaSource
from vitpose_cli.training.people import LabelledFrames

_NUM_THREADS = 8  # on a network share, each file is a journey


def check_sizes(frames: LabelledFrames) -> None:
    """Refuse photos whose files say another size than their labels state.

    Photos in archives, frames of videos and photos that cannot be read are left to whoever reads
    them, as are those that say nothing in their first bytes.

    Raises:
        InputError: A photo, once decoded, has another size.
    """
    source = frames.source
    if not isinstance(source, MediaSource):
        return

    def differs(number: int) -> bool:
        file = source.file(frames.keys[number].media)
        if not isinstance(file, Path):
            return False
        with suppress(OSError):
            found = upright_size(read_start(file, HEADER_BYTES))
            return found is not None and found != frames.sizes_wh[number]
        return False

    numbers = [
        number
        for number, (key, stated) in enumerate(zip(frames.keys, frames.sizes_wh, strict=True))
        if stated is not None and key.video is None
    ]
    suspect = prefetch(differs, numbers, num_threads=_NUM_THREADS, ahead=32 * _NUM_THREADS)
    with closing(suspect):
        for number, suspected in zip(numbers, suspect, strict=True):
            if not suspected:
                continue
            try:
                frame = source.read(frames.keys[number])
            except InputError:
                continue
            frames.check_size(number, frame.size_wh)

"""Photos as frames: decode files upright to RGB, read many ahead, write drawn copies.

Which files these are is decided in `finding`; what a file says of itself is read in `headers`.
Files are read by Python and decoded from memory: `cv2.imread` fails on non-ASCII paths on
Windows. Orientation is applied here, since OpenCV applies it to some formats in some versions
only. Photos are decoded at full size but for thumbnails: the reduced JPEG decoding of OpenCV is
faster, but loses the detail that a small person's crop needs.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import closing
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from vitpose_cli.errors import InputError
from vitpose_cli.files import atomic_file, check_replaceable, fitted_name, make_folder, reason_of
from vitpose_cli.media import heif
from vitpose_cli.media.frames import (
    Frame,
    FrameFailure,
    FrameKey,
    PhotoFile,
    PixelBudget,
    prefetch,
)
from vitpose_cli.media.headers import MAX_PIXELS, ImageHeader, read_image_header
from vitpose_cli.media.jfif import with_pixel_aspect
from vitpose_cli.media.marks import is_marked, marked
from vitpose_cli.media.png_chunks import with_pixels_alone
from vitpose_cli.media.reading import read_whole
from vitpose_cli.media.storage import NOWHERE, Storage

PIXELS_AHEAD = 16_000_000
"""For each thread, pixels of photos held ready (48 MB); what most cameras and phones make."""

WRITTEN_SUFFIXES = (".jpg", ".jpeg", ".png")
"""Of pictures that are written, in lower case; whatever ends otherwise gets the first behind it."""

JPEG_QUALITY = 92
"""Of drawn copies: lines stay crisp, files stay smaller than most originals."""

# Orientations 5 to 8 are transposed first; then flipped about x (0), y (1) or both (-1).
_FLIPS = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}

_REDUCED = {
    8: cv2.IMREAD_REDUCED_COLOR_8,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    2: cv2.IMREAD_REDUCED_COLOR_2,
}


def decode_image(data: bytes, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode a JPEG, PNG, WebP, BMP, TIFF, HEIC or AVIF to RGB, upright.

    Greyscale and palettes become RGB, CMYK is converted, 16 bits are scaled to 8 over their full
    range as viewers do. Alpha is dropped, so hidden pixels show the colour stored under them, as
    in the pipelines the published weights were trained with (a TIFF's alpha is blended into black
    instead, as its decoder knows nothing else, and that of an AVIF that was stored so, too). Of
    several pages or frames the first is taken.

    Args:
        data: The whole file.
        max_pixels: Refuse photos with more pixels than this, before any memory is taken for them.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        InputError: The data are empty, cut off, damaged, too large or no photo. Damage in the
            middle of a JPEG that keeps its end goes unnoticed, as in every JPEG decoder.
    """
    return _decode(data, read_image_header(data), max_pixels)


def _decode(
    data: bytes, header: ImageHeader, max_pixels: int, least_side: int | None = None
) -> NDArray[np.uint8]:
    width, height = header.size_wh
    if width * height > max_pixels:
        raise InputError(
            f"The photo has {width} x {height} pixels, more than the {max_pixels:,} allowed.",
            "Scale it down, or cut it into parts.",
        )
    if header.format == "heif":
        return heif.decode(data, max_pixels)
    encoded = with_pixels_alone(data) if header.format == "png" else data
    try:
        image = cv2.imdecode(
            np.frombuffer(encoded, np.uint8),
            _colour_flag(header, least_side) | cv2.IMREAD_IGNORE_ORIENTATION,
        )
    except cv2.error as error:
        raise InputError(f"The {header.format} cannot be decoded: {error.err}.") from error
    if image is None:
        raise InputError(
            f"The {header.format} cannot be decoded: it is cut off, damaged, or of a rare kind.",
            "Open it in a viewer; save it again as JPEG or PNG if it looks right there.",
        )
    rgb: NDArray[np.uint8] = cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
    # The TIFF decoder has turned the picture already, flag or not.
    return rgb if header.format == "tiff" else _upright(rgb, header.orientation)


def _colour_flag(header: ImageHeader, least_side: int | None) -> int:
    """Return how OpenCV is to decode; see `ImageFolder.read`."""
    if least_side is not None and header.format == "jpeg":
        for factor, flag in _REDUCED.items():
            if max(header.size_wh) >= factor * least_side:
                return flag
    return cv2.IMREAD_COLOR


def _upright(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Undo an EXIF orientation (EXIF 2.32, tag 0x0112)."""
    if orientation >= 5:
        image = cv2.transpose(image)
    if orientation in _FLIPS:
        image = cv2.flip(image, _FLIPS[orientation])
    return image


class ImageFolder:
    """Photos as a source of frames, decoded ahead in threads.

    Attributes:
        num_rotated: How many photos in all passes of `frames` so far had an EXIF orientation
            other than upright: their labels fit only viewers that apply it too.
    """

    def __init__(
        self,
        files: Mapping[str, PhotoFile],
        *,
        num_threads: int = 4,
        max_pixels: int = MAX_PIXELS,
        storage: Storage = NOWHERE,
    ) -> None:
        """Take photos in their order; no file is touched yet.

        Args:
            files: Where each photo lies, by the media name its frame will have.
            num_threads: Photos decoded at once; twice as many are held ready at most, and fewer
                where they are large.
            max_pixels: Larger photos come out as failures.
            storage: The places of the files.
        """
        self._files = files
        self._storage = storage
        self._num_threads = num_threads
        self._max_pixels = max_pixels
        self.num_rotated = 0

    @property
    def expected(self) -> int:
        """How many photos there are."""
        return len(self._files)

    def keys(self) -> list[FrameKey]:
        """Return the keys of all photos, in order, without touching a file."""
        return [FrameKey(media) for media in self._files]

    def frames(self, skip: Container[FrameKey] = ()) -> Iterator[Frame | FrameFailure]:
        """Yield every photo that is not in `skip`, in order, or the reason why it is unreadable.

        Raises:
            StorageGoneError: The place of a photo is gone; all before it were yielded.
        """
        budget = PixelBudget(PIXELS_AHEAD * self._num_threads)

        def load(item: tuple[int, FrameKey]) -> tuple[Frame | FrameFailure, bool]:
            place, key = item
            loaded = self._load(key, lambda num_pixels: budget.take(place, num_pixels))
            budget.take(place, 0)  # where nothing could be decoded
            return loaded

        wanted = (key for media in self._files if (key := FrameKey(media)) not in skip)
        ahead = prefetch(
            load,
            enumerate(wanted),
            num_threads=self._num_threads,
            ahead=2 * self._num_threads,
            release=budget.close,
        )
        with closing(ahead):
            for place, (frame, rotated) in enumerate(ahead):
                budget.give_back(place)
                self.num_rotated += rotated
                yield frame

    def read(self, key: FrameKey, *, least_side: int | None = None) -> Frame:
        """Return one photo.

        Args:
            key: Which.
            least_side: Let it come out smaller where that is faster, its longer side not below
                this, px; None for its own pixels.

        Raises:
            InputError: The key is not of this source, or its file cannot be read.
        """
        frame, _ = self._load(key, lambda _: None, least_side)
        if isinstance(frame, FrameFailure):
            raise InputError(f"{self._files.get(key.media, key)}: {frame.error}")
        return frame

    def _load(
        self, key: FrameKey, claim: Callable[[int], None], least_side: int | None = None
    ) -> tuple[Frame | FrameFailure, bool]:
        """Return the photo, or why there is none, and whether it had to be turned.

        Before it is decoded, `claim` is told its pixels; it may wait.
        """
        file = self._files.get(key.media)
        if file is None or key.index >= 0:
            return FrameFailure(key, "The source has no such photo."), False
        try:
            data = read_whole(file)
            header = read_image_header(data)
            claim(min(header.size_wh[0] * header.size_wh[1], self._max_pixels))
            image = _decode(data, header, self._max_pixels, least_side)
        except OSError as error:
            self._storage.check(file)
            return FrameFailure(key, f"The file cannot be read: {reason_of(error)}."), False
        except MemoryError:
            return FrameFailure(key, "The file is larger than the memory."), False
        except InputError as error:
            return FrameFailure(key, error.message), False
        frame = Frame(key, image, pixel_aspect=header.pixel_aspect)
        return frame, header.orientation != 1


class PictureTooLargeError(InputError):
    """A picture has more pixels on one side than its format can hold."""


class ImageSink:
    """A folder that takes drawn frames as photos, each at its media path."""

    def __init__(self, folder: Path, *, mark: bool = False) -> None:
        """Write below `folder`, which is made when the first frame comes.

        Args:
            folder: Where to.
            mark: Mark pictures as drawn by us, for whoever clears them away later, and replace
                none that is not marked.
        """
        self._folder = folder
        self._mark = mark

    def write(self, frame: Frame) -> None:
        """Write one frame; a file of that name is replaced as a whole or not at all.

        PNG stays PNG and JPEG stays JPEG; anything else is a JPEG with `.jpg` behind its name,
        so that `a.webp` and `a.jpg` do not meet. Names that no file system takes, as archives and
        URLs may have, are cut.

        Raises:
            PictureTooLargeError: The picture is too large for its format.
            InputError: The frame's name leads out of the folder, or the file cannot be written, or
                only in place of something that nobody drew.
        """
        path = self.path(frame.key)
        if self._mark:
            check_replaceable(path, is_marked)
        encoded = encoded_frame(frame, path)
        make_folder(path.parent)
        with atomic_file(path, durable=False) as stream:
            stream.write(marked(encoded) if self._mark else encoded)

    def close(self) -> None:
        """Do nothing: every frame is in place already."""

    def path(self, key: FrameKey) -> Path:
        """Return where the frame `key` goes.

        Raises:
            InputError: The name leads out of the folder.
        """
        *folders, name = place_of(key, Path()).parts
        suffix = Path(name).suffix
        if suffix.lower() in WRITTEN_SUFFIXES:
            name = fitted_name(Path(name).stem, suffix)
        else:
            name = fitted_name(name, WRITTEN_SUFFIXES[0])
        return self._folder.joinpath(*(fitted_name(part, "") for part in folders), name)


def place_of(key: FrameKey, folder: Path) -> Path:
    """Return the path in a folder by which a frame is called.

    Raises:
        InputError: The name leads out of the folder.
    """
    name = PurePosixPath(str(key))
    if name.is_absolute() or ".." in name.parts:
        raise InputError(f"{key} leads out of the output folder.", "Name it by a relative path.")
    return folder / name


def encoded_frame(frame: Frame, path: Path) -> bytes:
    """Return a frame as the content of the file at `path`, which its suffix says the format of.

    Raises:
        PictureTooLargeError: The picture is too large for the format.
    """
    encoded = _encode(frame.image, path.suffix.lower())
    if encoded is None:
        width, height = frame.size_wh
        raise PictureTooLargeError(f"{path}: {width} x {height} px do not fit into this format.")
    if frame.pixel_aspect == 1 or path.suffix.lower() == ".png":
        return encoded
    return with_pixel_aspect(encoded, frame.pixel_aspect)


def _encode(image: NDArray[np.uint8], suffix: str) -> bytes | None:
    """Return the encoded picture; None where the format cannot hold it."""
    options = [] if suffix == ".png" else [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    try:
        done, encoded = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    except cv2.error:  # OpenCV 4; version 5 returns False
        return None
    return encoded.tobytes() if done else None

"""What of damage in a video is noticed, for each codec and container, and what looking costs.

    python benchmarks/damaged_videos.py [--only hevc] [--seeds 8] [--timing] [CLIP ...]

Draws moving pictures, encodes them, damages the file at one place for each seed and size (zeros as
of a part that was never written, noise, or bytes that are gone), and reads it as `annotate` does.
A picture that comes out is wrong if it is none of the whole file's, or comes twice. Of each kind it
prints how many damaged files pass as whole though pictures are wrong or missing (exit code 0), how
many are noticed but hand out wrong pictures, too, and how many of these at most. Files of which no
picture changed count as neither. A given clip is damaged as it is.

With `--timing` it prints the CPU time of looking for holes as a share of that of decoding instead.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vitpose_cli.media.frames import Frame, FrameFailure
from vitpose_cli.media.matroska_blocks import MatroskaBlocks
from vitpose_cli.media.nal_units import NalUnits
from vitpose_cli.media.video import VideoFile

RATE = 25
SIZES = (40, 400)
"""How many bytes are damaged."""


@dataclass(frozen=True)
class Kind:
    """A way to write a video."""

    encoder: str
    suffix: str
    pix_fmt: str = "yuv420p"
    options: dict[str, str] = field(default_factory=dict)
    size_wh: tuple[int, int] = (320, 180)


_X265 = {"x265-params": "log-level=none"}
_OPEN = {"x264-params": "open-gop=1"}
_VP9 = {"cpu-used": "8", "deadline": "realtime"}
_AV1 = {"preset": "12", "svtav1-params": "lookahead=0"}

KINDS = {
    "H.264 in MP4": Kind("libx264", "mp4"),
    "H.264 in MKV": Kind("libx264", "mkv"),
    "H.264 in TS": Kind("libx264", "ts"),
    "H.264 of open GOP in MP4": Kind("libx264", "mp4", options=_OPEN),
    "H.264 of open GOP in MKV": Kind("libx264", "mkv", options=_OPEN),
    "HEVC in MP4, of 8 bits": Kind("libx265", "mp4", options=_X265),
    "HEVC in MP4, of 10 bits": Kind("libx265", "mp4", "yuv420p10le", _X265),
    "HEVC in MKV": Kind("libx265", "mkv", options=_X265),
    "VP8 in WebM": Kind("libvpx", "webm", options=_VP9),
    "VP9 in WebM": Kind("libvpx-vp9", "webm", options=_VP9),
    "VP9 with transparency in WebM": Kind("libvpx-vp9", "webm", "yuva420p", _VP9),
    "AV1 in MP4": Kind("libsvtav1", "mp4", options=_AV1),
    "AV1 in MKV": Kind("libsvtav1", "mkv", options=_AV1),
    "MPEG-4 in MP4": Kind("mpeg4", "mp4", options={"bf": "2"}),
    "MPEG-4 in AVI": Kind("mpeg4", "avi"),
    "MPEG-2 in MKV": Kind("mpeg2video", "mkv", options={"bf": "2"}),
    "MPEG-2 in MPG": Kind("mpeg2video", "mpg"),
    "WMV 2 in WMV": Kind("wmv2", "wmv"),
    "Motion JPEG in AVI": Kind("mjpeg", "avi", "yuvj420p"),
    "PNG in MOV": Kind("png", "mov", "rgb24"),
    "ProRes in MOV": Kind("prores_ks", "mov", "yuv422p10le"),
    "DNxHD in MOV": Kind("dnxhd", "mov", "yuv422p", {"profile": "dnxhr_sq"}),
    "FFV1 in MKV": Kind("ffv1", "mkv"),
    "HuffYUV in AVI": Kind("huffyuv", "avi", "yuv422p"),
    "Ut Video in AVI": Kind("utvideo", "avi"),
    "JPEG 2000 in MOV": Kind("jpeg2000", "mov", "rgb24"),
    "DV in AVI": Kind("dvvideo", "avi", size_wh=(720, 576)),
}


def moving_pictures(num: int, size_wh: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """Yield (H, W, 3) RGB pictures of a textured ground that passes by, and of discs before it."""
    width, height = size_wh
    generator = np.random.default_rng(0)
    ground = generator.integers(0, 256, (height // 4, (width + 4 * num) // 4, 3), np.uint8)
    ground = cv2.resize(ground, (width + 4 * num, height), interpolation=cv2.INTER_CUBIC)
    starts = generator.uniform(0, 1, (6, 2)) * size_wh
    steps = generator.uniform(-6, 6, (6, 2))
    for index in range(num):
        image = np.ascontiguousarray(ground[:, 3 * index : 3 * index + width])
        for at, (x, y) in enumerate((starts + index * steps) % size_wh):
            colour = (40 * at, 255 - 40 * at, 128)
            cv2.circle(image, (round(x), round(y)), height // 9, colour, -1, cv2.LINE_AA)
        yield cast(NDArray[np.uint8], image)


def write_clip(folder: Path, kind: Kind, num: int) -> Path:
    """Encode `num` drawn pictures, a keyframe among twelve, and return the file."""
    path = folder / f"clip.{kind.suffix}"
    with av.open(str(path), "w") as container:
        stream = cast(VideoStream, container.add_stream(kind.encoder, rate=RATE))
        stream.width, stream.height = kind.size_wh
        stream.pix_fmt = kind.pix_fmt
        stream.codec_context.options = kind.options
        stream.codec_context.gop_size = 12
        for index, image in enumerate(moving_pictures(num, kind.size_wh)):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=kind.pix_fmt)
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def zeros(data: bytes, start: int, num: int, _: np.random.Generator) -> bytes:
    """Return a file with a part that was never written."""
    return data[:start] + bytes(num) + data[start + num :]


def noise(data: bytes, start: int, num: int, generator: np.random.Generator) -> bytes:
    """Return a file with other bytes in a part."""
    return data[:start] + generator.bytes(num) + data[start + num :]


def lost(data: bytes, start: int, num: int, _: np.random.Generator) -> bytes:
    """Return a file without a part."""
    return data[:start] + data[start + num :]


DAMAGE: dict[str, Callable[[bytes, int, int, np.random.Generator], bytes]] = {
    "zeros": zeros,
    "noise": noise,
    "lost": lost,
}


@dataclass
class Count:
    """What became of the damaged files of one kind.

    Attributes:
        unnoticed: With wrong or missing pictures, and not a word.
        late: Noticed, but with wrong pictures handed out.
        most: Wrong pictures handed out of one file.
    """

    unnoticed: int = 0
    late: int = 0
    most: int = 0


def read(path: Path) -> tuple[list[bytes], int]:
    """Return the hashes of the pictures that are handed out, and how many failures there are."""
    items = list(VideoFile(path, "clip").frames())
    hashes = [sha256(each.image.tobytes()).digest() for each in items if isinstance(each, Frame)]
    return hashes, sum(isinstance(each, FrameFailure) for each in items)


def picture_bytes(path: Path) -> tuple[int, int]:
    """Return where the first picture of a file begins and the last one ends."""
    with av.open(str(path)) as container:
        places = [
            (packet.pos, packet.pos + packet.size)
            for packet in container.demux(video=0)
            if packet.pos is not None and packet.size
        ]
    return min(begin for begin, _ in places), max(end for _, end in places)


def survey(path: Path, seeds: int) -> dict[str, Count]:
    """Damage a clip in every way and count what comes of it."""
    data = path.read_bytes()
    begin, end = picture_bytes(path)
    truth, failures = read(path)
    if failures:
        raise SystemExit(f"{path} is damaged already.")
    if len(set(truth)) < len(truth):
        raise SystemExit(f"{path} shows the same picture twice.")
    counts = {name: Count() for name in DAMAGE}
    spoiled = path.with_name(f"spoiled{path.suffix}")
    for name, change in DAMAGE.items():
        for seed in range(seeds):
            for num in SIZES:
                generator = np.random.default_rng((seed, num))
                start = int(generator.integers(begin, end - num))
                spoiled.write_bytes(change(data, start, num, generator))
                pictures, failures = read(spoiled)
                wrong = len(pictures) - len(set(pictures) & set(truth))
                count = counts[name]
                count.late += bool(wrong and failures)
                count.unnoticed += not failures and (wrong > 0 or len(pictures) < len(truth))
                count.most = max(count.most, wrong)
    return counts


def shares(path: Path, rounds: int) -> dict[str, float]:
    """Return the CPU time of each look for holes over that of decoding, the median of rounds."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        is_matroska = container.format.name == "matroska,webm"
        units = NalUnits.of(stream.codec.name, stream.codec_context.extradata)
        packets = [each for each in container.demux(stream) if each.size]
        places = [each.pos for each in packets if each.pos is not None]

    def decode() -> None:
        with av.open(str(path)) as container:
            for _ in container.decode(video=0):
                pass

    def look_into_units() -> None:
        for packet in packets:
            if units is not None:
                units.have_hole(bytes(packet))

    def walk_blocks() -> None:
        blocks = MatroskaBlocks(path)
        for place in places:
            blocks.lead_to(place)
        blocks.close()

    looks = {"units": look_into_units} if units is not None else {}
    looks |= {"blocks": walk_blocks} if is_matroska else {}
    found: dict[str, list[float]] = {name: [] for name in looks}
    for _ in range(rounds):
        decoding_s = cpu_s(decode)
        for name, look in looks.items():
            found[name].append(cpu_s(look) / decoding_s)
    return {name: statistics.median(each) for name, each in found.items()}


def cpu_s(work: Callable[[], None]) -> float:
    """Return the processor time of one call, of all its threads."""
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="*", type=Path, metavar="CLIP", help="damage these instead")
    parser.add_argument("--only", default="", help="kinds that have this in their names")
    parser.add_argument("--seeds", type=int, default=8, help="places for each size of damage")
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--timing", action="store_true", help="what looking for holes costs")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    if not options.timing:
        print(f"| of {len(SIZES) * options.seeds} files each | {' | '.join(DAMAGE)} |")
        print("|---" * (1 + len(DAMAGE)) + "|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for clip in options.clips:
            copy = folder / f"clip{clip.suffix}"
            copy.write_bytes(clip.read_bytes())
            report(clip.name, copy, options)
        for name, kind in KINDS.items() if not options.clips else ():
            if options.only.lower() in name.lower():
                report(name, write_clip(folder, kind, options.pictures), options)


def report(name: str, path: Path, options: argparse.Namespace) -> None:
    """Print the row of one clip."""
    if options.timing:
        for look, share in shares(path, options.rounds).items():
            print(f"{name}: {look} {100 * share:.2f} % of the time of decoding", flush=True)
        return
    cells = [
        f"{count.unnoticed} unnoticed, {count.late} late, {count.most} wrong"
        for count in survey(path, options.seeds).values()
    ]
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

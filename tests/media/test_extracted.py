"""Labelled frames as files of their own."""

from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import pytest
from PIL import Image
from video_cases import write_video

from vitpose_cli.errors import InputError
from vitpose_cli.media.extracted import ExtractedFrames
from vitpose_cli.media.frames import Frame, FrameFailure
from vitpose_cli.media.images import decode_image
from vitpose_cli.media.source import MediaSource, open_source
from vitpose_cli.media.storage import StorageGoneError
from vitpose_cli.own_files import FRAME_LISTS, listed_in

PHOTOS = ("a.webp", "b/b.bmp", "c.jpe", "d.TIFF", "e.jpg")


@pytest.fixture
def source(tmp_path: Path) -> MediaSource:
    media = tmp_path / "media"
    (media / "b").mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees
    for shade, name in enumerate(PHOTOS):
        kind = "JPEG" if name == "c.jpe" else None
        Image.new("RGB", (30, 20), (shade, 0, 0)).save(media / name, kind, exif=exif)
    write_video(media / "clip.mp4", num=3)
    return open_source([str(media)])


def frames_of(source: MediaSource) -> list[Frame]:
    return [frame for frame in source.frames() if isinstance(frame, Frame)]


def extract(source: MediaSource, folder: Path) -> list[str]:
    """Write all frames; return their names."""
    sink = ExtractedFrames(folder, source)
    names = []
    for frame in source.frames():
        assert isinstance(frame, Frame)
        sink.write(frame)
        assert sink.path(frame.key).is_file()
        names.append(str(frame.key))
    return sorted(names)


def test_every_frame_has_the_name_that_labels_give_it(source: MediaSource, tmp_path: Path) -> None:
    out = tmp_path / "out"
    names = extract(source, out)
    files = (path.relative_to(out) for path in out.rglob("*") if path.is_file())
    written = [file.as_posix() for file in files if file.parts[0] != FRAME_LISTS]
    assert sorted(written) == names
    assert len(names) == len(PHOTOS) + 3
    for name in PHOTOS:
        assert (out / name).read_bytes() == (tmp_path / "media" / name).read_bytes()
    assert decode_image((out / "clip.mp4" / "frame_000002.jpg").read_bytes()).ndim == 3
    again = open_source([str(out)])
    assert not any(isinstance(frame, FrameFailure) for frame in again.frames())


def test_a_place_that_went_away_is_no_fault_of_a_photo(source: MediaSource, tmp_path: Path) -> None:
    frame = source.read(source.keys()[0])
    (tmp_path / "media").rename(tmp_path / "away")
    sink = ExtractedFrames(tmp_path / "out", source)
    with pytest.raises(StorageGoneError):
        sink.write(frame)
    (tmp_path / "away").rename(tmp_path / "media")
    sink.write(frame)
    assert sink.has(frame.key)


def test_a_photo_that_went_away_is_named(source: MediaSource, tmp_path: Path) -> None:
    frame = source.read(source.keys()[0])
    (tmp_path / "media" / frame.key.media).unlink()
    with pytest.raises(InputError, match=r"a\.webp cannot be read again: No such file"):
        ExtractedFrames(tmp_path / "out", source).write(frame)


def test_frames_of_another_source_are_not_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for shade, folder in enumerate(("first", "second", "same")):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (30, 20), (shade % 2 * 99, 0, 0)).save(tmp_path / folder / "a.png")
    first, second, same = (
        open_source([str(tmp_path / name)]) for name in ("first", "second", "same")
    )
    content = (tmp_path / "first/a.png").read_bytes()
    extract(first, out)
    with pytest.raises(InputError, match=r"no earlier call wrote it from the same source"):
        extract(second, out)
    assert (out / "a.png").read_bytes() == content
    key = first.keys()[0]
    has = [ExtractedFrames(out, source).has(key) for source in (first, second, same)]
    assert has == [True, False, False]
    extract(same, out)  # the very content is there already
    assert ExtractedFrames(out, same).has(key)

    changed = Image.new("RGB", (30, 20), (0, 0, 99))
    changed.save(tmp_path / "first/a.png")
    extract(first, out)
    assert (out / "a.png").read_bytes() == (tmp_path / "first/a.png").read_bytes()


def test_workers_write_lists_of_their_own(source: MediaSource, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for worker, key in enumerate(source.keys(), start=1):
        with closing(ExtractedFrames(out, source, worker)) as sink:
            sink.write(source.read(key))
    assert len(list((out / FRAME_LISTS).iterdir())) == len(PHOTOS)
    assert listed_in(out) == {*PHOTOS}
    assert all(map(ExtractedFrames(out, source).has, source.keys()))


def test_frames_keep_the_shape_of_their_pixels(tmp_path: Path) -> None:
    media, out = tmp_path / "media", tmp_path / "out"
    media.mkdir()
    write_video(media / "tape.avi", num=2, options={"aspect": "64/45"})
    write_video(media / "clip.mp4", num=2)
    names = extract(open_source([str(media)]), out)
    for name in names:
        with av.open(str(out / name)) as file:  # FFmpeg reads it as other programs may
            is_tape = name.startswith("tape")
            assert file.streams.video[0].sample_aspect_ratio == (Fraction(64, 45) if is_tape else 1)
    again = open_source([str(out)])
    aspects = {frame.key.media: frame.pixel_aspect for frame in frames_of(again)}
    assert aspects == {name: 1.0 if name[0] == "c" else pytest.approx(64 / 45) for name in names}
    assert again.pixel_aspects() == {name: each for name, each in aspects.items() if each != 1}

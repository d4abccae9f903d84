from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from format_cases import export, make_run, record

from vitpose_cli.errors import InputError
from vitpose_cli.formats.new_files import new_files
from vitpose_cli.formats.pictures import PicturePlacer
from vitpose_cli.formats.written import WriteOptions
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.media.images import decode_image
from vitpose_cli.own_files import OwnFiles
from vitpose_cli.records.media_root import MediaFolders


def write_video(path: Path, count: int) -> None:
    """Write a video whose frame n is of grey level 20 n."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = Fraction(1, 25)
        for number in range(count):
            image = np.full((48, 64, 3), 20 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(cv2.imencode(".jpg", np.zeros((48, 64), np.uint8))[1].tobytes())
    write_video(folder / "d" / "clip.mp4", 10)
    return folder


def test_frames_of_videos_are_taken_out(tmp_path: Path, photos: Path) -> None:
    records = [record("a.jpg"), record("d/clip.mp4", index=2), record("d/clip.mp4", index=8)]
    run = make_run(
        tmp_path / "run", [*records, record("d/clip.mp4", index=50)], sources=(str(photos),)
    )
    written = export(run, "fiftyone", tmp_path / "out", WriteOptions())
    frames = sorted((tmp_path / "out/data/d/clip.mp4").iterdir())
    assert [frame.name for frame in frames] == ["frame_000002.jpg", "frame_000008.jpg"]
    levels = [decode_image(frame.read_bytes()).mean() for frame in frames]
    np.testing.assert_allclose(levels, [40, 160], atol=4)
    assert (tmp_path / "out/data/a.jpg").is_symlink()
    missing, resized = written.notes
    assert "1 picture was not found" in missing
    assert "frame_000050.jpg" in missing
    # The labels are of 640 x 480.
    assert "3 pictures have another size" in resized
    assert "a.jpg, d/clip.mp4/frame_000002.jpg, d/clip.mp4/frame_000008.jpg. Give" in resized


def test_frames_that_lie_there_already_are_linked(tmp_path: Path, photos: Path) -> None:
    taken = tmp_path / "frames" / "d" / "clip.mp4" / "frame_000002.jpg"
    taken.parent.mkdir(parents=True)
    taken.write_bytes((photos / "a.jpg").read_bytes())
    run = make_run(tmp_path / "run", [record("d/clip.mp4", index=2)])
    export(run, "fiftyone", tmp_path / "out", WriteOptions(images=tmp_path / "frames"))
    assert (tmp_path / "out/data/d/clip.mp4/frame_000002.jpg").resolve() == taken.resolve()


@pytest.mark.parametrize("name", ["../a.jpg", "/etc/passwd", "a/../../b.jpg"])
def test_no_name_leads_out_of_a_folder(tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    with new_files(OwnFiles(out)) as new:
        pictures = PicturePlacer(MediaFolders.at(tmp_path / "in"), out, new, "link")
        with pytest.raises(InputError, match="leads out"):
            pictures.place(FrameKey(name), name)

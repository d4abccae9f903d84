import json
import tarfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from unicodedata import normalize

import cv2
import numpy as np
import pytest
from training_cases import SIZE_WH as PICTURE_WH
from training_cases import picture_of, write_coco
from video_cases import SIZE_WH as VIDEO_WH
from video_cases import write_video

from vitpose_cli.errors import InputError
from vitpose_cli.media.crops import warp_crops
from vitpose_cli.media.extracted import ExtractedFrames
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.media.source import open_source
from vitpose_cli.media.video import VideoFile
from vitpose_cli.pose.geometry import CropTransforms
from vitpose_cli.training.augment import plan_crops
from vitpose_cli.training.cache import CroppedPeople, crop_people
from vitpose_cli.training.data_options import AugmentationOptions, CocoSource
from vitpose_cli.training.people import LabelledFrames
from vitpose_cli.training.sources import open_data_source

SIZE_WH = (60, 80)


def frames_in(folder: Path, limit: int | None = None) -> LabelledFrames:
    source = CocoSource(
        kind="coco",
        annotations=folder / "people.json",
        images=folder / "images",
        limit=limit,
    )
    return open_data_source(source, 1).frames


def test_crops_show_the_region_and_its_surroundings(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)
    frames = frames_in(tmp_path)
    seen: list[tuple[int, int]] = []
    cut = crop_people(frames, SIZE_WH, 1.5, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert cut.pixels.shape == (4, 80, 60, 3)
    assert not cut.failures
    # The box, padded by 1.25 and put in context by 1.5, is the crop.
    sizes = cut.people.boxes[:, 2:] - cut.people.boxes[:, :2]
    np.testing.assert_allclose(np.max(sizes / SIZE_WH, axis=1), 1 / 1.875, rtol=1e-5)
    centres = (cut.people.boxes[:, 2:] + cut.people.boxes[:, :2]) / 2
    np.testing.assert_allclose(centres, np.broadcast_to(np.array(SIZE_WH) / 2, (4, 2)), rtol=1e-5)
    transforms = CropTransforms.from_boxes(
        frames.people.boxes, SIZE_WH, alignment="classic", padding=1.875
    )
    np.testing.assert_allclose(
        cut.people.keypoints, transforms.to_crop(frames.people.keypoints), atol=1e-4
    )
    for row in range(4):
        x, y = cut.people.keypoints[row, 5].round().astype(int)
        assert cut.pixels[row, y, x, 0] > 120


def test_photos_are_cut_whatever_form_their_names_have(tmp_path: Path) -> None:
    path = write_coco(tmp_path, 2)
    plain = crop_people(frames_in(tmp_path), SIZE_WH, 1.5)
    folder = tmp_path / "images"
    (folder / normalize("NFC", "é")).mkdir()
    document = json.loads(path.read_text(encoding="utf-8"))
    for image, form in zip(document["images"], ("é\\", normalize("NFD", "é/")), strict=True):
        name = image["file_name"]
        (folder / name).rename(folder / normalize("NFC", "é") / name)
        image["file_name"] = form + name
    path.write_text(json.dumps(document), encoding="utf-8")
    cut = crop_people(frames_in(tmp_path), SIZE_WH, 1.5)
    assert not cut.failures
    np.testing.assert_array_equal(np.sort(cut.pixels, axis=0), np.sort(plain.pixels, axis=0))


def test_of_several_processes_one_writes_the_crops(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)
    seen: list[int] = []

    def cut(_: int) -> CroppedPeople:
        frames = frames_in(tmp_path)
        progress = lambda done, total: seen.append(done)  # noqa: E731
        return crop_people(frames, SIZE_WH, 1.5, folder=tmp_path / "cache", progress=progress)

    (tmp_path / "cache").mkdir()
    with ThreadPoolExecutor(4) as pool:  # the lock tells threads apart as it does processes
        first, *others = pool.map(cut, range(4))
    assert seen == [1, 2, 3, 4]
    assert all(same(first, other) for other in others)


def same(a: CroppedPeople, b: CroppedPeople) -> bool:
    return (
        bool((a.pixels[a.people.images] == b.pixels[b.people.images]).all())
        and bool((a.people.keypoints == b.people.keypoints).all())
        and [one.key for one in a.failures] == [one.key for one in b.failures]
    )


def test_a_file_keeps_crops_for_later_runs(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)
    (tmp_path / "images" / "003.png").write_bytes(b"no picture")
    frames = frames_in(tmp_path)
    kept = tmp_path / "cache"
    first = crop_people(frames, SIZE_WH, 1.5, folder=kept)
    assert len(first.people) == 3
    assert first.people.images.tolist() == [0, 1, 3]
    assert [failure.key.media for failure in first.failures] == ["003.png"]
    assert same(first, crop_people(frames, SIZE_WH, 1.5))
    for photo in (tmp_path / "images").iterdir():
        photo.unlink()
    assert same(first, crop_people(frames, SIZE_WH, 1.5, folder=kept))
    assert len(list(kept.glob("*.npy"))) == 1
    crop_people(frames, SIZE_WH, 1.2, folder=kept)
    assert len(list(kept.iterdir())) == 4  # another context is another file


@pytest.mark.parametrize("kept", [False, True])
def test_a_photo_that_is_listed_twice_is_cut_for_both(tmp_path: Path, kept: bool) -> None:
    path = write_coco(tmp_path, 3)
    document = json.loads(path.read_text())
    for image in document["images"][1:]:
        image["file_name"] = "001.png"  # other people of the same photo
    path.write_text(json.dumps(document))
    frames = frames_in(tmp_path)
    folder = tmp_path / "cache" if kept else None
    seen: list[tuple[int, int]] = []
    cut = crop_people(
        frames, SIZE_WH, 1.5, folder=folder, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(3, 3)]
    transforms = CropTransforms.from_boxes(
        frames.people.boxes, SIZE_WH, alignment="classic", padding=1.875
    )
    image = frames.source.read(frames.keys[0]).image
    np.testing.assert_array_equal(cut.pixels, warp_crops(image, transforms))
    assert cut.pixels.max(axis=(1, 2, 3)).min() > 120


def test_a_photo_that_is_listed_twice_and_cannot_be_read_is_lost_twice(tmp_path: Path) -> None:
    path = write_coco(tmp_path, 3)
    document = json.loads(path.read_text())
    document["images"][1]["file_name"] = "001.png"
    path.write_text(json.dumps(document))
    (tmp_path / "images" / "001.png").write_bytes(b"no picture")
    cut = crop_people(frames_in(tmp_path), SIZE_WH, 1.5)
    assert [failure.key.media for failure in cut.failures] == ["001.png", "001.png"]
    assert cut.people.images.tolist() == [2]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    write_coco(tmp_path, 2)
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(InputError, match="Cannot write"):
        crop_people(frames_in(tmp_path), SIZE_WH, 1.5, folder=tmp_path / "cache")


@pytest.mark.parametrize("limit", [None, 2])  # with a limit there are as many people as before
def test_a_file_keeps_no_crops_of_people_of_other_photos(tmp_path: Path, limit: int | None) -> None:
    write_coco(tmp_path, 4)
    kept, photo = tmp_path / "cache", tmp_path / "images" / "001.png"
    photo.rename(tmp_path / "away.png")
    crop_people(frames_in(tmp_path, limit), SIZE_WH, 1.5, folder=kept)
    (tmp_path / "away.png").rename(photo)
    frames = frames_in(tmp_path, limit)
    cut = crop_people(frames, SIZE_WH, 1.5, folder=kept)
    assert same(cut, crop_people(frames, SIZE_WH, 1.5))


def frames_of_clip(
    folder: Path, size_wh: tuple[int, int], aspect: str, photo: str | None = None
) -> LabelledFrames:
    """Write a video of one person, squeezed to a size, with labels; return both.

    Its frame alone where it is to be a photo of some name, in an archive for example.
    """
    document = json.loads(write_coco(folder, 1).read_text())
    scale = np.array(size_wh) / PICTURE_WH
    name = {"file_name": "clip.mp4/frame_000000.jpg", "video_id": 1, "frame_id": 0}
    document["images"] = [{"id": 1, "width": size_wh[0], "height": size_wh[1], **name}]
    document["videos"] = [{"id": 1, "name": "clip.mp4"}]
    if photo is not None and not photo.startswith("clip.mp4/"):
        document["images"] = [{**document["images"][0], "file_name": photo}]
        del document["videos"], document["images"][0]["video_id"]
    person = document["annotations"][0]
    points = np.reshape(person["keypoints"], (17, 3))
    image = cv2.resize(picture_of(points[:, :2]), size_wh)
    person["bbox"] = (np.reshape(person["bbox"], (2, 2)) * scale).ravel().tolist()
    person["keypoints"] = (points * [*scale, 1]).ravel().tolist()
    (folder / "people.json").write_text(json.dumps(document))
    options = {"aspect": aspect, "crf": "5"}
    path = folder / "images" / "clip.mp4"
    write_video(path, num=1, size_wh=size_wh, draw=lambda *_: image, options=options)
    if photo is not None:
        clip = open_source([str(path)])
        with closing(ExtractedFrames(folder / "out", clip)) as sink:
            sink.write(clip.read(FrameKey("clip.mp4", 0)))
        path.unlink()
        place, frame = folder / "images" / photo, folder / "out" / "clip.mp4" / "frame_000000.jpg"
        if place.parent.suffix == ".tar":
            with tarfile.open(place.parent, "w") as archive:
                archive.add(frame, place.name)
        else:
            place.parent.mkdir(exist_ok=True)
            frame.rename(place)
    return frames_in(folder)


PHOTOS = ("clip.mp4/frame_000000.jpg", "frames/0001.jpg", "0001.jpg", "shard.tar/0001.jpg")


@pytest.mark.parametrize("photo", [None, *PHOTOS])
@pytest.mark.parametrize(("shape", "squeezed_wh"), [("4/3", (90, 160)), ("3/4", (160, 160))])
def test_videos_are_learnt_from_as_they_are_shown(
    tmp_path: Path, shape: str, squeezed_wh: tuple[int, int], photo: str | None
) -> None:
    both = [
        frames_of_clip(tmp_path / "square", PICTURE_WH, "1"),
        frames_of_clip(tmp_path / "squeezed", squeezed_wh, shape, photo),
    ]
    whole, squeezed = (crop_people(frames, SIZE_WH, 1.5) for frames in both)
    np.testing.assert_allclose(squeezed.people.boxes, whole.people.boxes, atol=0.01)
    np.testing.assert_allclose(squeezed.people.keypoints, whole.people.keypoints, atol=0.01)
    assert np.abs(squeezed.pixels.astype(int) - whole.pixels).mean() < 3
    assert (squeezed.people.pixel_aspects == 1).all()
    expected, planned = (
        plan_crops(
            frames.people, AugmentationOptions(rotation=1.0), SIZE_WH, "udp",
            np.random.default_rng(0),
        ).crop_keypoints
        for frames in both
    )  # fmt: skip
    np.testing.assert_allclose(planned, expected, atol=0.01)


def test_people_are_cut_out_of_the_frames_of_a_video(tmp_path: Path) -> None:
    path = write_coco(tmp_path, 2)
    video = write_video(tmp_path / "images" / "clip.mp4", num=12)
    document = json.loads(path.read_text())
    document["videos"] = [{"id": 1, "name": "clip.mp4"}]
    for image, index in zip(document["images"], (3, 40), strict=True):
        name = f"clip.mp4/frame_{index:06d}.jpg"
        image |= {"file_name": name, "video_id": 1, "frame_id": index}
        image["width"], image["height"] = VIDEO_WH
    path.write_text(json.dumps(document))
    frames = frames_in(tmp_path)
    cut = crop_people(frames, SIZE_WH, 1.5)
    assert [str(one.key) for one in cut.failures] == ["clip.mp4/frame_000040.jpg"]  # it has 12
    transforms = CropTransforms.from_boxes(
        frames.people.boxes[:1], SIZE_WH, alignment="classic", padding=1.875
    )
    shown = VideoFile(video, "clip.mp4").read(FrameKey("clip.mp4", 3)).image
    assert cut.people.images.tolist() == [0]
    np.testing.assert_array_equal(cut.pixels[:1], warp_crops(shown, transforms))


@pytest.mark.parametrize(("suffix", "left"), [(".npy", 50), (".npy", 1000), (".failures.json", 1)])
def test_kept_crops_that_are_damaged_are_named(tmp_path: Path, suffix: str, left: int) -> None:
    write_coco(tmp_path, 2)
    frames, kept = frames_in(tmp_path), tmp_path / "kept"
    whole = np.array(crop_people(frames, SIZE_WH, 1.5, folder=kept).pixels)
    crops = next(kept.glob("crops-*.npy"))
    damaged = crops.with_suffix(suffix)
    damaged.write_bytes(damaged.read_bytes()[:left])
    with pytest.raises(InputError, match=crops.name) as caught:
        crop_people(frames, SIZE_WH, 1.5, folder=kept)
    assert caught.value.hint == f"Delete {crops}: it is made again."
    crops.unlink()
    np.testing.assert_array_equal(crop_people(frames, SIZE_WH, 1.5, folder=kept).pixels, whole)

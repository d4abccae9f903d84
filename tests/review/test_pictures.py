from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from review_cases import CATEGORY, PHOTOS, SECRET, VIDEO, make_photo, make_run, make_video

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.media.images import ImageFolder
from vitpose_cli.records.manifest import RunManifest
from vitpose_cli.records.media_root import MediaFolders, find_folders, labelled_folders
from vitpose_cli.review import pictures as module
from vitpose_cli.review.pictures import PictureReader


def size_wh(data: bytes) -> tuple[int, int]:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image.shape[1], image.shape[0]


@pytest.mark.parametrize(
    "media",
    [
        "../secret.jpg",
        "sub/../../secret.jpg",
        "/etc/passwd",
        "..\\secret.jpg",
        "C:\\secret.jpg",
        "C:secret.jpg",
        "\\\\host\\share\\secret.jpg",
        "a\0.jpg",
        "..",
        ".",
    ],
)
@pytest.mark.parametrize("index", [-1, 0])
def test_a_key_never_leads_out_of_the_folder(tmp_path: Path, media: str, index: int) -> None:
    root = tmp_path / "media"
    (root / "sub").mkdir(parents=True)
    make_photo(tmp_path / "secret.jpg")
    pictures = PictureReader(MediaFolders.at(root), follow_links=True)
    for read in (pictures.picture, pictures.thumbnail):
        with pytest.raises(InputError):
            read(FrameKey(media, index))


def test_links_are_followed_only_when_asked_for(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "media", tmp_path / "elsewhere"
    root.mkdir()
    make_photo(elsewhere / "a.jpg")
    make_photo(root / "own.jpg")
    (root / "file.jpg").symlink_to(elsewhere / "a.jpg")
    (root / "folder").symlink_to(elsewhere)
    (root / "within.jpg").symlink_to(root / "own.jpg")
    folders = MediaFolders.at(root)
    careful, trusting = PictureReader(folders), PictureReader(folders, follow_links=True)
    for media in ("file.jpg", "folder/a.jpg"):
        with pytest.raises(InputError, match=r"link leads .* out of"):
            careful.picture(FrameKey(media))
        assert trusting.picture(FrameKey(media))
    assert careful.picture(FrameKey("within.jpg"))


def test_only_pictures_leave(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_bytes(SECRET)
    (tmp_path / "page.jpg").write_bytes(b"<html><script>alert(1)</script></html>")
    for media in ("text.jpg", "page.jpg", "none.jpg"):
        with pytest.raises(InputError):
            PictureReader(MediaFolders.at(tmp_path)).picture(FrameKey(media))


def test_pictures_are_upright_and_thumbnails_small(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned
    Image.new("RGB", (400, 300), "red").save(tmp_path / "turned.jpg", exif=exif)
    pictures = PictureReader(MediaFolders.at(tmp_path))
    key = FrameKey("turned.jpg")
    assert size_wh(pictures.picture(key)) == pictures.size_wh(key) == (300, 400)
    assert size_wh(pictures.thumbnail(key)) == (120, 160)
    assert pictures.thumbnail(key) is pictures.thumbnail(key)  # made once


def test_what_a_browser_could_not_hold_is_shown_smaller(tmp_path: Path) -> None:
    Image.new("RGB", (16384, 32), "red").save(tmp_path / "wide.png")
    pictures, key = PictureReader(MediaFolders.at(tmp_path)), FrameKey("wide.png")
    assert pictures.size_wh(key) == (16384, 32)
    assert size_wh(pictures.picture(key)) == (8192, 16)


def test_large_photos_become_thumbnails_without_being_decoded_whole(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    ramp = np.linspace(0, 255, 1400, dtype=np.uint8)
    Image.fromarray(np.repeat(ramp[None], 1000, axis=0)).save(tmp_path / "a.jpg", exif=exif)
    key = FrameKey("a.jpg")
    photos = ImageFolder({"a.jpg": tmp_path / "a.jpg"})
    assert photos.read(key).size_wh == (1000, 1400)
    assert photos.read(key, least_side=160).size_wh == (125, 175)
    assert photos.read(key, least_side=176).size_wh == (250, 350)
    assert photos.read(key, least_side=1400).size_wh == (1000, 1400)
    small = cv2.imdecode(
        np.frombuffer(PictureReader(MediaFolders.at(tmp_path)).thumbnail(key), np.uint8), 0
    )
    assert small is not None
    assert small.shape == (160, 114)
    assert np.abs(small.mean(axis=1) - np.linspace(0, 255, 160)).max() < 4


def test_old_pictures_make_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "_CACHE_BYTES", 9000)  # for some of them
    keys = [FrameKey(f"{number}.jpg") for number in range(8)]
    for key in keys:
        make_photo(tmp_path / key.media)
    pictures = PictureReader(MediaFolders.at(tmp_path))
    first = pictures.thumbnail(keys[0])
    for key in keys:
        pictures.thumbnail(key)
    assert pictures.thumbnail(keys[0]) is not first
    assert pictures.thumbnail(keys[0]) == first
    kept = pictures.thumbnail(keys[0])
    for key in keys[1:]:
        pictures.thumbnail(key)
        assert pictures.thumbnail(keys[0]) is kept  # as it was looked at all along


def test_frames_on_the_way_through_a_video_are_kept_in_both_sizes(tmp_path: Path) -> None:
    make_video(tmp_path / VIDEO)
    pictures = PictureReader(MediaFolders.at(tmp_path))
    pictures.thumbnail(FrameKey(VIDEO, 3))
    (tmp_path / VIDEO).unlink()
    assert pictures.picture(FrameKey(VIDEO, 2))
    assert pictures.thumbnail(FrameKey(VIDEO, 1))


def test_frames_of_a_video_may_be_asked_for_all_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "_CACHE_BYTES", 1)  # each is decoded anew
    make_video(tmp_path / VIDEO)
    pictures = PictureReader(MediaFolders.at(tmp_path))

    def mean(index: int) -> float:
        data = pictures.picture(FrameKey(VIDEO, index))
        image = cv2.imdecode(np.frombuffer(data, np.uint8), 0)
        assert image is not None
        return float(image.mean())

    wanted = [3, 0, 4, 1, 2] * 12
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(mean, wanted))
    assert found == pytest.approx([40 * index for index in wanted], abs=4)


def folders_of(run: Path, *sources: str) -> list[MediaFolders]:
    return labelled_folders(RunManifest(CATEGORY, sources), run)


def test_sources_are_found_from_the_working_folder_and_beside_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path)
    keys = [FrameKey("gone.jpg"), FrameKey(PHOTOS[2])]
    media = MediaFolders.at(tmp_path / "media")
    monkeypatch.chdir(tmp_path)
    assert find_folders(folders_of(run, "media"), keys) == media
    assert find_folders(folders_of(run, "media/**/*.png"), keys) == media
    several = folders_of(run, "media/**/*.png", f"media/{VIDEO}")
    assert find_folders(several, keys) == media
    (tmp_path / "list.txt").write_text(f"media/a.jpg\nmedia/{PHOTOS[2]}\n", encoding="utf-8")
    assert folders_of(run, "@list.txt")[0] == MediaFolders.at(tmp_path)
    monkeypatch.chdir("/")
    assert find_folders(folders_of(run, "media"), keys) == media


def test_a_folder_without_the_frames_is_an_error_with_a_hint(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (tmp_path / "other").mkdir()
    other = MediaFolders.at(tmp_path / "other")
    for candidates in ([], [other], folders_of(run, "moved")):
        with pytest.raises(InputError, match=r"'a\.jpg'") as caught:
            find_folders(candidates, [FrameKey("a.jpg")])
        assert "--images" in caught.value.hint

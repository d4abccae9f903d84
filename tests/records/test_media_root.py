import os
import sys
from dataclasses import replace
from pathlib import Path
from unicodedata import normalize

import pytest
from record_cases import make_manifest

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.media_root import MediaFolders, find_folders, labelled_folders


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"")
    return folder


def test_runs_find_their_photos_again(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    there = MediaFolders.at(photos)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    places = labelled_folders(make_manifest(sources=("photos",)), run)
    assert places == [there]
    keys = [FrameKey("none.jpg"), FrameKey("a.jpg")]
    assert find_folders([MediaFolders.at(tmp_path), *places], keys) == there
    nothing = make_manifest(sources=(str(photos / "*.png"), "@none.txt"))
    assert labelled_folders(nothing, run) == []
    of_file = make_manifest(sources=(str(photos / "a.jpg"),))
    assert labelled_folders(of_file, run)[0] == there


@pytest.mark.skipif(os.name == "nt", reason="network shares begin with // there")
def test_a_run_of_a_list_of_urls_takes_no_folder_here_for_its_photos(
    tmp_path: Path, photos: Path
) -> None:
    listed = tmp_path / "urls.txt"
    listed.write_text(f"s3:/{photos}/a.jpg\n")
    manifest = make_manifest(sources=(f"@{listed}",), root=f"/{photos}")
    assert labelled_folders(manifest, tmp_path / "run") == []
    of_folder = replace(manifest, sources=(str(photos),), root=".")
    assert labelled_folders(of_folder, tmp_path)[0] == MediaFolders.at(photos)


def test_merged_runs_find_photos_in_several_folders(tmp_path: Path, photos: Path) -> None:
    others = tmp_path / "more" / "others"
    others.mkdir(parents=True)
    (others / "b.jpg").write_bytes(b"")
    manifest = make_manifest(sources=("photos", "more/others"))
    (place,) = labelled_folders(manifest, tmp_path / "run")
    assert place == MediaFolders.at(tmp_path, photos, others)
    found = find_folders([place], [FrameKey("a.jpg"), FrameKey("b.jpg")])
    assert found.path("a.jpg") == photos / "a.jpg"
    assert found.path("b.jpg") == others / "b.jpg"
    assert found.path("photos/a.jpg") == photos / "a.jpg"
    assert not found.has(FrameKey("c.jpg"))
    with pytest.raises(InputError, match="leads out"):
        found.path("../photos/a.jpg")


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_photos_that_are_links_to_elsewhere_are_found(tmp_path: Path, photos: Path) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "one.jpg").symlink_to(photos / "a.jpg")
    (linked / "sub").symlink_to(photos)
    (linked / "gone.jpg").symlink_to(tmp_path / "gone.jpg")
    folders = MediaFolders.at(linked)
    keys = [FrameKey(name) for name in ("one.jpg", "sub/a.jpg", "gone.jpg")]
    assert [*folders.stored_keys(keys)] == [*keys[:2], None]
    with pytest.raises(InputError, match=r"leads from 'one\.jpg' out of"):
        next(folders.stored_keys(keys, follow_links=False))
    assert find_folders([MediaFolders.at(photos), folders], keys[:1]) == folders


def test_a_wrong_folder_is_noticed(tmp_path: Path, photos: Path) -> None:
    places = [MediaFolders.at(photos), MediaFolders.at(tmp_path)]
    with pytest.raises(InputError, match=r"'b\.jpg', are not in") as caught:
        find_folders(places, [FrameKey("b.jpg"), FrameKey("../photos/a.jpg")])
    assert "--images" in caught.value.hint


@pytest.mark.skipif(sys.platform != "linux", reason="other systems take forms of a name for one")
def test_a_file_is_found_by_other_forms_of_its_name(photos: Path) -> None:
    together, apart = (normalize(form, "é/b.jpg") for form in ("NFC", "NFD"))
    there = MediaFolders.at(photos)
    for stored, others in (
        (together, [apart, together.replace("/", "\\")]),
        (apart, [together]),
    ):
        assert [*there.stored_keys(map(FrameKey, others))] == [None] * len(others)
        file = photos / stored
        file.parent.mkdir()
        file.write_bytes(b"")
        assert [there.path(name) for name in others] == [file] * len(others)
        assert [*there.stored_keys(map(FrameKey, others))] == [*map(FrameKey, others)]
        file.unlink()
        file.parent.rmdir()
    (photos / "é.jpg").write_bytes(b"")
    (photos / normalize("NFD", "é.jpg")).write_bytes(b"")
    for name in (normalize("NFC", "é.jpg"), normalize("NFD", "é.jpg")):
        assert there.path(name) == photos / name, "its own file comes first"

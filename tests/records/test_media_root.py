from pathlib import Path

import pytest

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
    places = labelled_folders(("photos",), run)
    assert places == [there]
    keys = [FrameKey("none.jpg"), FrameKey("a.jpg")]
    assert find_folders([MediaFolders.at(tmp_path), *places], keys) == there
    assert labelled_folders((str(photos / "*.png"), "@none.txt"), run) == []
    assert labelled_folders((str(photos / "a.jpg"),), run)[0] == there


def test_merged_runs_find_photos_in_several_folders(tmp_path: Path, photos: Path) -> None:
    others = tmp_path / "more" / "others"
    others.mkdir(parents=True)
    (others / "b.jpg").write_bytes(b"")
    (place,) = labelled_folders(("photos", "more/others"), tmp_path / "run")
    assert place == MediaFolders.at(tmp_path, photos, others)
    found = find_folders([place], [FrameKey("a.jpg"), FrameKey("b.jpg")])
    assert found.path("a.jpg") == photos / "a.jpg"
    assert found.path("b.jpg") == others / "b.jpg"
    assert found.path("photos/a.jpg") == photos / "a.jpg"
    assert not found.has("c.jpg")
    with pytest.raises(InputError, match="leads out"):
        found.path("../photos/a.jpg")


def test_a_wrong_folder_is_noticed(tmp_path: Path, photos: Path) -> None:
    places = [MediaFolders.at(photos), MediaFolders.at(tmp_path)]
    with pytest.raises(InputError, match=r"'b\.jpg', are not in") as caught:
        find_folders(places, [FrameKey("b.jpg"), FrameKey("../photos/a.jpg")])
    assert "--images" in caught.value.hint

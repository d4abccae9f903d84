from pathlib import Path

import pytest

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.media_root import find_root, labelled_folders


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
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    folders = labelled_folders(("photos",), run)
    assert [folder.resolve() for folder in folders] == [photos]
    assert find_root([tmp_path, *folders], [FrameKey("none.jpg"), FrameKey("a.jpg")]) == photos
    assert labelled_folders((str(photos / "*.png"), "@none.txt"), run) == []
    assert labelled_folders((str(photos / "a.jpg"),), run)[0] == photos


def test_a_wrong_folder_is_noticed(tmp_path: Path, photos: Path) -> None:
    with pytest.raises(InputError, match=r"'b\.jpg', are not in") as caught:
        find_root([photos, tmp_path], [FrameKey("b.jpg"), FrameKey("../photos/a.jpg")])
    assert "--images" in caught.value.hint

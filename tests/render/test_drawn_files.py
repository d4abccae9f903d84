"""Where drawn copies go: into the file or folder that was said, or nowhere."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from label_cases import make_record, make_run

from vitpose_cli.errors import ConfigError
from vitpose_cli.render.options import RenderOptions
from vitpose_cli.render.rendering import RenderSummary, render


def draw(source: Path, output: Path, run: Path) -> RenderSummary:
    return render(RenderOptions((str(source),), output, run), lambda *_: None, lambda _: None)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Write a photo, alone in its folder, and its run."""
    path = tmp_path / "in" / "a.jpg"
    path.parent.mkdir()
    cv2.imwrite(str(path), np.zeros((480, 640, 3), np.uint8))
    make_run(tmp_path / "run", [make_record("a.jpg")])
    return path


@pytest.mark.parametrize("name", ["x.webp", "x.gif", "drawn.v2", "x.mp4"])
def test_a_photo_gives_no_other_file(tmp_path: Path, photo: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"^a\.jpg cannot be drawn into") as caught:
        draw(photo, tmp_path / name, tmp_path / "run")
    assert "a photo a .jpg or .png" in caught.value.hint


@pytest.mark.parametrize("name", ["x.mp4", "x.MKV", "x.jpg", "x.webp"])
def test_several_photos_do_not_go_into_one_file(tmp_path: Path, photo: Path, name: str) -> None:
    photo.with_name("b.jpg").write_bytes(photo.read_bytes())
    output = tmp_path / name
    with pytest.raises(ConfigError, match="names one file, but 2 files are to be drawn"):
        draw(photo.parent, output, tmp_path / "run")
    assert not output.exists()
    output.mkdir()
    draw(photo.parent, output, tmp_path / "run")
    assert [path.name for path in output.iterdir()] == ["a.jpg"]


def test_a_folder_of_one_photo_gives_a_file_if_that_was_said(tmp_path: Path, photo: Path) -> None:
    assert draw(photo.parent, tmp_path / "x.jpg", tmp_path / "run").output.is_file()


@pytest.mark.parametrize("name", ["drawn", "drawn.v2"])
def test_a_folder_of_one_photo_gives_the_folder_that_was_said(
    tmp_path: Path, photo: Path, name: str
) -> None:
    summary = draw(photo.parent, tmp_path / name, tmp_path / "run")
    assert summary.output == tmp_path / name
    assert [path.name for path in summary.output.iterdir()] == ["a.jpg"]

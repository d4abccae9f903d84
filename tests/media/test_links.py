"""A file behind links is found once, by a name that no later link changes."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from planted import found, plant

from vitpose_cli.media.finding import find_media


@pytest.mark.skipif(os.name == "nt", reason="POSIX links")
def test_a_line_of_a_list_means_what_the_system_takes_it_for(tmp_path: Path) -> None:
    plant(tmp_path, "in/a.jpg", "far/a.jpg", "far/deep/b.jpg")
    (tmp_path / "in/link").symlink_to(tmp_path / "far/deep")
    photos = tmp_path / "in/list.txt"
    photos.write_text("link/../a.jpg\n")
    assert find_media([f"@{photos}"]).files == {"a.jpg": tmp_path / "far/a.jpg"}
    photos.write_text("link/../deep\nlink/b.jpg\n")  # names of what is below the list stay
    assert found(f"@{photos}") == ["far/deep/b.jpg", "in/link/b.jpg"]


def test_of_two_links_to_a_folder_the_same_is_followed_everywhere(tmp_path: Path) -> None:
    plant(tmp_path, *(f"{number}/a.jpg" for number in range(5)), "other/a.jpg")
    for number in random.Random(0).sample(range(20), 20):
        (tmp_path / "0" / f"link{number:02d}").symlink_to(tmp_path / "other")
    assert sorted(found(tmp_path / "0")) == ["a.jpg", "link00/a.jpg"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX links")
def test_a_link_that_is_made_later_renames_nothing(tmp_path: Path) -> None:
    plant(tmp_path, "in/m/a.jpg", "in/m/deep/b.jpg", "in/z/c.jpg", "far/d.jpg")
    names = ["m/a.jpg", "m/deep/b.jpg", "z/c.jpg"]
    assert found(tmp_path / "in") == names
    for link, target in {"a": "in/m", "m/0": "in/z", "z/in": "in", "b": "in/m/deep"}.items():
        (tmp_path / "in" / link).symlink_to(tmp_path / target)
    assert found(tmp_path / "in") == names
    (tmp_path / "in/z/far").symlink_to(tmp_path / "far")
    (tmp_path / "in/m/to").symlink_to(tmp_path / "in/z")
    assert found(tmp_path / "in") == [*names, "z/far/d.jpg"]
    listed = tmp_path / "list.txt"
    listed.write_text("in/b\nin/m/deep\n")
    assert found(f"@{listed}") == ["in/m/deep/b.jpg"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX links")
def test_a_glob_takes_a_folder_and_links_to_it_once(tmp_path: Path) -> None:
    plant(tmp_path, "in/m/a.jpg", "in/m/b.jpg", "in/z/c.jpg", "far/d.jpg")
    for link, target in {"a": "in/m", "b": "far", "c": "far"}.items():
        (tmp_path / "in" / link).symlink_to(tmp_path / target)
    every = ["b/d.jpg", "m/a.jpg", "m/b.jpg", "z/c.jpg"]
    for pattern in "*", "*/*.jpg", "*/*":
        assert found(tmp_path / "in" / pattern) == every
    assert found(tmp_path / "in/m/a*", tmp_path / "in/a*") == ["a/b.jpg", "m/a.jpg"]

"""Names of photos stay while a run goes on, whatever comes and goes in its sources."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from runs import save_weights, vitpose

from vitpose_cli.errors import ExitCode
from vitpose_cli.records.folder import known_roots
from vitpose_cli.records.manifest import RunManifest
from vitpose_cli.records.media_root import MediaFolders, labelled_folders


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_weights(tmp_path_factory.mktemp("weights") / "weights.safetensors")


class Runs:
    """Runs in one folder, in which all sources lie, too."""

    def __init__(self, folder: Path, weights: Path) -> None:
        self.folder = folder
        self._more = ["-w", str(weights), "--detector", "whole-image", "--no-flip-test"]

    def plant(self, *names: str) -> None:
        for name in names:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.full((32, 24, 3), 90, np.uint8))

    def rename(self, before: str, now: str) -> None:
        shutil.move(self.folder / before, self.folder / now)

    def label(self, *sources: str, run: str = "run", here: str = ".") -> str:
        """Label; return what was said, the number of new photos in it."""
        done = self._annotate(*sources, run=run, here=here)
        assert done.returncode == ExitCode.OK, done.stderr
        return done.stderr

    def refused(self, *sources: str, run: str = "run", here: str = ".") -> str:
        done = self._annotate(*sources, run=run, here=here)
        assert done.returncode == ExitCode.CONFIG, done.stderr
        return done.stderr

    def _annotate(self, *sources: str, run: str, here: str) -> subprocess.CompletedProcess[str]:
        return vitpose("annotate", *sources, "-o", run, *self._more, cwd=self.folder / here)

    def names(self, run: str = "run") -> list[str]:
        document = json.loads((self.folder / run / "annotations.json").read_bytes())
        return [image["file_name"] for image in document["images"]]


@pytest.fixture
def runs(tmp_path: Path, weights: Path) -> Runs:
    return Runs(tmp_path, weights)


def test_a_folder_that_fills_later_renames_nothing(runs: Runs) -> None:
    runs.plant("mon/a.jpg")
    (runs.folder / "tue").mkdir()
    runs.label("mon", "tue")
    assert runs.names() == ["mon/a.jpg"]
    shutil.move(runs.folder / "mon/a.jpg", runs.folder / "tue/a.jpg")
    assert "(1 now" in runs.label("mon", "tue")
    assert runs.names() == ["mon/a.jpg", "tue/a.jpg"]


def test_a_list_of_files_elsewhere_goes_on_below_the_folder_it_began_with(runs: Runs) -> None:
    runs.plant("far/d1/a.jpg", "far/d2/a.jpg", "far/d3/a.jpg", "a.jpg")
    listed = runs.folder / "lists" / "all.txt"
    listed.parent.mkdir()
    listed.write_text("../far/d1/a.jpg\n../far/d2/a.jpg\n")
    runs.label("@lists/all.txt")
    assert runs.names() == ["d1/a.jpg", "d2/a.jpg"]
    listed.write_text("../far/d2/a.jpg\n")  # by itself, it would be a.jpg
    assert "(0 now" in runs.label("@lists/all.txt")
    listed.write_text("../far/d3/a.jpg\n")
    assert "(1 now" in runs.label("@lists/all.txt")
    assert runs.names() == ["d1/a.jpg", "d2/a.jpg", "d3/a.jpg"]
    drawn = vitpose("render", "@lists/all.txt", "-a", "run", "-o", "drawn", cwd=runs.folder)
    assert drawn.returncode == ExitCode.OK, drawn.stderr
    assert (runs.folder / "drawn/d3/a.jpg").is_file()

    listed.write_text("../far/d3/a.jpg\n../a.jpg\n")
    said = runs.refused("@lists/all.txt")
    assert f"names: were relative to {runs.folder}/far, but not all" in said
    assert "--refresh" not in said
    assert runs.names() == ["d1/a.jpg", "d2/a.jpg", "d3/a.jpg"]


def test_more_files_below_one_folder_are_no_other_run(runs: Runs) -> None:
    runs.plant(*(f"sg/p{number}.jpg" for number in range(1, 5)), "x/p5.jpg")
    files = [f"sg/p{number}.jpg" for number in range(5)]
    runs.label(*files[1:4])
    assert "(1 now" in runs.label(*files[1:])
    runs.plant("sg/p0.jpg")
    assert "(1 now" in runs.label(*files)
    assert runs.names() == [f"p{number}.jpg" for number in range(5)]
    assert RunManifest.read(runs.folder / "run/manifest.json").sources == tuple(files)

    said = runs.refused(*files[1:], "x/p5.jpg")
    assert "sources: 5, now 5; first new: x/p5.jpg; first gone: sg/p0.jpg\n" in said
    assert "a glob in quotes, or @list.txt" in said
    said = runs.refused(*files, "x/p5.jpg")
    assert f"names: were relative to {runs.folder}/sg, but" in said


def test_a_run_and_its_sources_may_be_moved_together(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.plant("here/mon/a.jpg", "here/tue/b.jpg")
    runs.label("here/mon", "here/tue")
    (tmp_path / "there").mkdir()
    for name in ("here", "run"):
        shutil.move(tmp_path / name, tmp_path / "there" / name)
    manifest = RunManifest.read(tmp_path / "there/run/manifest.json")
    assert manifest.root == ".."
    run = tmp_path / "there/run"
    monkeypatch.chdir(tmp_path / "there/here")
    assert tmp_path / "there/here" in known_roots(run)
    places = labelled_folders(manifest, run)
    assert places == [MediaFolders.at(tmp_path / "there/here")]
    runs.folder = tmp_path / "there"
    assert "(0 now" in runs.label("here/mon", "here/tue")


def test_a_run_that_does_not_say_what_its_names_are_relative_to_goes_on(runs: Runs) -> None:
    runs.plant("mon/a.jpg", "tue/b.jpg")
    runs.label("mon", "tue")
    path = runs.folder / "run" / "manifest.json"
    fields = json.loads(path.read_bytes())
    assert fields.pop("root") == ".."
    path.write_text(json.dumps(fields))
    assert "(0 now" in runs.label("mon", "tue")
    assert RunManifest.read(path).root == ".."


def test_photos_of_another_folder_of_the_same_name_are_others(runs: Runs) -> None:
    runs.plant("a/photos/1.jpg", "b/photos/1.jpg", "b/photos/2.jpg")
    runs.label("photos", run="photos.vitpose", here="a")
    said = runs.refused("photos", run="../a/photos.vitpose", here="b")
    there, here = (runs.folder / day / "photos" for day in "ab")
    assert f"sources: was {there}, now {here}" in said
    exported = vitpose(
        "export", "../a/photos.vitpose", "-f", "yolo", "-o", "../ds", cwd=runs.folder / "b"
    )
    assert exported.returncode == ExitCode.OK, exported.stderr
    (link,) = (runs.folder / "ds/images/train").iterdir()
    assert link.resolve() == there / "1.jpg"
    assert "(0 now" in runs.label("../a/photos", run="../a/photos.vitpose", here="b")


def test_of_a_run_in_a_moved_set_what_lies_beside_it_counts(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.plant("a/photos/1.jpg", "c/photos/1.jpg")
    runs.label("photos", run="../runs/photos.vitpose", here="a")
    run, moved = runs.folder / "runs/photos.vitpose", runs.folder / "b"
    manifest = RunManifest.read(run / "manifest.json")
    assert manifest.base == "../../a"
    shutil.move(runs.folder / "a", moved)
    shutil.move(run, moved / "photos.vitpose")
    run = moved / "photos.vitpose"
    monkeypatch.chdir(runs.folder / "c")
    beside, here = labelled_folders(manifest, run)
    assert (beside, here) == (MediaFolders.at(moved / "photos"), MediaFolders.at(Path("photos")))
    assert "(0 now" in runs.label("photos", run="photos.vitpose", here="b")
    manifest = RunManifest.read(run / "manifest.json")
    assert manifest.base == ".."
    assert labelled_folders(manifest, run) == [beside]
    assert "sources: was" in runs.refused("photos", run="../b/photos.vitpose", here="c")


def test_a_run_that_does_not_say_where_it_was_begun_learns_it(runs: Runs) -> None:
    runs.plant("a/photos/1.jpg", "b/photos/1.jpg")
    runs.label("photos", run="photos.vitpose", here="a")
    path = runs.folder / "a/photos.vitpose/manifest.json"
    fields = json.loads(path.read_bytes())
    assert fields.pop("base") == ".."
    path.write_text(json.dumps(fields))
    assert "(0 now" in runs.label("a/photos", run="a/photos.vitpose")
    manifest = RunManifest.read(path)
    assert (manifest.sources, manifest.base) == (("a/photos",), "../..")
    assert "sources: was" in runs.refused("photos", run="../a/photos.vitpose", here="b")


def test_a_run_goes_on_with_its_folder_under_another_name(runs: Runs) -> None:
    runs.plant("orig/a.jpg", "orig/sub/b.jpg")
    runs.label("orig")
    runs.rename("orig", "renamed")
    runs.plant("renamed/c.jpg")
    said = runs.label("renamed")
    assert "(1 now" in said
    assert "orig is gone, and renamed has what the run labelled" in said
    assert sorted(runs.names()) == ["a.jpg", "c.jpg", "sub/b.jpg"]
    assert RunManifest.read(runs.folder / "run/manifest.json").sources == ("renamed",)
    assert "is gone" not in runs.label("renamed")


def test_photos_of_a_folder_that_is_gone_are_no_others(runs: Runs) -> None:
    runs.plant("orig/a.jpg", "orig/b.jpg", "less/a.jpg", "sized/a.jpg", "sized/b.jpg")
    cv2.imwrite(str(runs.folder / "sized/b.jpg"), np.zeros((24, 32, 3), np.uint8))
    shutil.copytree(runs.folder / "orig", runs.folder / "copy")
    runs.label("orig")
    said = runs.refused("copy")
    assert "sources: was orig, now copy" in said
    assert "Nothing is at orig" not in said
    runs.rename("orig", "kept")
    for other in ("less", "sized"):
        said = " ".join(runs.refused(other).split())
        assert f"sources: was orig, now {other}" in said
        assert "Nothing is at orig any more" in said
    (runs.folder / "orig").symlink_to("kept")
    assert "(0 now" in runs.label("orig")


def test_a_source_behind_a_link_is_found_again(runs: Runs) -> None:
    runs.plant("far/photos/a.jpg", "photos/a.jpg")
    (runs.folder / "far/deep").mkdir()
    (runs.folder / "link").symlink_to(runs.folder / "far/deep")
    (runs.folder / "list.txt").write_text("photos/a.jpg\n")
    for source, meant in ("link/../photos/", "far/photos"), ("@photos/../list.txt", "@list.txt"):
        for written in (source, meant):
            runs.label(written, run=source.strip("@").partition("/")[0] + ".run")
    for run, folder in ("link.run", "far/photos"), ("photos.run", "."):
        manifest = RunManifest.read(runs.folder / run / "manifest.json")
        assert not Path(manifest.sources[0].lstrip("@")).is_absolute()
        places = labelled_folders(manifest, runs.folder / run)
        assert places == [MediaFolders.at(runs.folder / folder)]

"""Pictures that `vitpose annotate` writes beside the labels: previews and extracted frames."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from annotate_jobs import Job
from photo_jobs import NUM_PHOTOS, make_photo_job
from runs import cut_astronaut, vitpose
from video_cases import write_video

from vitpose_cli.files import TEMPORARY_SUFFIX
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.media.headers import read_image_header
from vitpose_cli.media.images import decode_image
from vitpose_cli.records.run import Run
from vitpose_cli.render.options import RenderOptions
from vitpose_cli.render.rendering import render


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return make_photo_job(tmp_path_factory.mktemp("job"))


def test_preview_draws_every_photo(job: Job, tmp_path: Path) -> None:
    done = vitpose(*job.arguments(tmp_path / "run"), "--preview")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "run" / "preview").rglob("*.jpg"))) == NUM_PHOTOS
    assert "labelled earlier" not in done.stderr


def test_preview_shows_the_keypoints_that_the_document_has(tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    photo = cut_astronaut(tmp_path)
    done = vitpose("annotate", photo, "-o", run, "--preview")
    assert done.returncode == 0, done.stderr
    journal = Run.read(run).record(FrameKey(photo.name))
    assert journal is not None
    assert journal.instances is not None
    document = json.loads((run / "annotations.json").read_bytes())
    num_labelled = sum(person["num_keypoints"] for person in document["annotations"])
    assert (journal.instances.visibility > 0).sum() > num_labelled  # elbows are below the photo
    labels = run / "annotations.json"
    wanted = RenderOptions((str(photo),), out / photo.name, labels)
    render(wanted, lambda *_: None, lambda _: None)
    preview, drawn = run / "preview" / photo.name, out / photo.name
    assert preview.read_bytes() == drawn.read_bytes()


def test_preview_keeps_the_shape_of_pixels(job: Job, tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    path = write_video(tmp_path / "media" / "tape.avi", num=1, options={"aspect": "64/45"})
    arguments = ("-o", tmp_path / "run", "--preview", "--extract-frames", tmp_path / "out")
    options = ("-w", job.weights, "--detector", "whole-image")
    done = vitpose("annotate", path, *arguments, *options)
    assert done.returncode == 0, done.stderr
    name = "tape.avi/frame_000000.jpg"
    for picture in (tmp_path / "out" / name, tmp_path / "run" / "preview" / name):
        header = read_image_header(picture.read_bytes())
        assert header.pixel_aspect == pytest.approx(64 / 45), picture


def test_previews_of_names_that_begin_alike_do_not_meet(job: Job, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("a.webp", "a.webp.jpg"):
        cv2.imwrite(str(tmp_path / "photos" / name), np.zeros((90, 120, 3), np.uint8))
    arguments = ["annotate", str(tmp_path / "photos"), "-o", str(tmp_path / "run"), "--preview"]
    for _ in range(2):
        done = vitpose(*arguments, "-w", job.weights, "--detector", "whole-image")
        assert done.returncode == 0, done.stderr
        assert "labelled earlier" not in done.stderr
    written = {path.name for path in (tmp_path / "run" / "preview").iterdir()}
    assert written == {"a.webp.jpg", "a.webp.jpg.jpg"}


def test_a_run_that_is_begun_anew_keeps_only_what_it_did_not_make(job: Job, tmp_path: Path) -> None:
    photos, run = tmp_path / "photos", tmp_path / "run"
    for name in ("a/photo 1.jpg", "a/photo 3.jpg", "b/photo 2.jpg"):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(job.media / name, photos / name)
    shutil.copy(photos / "a" / "photo 1.jpg", photos / "a" / "copy.png")  # whatever it is called
    arguments = replace(job, media=photos).arguments(run)
    assert vitpose(*arguments, "--preview").returncode == 0
    assert vitpose("select", run).returncode == 0
    own = ("preview/a/mine.jpg", "preview/a/photo 9.jpg", "preview/notes.txt", "other.json")
    for name in own:
        shutil.copy(job.media / "a" / "photo 1.jpg", run / name)
    (run / "preview" / "a" / f".x.jpg.1{TEMPORARY_SUFFIX}").touch()  # of a process that was killed
    (photos / "a" / "photo 3.jpg").unlink()
    (photos / "a" / "copy.png").unlink()
    (photos / "b" / "photo 2.jpg").unlink()
    assert vitpose(*arguments, "--overwrite", "--preview").returncode == 0
    assert {path.relative_to(run).as_posix() for path in (run / "preview").rglob("*")} == {
        "preview/a", "preview/a/photo 1.jpg", *own[:3],
    }  # fmt: skip
    assert not (run / "queue.json").exists()
    shutil.copy(run / "other.json", run / "queue.json")
    assert vitpose(*arguments, "--overwrite").returncode == 0
    assert not (run / "preview" / "a" / "photo 1.jpg").exists()
    assert all((run / name).exists() for name in (*own, "queue.json"))


def test_photos_labelled_earlier_get_their_pictures(job: Job, tmp_path: Path) -> None:
    shutil.copytree(job.run, tmp_path / "run")
    shutil.copytree(job.media, tmp_path / "photos")
    arguments = replace(job, media=tmp_path / "photos").arguments(tmp_path / "run")
    (tmp_path / "photos" / "a" / "photo 1.jpg").write_bytes(b"")
    at_once = tmp_path / "at once"
    assert vitpose(*job.arguments(at_once), "--preview").returncode == 0
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_bytes())
    manifest["sources"] = [arguments[1]]
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(manifest))
    late = vitpose(*arguments, "--preview", "--extract-frames", tmp_path / "out", "--json")
    assert late.returncode == 0, late.stderr
    assert json.loads(late.stdout)["num_new"] == 0
    assert f"{NUM_PHOTOS} frames were labelled earlier" in late.stderr
    assert "1 frame, such as a/photo 1.jpg, cannot be read again" in late.stderr
    names = {path.relative_to(job.media) for path in job.media.rglob("*.jpg")}
    for name in names - {Path("a/photo 1.jpg")}:
        assert (tmp_path / "out" / name).read_bytes() == (job.media / name).read_bytes()
        drawn, wanted = (
            np.float32(decode_image((folder / "preview" / name).read_bytes()))
            for folder in (tmp_path / "run", at_once)
        )
        assert np.abs(drawn - wanted).mean() < 2  # records keep 0.01 px; 2.5 or more without people


def test_photos_are_never_overwritten_by_what_is_extracted(job: Job, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(job.media, photos)
    before = {path: path.read_bytes() for path in photos.rglob("*.jpg")}
    arguments = replace(job, media=photos).arguments(tmp_path / "run")
    for folder in (photos, photos / "a"):
        done = vitpose(*arguments, "--extract-frames", folder)
        assert done.returncode == 3
        assert "what is to be labelled lies there" in done.stderr
    linked = tmp_path / "linked"
    linked.mkdir()
    for number, photo in enumerate(sorted(before)):
        (linked / f"{number}.jpg").symlink_to(photo)
    done = vitpose("annotate", linked, "-o", tmp_path / "run", "--extract-frames", photos)
    assert done.returncode == 3
    assert "what is to be labelled lies there" in done.stderr
    assert {path: path.read_bytes() for path in photos.rglob("*.jpg")} == before


@pytest.mark.parametrize("source", ["", "*", "list.txt"])
def test_frames_extracted_among_the_photos_are_never_photos(
    job: Job, tmp_path: Path, source: str
) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(job.media / "a", photos / "a")
    (photos / "list.txt").write_text(".\n")
    arguments = replace(job, media=photos / source).arguments(tmp_path / "run")
    arguments[1] = "@" * source.endswith(".txt") + arguments[1]
    arguments += ["--extract-frames", str(photos / "frames"), "--json"]
    first, again = vitpose(*arguments), vitpose(*arguments)
    assert first.returncode == again.returncode == 0, first.stderr + again.stderr
    assert json.loads(again.stdout)["num_new"] == 0
    num_photos = len(list((photos / "a").rglob("*.jpg")))
    assert json.loads(again.stdout)["num_frames"] == num_photos
    assert f"passed over: {num_photos} exported" in again.stderr
    assert "labelled earlier" not in again.stderr


def test_extracted_frames_replace_nothing_of_others(job: Job, tmp_path: Path) -> None:
    arguments = job.arguments(tmp_path / "run")
    name = sorted(path.relative_to(job.media) for path in job.media.rglob("*.jpg"))[0]
    notes = tmp_path / "mine" / name
    notes.parent.mkdir(parents=True)
    notes.write_text("notes")
    for _ in range(2):
        done = vitpose(*arguments, "--extract-frames", tmp_path / "mine")
        assert done.returncode == 3
        assert f"{notes} is there already" in done.stderr
        assert notes.read_text() == "notes"
    notes.unlink()
    done = vitpose(*arguments, "--extract-frames", tmp_path / "mine")
    assert done.returncode == 0, done.stderr
    assert notes.read_bytes() == (job.media / name).read_bytes()


def test_pictures_in_a_run_among_its_photos_are_never_photos(job: Job, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(job.media / "a", photos / "a")
    run = photos / "run"
    arguments = replace(job, media=photos).arguments(run)
    pictures = ["--preview", "--extract-frames", str(run / "frames")]
    assert vitpose(*arguments, *pictures).returncode == 0
    before = (run / "annotations.json").read_bytes()
    again = vitpose(*arguments, *pictures, "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["num_new"] == 0
    assert (run / "annotations.json").read_bytes() == before
    for source in (run, run / "preview", run / "preview" / "a" / "photo 1.jpg"):
        done = vitpose("annotate", source, "-o", tmp_path / "other")
        assert done.returncode == 3
        assert "run folder" in done.stderr
        assert "vitpose review RUN" in done.stderr
        assert not (tmp_path / "other").exists()

"""`vitpose annotate` as its users meet it: whole runs in processes of their own."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from annotate_jobs import Job
from disks import Disk
from numpy.typing import NDArray
from photo_jobs import NUM_PHOTOS, make_photo_job
from PIL import Image
from runs import command, environment, save_boxes, save_weights, vitpose, wait_until

from vitpose_cli.annotate.actor_pool import _Annotator
from vitpose_cli.annotate.labelling import default_run
from vitpose_cli.annotate.options import AnnotateOptions
from vitpose_cli.assembly import LabelerOptions
from vitpose_cli.errors import ConfigError
from vitpose_cli.media.source import open_source


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return make_photo_job(tmp_path_factory.mktemp("job"))


def document(run: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((run / "annotations.json").read_text())
    return loaded


def test_every_photo_is_labelled_and_the_document_is_valid(job: Job) -> None:
    labels = document(job.run)
    assert len(labels["images"]) == NUM_PHOTOS
    assert len(labels["annotations"]) > NUM_PHOTOS
    assert (job.run / "failures.jsonl").read_text() == ""
    checked = vitpose("validate", job.run / "annotations.json")
    assert checked.returncode == 0, checked.stdout
    empty = {image["id"] for image in labels["images"]} - {
        label["image_id"] for label in labels["annotations"]
    }
    assert len(empty) == NUM_PHOTOS // 5  # no box, no person


def test_the_same_command_again_does_nothing(job: Job) -> None:
    before = (job.run / "annotations.json").read_bytes()
    done = vitpose(*job.arguments(job.run), "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["num_new"] == 0
    assert (job.run / "annotations.json").read_bytes() == before


def test_killed_at_any_moment_and_taken_up_again_it_writes_the_same_bytes(
    job: Job, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    generator = random.Random(0)
    journal = run / "journal-1-of-1.jsonl"
    for _ in range(4):
        process = subprocess.Popen(
            command(*job.arguments(run)), env=environment(), stderr=subprocess.DEVNULL
        )
        started_with = journal.stat().st_size if journal.exists() else 0
        more = generator.randrange(1, 20_000)
        while process.poll() is None:
            if journal.exists() and journal.stat().st_size > started_with + more:
                process.send_signal(signal.SIGKILL)
                process.wait()
            time.sleep(0.002)
    done = vitpose(*job.arguments(run))
    assert done.returncode == 0, done.stderr
    for name in ("annotations.json", "failures.jsonl"):
        assert (run / name).read_bytes() == (job.run / name).read_bytes()


def test_interrupted_it_says_how_to_go_on_and_keeps_the_journal(job: Job, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = subprocess.Popen(
        command(*job.arguments(run)), env=environment(), stderr=subprocess.PIPE, text=True
    )
    journal = run / "journal-1-of-1.jsonl"
    wait_until(lambda: journal.exists() and journal.stat().st_size > 0, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 130
    assert "goes on" in errors
    assert "Traceback" not in errors
    assert vitpose(*job.arguments(run)).returncode == 0
    assert (run / "annotations.json").read_bytes() == (job.run / "annotations.json").read_bytes()


def test_other_options_are_refused_with_what_differs(job: Job, tmp_path: Path) -> None:
    other = vitpose(*job.arguments(job.run), "--flip-test")
    assert other.returncode == 2
    assert "flip-test: was False, now True" in other.stderr
    assert "--overwrite" in other.stderr
    weights = save_weights(tmp_path / "other.safetensors", seed=1)
    arguments = job.arguments(job.run)
    arguments[arguments.index("-w") + 1] = str(weights)
    assert "weights: was" in vitpose(*arguments).stderr
    names = sorted(path.relative_to(job.media).as_posix() for path in job.media.rglob("*.jpg"))
    arguments = job.arguments(job.run)
    other_boxes = save_boxes(tmp_path / job.boxes.name, names, people=1)
    arguments[arguments.index("--boxes") + 1] = str(other_boxes)
    assert "detector: was boxes of boxes.json (" in vitpose(*arguments).stderr


def test_photos_that_cannot_be_read_are_recorded_and_tried_again(job: Job, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(job.media, photos)
    good = photos / "a" / "photo 1.jpg"
    (photos / "a" / "empty.jpg").touch()
    (photos / "a" / "text.png").write_text("not a photo")
    (photos / "a" / "cut.jpg").write_bytes(good.read_bytes()[:600])
    run = tmp_path / "run"
    arguments = job.arguments(run)
    arguments[1] = str(photos)
    done = vitpose(*arguments)
    assert done.returncode == 5, done.stderr
    failures = [json.loads(line) for line in (run / "failures.jsonl").read_text().splitlines()]
    assert [failure["file_name"] for failure in failures] == [
        "a/cut.jpg", "a/empty.jpg", "a/text.png",
    ]  # fmt: skip
    assert len(document(run)["images"]) == NUM_PHOTOS
    for name in ("cut.jpg", "empty.jpg"):
        shutil.copy(good, photos / "a" / name)
    (photos / "a" / "text.png").unlink()
    again = vitpose(*arguments, "--json")
    assert json.loads(again.stdout)["num_new"] == 2
    assert len(document(run)["images"]) == NUM_PHOTOS + 2


def test_boxes_of_photos_of_another_size_fail_one_by_one(job: Job, tmp_path: Path) -> None:
    names = [path.relative_to(job.media).as_posix() for path in sorted(job.media.rglob("*.jpg"))]
    box = {"category_id": 1, "bbox": [5, 5, 30, 40], "iscrowd": 0}
    content = {
        "images": [
            {"id": number, "file_name": name, "width": 90, "height": 120}
            for number, name in enumerate(names)
        ],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [box | {"id": i, "image_id": i} for i in range(len(names))],
    }
    content["images"][-1] |= {"width": 120, "height": 90}
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    arguments = job.arguments(tmp_path / "run")
    arguments[arguments.index("--boxes") + 1] = str(tmp_path / "boxes.json")
    done = vitpose(*arguments)
    assert done.returncode == 5, done.stderr
    assert len(document(tmp_path / "run")["annotations"]) == 1
    lines = (tmp_path / "run/failures.jsonl").read_text().splitlines()
    assert len(lines) == len(names) - 1
    assert f"{names[0]} has 120 x 90 px, and" in lines[0]
    assert "EXIF" in lines[0]


def test_photos_of_every_kind_are_labelled_at_their_own_size(job: Job, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)

    def noise(*shape: int, dtype: type = np.uint8) -> NDArray[np.generic]:
        return generator.integers(0, np.iinfo(dtype).max, shape, dtype)

    photos = tmp_path / "ein Ördner"
    (photos / "x").mkdir(parents=True)
    (photos / "y").mkdir()
    pictures = {
        "x/same.png": noise(30, 40, 3),
        "y/same.png": noise(50, 60, 3),
        "dot.png": noise(1, 1, 3),
        "strip.jpg": noise(30, 20_000, 3),
        "grey.png": noise(20, 30),
        "sixteen.png": noise(20, 30, 3, dtype=np.uint16),
        "alpha.png": noise(20, 30, 4),
        "写真.webp": noise(20, 30, 3),
        "scan.tiff": noise(20, 30, 3),
        "old.bmp": noise(20, 30, 3),
        "panorama.bmp": np.zeros((8, 66_000, 3), np.uint8),  # wider than a JPEG may be
    }
    for name, picture in pictures.items():
        _, data = cv2.imencode(Path(name).suffix, picture)
        (photos / name).write_bytes(data.tobytes())
    Image.fromarray(noise(20, 30, 4), "CMYK").save(photos / "print.jpg")
    turned = Image.fromarray(noise(20, 30, 3))
    exif = turned.getexif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees
    turned.save(photos / "phone.jpg", exif=exif)

    done = vitpose("annotate", photos, "-o", tmp_path / "run", "-w", job.weights, "--preview")
    assert done.returncode == 0, done.stderr
    assert "1 photo was turned upright" in done.stderr
    assert "1 frame, such as panorama.bmp, is labelled but too large" in done.stderr
    assert "not written as pictures then" not in done.stderr
    sizes = {
        image["file_name"]: (image["height"], image["width"])
        for image in document(tmp_path / "run")["images"]
    }
    expected = {name: picture.shape[:2] for name, picture in pictures.items()}
    assert sizes == expected | {"print.jpg": (20, 30), "phone.jpg": (30, 20)}
    checked = vitpose("validate", tmp_path / "run" / "annotations.json")
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["annotate", "nowhere"], 3, "nowhere"),
        (["annotate", "empty"], 3, "no photo or video"),
        (["annotate", "photos", "-w", "no-such-weights"], 4, "no-such-weights"),
        (["annotate", "photos", "-w", "broken.safetensors"], 4, "broken.safetensors"),
        (["annotate", "photos", "--device", "cuda:7"], 2, "cuda:7"),
        (["annotate", "photos", "--precision", "fp7"], 2, "fp7"),
        (["annotate", "photos", "--batch-size", "many"], 2, "many"),
        (["annotate", "photos", "--device", "cpu", "--compile"], 2, "--compile"),
        (["annotate", "photos", "--boxes", "boxes.json", "--detector", "dfine-s"], 2, "exclude"),
        (["annotate", "photos", "--boxes", "list.json"], 3, "list.json"),
        (["annotate", "photos", "--keypoint-set", "wholebody"], 4, "wholebody"),
        (["annotate", "photos", "--detector", "dfine-s"], 4, "dfine"),
        (["annotate", "photos", "--no-such-option"], 2, "no-such-option"),
        (["annotate", "photos", "-o", "file"], 3, "file"),
        (["evaluate", "-a", "boxes.json", "-i", "photos"], 3, "boxes.json"),
        (["evaluate", "-a", "boxes.json"], 2, "--predictions"),
        (["validate", "nowhere.json"], 3, "nowhere.json"),
    ],
)
def test_bad_input_ends_with_its_code_and_a_clear_sentence(
    job: Job, tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "photos").symlink_to(job.media)
    (tmp_path / "boxes.json").symlink_to(job.boxes)
    (tmp_path / "list.json").write_text('{"what": "is this"}')
    (tmp_path / "broken.safetensors").write_bytes(job.weights.read_bytes()[:5000])
    done = vitpose(*arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_read_only_folder_is_refused(job: Job, disk: Disk) -> None:
    disk.protect()
    done = vitpose(*job.arguments(disk.path / "run"))
    assert done.returncode == 3, done.stderr
    assert str(disk.path / "run") in done.stderr


def test_a_full_disk_ends_the_run_and_loses_nothing(job: Job, disk: Disk) -> None:
    run = disk.path / "run"
    disk.leave(64 << 10)
    full = vitpose(*job.arguments(run))
    assert full.returncode == 3, full.stderr
    assert str(run) in full.stderr
    disk.leave()
    assert vitpose(*job.arguments(run)).returncode == 0
    finished = (run / "annotations.json").read_bytes()
    assert finished == (job.run / "annotations.json").read_bytes()


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (".", "here.vitpose"),
        ("..", "above.vitpose"),
        ("old [2020]", "old [2020].vitpose"),
        ("old*/x?.jpg", "here.vitpose"),
        ("day/*.jpg", "day.vitpose"),
    ],
)
def test_a_run_is_named_after_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, name: str
) -> None:
    (tmp_path / "above" / "here" / "old [2020]").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "above" / "here")
    assert default_run([source]) == Path(name)


def test_files_of_one_folder_are_named_after_it_as_a_shell_expands_globs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("day/a.jpg", "day/b.jpg", "night/a.jpg"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    assert default_run(["day/a.jpg", "day/b.jpg"]) == Path("day.vitpose")
    assert default_run(["day/b.jpg"]) == Path("b.jpg.vitpose")
    assert default_run(["night/a.jpg", "day/a.jpg"]) == Path("a.jpg.vitpose")
    assert default_run(["night", "day"]) == Path("night.vitpose")
    monkeypatch.chdir("day")
    assert default_run(["a.jpg", "b.jpg"]) == Path("day.vitpose")


def test_files_of_the_root_are_named_after_the_first() -> None:
    files = [str(path) for path in Path("/").iterdir() if path.is_file()][:2]
    if len(files) < 2:
        pytest.skip("the root of this disk holds no two files")
    assert default_run(files) == Path(Path(files[0]).name + ".vitpose")


def test_no_worker_deletes_the_labels_of_others() -> None:
    with pytest.raises(ConfigError, match="would delete the labels of the others"):
        AnnotateOptions(("photos",), Path("run"), LabelerOptions(), worker=(2, 4), overwrite=True)


def test_workers_of_a_cluster_refuse_large_photos_too(job: Job) -> None:
    labeler = LabelerOptions(weights=str(job.weights), boxes=job.boxes, device="cpu")
    options = AnnotateOptions((str(job.media),), Path("run"), labeler, max_pixels=100)
    source = open_source(options.sources)
    worker = _Annotator(options, None)
    worker.prepare()
    records = worker.label(source.part(source.media[:2]), frozenset(), trusted=True)
    assert ["more than the 100 allowed" in str(record.error) for record in records] == [True] * 2

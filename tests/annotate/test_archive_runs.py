"""Photos in tar archives, from `annotate` to the programs that look at its labels."""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import pytest
from launcher import Launcher
from record_cases import make_manifest
from runs import save_boxes, save_photos, save_weights

from vitpose_cli.annotate.notices import say_what_was_seen
from vitpose_cli.labels import open_labels
from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.media.lookup import read_frames
from vitpose_cli.media.source import open_source
from vitpose_cli.records.media_root import MediaFolders, find_folders, labelled_folders
from vitpose_cli.records.run import Run
from vitpose_cli.review.pictures import PictureReader

NUM_PHOTOS = 50
SHARDS = ("shard-000.tar", "shard-001.tar", "shard-002.tar")


@dataclass(frozen=True)
class Job:
    """Shards, and the same photos as files in folders that are called like them."""

    folder: Path
    names: list[str]

    def arguments(self, source: object, run: Path) -> list[str]:
        """Return the command that labels `source`."""
        return [
            "annotate", str(source), "-o", str(run), "-w", str(self.folder / "w.safetensors"),
            "--boxes", str(self.folder / "boxes.json"), "--no-flip-test", "--batch-size", "8",
            "--keypoint-threshold", "0.05",
        ]  # fmt: skip


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("archives")
    save_weights(folder / "w.safetensors")
    photos = save_photos(folder / "photos", NUM_PHOTOS)
    names = []
    (folder / "shards").mkdir()
    for number, shard in enumerate(SHARDS):
        with tarfile.open(folder / "shards" / shard, "w") as tar:
            for place, photo in enumerate(photos[number :: len(SHARDS)]):
                name = f"{place:06d}.jpg"
                tar.add(folder / "photos" / photo, name)
                tar.add(folder / "w.safetensors", f"{place:06d}.json")
                copy = folder / "unpacked" / shard / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes((folder / "photos" / photo).read_bytes())
                names.append(f"{shard}/{name}")
    save_boxes(folder / "boxes.json", names)
    return Job(folder, names)


@pytest.fixture(scope="module")
def run(job: Job, launcher: Launcher) -> Path:
    run = job.folder / "run"
    shards = job.folder / "shards" / "shard-{000..002}.tar"
    done = launcher.run(*job.arguments(shards, run), "--preview", "--extract-frames", run / "all")
    assert done.returncode == 0, done.stderr
    return run


def document(run: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((run / "annotations.json").read_text())
    return loaded


def test_shards_give_what_the_unpacked_photos_give(job: Job, run: Path, launcher: Launcher) -> None:
    folder = job.folder / "from-folder"
    done = launcher.run(*job.arguments(job.folder / "unpacked", folder))
    assert done.returncode == 0, done.stderr
    assert (run / "annotations.json").read_bytes() == (folder / "annotations.json").read_bytes()
    assert [image["file_name"] for image in document(run)["images"]] == job.names


@pytest.mark.parametrize("source", ["", "*.tar", "shard-00{0,1,2}.tar", "@"])
def test_every_way_to_name_shards_is_the_same(
    job: Job, run: Path, launcher: Launcher, tmp_path: Path, source: str
) -> None:
    named: object = job.folder / "shards" / source
    if source == "@":
        listed = job.folder / "shards" / "all.txt"
        listed.write_text("\n".join(SHARDS))
        named = f"@{listed}"
    done = launcher.run(*job.arguments(named, tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/annotations.json").read_bytes() == (
        run / "annotations.json"
    ).read_bytes()


def test_the_same_command_again_does_nothing_and_workers_share_shards(
    job: Job, run: Path, launcher: Launcher, tmp_path: Path
) -> None:
    shards = job.folder / "shards" / "shard-{000..002}.tar"
    again = launcher.run(*job.arguments(shards, run), "--json")
    assert json.loads(again.stdout)["num_new"] == 0
    for part in ("1/2", "2/2"):
        done = launcher.run(*job.arguments(shards, tmp_path / "run"), "--worker", part)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/annotations.json").read_bytes() == (
        run / "annotations.json"
    ).read_bytes()


def test_copies_and_drawings_have_the_names_of_the_document(
    job: Job, run: Path, launcher: Launcher, tmp_path: Path
) -> None:
    for folder in (run / "all", run / "preview"):
        assert sorted(
            path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg")
        ) == sorted(job.names)
    done = launcher.run("render", job.folder / "shards", "-a", run, "-o", tmp_path / "drawn")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "drawn").rglob("*.jpg"))) == NUM_PHOTOS


def test_whoever_looks_at_labels_finds_photos_in_archives(job: Job, run: Path) -> None:
    keys = [FrameKey(name) for name in job.names[:3]]
    source = str(job.folder / "shards" / "shard-{000..002}.tar")
    manifest = make_manifest(sources=(source,))
    folders = find_folders(labelled_folders(manifest, run), keys)
    assert folders == MediaFolders.at(job.folder / "shards")
    frames = list(read_frames({key.media: folders.path(key.media) for key in keys}, keys))
    assert all(isinstance(frame, Frame) for frame in frames)
    pictures = PictureReader(folders)
    assert pictures.size_wh(keys[0]) == (120, 90)
    assert pictures.picture(keys[0]).startswith(b"\xff\xd8")
    assert pictures.thumbnail(keys[2]).startswith(b"\xff\xd8")
    assert open_labels(run).keys.media == set(job.names)


def test_an_archive_stands_for_the_folder_that_it_is_in(
    job: Job, tmp_path: Path, launcher: Launcher
) -> None:
    shard, alone = job.folder / "shards" / SHARDS[1], tmp_path / "run"
    done = launcher.run(*job.arguments(shard, alone))
    assert done.returncode == 0, done.stderr
    sheet = ("sheet", alone / "annotations.json", "-i", shard, "-o", tmp_path / "sheet.png")
    measured = ("-i", shard, "-w", job.folder / "w.safetensors", "--gt-boxes")
    evaluate = ("evaluate", "-a", alone / "annotations.json", *measured)
    for command in (sheet, evaluate):
        done = launcher.run(*command)
        assert done.returncode == 0, done.stderr
        assert "not" not in done.stderr


def test_an_export_takes_photos_out_of_archives(
    job: Job, run: Path, launcher: Launcher, tmp_path: Path
) -> None:
    done = launcher.run(
        "export", run, "--format", "yolo", "-o", tmp_path / "yolo",
        "--images", job.folder / "shards",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "yolo").rglob("*.jpg"))) == NUM_PHOTOS


def test_of_a_cut_shard_what_is_whole_is_labelled_and_the_rest_recorded(
    job: Job, launcher: Launcher, tmp_path: Path
) -> None:
    for shard in SHARDS:
        data = (job.folder / "shards" / shard).read_bytes()
        (tmp_path / shard).write_bytes(data[: len(data) // 2] if shard == SHARDS[1] else data)
    run = tmp_path / "run"
    done = launcher.run(*job.arguments(tmp_path / "shard-{000..002}.tar", run))
    assert done.returncode == 5, done.stderr
    failures = [json.loads(line) for line in (run / "failures.jsonl").read_text().splitlines()]
    assert failures[0]["file_name"] == SHARDS[1]
    assert "cut off" in failures[0]["error"]
    labelled = {image["file_name"] for image in document(run)["images"]}
    whole = {name for name in job.names if not name.startswith(SHARDS[1])}
    assert whole < labelled < set(job.names)
    for shard in SHARDS:  # copied again
        (tmp_path / shard).write_bytes((job.folder / "shards" / shard).read_bytes())
    done = launcher.run(*job.arguments(tmp_path / "shard-{000..002}.tar", run))
    assert done.returncode == 0, done.stderr
    assert (run / "failures.jsonl").read_bytes() == b""
    assert {image["file_name"] for image in document(run)["images"]} == set(job.names)
    with Run.edit(run) as edited:  # as `review` and `import` write the document
        assert edited.export().num_failures == 0
    again = launcher.run(*job.arguments(tmp_path / "shard-{000..002}.tar", run), "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["num_new"] == 0
    assert json.loads(again.stdout)["num_photos"] == NUM_PHOTOS
    (tmp_path / SHARDS[1]).write_bytes(b"")  # and spoiled again
    done = launcher.run(*job.arguments(tmp_path / "shard-{000..002}.tar", run))
    assert done.returncode == 5
    assert b"may be cut off" in (run / "failures.jsonl").read_bytes()


def test_of_a_shard_that_ends_in_zeros_the_rest_is_recorded(
    job: Job, launcher: Launcher, tmp_path: Path
) -> None:
    data = (job.folder / "shards" / SHARDS[1]).read_bytes()
    stopped = len(data) // 2
    (tmp_path / SHARDS[1]).write_bytes(data[:stopped] + bytes(len(data) - stopped))
    run = tmp_path / "run"
    done = launcher.run(*job.arguments(tmp_path / SHARDS[1], run))
    assert done.returncode == 5, done.stderr
    failures = [json.loads(line) for line in (run / "failures.jsonl").read_text().splitlines()]
    assert failures[0]["file_name"] == SHARDS[1]
    assert "has zeros from byte" in failures[0]["error"]
    labelled = {image["file_name"] for image in document(run)["images"]}
    assert labelled < set(job.names)
    (tmp_path / SHARDS[1]).write_bytes(data)
    done = launcher.run(*job.arguments(tmp_path / SHARDS[1], run))
    assert done.returncode == 0, done.stderr
    assert (run / "failures.jsonl").read_bytes() == b""


def test_a_hostile_archive_writes_nothing_outside(
    job: Job, launcher: Launcher, tmp_path: Path
) -> None:
    photo = cv2.imencode(".jpg", cv2.imread(str(job.folder / "photos" / "a" / "photo 1.jpg")))[1]
    (tmp_path / "plain.jpg").write_bytes(photo.tobytes())
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        for name in ("ok.jpg", "../../escaped.jpg", "/absolute.jpg"):
            info = tar.gettarinfo(tmp_path / "plain.jpg", name)
            info.name = name
            with (tmp_path / "plain.jpg").open("rb") as stream:
                tar.addfile(info, stream)
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE):
            info = tarfile.TarInfo("link.jpg")
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
    before = set(tmp_path.rglob("*"))
    run = tmp_path / "a" / "b" / "run"
    command = ["annotate", str(tmp_path / "evil.tar"), "-o", str(run), "--preview"]
    weights = str(job.folder / "w.safetensors")
    done = launcher.run(*command, "-w", weights, "--detector", "whole-image")
    assert done.returncode == 5, done.stderr
    labels = {image["file_name"] for image in document(run)["images"]}
    assert labels == {"evil.tar/ok.jpg", "evil.tar/absolute.jpg"}
    failure = json.loads((run / "failures.jsonl").read_text())
    assert failure["error"].startswith("4 members passed over (no plain files")
    assert "escaped.jpg" in failure["error"]
    written = set(tmp_path.rglob("*")) - before
    assert all(path.is_relative_to(tmp_path / "a") for path in written)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.tar.gz", b"\x1f\x8b", "compressed archive"),
        ("a.tar", b"\x1f\x8b" + b"x" * 600, "is compressed"),
        ("a.tar", b"", "may be cut off"),
        ("s-{0..3}.tar", None, "4 of the 4 files"),
    ],
)
def test_what_cannot_be_used_is_said(
    launcher: Launcher, tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = launcher.run("annotate", tmp_path / name, "-o", tmp_path / "run")
    assert done.returncode == 3
    assert said in " ".join(done.stderr.split())


def test_what_is_in_archives_and_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in ("a.jpg", "b.CR3", "c.tar", "d.tar.gz", "e.mp4", "f.json"):
            tar.add(tmp_path / "file", name)
    said: list[str] = []
    say_what_was_seen(open_source([str(tmp_path / "a.tar")]), said.append)
    (sentence,) = said
    for kind in (".cr3", ".tar", ".tar.gz", ".mp4"):
        assert f"1 {kind} in archives" in sentence
    assert ".json" not in sentence


def test_names_that_are_too_long_for_files_end_nothing(
    job: Job, launcher: Launcher, tmp_path: Path
) -> None:
    photo = job.folder / "unpacked" / job.names[0]
    shard = tmp_path / "in" / "a.tar"
    shard.parent.mkdir()
    long = {f"{'k' * 300}.jpg", f"{'d' * 300}/1.jpg", f"{'k' * 300}.webp"}
    with tarfile.open(shard, "w") as tar:
        for name in ("short.jpg", *sorted(long)):
            tar.add(photo, name)
    run, frames = tmp_path / "run", tmp_path / "frames"
    arguments = [
        "annotate", str(shard), "-o", str(run), "-w", str(job.folder / "w.safetensors"),
        "--detector", "whole-image", "--no-flip-test",
    ]  # fmt: skip
    for more in ((), ("--preview", "--extract-frames", frames)):
        for _ in range(2):
            done = launcher.run(*arguments, *more)
            assert done.returncode == 0, done.stderr
    assert {image["file_name"] for image in document(run)["images"]} == {
        f"a.tar/{name}" for name in ("short.jpg", *long)
    }
    drawn = [path for path in (run / "preview").rglob("*") if path.is_file()]
    assert len(drawn) == 4
    assert [path.name for path in frames.rglob("*.jpg")] == ["short.jpg"]
    assert "3 frames, such as a.tar/d" in done.stderr
    exported = launcher.run(
        "export", run, "-f", "fiftyone", "-o", tmp_path / "out", "--images", shard.parent
    )
    assert exported.returncode == 0, exported.stderr
    assert "3 pictures were left out" in exported.stderr + exported.stdout

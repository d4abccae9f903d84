"""Where Label Studio finds photos that it is to serve from its own disk."""

import json
import tarfile
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from format_cases import export, make_run, record
from runs import save_photos, vitpose

from vitpose_cli.formats.written import WriteOptions
from vitpose_cli.media.frames import FrameKey


def urls(tasks: Path) -> list[str]:
    return [task["data"]["image"] for task in json.loads(tasks.read_bytes())]


def served(url: str, root: Path) -> Path:
    """Return the file that Label Studio serves for a URL, as its view finds it."""
    address = urlsplit(url)
    assert address.path == "/data/local-files/"
    return root / parse_qs(address.query)["d"][0]


@pytest.mark.parametrize("folder", ["photos", "Aufnahmen ü #1 & 2=3%20+"])
def test_urls_lead_to_the_photos(tmp_path: Path, folder: str) -> None:
    names = [f"sub {folder}/{name}" for name in save_photos(tmp_path / folder / f"sub {folder}", 2)]
    run = make_run(tmp_path / "run", [record(name) for name in names], sources=(folder,), root=".")
    written = export(run, "labelstudio", tmp_path / "out", WriteOptions())
    found = [served(url, tmp_path) for url in urls(written.files[1])]
    assert found == [tmp_path / folder / name for name in names]
    assert all(path.is_file() for path in found)
    (note,) = written.notes
    assert f"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={tmp_path}, " in note
    assert f"Local files storage with the path {tmp_path / folder} (no sync)" in note


def test_sources_lie_in_the_folder_that_they_have_in_common(tmp_path: Path) -> None:
    names = [
        f"{folder}/{name}" for folder in "ab" for name in save_photos(tmp_path / "all" / folder, 1)
    ]
    sources = tuple(str(tmp_path / "all" / name) for name in names)
    run = make_run(
        tmp_path / "run", [record(name) for name in names], sources=sources, root="../.."
    )
    written = export(run, "labelstudio", tmp_path / "out", WriteOptions())
    found = [served(url, tmp_path) for url in urls(written.files[1])]
    assert found == [tmp_path / "all" / name for name in names]


def test_photos_of_merged_runs_lie_in_several_folders(tmp_path: Path) -> None:
    runs, photos = [], []
    for place, number in (("x/mon", 1), ("y/tue", 2)):
        names = save_photos(tmp_path / place, number)[:1]
        source = str(tmp_path / place)
        runs.append(
            make_run(tmp_path / f"{number}", [record(names[0])], sources=(source,), root=".")
        )
        photos.append(tmp_path / place / names[0])
    merged = tmp_path / "merged"
    done = vitpose("merge", *runs, "-o", merged)
    assert done.returncode == 0, done.stderr
    written = export(merged, "labelstudio", tmp_path / "out", WriteOptions())
    assert {served(url, tmp_path) for url in urls(written.files[1])} == {*photos}
    assert f"paths {tmp_path / 'x' / 'mon'}, {tmp_path / 'y' / 'tue'} " in written.notes[0]


def test_photos_beside_a_coco_file(tmp_path: Path) -> None:
    (name,) = save_photos(tmp_path / "set" / "images", 1)
    run = make_run(tmp_path / "run", [record(name)])
    labelled = (run / "annotations.json").replace(tmp_path / "set" / "labels.json")
    out = tmp_path / "out"
    done = vitpose("export", labelled, "-f", "labelstudio", "-o", out)
    assert done.returncode == 0, done.stderr
    (url,) = urls(out / "tasks.json")
    assert served(url, tmp_path / "set") == tmp_path / "set" / "images" / name
    assert f"storage with the path {labelled.parent / 'images'} (no" in " ".join(
        done.stderr.split()
    )


def test_photos_that_are_elsewhere(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [record("a b.jpg")])
    written = export(run, "labelstudio", tmp_path / "1", WriteOptions())
    assert urls(written.files[1]) == ["/data/local-files/?d=a%20b.jpg"]
    assert "--image-url" in written.notes[0]
    for number, (url, expected) in enumerate(
        {
            "/data/local-files/?d=set 1/": "/data/local-files/?d=set 1/a%20b.jpg",
            "": "a%20b.jpg",
        }.items()
    ):
        out = tmp_path / f"given{number}"
        written = export(run, "labelstudio", out, WriteOptions(url=url))
        assert (urls(written.files[1]), written.notes) == ([expected], ())


def test_frames_of_videos_lie_in_the_folder_that_they_were_extracted_into(tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    (clips / "walk.mp4").write_bytes(b"video")
    names = ["walk.mp4/frame_000000.jpg", "walk.mp4/frame_000001.jpg"]
    frames = [replace(record(name), key=FrameKey("walk.mp4", i)) for i, name in enumerate(names)]
    run = make_run(tmp_path / "run", frames, sources=(str(clips),), root=".")
    (note,) = export(run, "labelstudio", tmp_path / "no", WriteOptions()).notes
    assert "annotate --extract-frames DIR" in note
    (photo,) = save_photos(clips, 1)
    mixed = make_run(tmp_path / "mixed", [*frames, record(photo)], sources=(str(clips),), root=".")
    notes = export(mixed, "labelstudio", tmp_path / "mixed-out", WriteOptions()).notes
    assert "annotate --extract-frames DIR" in notes[0]
    assert "Local files storage" in notes[1]
    extracted = tmp_path / "frames"
    for name, photo in zip(names, save_photos(tmp_path / "photos", 2), strict=True):
        (extracted / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / photo).replace(extracted / name)
    out = tmp_path / "out"
    done = vitpose("export", run, "-f", "labelstudio", "-o", out, "--images", extracted)
    assert done.returncode == 0, done.stderr
    assert [served(url, tmp_path) for url in urls(out / "tasks.json")] == [
        extracted / name for name in names
    ]
    said = " ".join(done.stderr.split())
    assert f"Local files storage with the path {extracted} (no sync)" in said
    assert "--extract-frames" not in said
    again = tmp_path / "again"
    wrong = ("export", run, "-f", "labelstudio", "-o", again, "--images", tmp_path / "photos")
    assert vitpose(*wrong).returncode == 3
    assert vitpose(*wrong, "--image-url", "s3://x/").returncode == 2
    assert not again.exists()


def test_archives_are_to_be_unpacked(tmp_path: Path) -> None:
    (name,) = save_photos(tmp_path / "photos", 1)
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        archive.add(tmp_path / "photos" / name, name)
    records, sources = [record(f"set.tar/{name}")], (str(tmp_path / "set.tar"),)
    run = make_run(tmp_path / "run", records, sources=sources, root=".")
    (note,) = export(run, "labelstudio", tmp_path / "out", WriteOptions()).notes
    assert "unpack each into a folder of its name" in note

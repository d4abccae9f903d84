"""Contact sheets."""

from __future__ import annotations

import json
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from label_cases import COCO, make_people, make_record, make_run
from runs import save_boxes, save_photos, save_weights, vitpose

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.media.images import decode_image
from vitpose_cli.media.mosaic import CAPTION_HEIGHT, GAP, mosaic
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.sheet import TILE_WH, SheetOptions, SheetOrder, _chosen, make_sheet

SMALL = make_people(1)
SMALL = replace(
    SMALL, boxes=SMALL.boxes / np.float32(10), keypoints=SMALL.keypoints * np.float32(0.1)
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("job")
    names = save_photos(folder / "photos", 6)
    done = vitpose(
        "annotate", folder / "photos", "-o", folder / "run", "--no-flip-test",
        "-w", save_weights(folder / "w.safetensors"),
        "--boxes", save_boxes(folder / "boxes.json", names),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "run"


def test_a_picture_has_a_tile_for_everybody_worst_first(run: Path, tmp_path: Path) -> None:
    assert make_sheet(SheetOptions(run, tmp_path / "s.png", number=5, columns=3)).num_people == 5
    height, width, _ = decode_image((tmp_path / "s.png").read_bytes()).shape
    assert width == 3 * (TILE_WH[0] + GAP) + GAP
    assert height == 2 * (TILE_WH[1] + CAPTION_HEIGHT + GAP) + GAP


def test_a_page_holds_its_pictures_and_is_ordered(run: Path, tmp_path: Path) -> None:
    done = vitpose("sheet", run, "-o", tmp_path / "s.html", "--order", "best")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "s.html").read_text()
    scores = [float(score) for score in re.findall(r" ([0-9.]+)</figcaption>", page)]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == page.count("data:image/jpeg;base64,") > 5
    assert "http" not in page


def test_it_is_said_where_a_drawn_picture_would_be_labelled(run: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(run.parent / "photos", photos)
    shutil.copytree(run, photos / "run.vitpose")
    manifest = photos / "run.vitpose/manifest.json"
    fields = json.loads(manifest.read_bytes())
    manifest.write_text(json.dumps({**fields, "sources": [str(photos)], "base": ".."}))
    one = next(photos.rglob("*.jpg"))
    of_run = ("-a", photos / "run.vitpose")
    document = json.loads((run / "annotations.json").read_bytes())
    for person in document["annotations"]:
        person["keypoints"][::3] = [x + 9 for x in person["keypoints"][::3]]
    (tmp_path / "other.json").write_text(json.dumps(document))
    for place, is_said in ((photos / "mine.jpg", True), (tmp_path / "mine.jpg", False)):
        for arguments in (
            ("sheet", photos / "run.vitpose", "-o", place),
            ("render", one, *of_run, "-o", place),
            ("diff", tmp_path / "other.json", photos / "run.vitpose", "-o", place),
        ):
            done = vitpose(*arguments)
            assert done.returncode == 0, done.stderr
            place.unlink()
            assert (f"{place} lies in {photos}: before" in done.stderr) == is_said, arguments
    done = vitpose("sheet", photos / "run.vitpose", "-o", photos / "sheet.png")
    assert "move it away" not in done.stderr  # what is called so is passed over


def test_moments_of_a_video_are_apart_as_far_as_there_are_enough(tmp_path: Path) -> None:
    video = tmp_path / "frames" / "clip.mp4"
    video.mkdir(parents=True)
    records = []
    for index in [*range(15, 30), 31, 50]:
        (name,) = save_photos(tmp_path / "one", 1)
        record = make_record("clip.mp4", index, count=1, people=SMALL)
        score = {20: 0.1, 31: 0.9, 50: 0.8}.get(index, 0.2)
        people = replace(SMALL, box_scores=np.array([score], np.float32))
        records.append(replace(record, size_wh=(120, 90), instances=people))
        shutil.copyfile(tmp_path / "one" / name, video / f"frame_{index:06d}.jpg")
    run = make_run(tmp_path / "run", records, sources=(str(tmp_path / "frames"),))

    def shown(number: int) -> list[int]:
        page = tmp_path / "s.html"
        make_sheet(SheetOptions(run, page, number=number))
        return [int(index) for index in re.findall(r"<figcaption>.*_0+(\d+)", page.read_text())]

    assert shown(2) == [20, 50]
    assert shown(3) == [20, 50, 31]
    assert shown(5) == [20, 15, 16, 50, 31], "where moments are too few, others fill it"


def scored(media: str, index: int, *scores: float) -> FrameRecord:
    people = SMALL.select([0] * len(scores))
    people = replace(people, box_scores=np.array(scores, np.float32))
    return make_record(media, index, people=people)


@pytest.mark.parametrize("number", [1, 4, 15, 100, 1000])
def test_whoever_is_shown_is_among_the_first_of_as_many_moments_as_there_are(number: int) -> None:
    random = np.random.default_rng(number)
    records = [scored("v.mp4", index, *random.random(2)) for index in range(300)]
    records += [scored(f"{index}.jpg", -1, *random.random(3)) for index in range(20)]
    everybody = sorted(
        (float(score), record.key, position)
        for record in records
        if record.instances is not None
        for position, score in enumerate(record.instances.scores)
    )
    firsts: list[tuple[float, FrameKey, int]] = []
    others: list[tuple[float, FrameKey, int]] = []
    moments: set[object] = set()
    for each in everybody:
        _, key, position = each
        moment = (key, position) if key.index < 0 else key.index // 15
        (others if moment in moments else firsts).append(each)
        moments.add(moment)
    chosen = _chosen(records, SheetOptions(Path("run"), Path("s.png"), number=number))
    found = [(person.score, person.key, person.position) for person in chosen]
    assert found == sorted([*firsts, *others][:number])


@pytest.mark.parametrize("order", ["worst", "best"])
def test_a_long_sheet_of_many_photos_is_chosen_in_no_time(order: SheetOrder) -> None:
    records = [
        scored(f"{number:05d}.jpg", -1, *(1 - (5 * number + np.arange(5)) / 20_000))
        for number in range(4000)
    ]
    begun = time.process_time()
    options = SheetOptions(Path("run"), Path("s.png"), number=3000, order=order)
    assert len(_chosen(records, options)) == 3000
    taken_s = time.process_time() - begun
    assert taken_s < 2  # about 0.3; 5 and more where each is compared with all who are shown


def test_a_sample_is_the_same_for_the_same_seed(run: Path, tmp_path: Path) -> None:
    pages = []
    for seed in (1, 1, 2):
        options = SheetOptions(run, tmp_path / "s.html", number=4, order="sampled", seed=seed)
        make_sheet(options)
        pages.append(options.output.read_text())
    assert pages[0] == pages[1] != pages[2]


def test_a_page_makes_its_folder_and_counts_one_person(run: Path, tmp_path: Path) -> None:
    page = tmp_path / "new" / "folder" / "s.html"
    assert make_sheet(SheetOptions(run, page, number=1)).num_people == 1
    assert "<h1>run: 1 person, worst</h1>" in page.read_text()


def test_what_cannot_be_written_or_found_is_said(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="pdf"):
        make_sheet(SheetOptions(run, tmp_path / "s.pdf"))
    with pytest.raises(InputError, match=r"such as 'a/photo 1\.jpg', are not in .*run"):
        make_sheet(SheetOptions(run / "annotations.json", tmp_path / "s.png"))


def test_photos_are_found_wherever_the_command_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "job").mkdir()
    monkeypatch.chdir(tmp_path / "job")
    names = save_photos(Path("photos"), 2)
    weights, boxes = save_weights(Path("w.safetensors")), save_boxes(Path("boxes.json"), names)
    done = vitpose("annotate", "photos", "--no-flip-test", "-w", weights, "--boxes", boxes)
    assert done.returncode == 0, done.stderr
    monkeypatch.chdir(tmp_path)
    options = SheetOptions(Path("job/photos.vitpose"), tmp_path / "of-run.png")
    assert make_sheet(options)
    shutil.copy("job/photos.vitpose/annotations.json", "job/photos/labels.json")
    assert make_sheet(SheetOptions(Path("job/photos/labels.json"), tmp_path / "of-file.png"))


def test_labels_of_two_folders_show_their_pictures_when_merged(tmp_path: Path) -> None:
    """So do all other commands: pictures are found in one place."""
    weights = save_weights(tmp_path / "w.safetensors")
    for day in ("monday", "tuesday"):
        names = [f"{day} {name.replace('/', ' ')}" for name in save_photos(tmp_path / day, 2)]
        for path, name in zip(sorted((tmp_path / day).rglob("*.jpg")), names, strict=True):
            path.rename(tmp_path / day / name)
        boxes = save_boxes(tmp_path / f"{day}.json", names)
        done = vitpose(
            "annotate", day, "-o", f"{day}.vitpose", "--no-flip-test", "-w", weights,
            "--boxes", boxes, cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    week = tmp_path / "elsewhere" / "week.vitpose"
    week.parent.mkdir()
    shutil.copy(tmp_path / "monday.vitpose" / "annotations.json", tmp_path / "monday" / "of.json")
    file = tmp_path / "monday" / "of.json"
    done = vitpose("merge", file, "tuesday.vitpose", "-o", week, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    make_sheet(SheetOptions(week, tmp_path / "s.html"))
    page = (tmp_path / "s.html").read_text()
    assert not re.search(r"\.jpg: ", page), "none is missing"
    assert {"monday a photo 1.jpg", "tuesday b photo 0.jpg"} <= {
        *re.findall(r"<figcaption>(.*) [0-9.]+<", page)
    }
    done = vitpose("export", week, "--format", "yolo", "-o", tmp_path / "yolo")
    assert done.returncode == 0, done.stderr
    assert "not found" not in done.stderr
    assert len(list((tmp_path / "yolo").rglob("*.jpg"))) == 4


def test_a_photo_that_is_gone_leaves_a_black_tile(run: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(run.parent / "photos", photos)
    gone = photos / "b" / "photo 0.jpg"
    gone.unlink()
    done = vitpose("sheet", run, "-i", photos, "-o", tmp_path / "s.html")
    assert done.returncode == 0, done.stderr
    assert "1 picture could not be read, such as b/photo 0.jpg: " in done.stderr
    page = (tmp_path / "s.html").read_text()
    assert re.search(r"<figcaption>b/photo 0.jpg: .* [0-9.]+</figcaption>", page)


def test_a_sheet_of_black_tiles_alone_is_refused(run: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(run.parent / "photos", photos)
    for photo in photos.rglob("*.jpg"):
        photo.write_bytes(b"no photo")
    done = vitpose("sheet", run, "-i", photos, "-o", tmp_path / "s.png")
    assert done.returncode == 3, done.stderr
    assert "None of the pictures can be read, such as " in done.stderr
    assert not (tmp_path / "s.png").exists()


def test_captions_are_cut_at_their_front() -> None:
    tile = np.zeros((40, 60, 3), np.uint8)
    long = mosaic([tile], ["a/very/long/path/to/a/photo.jpg"], 1)
    assert long.shape == (40 + CAPTION_HEIGHT + 2 * GAP, 60 + 2 * GAP, 3)
    assert (long[:, -GAP:] == 250).all()


def test_photos_of_another_size_than_was_labelled_are_refused(tmp_path: Path) -> None:
    (name,) = save_photos(tmp_path / "photos", 1)
    run = make_run(tmp_path / "run", [make_record(name)], sources=(str(tmp_path / "photos"),))
    with pytest.raises(InputError, match=r"has 120 x 90 px, and .* a photo of 640 x 480 px"):
        make_sheet(SheetOptions(run, tmp_path / "s.png"))
    assert not (tmp_path / "s.png").exists()


@pytest.mark.parametrize("bbox", [[0, 0, 0, 0], [50, 50, 0, 0], [50, 50, -5, 10]])
def test_a_person_with_an_empty_box_is_shown_by_the_keypoints(
    tmp_path: Path, bbox: list[int]
) -> None:
    (name,) = save_photos(tmp_path / "photos", 1)
    person = {"id": 1, "image_id": 1, "category_id": 1, "bbox": bbox, "area": 1, "iscrowd": 0}
    points = [20, 20, 2, 40, 50, 2] + [0, 0, 0] * 15
    document = {
        "images": [{"id": 1, "file_name": name, "width": 120, "height": 90}],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO.names), "skeleton": []}],
        "annotations": [
            person | {"keypoints": points, "num_keypoints": 2},
            person | {"id": 2, "keypoints": [0] * 51, "num_keypoints": 0},
        ],
    }
    (tmp_path / "d.json").write_text(json.dumps(document))
    done = vitpose(
        "sheet", tmp_path / "d.json", "--images", tmp_path / "photos", "-o", tmp_path / "s.png"
    )
    assert done.returncode == 0, done.stderr

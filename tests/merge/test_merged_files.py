"""Annotation files that are merged keep what they hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import yaml
from label_cases import make_fixed, make_record
from merge_cases import make_run, of_model
from runs import save_photos, vitpose

from vitpose_cli.merge.merging import MergeOptions, merge_labels
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.records.validate import validate
from vitpose_cli.training.data_options import CocoSource
from vitpose_cli.training.sources import open_data_source


def write_truth(path: Path, name: str, **fields: Any) -> list[dict[str, Any]]:
    """Write a file as other programs do: a person and a crowd, of which nobody is said to be."""
    place = {"image_id": 7, "category_id": 5}
    outline = [[20, 20, 100, 20, 100, 100]]
    person = {
        **place, "id": 3, "bbox": [20, 20, 80, 80], "area": 2222.5, "iscrowd": 0,
        "segmentation": outline, "keypoints": [30, 30, 2] * 17, "num_keypoints": 17, "note": "tall",
    }  # fmt: skip
    crowd = {
        **place, "id": 9, "bbox": [100, 100, 80, 80], "area": 5000, "iscrowd": 1,
        "segmentation": {"size": [200, 200], "counts": [0, 40000]}, "keypoints": [0] * 51,
        "num_keypoints": 0,
    }  # fmt: skip
    annotations = [crowd, person | fields]
    image = {"id": 7, "file_name": name, "width": 200, "height": 200}
    category = {**keypoint_set("coco").to_category(), "id": 5}
    path.write_text(
        json.dumps({"images": [image], "annotations": annotations, "categories": [category]})
    )
    return annotations


def test_files_give_a_file_with_all_that_their_annotations_hold(tmp_path: Path) -> None:
    first = write_truth(tmp_path / "a.json", "a.jpg")
    marked = {"source": "model", "model": "aa", "uid": "somebody", "shade": 3}
    second = write_truth(tmp_path / "b.json", "b.jpg", attributes=marked)
    run = make_run(tmp_path / "run", of_model("c.jpg", "cc"))
    inputs = (tmp_path / "a.json", tmp_path / "b.json", run)
    merge_labels(MergeOptions(inputs, tmp_path / "out.json"))
    document = json.loads((tmp_path / "out.json").read_bytes())
    assert [each["id"] for each in document["annotations"]] == [1, 2, 3, 4, 5, 6]
    changed = ("id", "image_id", "category_id", "attributes")
    for place, (made, given) in enumerate(
        zip(document["annotations"], [*first, *second], strict=False)
    ):
        assert {name: made[name] for name in given if name not in changed} == {
            name: given[name] for name in given if name not in changed
        }
        assert made["image_id"] == 1 + place // 2
        assert "score" not in made
    attributes = [each["attributes"] for each in document["annotations"]]
    assert attributes[0] == attributes[2] == {}
    assert attributes[1].keys() == {"uid"}
    assert attributes[3] == marked
    assert attributes[4]["source"] == "model"
    assert not validate(tmp_path / "out.json").num_errors

    options = MergeOptions(inputs, tmp_path / "human.json", human=inputs[:1])
    merge_labels(options)
    document = json.loads((tmp_path / "human.json").read_bytes())
    assert document["annotations"][1]["attributes"]["source"] == "human"
    assert document["annotations"][1]["area"] == 2222.5


def test_files_give_a_file_with_the_fields_and_licences_of_their_photos(tmp_path: Path) -> None:
    by, share = {"name": "CC BY", "url": "http://by"}, {"name": "CC BY-SA", "url": "http://sa"}
    tables = [
        [{"id": 4, **by}, {"id": 5, **share}],
        [{"id": 4, **share}, {"id": 9, "name": "own"}],
        None,
    ]
    licences = [4, 4, 4]
    paths = [tmp_path / f"{name}.json" for name in "abc"]
    for path, table, licence in zip(paths, tables, licences, strict=True):
        write_truth(path, f"{path.stem}.jpg")
        document = json.loads(path.read_bytes())
        size = {"width": 640, "height": 480}
        document["images"][0] |= {**size, "license": licence, "coco_url": f"http://{path.stem}"}
        document["licenses"] = table
        path.write_text(json.dumps(document))
    run = make_run(tmp_path / "run", make_fixed("a.jpg"))
    merge_labels(MergeOptions((*paths, run), tmp_path / "out.json"))
    document = json.loads((tmp_path / "out.json").read_bytes())
    assert document["licenses"] == [
        {"id": 4, **by},
        {"id": 5, **share},
        {"id": 9, "name": "own"},
    ]
    images = document["images"]
    # That of the last is of no list, and 4 is somebody else's.
    assert [image.get("license") for image in images] == [4, 5, None]
    assert [image["coco_url"] for image in images] == ["http://a", "http://b", "http://c"]
    assert document["annotations"][0]["attributes"]["source"] == "human"  # of the run
    assert images[0]["review"] == "fixed"
    assert not validate(tmp_path / "out.json").num_errors


def test_fields_that_hold_nothing_are_as_if_they_were_not_there(tmp_path: Path) -> None:
    nothing = dict.fromkeys(
        ("area", "segmentation", "num_keypoints", "score", "keypoint_scores", "attributes", "note")
    )
    write_truth(tmp_path / "a.json", "a.jpg", iscrowd=False, **nothing)
    write_truth(tmp_path / "b.json", "b.jpg")
    merge_labels(MergeOptions((tmp_path / "a.json", tmp_path / "b.json"), tmp_path / "out.json"))
    assert not validate(tmp_path / "out.json").num_errors


def test_training_believes_a_merged_file_as_its_inputs(tmp_path: Path) -> None:
    names = save_photos(tmp_path / "photos", 2, (200, 200))
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for file, name in zip(files, names, strict=True):
        write_truth(file, name)
    merge_labels(MergeOptions(tuple(files), tmp_path / "out.json"))
    for file, count in ((files[0], 1), (tmp_path / "out.json", 2)):
        options = CocoSource(
            kind="coco", annotations=file, images=tmp_path / "photos", include="human"
        )
        people = open_data_source(options).frames.people
        assert people.weights.shape[0] == count
        assert {*people.weights.ravel().tolist()} == {1.0}


def test_what_a_run_has_no_place_for_is_said(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_truth(tmp_path / f"{name}.json", f"{name}.jpg")
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    done = vitpose("merge", *files, "-o", tmp_path / "run", "--human", files[0])
    assert done.returncode == 0, done.stderr
    assert "crowds (2), outlines (2)" in done.stderr
    assert "1 person of files that do not say who labelled them" in done.stderr
    done = vitpose("merge", *files, "-o", tmp_path / "out.json", "--json")
    found = json.loads(done.stdout)
    assert (found["num_unmarked"], found["left_out"]) == (0, {})


def test_a_frame_that_a_file_lists_twice_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_truth(tmp_path / f"{name}.json", f"{name}.jpg")
    document = json.loads((tmp_path / "b.json").read_bytes())
    document["images"].append(document["images"][0] | {"id": 8})
    document["annotations"][1]["image_id"] = 8
    (tmp_path / "b.json").write_text(json.dumps(document))
    for output in ("out.json", "run"):
        done = vitpose("merge", "a.json", "b.json", "-o", output, cwd=tmp_path)
        assert done.returncode == 3, done.stderr
        assert "b.json lists b.jpg more than once" in " ".join(done.stderr.split())
        assert not (tmp_path / output).exists()


ANIMAL = keypoint_set("ap10k").to_category()


def write_animals(path: Path, names: dict[int, str], *animals: tuple[str, int]) -> None:
    """Write photos with one animal each: the photo's name, and the category."""
    images = [
        {"id": number, "file_name": photo, "width": 200, "height": 200}
        for number, (photo, _) in enumerate(animals, 1)
    ]
    annotations = [
        {"id": number, "image_id": number, "category_id": category_id, "bbox": [20, 20, 80, 80],
         "area": 6400, "iscrowd": 0, "keypoints": [30, 30, 2] * 17, "num_keypoints": 17}
        for number, (_, category_id) in enumerate(animals, 1)
    ]  # fmt: skip
    categories = [{**ANIMAL, "id": number, "name": name} for number, name in names.items()]
    path.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )


def animals_in(path: Path) -> dict[str, str]:
    """Return what is in each photo."""
    document = json.loads(path.read_bytes())
    names = {category["id"]: category["name"] for category in document["categories"]}
    photos = {image["id"]: image["file_name"] for image in document["images"]}
    return {
        photos[each["image_id"]]: names[each["category_id"]] for each in document["annotations"]
    }


def test_files_give_a_file_with_the_categories_of_all(tmp_path: Path) -> None:
    write_animals(tmp_path / "a.json", {7: "cat", 4: "dog"}, ("1.jpg", 7), ("2.jpg", 4))
    write_animals(tmp_path / "b.json", {1: "dog", 2: "horse"}, ("3.jpg", 1), ("4.jpg", 2))
    animal = of_model("5.jpg", "aa", count=1)
    run = make_run(tmp_path / "run", animal, keypoint_set=ANIMAL)
    inputs = (tmp_path / "a.json", tmp_path / "b.json", run)
    merge_labels(MergeOptions(inputs, tmp_path / "out.json"))
    assert animals_in(tmp_path / "out.json") == {
        "1.jpg": "cat", "2.jpg": "dog", "3.jpg": "dog", "4.jpg": "horse", "5.jpg": "animal",
    }  # fmt: skip
    assert not validate(tmp_path / "out.json").num_errors
    ids = [each["id"] for each in json.loads((tmp_path / "out.json").read_bytes())["categories"]]
    assert ids == [1, 2, 3, 4]


def test_a_run_has_no_place_for_a_second_category(tmp_path: Path) -> None:
    write_animals(tmp_path / "a.json", {7: "cat", 4: "dog"}, ("1.jpg", 7), ("2.jpg", 4))
    write_animals(tmp_path / "b.json", {1: "dog"}, ("3.jpg", 1))
    run = make_run(tmp_path / "run", of_model("4.jpg", "aa"), keypoint_set=ANIMAL)
    done = vitpose("merge", run, tmp_path / "a.json", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "has no place for it: categories (2)" in " ".join(done.stderr.split())
    inputs = (tmp_path / "b.json", tmp_path / "b.json")
    assert not merge_labels(MergeOptions(inputs, tmp_path / "one")).left_out


def test_formats_tell_categories_apart_or_say_that_they_do_not(tmp_path: Path) -> None:
    write_animals(tmp_path / "a.json", {7: "cat", 4: "dog"}, ("1.jpg", 7), ("2.jpg", 4))
    options = ("--pictures", "none", "--format", "yolo")
    done = vitpose("export", "a.json", *options, "-o", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    labels = tmp_path / "out" / "labels" / "train"
    assert [(labels / f"{name}.txt").read_text()[:2] for name in "12"] == ["0 ", "1 "]
    data = yaml.safe_load((tmp_path / "out" / "data.yaml").read_text())
    assert data["names"] == {0: "cat", 1: "dog"}
    assert data["kpt_names"].keys() == {0, 1}
    done = vitpose("export", "a.json", "--format", "results", "-o", "results.json", cwd=tmp_path)
    assert (done.returncode, "apart" in done.stderr) == (0, False), done.stderr
    found = json.loads((tmp_path / "results.json").read_text())
    assert [each["category_id"] for each in found] == [7, 4]
    done = vitpose("export", "a.json", "--format", "cvat", "-o", "cvat", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "categories (cat, dog) apart" in " ".join(done.stderr.split())


def test_every_format_calls_a_category_as_the_file_does(tmp_path: Path) -> None:
    write_animals(tmp_path / "a.json", {7: "giraffe"}, ("1.jpg", 7))
    for name in ("cvat", "labelstudio", "fiftyone"):
        pictures = ("--pictures", "none") * (name == "fiftyone")
        done = vitpose("export", "a.json", "--format", name, *pictures, "-o", name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    (label,) = json.loads((tmp_path / "cvat" / "labels.json").read_bytes())
    assert label["name"] == "giraffe"
    with ZipFile(tmp_path / "cvat" / "photos.zip") as archive:
        (document,) = [json.loads(archive.read(name)) for name in archive.namelist()]
    assert [each["name"] for each in document["categories"]] == ["giraffe"]
    assert '<Label value="giraffe"' in (tmp_path / "labelstudio" / "config.xml").read_text()
    (task,) = json.loads((tmp_path / "labelstudio" / "tasks.json").read_bytes())
    assert task["predictions"][0]["result"][0]["value"]["rectanglelabels"] == ["giraffe"]
    assert animals_in(tmp_path / "fiftyone" / "labels.json") == {"1.jpg": "giraffe"}

    # A run, too, has one category: that of the file, if there is one.
    merge_labels(MergeOptions((tmp_path / "a.json", tmp_path / "a.json"), tmp_path / "run"))
    assert animals_in(tmp_path / "run" / "annotations.json") == {"1.jpg": "giraffe"}


def test_frames_of_videos_are_known_by_their_names(tmp_path: Path) -> None:
    frames = [make_record("clip.mp4", index) for index in range(3)]
    run = make_run(tmp_path / "run", *frames, of_model("clip/frame_000001.jpg", "aa"))
    document = json.loads((run / "annotations.json").read_bytes())
    del document["videos"]
    for image in document["images"]:
        for name in ("video_id", "frame_id", "timestamp"):
            image.pop(name, None)
    file = tmp_path / "corrected.json"
    file.write_text(json.dumps(document))
    for inputs in ((run, file), (file, run / "annotations.json")):
        output = tmp_path / f"{inputs[0].stem}.out.json"
        assert merge_labels(MergeOptions(inputs, output, human=(file,))).num_frames == 4
        images = json.loads(output.read_bytes())["images"]
        assert sorted(image["file_name"] for image in images) == [
            "clip.mp4/frame_000000.jpg",
            "clip.mp4/frame_000001.jpg",
            "clip.mp4/frame_000002.jpg",
            "clip/frame_000001.jpg",
        ]
        assert sum("video_id" in image for image in images) == 3
        assert {image["review"] for image in images} == {"accepted"}
        assert not validate(output).num_errors
    done = vitpose("diff", file, run, "--json")
    found = json.loads(done.stdout)
    assert (found["num_frames"], found["num_frames_first"], found["num_frames_second"]) == (4, 0, 0)


def test_extracted_frames_of_a_run_are_those_of_the_video(tmp_path: Path) -> None:
    names = ("clip.mp4/frame_000001.jpg", "clip.mp4/frame_000002.jpg")
    # The photo sorts between the two forms of the frames.
    video = make_run(
        tmp_path / "video",
        make_record("clip.mp4", 1),
        make_record("clip.mp4", 3),
        make_record("clip.mp4-poster.jpg"),
    )
    extracted = make_run(tmp_path / "extracted", make_fixed(names[0]), make_record(names[1]))
    for inputs in ((video, extracted), (extracted, video)):
        for output in (tmp_path / f"{inputs[0].name}.json", tmp_path / f"{inputs[0].name}-run"):
            summary = merge_labels(MergeOptions(inputs, output))
            assert (summary.num_frames, summary.num_shared, summary.num_human) == (4, 1, 1)
            document = output if output.is_file() else output / "annotations.json"
            images = {
                each["file_name"]: each for each in json.loads(document.read_bytes())["images"]
            }
            assert [each.get("frame_id") for each in images.values()] == [1, 2, 3, None]
            assert (images[names[0]]["review"], images[names[0]]["timestamp"]) == ("fixed", 0.04)
            assert not validate(document).num_errors
    done = vitpose("diff", extracted, video, "--json")
    found = json.loads(done.stdout)
    assert (found["num_frames"], found["num_frames_first"], found["num_frames_second"]) == (1, 1, 2)


def test_a_frame_that_a_run_has_in_both_forms_is_refused(tmp_path: Path) -> None:
    both = make_run(
        tmp_path / "both", make_record("clip.mp4", 1), make_record("clip.mp4/frame_000001.jpg")
    )
    other = make_run(tmp_path / "other", make_record("clip.mp4", 2))
    done = vitpose("merge", both, other, "-o", tmp_path / "out.json")
    assert done.returncode == 3
    assert f"{both} lists clip.mp4/frame_000001.jpg more than once" in " ".join(done.stderr.split())
    assert not (tmp_path / "out.json").exists()


def test_photos_of_files_that_know_no_video_stay_photos(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_truth(tmp_path / f"{name}.json", f"{name}.mp4/frame_000001.jpg")
    merge_labels(MergeOptions((tmp_path / "a.json", tmp_path / "b.json"), tmp_path / "out.json"))
    assert "videos" not in json.loads((tmp_path / "out.json").read_bytes())


def test_licences_whose_ids_are_no_ids_are_kept(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_truth(tmp_path / f"{name}.json", f"{name}.jpg")
    document = json.loads((tmp_path / "a.json").read_bytes())
    document["licenses"] = [{"id": [1], "name": "odd"}, {"id": 1, "name": "own"}]
    document["images"][0]["license"] = 1
    (tmp_path / "a.json").write_text(json.dumps(document))
    done = vitpose("merge", "a.json", "b.json", "-o", "out.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    merged = json.loads((tmp_path / "out.json").read_bytes())
    names = {licence["id"]: licence["name"] for licence in merged["licenses"]}
    assert {*names.values()} == {"odd", "own"}
    assert names[merged["images"][0]["license"]] == "own"


def test_history_claims_no_time_for_files_that_a_person_made(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_truth(tmp_path / f"{name}.json", f"{name}.jpg")
    files = ("a.json", "b.json")
    done = vitpose("merge", *files, "-o", "run", "--human", "a.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = vitpose("history", "run", "a.jpg", cwd=tmp_path)
    assert "a person" in done.stdout
    assert "1970" not in done.stdout
    done = vitpose("history", "run", "a.jpg", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["versions"][0]["edited_at_s"] is None


def test_a_file_alone_is_written_anew_as_every_reader_takes_it(tmp_path: Path) -> None:
    """Files that CVAT, pycocotools or datumaro refuse, in one command."""
    annotations = write_truth(tmp_path / "a.json", "a.jpg", num_keypoints=3, id=0)
    document = json.loads((tmp_path / "a.json").read_bytes())
    for annotation in document["annotations"]:
        annotation["category_id"] = 0
        for name in ("area", "segmentation"):
            annotation.pop(name)
    del document["annotations"][1]["iscrowd"]
    document["categories"][0] |= {"id": 0, "skeleton": [[0, 1], [0, 2]]}
    (tmp_path / "a.json").write_text(json.dumps(document))
    done = vitpose("validate", tmp_path / "a.json")
    assert done.returncode == 3
    assert "vitpose merge FILE -o NEW.json" in done.stderr
    done = vitpose("merge", tmp_path / "a.json", "-o", tmp_path / "b.json")
    assert done.returncode == 0, done.stderr
    done = vitpose("validate", tmp_path / "b.json")
    assert (done.returncode, "merge" in done.stderr) == (0, False), done.stdout
    mended = json.loads((tmp_path / "b.json").read_bytes())["annotations"]
    assert [each["num_keypoints"] for each in mended] == [0, 17]
    assert [each["keypoints"] for each in mended] == [each["keypoints"] for each in annotations]


def test_a_file_alone_becomes_a_run(tmp_path: Path) -> None:
    write_truth(tmp_path / "a.json", "a.jpg")
    summary = merge_labels(MergeOptions((tmp_path / "a.json",), tmp_path / "a.vitpose"))
    assert (summary.num_people, summary.num_shared) == (1, 0)
    assert validate(tmp_path / "a.vitpose").num_errors == 0

"""Several sets of labels as one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import label_cases
import numpy as np
import pytest
from label_cases import make_failure, make_fixed, make_people, make_record
from runs import save_photos, save_weights, vitpose

from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.identities import with_track_ids
from vitpose_cli.merge import MergeOptions, merge_labels, same_labels
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.records.coco import read_coco
from vitpose_cli.records.record import FrameRecord, Review
from vitpose_cli.records.run import Run
from vitpose_cli.records.validate import validate
from vitpose_cli.training.data_options import CocoSource
from vitpose_cli.training.sources import open_source


def make_run(folder: Path, *records: FrameRecord, **fields: object) -> Path:
    return label_cases.make_run(folder, records, **fields)


def rejected(name: str) -> FrameRecord:
    return make_record(name, review=Review("rejected", "anna"))


def of_model(name: str, model: str, count: int = 2) -> FrameRecord:
    return make_record(name, count=count, model=model)


def test_a_person_beats_a_model_whatever_the_order(tmp_path: Path) -> None:
    first = make_run(tmp_path / "a", of_model("x.jpg", "aa"), make_fixed("y.jpg"))
    second = make_run(tmp_path / "b", make_fixed("x.jpg"), of_model("y.jpg", "bb"))
    summary = merge_labels(MergeOptions((first, second), tmp_path / "out"))
    assert (summary.num_frames, summary.num_shared, summary.num_human) == (2, 2, 2)
    assert not summary.conflicts
    with Run.read(tmp_path / "out") as run:
        assert [record.origin for record in run.records()] == ["human", "human"]
        assert [record.to_json() for record in run.records()] == [
            make_fixed("x.jpg").to_json(),
            make_fixed("y.jpg").to_json(),
        ]
    assert read_coco(tmp_path / "out" / "annotations.json").images


def test_labels_beat_errors_and_the_earlier_input_wins(tmp_path: Path) -> None:
    first = make_run(tmp_path / "a", make_failure("x.jpg"), of_model("y.jpg", "aa"))
    second = make_run(
        tmp_path / "b", of_model("x.jpg", "bb"), of_model("y.jpg", "bb"), of_model("z.jpg", "bb")
    )
    merge_labels(MergeOptions((first, second), tmp_path / "out"))
    with Run.read(tmp_path / "out") as run:
        assert [record.model for record in run.records()] == ["bb", "aa", "bb"]


def test_people_who_differ_are_listed(tmp_path: Path) -> None:
    mine, same = make_fixed("x.jpg"), make_fixed("y.jpg")
    assert mine.instances is not None
    moved = replace(mine.instances, keypoints=mine.instances.keypoints + np.float32(5))
    theirs = replace(mine, instances=moved, review=Review("accepted", "bert"))
    first = make_run(tmp_path / "a", mine, same, rejected("z.jpg"))
    second = make_run(tmp_path / "b", theirs, same, make_fixed("z.jpg"))
    summary = merge_labels(MergeOptions((first, second), tmp_path / "out.json"))
    assert [conflict.as_dict() for conflict in summary.conflicts] == [
        {"file_name": name, "kept": str(first), "dropped": [str(second)]}
        for name in ("x.jpg", "z.jpg")
    ]
    # What was rejected is not in the document.
    assert [image["file_name"] for image in read_coco(tmp_path / "out.json").images] == [
        "x.jpg",
        "y.jpg",
    ]


def test_a_draft_gives_way_to_a_decision(tmp_path: Path) -> None:
    draft = make_record("x.jpg", review=Review("draft", "anna"))
    first = make_run(tmp_path / "a", draft)
    second = make_run(tmp_path / "b", make_fixed("x.jpg"))
    summary = merge_labels(MergeOptions((first, second), tmp_path / "out"))
    with Run.read(tmp_path / "out") as run:
        (record,) = run.records()
    assert record.review is not None
    assert record.review.state == "fixed"
    assert len(summary.conflicts) == 1


def test_files_merge_with_runs(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", of_model("a.jpg", "aa"), of_model("b.jpg", "aa"))
    other = make_run(tmp_path / "other", of_model("b.jpg", "bb", count=3))
    file = other / "annotations.json"
    options = MergeOptions((run, file), tmp_path / "out.json", human=(file,))
    summary = merge_labels(options)
    assert summary.num_human == 1
    document = read_coco(tmp_path / "out.json")
    people = document.by_image()
    by_name = {image["file_name"]: people[image["id"]] for image in document.images}
    assert len(by_name["b.jpg"]) == 3
    assert {person["attributes"]["source"] for person in by_name["b.jpg"]} == {"human"}
    assert {person["attributes"]["source"] for person in by_name["a.jpg"]} == {"model"}


def test_the_manifest_of_a_merged_run_says_where_it_came_from(tmp_path: Path) -> None:
    first = make_run(tmp_path / "a", of_model("x.jpg", "aa"), sources=("mon",))
    second = make_run(tmp_path / "b", of_model("y.jpg", "aa"), sources=("tue", "mon"))
    merge_labels(MergeOptions((first, second), tmp_path / "out"))
    with Run.read(tmp_path / "out") as run:
        assert run.manifest.sources == ("mon", "tue")
        assert run.manifest.weights_name == "tiny"
    third = make_run(tmp_path / "c", of_model("z.jpg", "cc"), weights_hash="cc")
    merge_labels(MergeOptions((first, third), tmp_path / "mixed"))
    with Run.read(tmp_path / "mixed") as run:
        assert (run.manifest.weights_name, run.manifest.weights_hash) == ("merged", "")


@pytest.mark.parametrize("refresh", [(), ("--refresh", "model")])
def test_labelling_does_not_go_on_with_names_of_several_sources(
    tmp_path: Path, refresh: tuple[str, ...]
) -> None:
    save_weights(tmp_path / "w.safetensors")
    options = ("-w", "w.safetensors", "--detector", "whole-image")
    for day in ("mon", "tue"):
        save_photos(tmp_path / day, 1)
        assert vitpose("annotate", day, *options, cwd=tmp_path).returncode == 0
    merged = vitpose("merge", "mon.vitpose", "tue.vitpose", "-o", "week.vitpose", cwd=tmp_path)
    assert merged.returncode == 0, merged.stderr
    before = (tmp_path / "week.vitpose" / "annotations.json").read_bytes()
    week = ("annotate", "mon", "tue", "-o", "week.vitpose")
    done = vitpose(*week, *options, *refresh, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "a second time, under other names" in " ".join(done.stderr.split())
    assert "merge them again" in " ".join(done.stderr.split())
    assert (tmp_path / "week.vitpose" / "annotations.json").read_bytes() == before


def test_names_are_those_of_one_source_where_inputs_share_it(tmp_path: Path) -> None:
    names = save_photos(tmp_path / "photos", 2)
    save_photos(tmp_path / "other", 1)
    source, other = str(tmp_path / "photos"), str(tmp_path / "other")

    def merged(out: str, *inputs: Path) -> bool:
        merge_labels(MergeOptions(inputs, tmp_path / out))
        with Run.read(tmp_path / out) as run:
            return run.manifest.names_per_source

    first, second, third, gone = (
        make_run(tmp_path / name, of_model(photo, name), sources=sources)
        for name, photo, sources in (
            ("a", names[0], (source,)),
            ("b", names[1], (f"{source}/a/*.jpg", f"{source}/b/*.jpg")),
            ("c", names[1], (other,)),
            ("d", "gone.jpg", ("not here",)),
        )
    )
    assert not merged("same", first, second)
    assert not merged("file", first, first / "annotations.json")
    assert merged("two", first, third)
    assert merged("twice", tmp_path / "two", tmp_path / "two" / "annotations.json")
    assert merged("unknown", first, gone)
    assert not merged("gone", gone, gone / "annotations.json")


def test_options_are_claimed_where_all_inputs_have_them(tmp_path: Path) -> None:
    options = {"every": 10, "detector": "person"}
    first, second, third = (
        make_run(tmp_path / name, of_model(f"{name}.jpg", "aa"), options=options | changed)
        for name, changed in (("a", {}), ("b", {}), ("c", {"every": 1}))
    )
    file = first / "annotations.json"
    foreign = tmp_path / "foreign.json"
    foreign.write_text(json.dumps(json.loads(file.read_bytes()) | {"info": {}}))
    for place, (other, expected) in enumerate(
        ((second, options), (file, options), (third, {}), (foreign, {}))
    ):
        for inputs in ((first, other), (other, first)):
            output = tmp_path / f"{place} {inputs.index(other)}"
            merge_labels(MergeOptions(inputs, output))
            with Run.read(output) as run:
                assert run.manifest.options == expected
                assert run.manifest.weights_name == "tiny"


def test_what_cannot_be_merged_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    first = make_run(tmp_path / "a", of_model("x.jpg", "aa"))
    other_size = replace(of_model("x.jpg", "bb"), size_wh=(320, 240), exact=True)
    second = make_run(tmp_path / "b", other_size)
    for output in (tmp_path / "out", tmp_path / "out.json"):
        with pytest.raises(InputError, match="different pictures"):
            merge_labels(MergeOptions((first, second), output))
        assert not output.exists()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="Cannot write"):
        merge_labels(MergeOptions((first, first), tmp_path / "file" / "out"))
    with pytest.raises(InputError, match="exists"):
        merge_labels(MergeOptions((first, second), first))
    with pytest.raises(ConfigError, match="two inputs"):
        MergeOptions((first,), tmp_path / "out")
    with pytest.raises(ConfigError, match="none of the inputs"):
        MergeOptions((first, second), tmp_path / "out", human=(tmp_path / "c",))


def test_same_labels_ignore_what_nobody_sees() -> None:
    record = make_fixed("x.jpg")
    assert record.instances is not None
    hidden = record.instances.visibility == 0
    points = record.instances.keypoints.copy()
    points[hidden] += 50
    moved = replace(record, instances=replace(record.instances, keypoints=points))
    assert same_labels(record, moved)
    assert not same_labels(record, rejected("x.jpg"))
    assert not same_labels(record, make_fixed("x.jpg", count=2))


def walking(index: int, order: tuple[int, int], ids: tuple[int, int] | None) -> FrameRecord:
    """Return a frame of a video in which two people walk, person by person of `order`."""
    bodies = make_people(1, 3).keypoints[0], make_people(1, 4).keypoints[0]
    points = np.stack([bodies[each] + (400 * each + index, 0) for each in order])
    people = replace(
        make_people(2),
        keypoints=points.astype(np.float32),
        boxes=np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1).astype(np.float32),
        visibility=np.full((2, 17), 2, np.int8),
        track_ids=None if ids is None else np.array(ids),
    )
    return replace(make_record("clip.mp4", index, people=people), size_wh=(1200, 600))


def tracks_in(path: Path) -> dict[int, set[int]]:
    """Return the ids that each of the two people has in a document."""
    found: dict[int, set[int]] = {0: set(), 1: set()}
    for person in read_coco(path).annotations:
        found[int(person["bbox"][0] > 350)].add(person["attributes"].get("track_id"))
    return found


@pytest.mark.parametrize("names", [("file", "run"), ("run", "file"), ("file", "other")])
@pytest.mark.parametrize("shared", [False, True])
def test_identities_of_two_inputs_are_made_one(
    tmp_path: Path, names: tuple[str, str], shared: bool
) -> None:
    """Each input calls the two people otherwise, and has some frames of the video, or all."""
    of_file = [walking(index, (1, 0), (1, 2)) for index in range(0, 20, 1 if shared else 3)]
    of_other = [walking(index, (0, 1), (1, 2)) for index in range(20)]
    untracked = [walking(index, (0, 1), None) for index in range(20)]
    paths = {
        "file": make_run(tmp_path / "f", *of_file) / "annotations.json",
        "other": make_run(tmp_path / "o", *of_other) / "annotations.json",
        "run": make_run(tmp_path / "r", *untracked),
    }
    inputs = tuple(paths[name] for name in names)
    for output in (tmp_path / "out.json", tmp_path / "out"):
        merge_labels(MergeOptions(inputs, output))
        document = output if output.suffix else output / "annotations.json"
        first, second = tracks_in(document).values()
        assert len(first) == len(second) == 1
        assert first != second
        assert None not in first | second
    with Run.edit(tmp_path / "out") as run:  # what a model labels afterwards goes on with them
        run.append(walking(20, (1, 0), None))
    with Run.read(tmp_path / "out") as run:
        done = [each.instances for each in with_track_ids(run.records(), label_cases.COCO.sigmas)]
    for people in done:
        assert people is not None
        assert {*np.asarray(people.track_ids).tolist()} == first | second


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("first", ["whole", "broken"])
def test_where_inputs_disagree_the_first_is_believed(
    tmp_path: Path, first: str, shared: bool
) -> None:
    """One lost the first person after ten frames, and found them again under another id."""
    broken = [walking(index, (0, 1), (1 if index < 10 else 3, 2)) for index in range(0, 20, 2)]
    whole = [walking(index, (0, 1), (1, 2)) for index in range(20)]
    if not shared:
        whole = whole[1::2]
    elif first == "whole":
        broken, whole = (
            [walking(index, (0, 1), (5 if index < 10 else 3, 2)) for index in range(20)],
            whole[::2],
        )
    paths = {
        "broken": make_run(tmp_path / "b", *broken) / "annotations.json",
        "whole": make_run(tmp_path / "w", *whole) / "annotations.json",
    }
    second = "broken" if first == "whole" else "whole"
    merge_labels(MergeOptions((paths[first], paths[second]), tmp_path / "out.json"))
    document = read_coco(tmp_path / "out.json")
    keys = document.keys()
    ids = {
        keys[person["image_id"]].index: person["attributes"]["track_id"]
        for person in document.annotations
        if person["bbox"][0] <= 350
    }
    assert len(ids) == 20
    early, late = ({ids[index] for index in part} for part in (range(10), range(10, 20)))
    assert len(early) == len(late) == 1, "never to and fro"
    assert (early == late) == (first == "whole")


def test_a_run_without_identities_brings_none(tmp_path: Path) -> None:
    untracked = [walking(index, (0, 1), None) for index in range(4)]
    first = make_run(tmp_path / "a", *untracked[:2], document={"track": False})
    second = make_run(tmp_path / "b", *untracked[2:], document={"track": False})
    merge_labels(MergeOptions((first, second), tmp_path / "out"))
    assert tracks_in(tmp_path / "out" / "annotations.json") == {0: {None}, 1: {None}}


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
    assert [image["license"] for image in images] == [4, 5, 4]  # the last is of no list
    assert [image["coco_url"] for image in images] == ["http://a", "http://b", "http://c"]
    assert document["annotations"][0]["attributes"]["source"] == "human"  # of the run
    assert images[0]["review"] == "fixed"
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
        people = open_source(options).frames.people
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


def test_the_command(tmp_path: Path) -> None:
    first = make_run(tmp_path / "a", make_fixed("x.jpg", count=1))
    second = make_run(tmp_path / "b", make_fixed("x.jpg", count=2))
    done = vitpose("merge", first, second, "-o", tmp_path / "new" / "out.json")
    assert done.returncode == 0, done.stderr
    assert "people differ" in done.stderr
    done = vitpose("merge", first, second, "-o", tmp_path / "out2", "--json")
    assert json.loads(done.stdout)["conflicts"][0]["file_name"] == "x.jpg"

import json
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from format_cases import (
    COCO,
    LABELLED,
    NO_PICTURES,
    RECORDS,
    assert_equal_people,
    bring_back,
    content,
    export,
    labels,
    make_run,
    people,
    record,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from record_cases import small_document, write_json

from vitpose_cli.errors import InputError
from vitpose_cli.formats import coco
from vitpose_cli.formats.content import selected_names
from vitpose_cli.formats.table import format_named
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.instances import Instances
from vitpose_cli.records.coco import read_coco
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.validate import validate


def read_json(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_bytes())
    return document


def test_a_run_as_coco_is_its_document_with_versions(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    written = export(run, "coco", tmp_path / "new" / "out.json")
    assert (written.num_images, written.num_instances) == (7, 11)
    assert validate(written.files[0]).counts == {}
    ours, copy = read_json(run / "annotations.json"), read_json(written.files[0])
    versions = {str(each.key): each.version for each in RECORDS}
    for image in copy["images"]:
        assert image.pop("version") == versions[image["file_name"]]
    for annotation in copy["annotations"]:
        assert len(annotation["attributes"].pop("version")) == 8
        annotation["attributes"].pop("track_id", None)  # the run was exported without identities
    assert copy == ours


def test_only_some_frames_are_taken(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    part = tmp_path / "part.json"
    coco.write(content(run, reviewed=True), part, NO_PICTURES)
    assert selected_names(part) == {"fixed ü.jpg"}
    names = frozenset({"a/one.jpg", "clip.mp4/frame_000012.jpg", "unknown.jpg"})
    coco.write(content(run, names=names), tmp_path / "two.json", NO_PICTURES)
    assert selected_names(tmp_path / "two.json") == names - {"unknown.jpg"}
    with pytest.raises(InputError, match="No frame"):
        content(run, names=frozenset({"unknown.jpg"})).check_not_empty()


@pytest.mark.parametrize("state", [{}, ["fixed"], "done", None])
def test_a_file_that_says_something_else_of_a_review_says_nothing(
    tmp_path: Path, state: Any
) -> None:
    document = small_document()
    document["images"][0]["review"] = "fixed"
    document["images"][1]["review"] = state
    part = tmp_path / "part.json"
    labels = content(write_json(tmp_path / "a.json", document), reviewed=True)
    assert coco.write(labels, part, NO_PICTURES).num_images == 1


@pytest.mark.parametrize("written", ["./{}", ".//././{}", "back"])
def test_names_as_other_programs_write_them(tmp_path: Path, written: str) -> None:
    run = make_run(tmp_path / "run", [record("a/one.jpg"), record("b/one.jpg"), record("one.jpg")])
    document = read_json(run / "annotations.json")
    for image in document["images"]:
        name = image["file_name"]
        image["file_name"] = name.replace("/", "\\") if written == "back" else written.format(name)
    labelled = tmp_path / "labels.json"
    labelled.write_text(json.dumps(document))
    wanted = ["a/one.jpg", "b/one.jpg", "one.jpg"]
    for source in (run, run / "annotations.json"):
        some = content(source, names=selected_names(labelled))
        assert [str(each.record.key) for each in some.frames()] == wanted
        assert some.missing == ()
    if written != "back":
        assert [str(frame.record.key) for frame in content(labelled).frames()] == wanted
    out = tmp_path / "results.json"
    format_named("results").write(
        content(labelled), out, replace(NO_PICTURES, truth=run / "annotations.json")
    )
    assert [each["image_id"] for each in json.loads(out.read_bytes())] == [1, 1, 2, 2, 3, 3]
    assert bring_back(run, labelled, "coco").count("unchanged") == 3


@pytest.mark.parametrize("tool", ["cvat", "fiftyone"])
def test_who_made_the_labels_of_a_file_is_as_it_says(tmp_path: Path, tool: str) -> None:
    run = make_run(tmp_path / "run", [record("a.jpg", count=3), record("b.jpg")])
    document = read_json(run / "annotations.json")
    del document["annotations"][0]["attributes"]["source"]
    del document["annotations"][1]["attributes"]
    document["annotations"][2]["attributes"]["source"] = "human"
    document["annotations"].insert(0, {**document["annotations"][0], "id": 99, "iscrowd": 1})
    (tmp_path / "labels.json").write_text(json.dumps(document))
    for source, expected in (
        (run, ["model"] * 5),
        (tmp_path / "labels.json", [None, None, "human", "model", "model"]),
    ):
        out = tmp_path / f"{source.stem}-{tool}"
        written = export(source, tool, out).files
        path = written[0]
        if tool == "cvat":
            with ZipFile(written[1]) as archive:
                path = Path(archive.extract(archive.namelist()[0], out))
        found = [each["attributes"].get("source") for each in read_json(path)["annotations"]]
        assert found == expected


@pytest.mark.parametrize("kind", ["run", "file"])
def test_names_with_accents_are_found_in_any_form(tmp_path: Path, kind: str) -> None:
    whole, parted = (unicodedata.normalize(form, "é.jpg") for form in ("NFC", "NFD"))
    run = make_run(tmp_path / "run", [record(parted), record("b.jpg"), record("c.jpg")])
    path = run if kind == "run" else run / "annotations.json"
    some = content(path, names=frozenset({whole, "b.jpg", "unknown.jpg"}))
    assert [str(frame.record.key) for frame in some.frames()] == ["b.jpg", parted]
    assert some.missing == ("unknown.jpg",)
    run = make_run(tmp_path / "both", [record(parted), record(whole)])
    path = run if kind == "run" else run / "annotations.json"
    some = content(path, names=frozenset({whole}))  # the very same name comes first
    assert [str(frame.record.key) for frame in some.frames()] == [whole]
    assert some.missing == ()


def test_a_part_of_a_file_keeps_what_nobody_knows(tmp_path: Path) -> None:
    document = read_json(make_run(tmp_path / "run") / "annotations.json")
    document["made_by"] = {"somebody": [1, 2.5, None]}
    document["cameras"] = [{"id": 1}, {"id": 2}]
    document["nothing"] = []
    document["licenses"] = [{"id": 7, "name": "CC BY"}]
    document["annotations"][0] |= {"segmentation": [[1.5, 2, 3, 4]], "area": 1.23456789}
    document["annotations"][1]["caption"] = "ü"
    document["images"][0] |= {"license": 7, "height": 480}
    source = tmp_path / "source.json"
    source.write_text(json.dumps(document), encoding="utf-8")
    coco.write(content(source), tmp_path / "all.json", NO_PICTURES)
    assert read_json(tmp_path / "all.json") == document

    only = frozenset({"a/one.jpg", "empty.jpg"})
    written = coco.write(content(source, names=only), tmp_path / "part.json", NO_PICTURES)
    assert (written.num_images, written.num_instances) == (2, 2)
    part = read_json(tmp_path / "part.json")
    for name in document.keys() - {"images", "annotations"}:
        assert part[name] == document[name]
    assert part["annotations"] == document["annotations"][:2]


def test_a_copy_of_shards_has_the_lists_of_all_of_them(tmp_path: Path) -> None:
    whole = read_json(make_run(tmp_path / "run") / "annotations.json")
    whole["videos"] = [{"id": 1, "name": "a.mp4"}, {"id": 2, "name": "b.mp4"}]
    whole["licenses"] = [{"id": 1, "name": "CC BY"}, {"id": 2, "name": "CC0"}]
    whole["cameras"] = [{"id": 1, "lens": "wide"}]
    for number, images in enumerate((whole["images"][:3], whole["images"][3:])):
        ids = {image["id"] for image in images}
        people = [each for each in whole["annotations"] if each["image_id"] in ids]
        shard = {**whole, "images": images, "annotations": people}
        if number == 0:  # has the first of each, and no list of cameras
            del shard["cameras"]
            shard |= {"videos": whole["videos"][:1], "licenses": whole["licenses"][:1]}
        else:  # its first video is written with its fields in another order
            shard["videos"] = [{"name": "a.mp4", "id": 1}, whole["videos"][1]]
        (tmp_path / f"s-{number:05}-of-00002.json").write_text(json.dumps(shard))
    coco.write(content(tmp_path / "s-*.json"), tmp_path / "copy.json", NO_PICTURES)
    assert read_json(tmp_path / "copy.json") == whole


def test_a_file_is_not_replaced_unasked(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with pytest.raises(InputError, match="there already") as caught:
        export(run, "coco", run / "annotations.json")
    assert "--overwrite" in caught.value.hint
    with pytest.raises(InputError, match="is a folder"):
        export(run, "coco", tmp_path)


@pytest.mark.parametrize("format", ["coco", "results"])
def test_overwriting_replaces_an_earlier_export_alone(tmp_path: Path, format: str) -> None:
    run = make_run(tmp_path / "run")
    again = replace(NO_PICTURES, overwrite=True)
    out = tmp_path / "out.json"
    for _ in range(2):
        export(run, format, out, again)
    source = tmp_path / "source.json"
    source.write_bytes((run / "annotations.json").read_bytes())
    photo = tmp_path / "holiday.jpg"
    photo.write_bytes(b"\xff\xd8\xff\xe0 a photo")
    notes = tmp_path / "notes.txt"
    notes.write_text("{ not JSON")
    for kept in (photo, notes):
        before = kept.read_bytes()
        with pytest.raises(InputError, match="is something else than what is to be written"):
            export(run, format, kept, again)
        assert kept.read_bytes() == before
    for subject, document in ((run, run / "annotations.json"), (source, source)):
        before = document.read_bytes()
        with pytest.raises(InputError, match="is where the labels come from"):
            export(subject, format, document, again)
        assert document.read_bytes() == before


def test_what_is_not_a_run_nor_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no labels"):
        content(tmp_path)
    with pytest.raises(InputError, match="Cannot read"):
        content(tmp_path / "none.json")


def test_unchanged_comes_back_as_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    written = export(run, "coco", tmp_path / "out.json")
    before = (run / "annotations.json").read_bytes()
    summary = bring_back(run, written.files[0], "coco")
    assert summary.as_dict()["frames"] == {
        "changed": 0,
        "accepted": 0,
        "unchanged": 7,
        "conflict": 0,
        "between": 0,
        "unmatched": 0,
        "labelled_since": 0,
        "not_in_file": 2,
    }
    assert summary.similarity is None
    assert (run / "annotations.json").read_bytes() == before


coordinates = st.floats(-50, 900, width=32)


@st.composite
def instances(draw: st.DrawFn) -> Instances:
    """People anywhere, also partly outside of the frame, or without labelled keypoints."""
    count = draw(st.integers(0, 3))
    low = np.array(
        draw(st.lists(st.tuples(coordinates, coordinates), min_size=count, max_size=count))
    )
    boxes = np.concatenate([low.reshape(-1, 2), low.reshape(-1, 2) + 60], axis=1)
    seed = draw(st.integers(0, 10_000))
    random = np.random.default_rng(seed)
    points = random.uniform(-20, 700, (count, 17, 2))
    visibility = random.choice([0, 1, 2], (count, 17))
    scores = random.uniform(0, 1.1, (count, 17))
    arrays: list[Any] = [boxes, random.uniform(0, 1, count), points, scores, visibility]
    return Instances(*arrays)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(before=instances())
def test_any_labels_survive_the_way_there_and_back(tmp_path: Path, before: Instances) -> None:
    """Boxes are cut and hidden keypoints zeroed in the file; the record keeps its own numbers."""
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    model = FrameRecord(FrameKey("a.jpg"), (640, 480), None, before)
    run = make_run(folder / "run", [model])
    written = export(run, "coco", folder / "out.json")
    summary = bring_back(run, written.files[0], "coco", accept_unchanged=True, force=True)
    assert [each.outcome for each in summary.decisions] == ["accepted"]
    after = labels(run)["a.jpg"]
    assert after.instances is not None
    assert after.uids == model.uids
    assert after.review is not None
    assert (after.review.state, after.review.reviewer, after.review.tool) == (
        "accepted",
        "bea",
        "coco",
    )
    assert model.instances is not None
    assert_equal_people(after.instances, model.instances)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(data=st.data())
def test_any_correction_comes_back_exactly(tmp_path: Path, data: st.DataObject) -> None:
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    model = FrameRecord(
        FrameKey("a.jpg"), (640, 480), None, people(3, data.draw(st.integers(0, 99)))
    )
    run = make_run(folder / "run", [model])
    out = export(run, "coco", folder / "out.json").files[0]
    document = read_json(out)
    person = data.draw(st.sampled_from(document["annotations"]))
    place = data.draw(st.integers(0, 16))
    v = data.draw(st.sampled_from([0, 1, 2]))
    new = [
        round(data.draw(st.floats(0, 640)), 2) if v else 0.0,
        round(data.draw(st.floats(0, 480)), 2) if v else 0.0,
        v,
    ]
    person["keypoints"][3 * place : 3 * place + 3] = new
    if data.draw(st.booleans()):
        person["attributes"] = {}  # found by its pose then
    out.write_text(json.dumps(document))
    bring_back(run, out, "coco", accept_unchanged=True)
    after, before = labels(run)["a.jpg"].instances, model.instances
    assert after is not None
    assert before is not None
    assert labels(run)["a.jpg"].uids == model.uids
    row = document["annotations"].index(person)
    expected = before.keypoints.copy()
    if v:
        expected[row, place] = new[:2]
    np.testing.assert_allclose(after.keypoints, expected, atol=0.051)
    assert after.visibility[row, place] == v
    np.testing.assert_array_equal(
        np.delete(after.keypoints, row, 0), np.delete(before.keypoints, row, 0)
    )
    np.testing.assert_array_equal(after.boxes, before.boxes)


def test_other_orders_and_spellings_of_keypoints(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    out = export(run, "coco", tmp_path / "out.json").files[0]
    document = read_json(out)
    order = np.random.default_rng(1).permutation(17)
    category = document["categories"][0]
    category["keypoints"] = [COCO.names[place].replace("_", " ").title() for place in order]
    category["skeleton"] = []
    for annotation in document["annotations"]:
        annotation["keypoints"] = (
            np.reshape(annotation["keypoints"], (17, 3))[order].ravel().tolist()
        )
        annotation.pop("keypoint_scores")
    out.write_text(json.dumps(document))
    assert bring_back(run, out, "coco").count("unchanged") == len(LABELLED)
    bird = {"id": 2, "name": "bird", "keypoints": ["tail", "wing"], "skeleton": []}
    document["categories"].append(bird)
    flying = {**document["annotations"][0], "id": 99, "category_id": 2, "keypoints": [1, 1, 2] * 2}
    document["annotations"].append(flying)
    out.write_text(json.dumps(document))
    summary = bring_back(run, out, "coco")
    assert (summary.count("unchanged"), summary.num_ignored) == (len(LABELLED), 1)
    category["keypoints"][:2] = ["tail", "wing"]
    out.write_text(json.dumps(document))
    with pytest.raises(InputError, match="has no keypoints"):
        bring_back(run, out, "coco")


def test_a_box_without_an_area_says_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    written = export(run, "coco", tmp_path / "out.json")
    document = read_json(written.files[0])
    for annotation in document["annotations"]:
        annotation["bbox"] = [0, 0, 0, 0]
    (tmp_path / "back.json").write_text(json.dumps(document))
    before = (run / "annotations.json").read_bytes()
    assert bring_back(run, tmp_path / "back.json", "coco").count("changed") == 0
    assert (run / "annotations.json").read_bytes() == before


def test_overwriting_keeps_the_number_of_shards(tmp_path: Path) -> None:
    run, out = make_run(tmp_path / "run"), tmp_path / "out.json"

    def written(path: Path, shards: int | None) -> list[str]:
        options = replace(NO_PICTURES, overwrite=True, num_shards=shards)
        files = coco.write(content(path), out, options).files
        assert sorted(files) == sorted(tmp_path.glob("out*.json")), shards
        assert len(read_coco(tmp_path / "out*.json").images) == 7
        return [file.name for file in files]

    two = written(run, 2)
    assert len(two) == 2
    assert written(run, None) == two, "as before"
    assert len(written(run, 3)) == 3
    assert written(run / "annotations.json", None) == ["out.json"], "a copy is one file"
    assert written(run, None) == ["out.json"]


def test_names_are_taken_from_a_file_with_wrong_labels(tmp_path: Path) -> None:
    run, chosen = make_run(tmp_path / "run"), tmp_path / "chosen.json"
    wrong = [{"image_id": 99, "bbox": None}]
    chosen.write_text(json.dumps({"images": [{"file_name": "a/one.jpg"}], "annotations": wrong}))
    part = coco.write(
        content(run, names=selected_names(chosen)), tmp_path / "part.json", NO_PICTURES
    )
    assert selected_names(part.files[0]) == {"a/one.jpg"}
    assert part.num_instances == 2

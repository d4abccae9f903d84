import contextlib
import io
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from format_cases import LABELLED, NO_PICTURES, RECORDS, content, export, make_run, record
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from runs import vitpose

from vitpose_cli.errors import InputError
from vitpose_cli.formats import results
from vitpose_cli.records.validate import validate


def test_pycocotools_measures_them_against_the_document(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    path = export(run, "results", tmp_path / "results.json").files[0]
    assert validate(path).counts == {}
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(run / "annotations.json"))
        evaluation = COCOeval(truth, truth.loadRes(str(path)), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0, abs=1e-9)


def test_every_keypoint_is_there_with_its_score(tmp_path: Path) -> None:
    path = export(make_run(tmp_path / "run"), "results", tmp_path / "results.json").files[0]
    rows = iter(json.loads(path.read_bytes()))
    for each in LABELLED:
        assert each.instances is not None
        for row in range(len(each.instances)):
            found = next(rows)
            assert found["file_name"] == str(each.key)
            points = np.reshape(found["keypoints"], (17, 3))
            np.testing.assert_allclose(points[:, :2], each.instances.keypoints[row], atol=1e-4)
            np.testing.assert_allclose(points[:, 2], each.instances.keypoint_scores[row], atol=1e-6)


def test_image_ids_of_a_ground_truth(tmp_path: Path) -> None:
    document = json.loads((make_run(tmp_path / "run") / "annotations.json").read_bytes())
    for image in document["images"]:
        image["id"] += 1000
    document["annotations"] = []
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps(document))
    options = replace(NO_PICTURES, truth=truth)
    run = tmp_path / "run"
    path = export(run, "results", tmp_path / "results.json", options).files[0]
    ids = {image["file_name"]: image["id"] for image in document["images"]}
    assert all(each["image_id"] == ids[each["file_name"]] for each in json.loads(path.read_bytes()))
    more = make_run(tmp_path / "more", [*RECORDS, record("new.jpg")])
    with pytest.raises(InputError, match=r"new\.jpg is not in"):
        export(more, "results", tmp_path / "more.json", options)
    assert not (tmp_path / "more.json").exists()


def test_ids_of_photos_whose_labels_are_a_secret(tmp_path: Path) -> None:
    """COCO gives out `image_info_test-dev2017.json`: photos and 80 categories, and no labels."""
    run = make_run(tmp_path / "run")
    document = json.loads((run / "annotations.json").read_bytes())
    images = [{**image, "id": image["id"] + 1000} for image in document["images"]]
    bare = [{"id": 7, "name": "person"}, {"id": 8, "name": "bicycle"}]
    truth = tmp_path / "image_info.json"
    truth.write_text(json.dumps({"images": images, "categories": bare}))
    out = tmp_path / "results.json"
    done = vitpose("export", run, "-f", "results", "--image-ids", truth, "-o", out)
    assert done.returncode == 0, done.stderr
    ids = {image["file_name"]: image["id"] for image in images}
    written = json.loads(out.read_bytes())
    assert written
    assert all(one["image_id"] == ids[one["file_name"]] for one in written)
    assert {one["category_id"] for one in written} == {7}
    images[0]["id"] = images[1]["id"]
    truth.write_text(json.dumps({"images": images, "categories": bare}))
    with pytest.raises(InputError, match=r"images\[1\]\.id is not a whole number of its own"):
        export(run, "results", tmp_path / "two.json", replace(NO_PICTURES, truth=truth))


def foreign_truth(run: Path, out: Path) -> Path:
    """Write the document of a run as a file of somebody else, with ids of their own."""
    document = json.loads((run / "annotations.json").read_bytes())
    for image in document["images"]:
        image["id"] = 1000 - 7 * image["id"]
    for person in document["annotations"]:
        person |= {"image_id": 1000 - 7 * person["image_id"], "category_id": 7}
    document["categories"][0]["id"] = 7
    document["categories"].insert(0, {"id": 3, "name": "bicycle"})
    crowd = document["annotations"][0] | {"id": 99, "iscrowd": 1, "segmentation": {}}
    document["annotations"].insert(0, crowd)
    out.write_text(json.dumps(document))
    return out


def pairs(truth: Path) -> Counter[tuple[int, int]]:
    people = json.loads(truth.read_bytes())["annotations"]
    return Counter((one["image_id"], one["category_id"]) for one in people if not one["iscrowd"])


def test_ids_are_those_of_the_file(tmp_path: Path) -> None:
    truth = foreign_truth(make_run(tmp_path / "run"), tmp_path / "truth.json")
    path = export(truth, "results", tmp_path / "results.json").files[0]
    written = json.loads(path.read_bytes())
    assert Counter((one["image_id"], one["category_id"]) for one in written) == pairs(truth)
    with contextlib.redirect_stdout(io.StringIO()):
        loaded = COCO(str(truth))
        assert len(loaded.loadRes(str(path)).anns) == len(written)


def test_ids_of_some_frames_are_those_of_the_whole_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    names = frozenset({"b/one.jpg", "clip.mp4/frame_000012.jpg", "fixed ü.jpg"})
    out = tmp_path / "results.json"
    results.write(content(run, names=names), out, NO_PICTURES)
    document = json.loads((run / "annotations.json").read_bytes())
    ids = {image["file_name"]: image["id"] for image in document["images"]}
    found = {one["file_name"]: one["image_id"] for one in json.loads(out.read_bytes())}
    assert found == {name: ids[name] for name in names}


def test_categories_of_a_ground_truth(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    truth = foreign_truth(run, tmp_path / "truth.json")
    options = replace(NO_PICTURES, truth=truth)
    path = export(run, "results", tmp_path / "results.json", options).files[0]
    written = json.loads(path.read_bytes())
    assert Counter((one["image_id"], one["category_id"]) for one in written) == pairs(truth)
    document = json.loads(truth.read_bytes())
    document["categories"][1]["name"] = "dancer"
    truth.write_text(json.dumps(document))
    again = replace(options, overwrite=True)
    assert export(run, "results", path, again).num_instances == len(written)  # it has no other
    document["categories"].append(document["categories"][1] | {"id": 8, "name": "singer"})
    truth.write_text(json.dumps(document))
    with pytest.raises(InputError, match="no category 'person'") as caught:
        export(run, "results", path, again)
    assert "dancer, singer" in caught.value.hint


def test_names_with_accents_of_a_ground_truth(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [record("é.jpg")])
    document = json.loads((run / "annotations.json").read_bytes())
    document["images"][0] |= {"id": 5, "file_name": "e\N{COMBINING ACUTE ACCENT}.jpg"}
    document["annotations"] = []
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps(document))
    options = replace(NO_PICTURES, truth=truth)
    path = export(run, "results", tmp_path / "results.json", options).files[0]
    assert {one["image_id"] for one in json.loads(path.read_bytes())} == {5}


def test_nobody_at_all(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    nobody = content(run, names=frozenset({"empty.jpg"}))
    written = results.write(nobody, tmp_path / "results.json", NO_PICTURES)
    assert json.loads((tmp_path / "results.json").read_bytes()) == []
    assert "pycocotools" in written.notes[0]

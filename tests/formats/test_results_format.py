import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from format_cases import LABELLED, NO_PICTURES, RECORDS, content, export, make_run, record
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

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


def test_nobody_at_all(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    nobody = content(run, names=frozenset({"empty.jpg"}))
    written = results.write(nobody, tmp_path / "results.json", NO_PICTURES)
    assert json.loads((tmp_path / "results.json").read_bytes()) == []
    assert "pycocotools" in written.notes[0]

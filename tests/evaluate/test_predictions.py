"""Labels of every kind, photo by photo in the order of the ground truth."""

from __future__ import annotations

import json
import unicodedata
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from record_cases import make_failure, make_manifest, make_record, small_document, write_json
from runs import vitpose

from vitpose_cli.errors import InputError
from vitpose_cli.evaluate.evaluated_labels import evaluate_predictions
from vitpose_cli.evaluate.predictions import keypoint_order, labelled_photos, predicted_photos
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.keypoints import KeypointSet, keypoint_set
from vitpose_cli.records.coco_frames import CocoFrames
from vitpose_cli.records.record import Review
from vitpose_cli.records.run import Run

KEYPOINTS = keypoint_set("coco")
POINTS = [float(number) for number in range(51)]


@pytest.fixture
def truth(tmp_path: Path) -> CocoFrames:
    return CocoFrames(write_json(tmp_path / "truth.json", small_document()))


def test_a_document_is_matched_by_file_name(tmp_path: Path, truth: CocoFrames) -> None:
    content = small_document()
    content["images"][0] |= {"file_name": "sub/b.jpg"}
    content["images"][1] |= {"file_name": "unknown.jpg"}
    content["annotations"].append(content["annotations"][0] | {"id": 9, "category_id": 2})
    content["categories"].append({"id": 2, "name": "cup"})
    del content["annotations"][2]["keypoints"]
    photos = [*predicted_photos(write_json(tmp_path / "p.json", content), truth)]
    assert [(photo.image_id, len(photo.truth)) for photo in photos] == [(1, 1), (2, 1)]
    assert [photo.scores.tolist() for photo in photos] == [[], [0.5]]
    np.testing.assert_array_equal(photos[1].found[0, :2], [[50.5, 60.5], [0, 0]])
    assert photos[1].areas == [100 * 200]
    assert [photo.missing for photo in photos] == [True, False]


def test_crowds_and_bodies_that_nobody_labelled_are_no_predictions(
    tmp_path: Path, truth: CocoFrames
) -> None:
    content = small_document()
    (person, _) = content["annotations"]
    person |= {"image_id": 2}
    unlabelled = person | {"keypoints": [0] * 51, "num_keypoints": 0}
    unsure, bare = unlabelled | {"score": 0.125}, {**unlabelled}
    del bare["score"]
    people = [person | {"iscrowd": 1}, bare, unsure, person]
    content["annotations"] = [one | {"id": place} for place, one in enumerate(people, start=1)]
    _, second = predicted_photos(write_json(tmp_path / "p.json", content), truth)
    assert second.scores.tolist() == [0.125, 0.5]  # a model's that is sure of no keypoint is one


def test_sizes_in_a_document_are_those_of_its_boxes(tmp_path: Path) -> None:
    points = np.array([[20 + 3 * place, 20 + 3 * place, 2] for place in range(17)], float)
    elsewhere = points + np.array([480, 380, 0])
    elsewhere[-1] = 0  # not labelled: at (0, 0), which is no part of anybody
    content = small_document()
    people = []
    for place, (found, box, score) in enumerate(
        [(points, [18, 18, 52, 52], 0.75), (elsewhere, [498, 398, 52, 52], 1.0)], start=1
    ):
        fields = {"id": place, "image_id": 1, "category_id": 1, "bbox": box, "area": 52.0 * 52}
        fields |= {"keypoints": found.ravel().tolist(), "num_keypoints": 17, "iscrowd": 0}
        people.append({**fields, "segmentation": [], "score": score})
    write_json(tmp_path / "found.json", content | {"annotations": people})
    write_json(tmp_path / "truth.json", content | {"annotations": people[:1]})
    reference = COCO(str(tmp_path / "truth.json"))
    evaluator = COCOeval(reference, reference.loadRes(people), "keypoints")
    for step in (evaluator.evaluate, evaluator.accumulate, evaluator.summarize):
        step()
    measured = evaluate_predictions(tmp_path / "truth.json", tmp_path / "found.json").coco
    assert measured["AP_M"] == pytest.approx(0.5, abs=0.01)
    np.testing.assert_allclose([*measured.values()], evaluator.stats, atol=1e-12)


def test_results_are_matched_by_id_or_file_name(tmp_path: Path, truth: CocoFrames) -> None:
    rest = {"category_id": 1, "keypoints": POINTS, "score": 0.5}
    results = [
        {"image_id": 2, **rest, "bbox": [1, 2, 3, 4]},
        {"image_id": 77, **rest},
        {"file_name": "a.jpg", **rest},
        {"image_id": 2, **rest, "score": 0.25, "bbox": [1, 2, 5, 4]},
    ]
    first, second = predicted_photos(write_json(tmp_path / "p.json", results), truth)
    assert (first.scores.tolist(), first.areas) == ([0.5], None)
    assert second.scores.tolist() == [0.5, 0.25]
    assert second.areas is not None
    assert second.areas.tolist() == [12, 20]
    assert first.missing is second.missing is None


def test_a_name_that_the_truth_lacks_is_no_other_photo(tmp_path: Path, truth: CocoFrames) -> None:
    rest = {"category_id": 1, "keypoints": POINTS}
    results = [
        {"image_id": 1, "file_name": "elsewhere.jpg", **rest, "score": 0.75},  # no. 1 is a.jpg here
        {"image_id": 3, "file_name": "sub/b.jpg", **rest, "score": 0.5},
        {"image_id": 1, **rest, "score": 0.25},
    ]
    path = write_json(tmp_path / "p.json", results)
    first, second = predicted_photos(path, truth)
    assert (first.scores.tolist(), second.scores.tolist()) == ([0.25], [0.5])
    results[1]["file_name"] = "photos/sub/b.jpg"  # no name is known: the ids are all that there is
    write_json(path, results)
    first, second = predicted_photos(path, truth)
    assert (sorted(first.scores.tolist()), second.scores.tolist()) == ([0.25, 0.75], [])


def test_results_of_a_run_fit_a_truth_that_has_half_of_the_photos(tmp_path: Path) -> None:
    names = [f"{number}.jpg" for number in range(6)]
    with Run.open(tmp_path / "run", make_manifest()) as run:
        for name in names:
            run.append(make_record(name))
        run.export()
    document = json.loads((tmp_path / "run" / "annotations.json").read_bytes())
    ids = {image["id"]: number for number, image in enumerate(document["images"][3:], start=1)}
    document["images"] = document["images"][3:]
    document["annotations"] = [one for one in document["annotations"] if one["image_id"] in ids]
    for image in document["images"]:
        image["id"] = ids[image["id"]]
    for person in document["annotations"]:
        person["image_id"] = ids[person["image_id"]]
    write_json(tmp_path / "half.json", document)
    done = vitpose("export", "run", "-f", "results", "-o", "results.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = []
    for labels in ("run", "results.json"):
        done = vitpose("evaluate", "-a", "half.json", "-p", labels, "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        measured = json.loads(done.stdout)
        found.append((measured["coco"], measured["num_predicted"]))
    assert found[0] == found[1]
    assert found[1][1] == 6


def test_extracted_frames_of_a_run_are_those_of_the_video(tmp_path: Path) -> None:
    frames = [FrameKey("clip.mp4", index) for index in range(3)]
    for folder, keys in (("video", frames), ("photos", [key.other_form for key in frames])):
        with Run.open(tmp_path / folder, make_manifest()) as run:
            for key in keys:
                assert key is not None
                run.append(make_record(key.media, key.index))
            run.export()
    for truth, labels in (("video", "photos"), ("photos", "video")):
        with closing(CocoFrames(tmp_path / truth / "annotations.json")) as document:
            photos = [*predicted_photos(tmp_path / labels, document)]
        assert [(photo.missing, len(photo.scores)) for photo in photos] == [(False, 2)] * 3


def test_nothing_predicted_is_fine(tmp_path: Path, truth: CocoFrames) -> None:
    photos = [*predicted_photos(write_json(tmp_path / "p.json", []), truth)]
    assert [photo.found.shape for photo in photos] == [(0, 17, 2)] * 2


@pytest.mark.parametrize("kind", ["results", "names", "document"])
def test_predictions_for_other_photos_are_refused(
    tmp_path: Path, truth: CocoFrames, kind: str
) -> None:
    content: Any = [{"image_id": 77, "keypoints": POINTS, "score": 0.5}]
    if kind == "names":
        content = [{"file_name": "elsewhere.jpg", "keypoints": POINTS, "score": 0.5}]
    if kind == "document":
        content = small_document()
        for image in content["images"]:
            image["file_name"] = f"other/{image['file_name']}"
    with pytest.raises(InputError, match=r"None of the images in .* is in"):
        list(predicted_photos(write_json(tmp_path / "p.json", content), truth))


@pytest.mark.parametrize("points", [None, [1, 2], ["x"] * 51])
def test_boxes_are_no_predictions(tmp_path: Path, truth: CocoFrames, points: Any) -> None:
    results = [{"image_id": 1, "keypoints": points, "score": 0.5}]
    with pytest.raises(InputError, match="has no keypoints x, y, score"):
        list(predicted_photos(write_json(tmp_path / "p.json", results), truth))


def test_a_file_that_changes_meanwhile_is_noticed(tmp_path: Path, truth: CocoFrames) -> None:
    path = write_json(tmp_path / "p.json", small_document())
    photos = predicted_photos(path, truth)
    next(photos)
    path.write_bytes(b" " * path.stat().st_size)
    truth.path.write_bytes(b" " * truth.path.stat().st_size)
    truth.close()
    with pytest.raises(InputError, match="was changed while it was read"):
        list(photos)


def test_what_is_labelled_now_is_matched_by_file_name(tmp_path: Path) -> None:
    content = small_document()
    truth = CocoFrames(write_json(tmp_path / "truth.json", content))
    a, b = (make_record(image["file_name"]) for image in content["images"][:2])
    photos = [*labelled_photos([make_record("other.jpg"), b, a], truth, KEYPOINTS)]
    assert [(photo.image_id, len(photo.scores)) for photo in photos] == [(2, 2), (1, 2)]
    assert a.instances is not None
    np.testing.assert_array_equal(photos[1].found, a.instances.keypoints)
    np.testing.assert_array_equal(photos[1].scores, a.instances.scores)
    [failed] = labelled_photos([make_failure(b.key.media)], truth, KEYPOINTS)
    assert failed.failure == (b.key.media, "the file is empty")
    assert len(failed.scores) == 0
    with pytest.raises(InputError, match="other keypoints than the ground truth"):
        [*labelled_photos([], truth, keypoint_set("crowdpose"))]
    content["images"].append(content["images"][0] | {"id": 9})  # the same photo a second time
    doubled = CocoFrames(write_json(tmp_path / "doubled.json", content))
    with pytest.raises(InputError, match=r"doubled\.json lists a\.jpg more than once"):
        [*labelled_photos([a], doubled, KEYPOINTS)]


def right_before_left() -> list[int]:
    """Return COCO's keypoints in another order: each right one before its left one."""
    return [int(one) for one in KEYPOINTS.flip_order]


def turned_document(order: list[int]) -> dict[str, Any]:
    """Return the small document with its keypoints in another order, otherwise spelled."""
    content = small_document()
    names = content["categories"][0]["keypoints"]
    content["categories"] = [
        {"id": 1, "name": "person", "keypoints": [names[k].replace("_", " ") for k in order]}
    ]
    for number, person in enumerate(content["annotations"]):
        points = np.arange(17 * 3, dtype=float).reshape(17, 3) + number
        points[:, 2] = 2
        person |= {"keypoints": points[order].ravel().tolist(), "num_keypoints": 17}
    return content


@pytest.mark.parametrize("kind", ["document", "run", "now"])
def test_keypoints_in_another_order_are_brought_into_that_of_the_truth(
    tmp_path: Path, kind: str
) -> None:
    path = write_json(tmp_path / "truth.json", turned_document(right_before_left()))
    truth = CocoFrames(path)
    record = make_record("a.jpg")
    if kind == "document":
        labels = write_json(tmp_path / "p.json", turned_document(list(range(17))))
        photos = [*predicted_photos(labels, truth)]
    elif kind == "run":
        with Run.open(tmp_path / "run", make_manifest()) as run:
            run.append(record)
        photos = [*predicted_photos(tmp_path / "run", truth)]
    else:
        photos = [*labelled_photos([record], truth, KEYPOINTS)]
    photo = next(one for one in photos if one.image_id == 1)
    if kind == "document":
        wanted = np.reshape(photo.truth[0]["keypoints"], (1, 17, 3))[..., :2]
    else:
        assert record.instances is not None
        wanted = record.instances.keypoints[:, right_before_left()]
    np.testing.assert_allclose(photo.found, wanted, atol=0.01)


def named(*names: str) -> KeypointSet:
    return KeypointSet.from_category({"name": "bug", "keypoints": list(names)})


def test_keypoints_that_differ_in_case_alone_are_told_apart() -> None:
    found, wanted = named("A", "a", "b"), named("a", "A", "b")
    assert keypoint_order(found, wanted).tolist() == [1, 0, 2]
    assert keypoint_order(found, found).tolist() == [0, 1, 2]
    for other in (named("A", "a", "B"), named("b", "A", "a ")):
        with pytest.raises(InputError, match="other keypoints than the ground truth"):
            keypoint_order(other, wanted)


@pytest.mark.parametrize("kind", ["document", "run", "now"])
def test_of_predictions_with_more_keypoints_those_of_the_truth_are_measured(
    tmp_path: Path, kind: str
) -> None:
    few = [10, 0, 5]
    content = turned_document(few)
    for person in content["annotations"]:
        person["num_keypoints"] = len(few)
    truth = CocoFrames(write_json(tmp_path / "truth.json", content))
    record = make_record("a.jpg")
    labels = write_json(tmp_path / "p.json", small_document())
    if kind == "run":
        labels = tmp_path / "run"
        with Run.open(labels, make_manifest()) as run:
            run.append(record)
    photos = (
        labelled_photos([record], truth, KEYPOINTS)
        if kind == "now"
        else predicted_photos(labels, truth)
    )
    photo = next(one for one in photos if one.image_id == 1)
    assert record.instances is not None
    wanted = (
        np.reshape(small_document()["annotations"][0]["keypoints"], (1, 17, 3))[:, few, :2]
        if kind == "document"
        else record.instances.keypoints[:, few]
    )
    np.testing.assert_allclose(photo.found, wanted, atol=0.01)
    if kind == "document":
        with pytest.raises(InputError, match="other keypoints than the ground truth"):
            [*predicted_photos(tmp_path / "truth.json", CocoFrames(labels))]


@pytest.mark.parametrize("kind", ["document", "run", "now"])
def test_other_keypoints_are_refused_though_they_are_as_many(tmp_path: Path, kind: str) -> None:
    content = small_document()
    content["categories"] = [keypoint_set("ap10k").to_category()]  # 17, too
    truth = CocoFrames(write_json(tmp_path / "truth.json", content))
    labels = write_json(tmp_path / "p.json", small_document())
    if kind == "run":
        labels = tmp_path / "run"
        with Run.open(labels, make_manifest()) as run:
            run.append(make_record("a.jpg"))
    with pytest.raises(InputError, match=r"nose, left_eye, .*; there left_eye, .*, root_of_tail"):
        [
            *(
                labelled_photos([make_record("a.jpg")], truth, KEYPOINTS)
                if kind == "now"
                else predicted_photos(labels, truth)
            )
        ]


def test_results_do_not_say_what_their_keypoints_are(tmp_path: Path) -> None:
    truth = CocoFrames(write_json(tmp_path / "t.json", turned_document(right_before_left())))
    results = [{"image_id": 1, "category_id": 1, "keypoints": POINTS, "score": 0.5}]
    first, _ = predicted_photos(write_json(tmp_path / "p.json", results), truth)
    np.testing.assert_array_equal(first.found[0], np.reshape(POINTS, (17, 3))[:, :2])


def test_frames_of_a_run_are_known_by_their_names_where_the_truth_has_no_videos(
    tmp_path: Path,
) -> None:
    with Run.open(tmp_path / "run", make_manifest()) as run:
        for index in range(3):
            run.append(make_record("clip.mp4", index))
            run.append(make_record("cafe\u0301.mp4", index))
        run.append(make_record("photo.mp4/frame_000001.jpg"))
        run.export()
    document = json.loads((tmp_path / "run" / "annotations.json").read_bytes())
    del document["videos"]
    for image in document["images"]:
        for name in ("video_id", "frame_id", "timestamp"):
            image.pop(name, None)
        image["file_name"] = unicodedata.normalize("NFC", image["file_name"])
    write_json(tmp_path / "truth.json", document)
    done = vitpose("evaluate", "-a", "truth.json", "-p", "run", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert measured["coco"]["AP"] == 1.0
    assert (measured["num_predicted"], measured["num_missing"]) == (14, 0)


def test_a_truth_with_backslashes_is_of_the_photos_of_a_run(tmp_path: Path) -> None:
    with Run.open(tmp_path / "run", make_manifest()) as run:
        run.append(make_record("d/a.jpg"))
        run.export()
    document = json.loads((tmp_path / "run" / "annotations.json").read_bytes())
    document["images"][0]["file_name"] = "d\\a.jpg"
    write_json(tmp_path / "truth.json", document)
    measured = evaluate_predictions(tmp_path / "truth.json", tmp_path / "run")
    assert measured.coco["AP"] == 1.0


def test_labels_that_a_person_reviewed_are_not_passed_off_as_a_networks(tmp_path: Path) -> None:
    names = [f"{number}.jpg" for number in range(3)]
    with Run.open(tmp_path / "run", make_manifest()) as run:
        for name in names:
            run.append(make_record(name))
        run.export()
    truth = tmp_path / "truth.json"
    truth.write_bytes((tmp_path / "run" / "annotations.json").read_bytes())
    assert evaluate_predictions(truth, tmp_path / "run").num_reviewed == 0
    with Run.edit(tmp_path / "run") as run:
        run.append(make_record(names[1], review=Review("accepted")))
        run.append(make_record(names[2], review=Review("rejected")))  # in no document
        run.export()
    for predictions in (tmp_path / "run", tmp_path / "run" / "annotations.json"):
        found = evaluate_predictions(truth, predictions)
        assert found.as_dict()["num_reviewed"] == found.num_missing == 1
        assert "reviewed the predictions of 1 of 3 photos" in found.counts_sentence()

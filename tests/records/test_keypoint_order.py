"""The same keypoints in several orders, as several tools write them."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from record_cases import CATEGORY, make_record, small_document, write_json
from runs import vitpose

from vitpose_cli.errors import InputError
from vitpose_cli.pose.keypoints import KeypointSet, keypoint_set
from vitpose_cli.records.coco import read_coco
from vitpose_cli.records.coco_frames import CocoFrames
from vitpose_cli.records.keypoint_order import KeypointOrder
from vitpose_cli.records.record import Review

NAMES = keypoint_set("coco").names
TURNED = [*reversed(range(17))]
SIGMAS = [0.01 * (number + 1) for number in range(17)]


def turned_category(**fields: Any) -> dict[str, Any]:
    """Return COCO's category with its keypoints from foot to nose, as `Left eye` for `left_eye`."""
    return {
        **CATEGORY,
        "keypoints": [NAMES[place].capitalize().replace("_", " ") for place in TURNED],
        "skeleton": [[18 - start, 18 - end] for start, end in CATEGORY["skeleton"]],
        **fields,
    }


def turned_person(person: dict[str, Any]) -> dict[str, Any]:
    """Return somebody with keypoints in the order of `turned_category`."""
    points = np.reshape(person["keypoints"], (17, 3))[TURNED]
    return {**person, "keypoints": points.ravel().tolist()}


def two_orders(**stated: Any) -> dict[str, Any]:
    """Return a document in which a second category lists the keypoints of the first otherwise."""
    document = small_document()
    document["categories"].append(turned_category(id=2, name="referee", **stated))
    for number, person in enumerate(document["annotations"]):
        points = np.stack([np.arange(17) + 50.0, np.arange(17) + 60.0, np.arange(17) % 3], axis=1)
        person |= {"keypoints": points.ravel().tolist(), "num_keypoints": 11}
        person |= {"keypoint_scores": SIGMAS, "keypoints_smoothed": points.ravel().tolist()}
        if number == 1:
            for name in ("keypoints", "keypoints_smoothed"):
                person[name] = turned_person({"keypoints": person[name]})["keypoints"]
            person |= {"keypoint_scores": SIGMAS[::-1], "category_id": 2}
    return document


@pytest.mark.parametrize("first", ["categories", "annotations"])
def test_categories_of_one_file_may_list_their_keypoints_in_several_orders(
    tmp_path: Path, first: str
) -> None:
    stated = {"flip_pairs": [["Left eye", "Right eye"]], "sigmas": SIGMAS[::-1]}
    document = two_orders(**stated)
    sections = {first: document.pop(first), **document}
    path = write_json(tmp_path / "a.json", sections)
    with closing(CocoFrames(path)) as frames:
        one, other = (frames.annotations(number)[0] for number in range(2))
        for name in ("keypoints", "keypoint_scores", "keypoints_smoothed"):
            assert one[name] == other[name]
        assert read_coco(path).annotations[1]["keypoints"] == one["keypoints"]
        assert frames.keypoint_set.names == NAMES
        assert frames.keypoint_set.oks_sigmas == tuple(SIGMAS)
        assert frames.keypoint_set.flip_pairs == ((1, 2),)
        referee = frames.categories[1]
    assert referee["keypoints"] == list(NAMES)
    assert [[*edge] for edge in referee["skeleton"]] == CATEGORY["skeleton"]


def test_the_drawn_bones_of_own_keypoints_join_the_same_names() -> None:
    names = ["hand", "elbow", "tip+", "tip-"]
    order = KeypointOrder.between(["tip-", "tip+", "hand", "elbow"], names)
    assert order is not None
    category = order.category({"name": "arm", "keypoints": names, "skeleton": [[1, 2], [2, 4]]})
    known = KeypointSet.from_category(category)
    bones = [{known.names[start], known.names[end]} for start, end in known.edges]
    assert bones == [{"hand", "elbow"}, {"elbow", "tip-"}]
    assert KeypointOrder.between(["a", "b"], ["a", "c"]) is None
    assert KeypointOrder.between(["tip+", "tip-"], ["tip", "tip -"]) is None, "spelling tells"
    assert KeypointOrder.between(["a", "b"], ["a", "b"]) is None


def test_a_record_is_turned_with_all_it_holds() -> None:
    record = make_record("a.jpg", review=Review("accepted", "anna", untouched="00000000"))
    order = KeypointOrder(NAMES, tuple(TURNED))
    turned = order.record(record)
    assert record.instances is not None
    assert turned.instances is not None
    for name in ("keypoints", "keypoint_scores", "visibility"):
        ours, theirs = getattr(record.instances, name), getattr(turned.instances, name)
        np.testing.assert_array_equal(ours[:, ::-1], theirs)
    assert turned.uids == record.uids
    assert turned.review is not None
    assert turned.review.state == "accepted"
    assert turned.review.untouched == "", "the order of before has another checksum"


def test_the_skeleton_of_such_a_category_must_fit_where_it_is_wanted(tmp_path: Path) -> None:
    document = two_orders()
    names = [*"abcdefghijklmnopq"]
    document["categories"][0] |= {"keypoints": names, "skeleton": []}
    document["categories"][1] |= {"keypoints": names[::-1], "skeleton": [[1, 99]]}
    path = write_json(tmp_path / "a.json", document)
    with closing(CocoFrames(path)) as frames:
        own = frames.annotations(1)[0]["keypoints"]
        with pytest.raises(InputError, match=r"a\.json: Category 'referee' .* its skeleton joins"):
            _ = frames.keypoint_set
    assert own == document["annotations"][1]["keypoints"]
    export: list[str | Path] = [
        "export",
        path,
        "-f",
        "results",
        "-o",
        tmp_path / "out.json",
        "--category",
    ]
    refused = vitpose(*export, "referee")
    assert refused.returncode == 3
    assert "its skeleton joins" in refused.stderr
    assert vitpose(*export, "person").returncode == 0
    (person,) = json.loads((tmp_path / "out.json").read_bytes())
    assert person["keypoints"][0::3] == document["annotations"][0]["keypoints"][0::3]


def test_files_and_runs_of_several_orders_are_compared_and_merged(tmp_path: Path) -> None:
    document = small_document()
    for number, person in enumerate(document["annotations"]):
        points = np.stack([np.arange(17) + 50.0, np.arange(17) * 9 + 30.0, np.full(17, 2)], axis=1)
        points[:, 0] += number
        person |= {"keypoints": points.ravel().tolist(), "num_keypoints": 17}
    write_json(tmp_path / "a.json", document)
    people = [*map(turned_person, document["annotations"])]
    turned = {**document, "categories": [turned_category()], "annotations": people}
    write_json(tmp_path / "b.json", turned)
    images = [{**image, "file_name": f"z/{image['id']}.jpg"} for image in document["images"]]
    write_json(tmp_path / "c.json", {**turned, "images": images})
    for pair in ("a.json b.json", "b.json a.json"):
        done = vitpose("diff", *pair.split(), "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert (found["num_people"], found["mean_oks"]) == (2, 1)
        assert {each["median_px"] for each in found["keypoints"]} == {0}
    for command in ("merge c.json b.json -o run", "merge a.json run -o all.json"):
        done = vitpose(*command.split(), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    merged = json.loads((tmp_path / "all.json").read_bytes())
    assert merged["categories"][0]["keypoints"] == list(NAMES)
    found = [person["keypoints"] for person in merged["annotations"]]
    assert found == [person["keypoints"] for person in document["annotations"]] * 2


def test_results_have_the_order_of_their_category(tmp_path: Path) -> None:
    document = two_orders()
    for person in document["annotations"]:
        points = np.reshape(person["keypoints"], (17, 3))
        points[:, 0] += 9 * points[:, 1] % 97
        points[:, 2] = 2
        person |= {"keypoints": points.ravel().tolist(), "num_keypoints": 17}
    write_json(tmp_path / "a.json", document)
    for more in ([], ["--image-ids", "a.json"]):
        done = vitpose(
            "export", "a.json", "-f", "results", "-o", "r.json", "--overwrite", *more, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        written = json.loads((tmp_path / "r.json").read_bytes())
        for result, person in zip(written, document["annotations"], strict=True):
            assert result["category_id"] == person["category_id"]
            for axis in (0, 1):
                assert result["keypoints"][axis::3] == person["keypoints"][axis::3]
    done = vitpose("evaluate", "-a", "a.json", "-p", "r.json", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["coco"]["AP"] == pytest.approx(1)

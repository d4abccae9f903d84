import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from record_cases import small_document, write_json

from vitpose_cli.errors import InputError
from vitpose_cli.records.rules import RULES, SHOWN_PER_RULE
from vitpose_cli.records.validate import validate

Change = Callable[[dict[str, Any]], object]
RESULT = {"image_id": 1, "category_id": 1, "keypoints": [1.0] * 51, "score": 0.5}


def broken_rules(path: Path, content: Any) -> dict[str, int]:
    return dict(validate(write_json(path / "a.json", content)).counts)


def test_a_faultless_file(tmp_path: Path) -> None:
    report = validate(write_json(tmp_path / "a.json", small_document()))
    assert report.violations == []
    assert (report.kind, report.num_images, report.num_annotations) == ("annotations", 2, 2)
    assert report.as_dict()["valid"]


def test_a_photo_that_is_listed_twice_beside_others_of_its_stem(tmp_path: Path) -> None:
    content = small_document()
    names = ["a.jpg", "a.png", "a.png", "a.jpg", "a.webp"]
    content["images"] = [
        dict(content["images"][0], id=number, file_name=name)
        for number, name in enumerate(names, start=1)
    ]
    report = validate(write_json(tmp_path / "a.json", content))
    found = {(each.rule, each.place) for each in report.violations}
    assert found == {
        ("file-stem-unique", "images[1].file_name"),
        ("file-name-unique", "images[2].file_name"),
        ("file-name-unique", "images[3].file_name"),
        ("file-stem-unique", "images[4].file_name"),
    }


def test_boxes_beyond_the_border_are_told_apart(tmp_path: Path) -> None:
    content = small_document()
    first = content["annotations"][0]
    content["annotations"] = [
        dict(first, id=number, bbox=bbox, attributes={})
        for number, bbox in enumerate([[-1, 2, 9, 9], [-2, 2, 9, 9], [-1.0, 2, 9, 9]], start=1)
    ]
    report = validate(write_json(tmp_path / "a.json", content))
    found = [each.place for each in report.violations if each.rule == "bbox-duplicate"]
    assert found == ["annotations[2].bbox"]


def put(section: str, name: str, value: Any) -> Change:
    """Return a change of one field of the first element of a section."""
    return lambda content: content[section][0].__setitem__(name, value)


def drop(section: str, name: str) -> Change:
    return lambda content: content[section][0].pop(name)


def second_image(name: str) -> Change:
    return lambda content: content["images"][1].__setitem__("file_name", name)


BROKEN: list[tuple[str, str, Change]] = [
    ("section-missing", "images", lambda content: content.pop("images")),
    ("section-type", "videos", lambda content: content.__setitem__("videos", {"id": 1})),
    ("item-type", "images[2]", lambda content: content["images"].append(None)),
    ("item-type", "annotations[2]", lambda content: content["annotations"].append([])),
    ("item-type", "categories[1]", lambda content: content["categories"].append("person")),
    ("image-id", "images[0].id", put("images", "id", "one")),
    ("image-id", "images[0].id", put("images", "id", 1.0)),
    ("image-id", "images[0].id", put("images", "id", True)),
    ("image-id-unique", "images[1].id", lambda content: content["images"][1].update(id=1)),
    (
        "image-id-zero",
        "images[2].id",
        lambda c: c["images"].append(dict(c["images"][0], id=0, file_name="c.jpg")),
    ),
    ("image-size", "images[0].width, height", drop("images", "width")),
    ("image-size", "images[0].width, height", put("images", "height", 0)),
    ("image-size", "images[0].width, height", put("images", "height", 480.5)),
    ("file-name", "images[0].file_name", drop("images", "file_name")),
    ("file-name", "images[0].file_name", put("images", "file_name", "")),
    ("file-name-path", "images[0].file_name", put("images", "file_name", "/a.jpg")),
    ("file-name-path", "images[0].file_name", put("images", "file_name", "../a.jpg")),
    ("file-name-path", "images[0].file_name", put("images", "file_name", "sub\\c.jpg")),
    ("file-name-unique", "images[1].file_name", second_image("a.jpg")),
    ("file-stem-unique", "images[1].file_name", second_image("a.png")),
    ("video-id", "images[0].video_id", put("images", "video_id", "clip.mp4")),
    ("video-id", "videos", put("images", "video_id", 3)),
    (
        "frame-id",
        "images[0]",
        lambda c: (c.update(videos=[{"id": 3}]), c["images"][0].update(video_id=3, frame_id=-1)),
    ),
    (
        "category-id",
        "categories[0].id",
        lambda c: (
            [each.update(category_id=0) for each in c["annotations"]]
            + [c["categories"][0].update(id=0)]
        ),
    ),
    (
        "category-id-unique",
        "categories[1].id",
        lambda c: c["categories"].append(dict(c["categories"][0], name="dog")),
    ),
    ("category-name", "categories[0].name", drop("categories", "name")),
    (
        "category-name",
        "categories[1].name",
        lambda c: c["categories"].append(dict(c["categories"][0], id=2)),
    ),
    (
        "category-keypoints",
        "categories[0].keypoints",
        put("categories", "keypoints", ["nose"] * 17),
    ),
    (
        "category-keypoints",
        "categories[0].keypoints",
        put("categories", "keypoints", list(range(17))),
    ),
    (
        "category-keypoints",
        "categories[0].keypoints",
        put("categories", "keypoints", [" ", *map(str, range(16))]),
    ),
    ("category-name", "categories[0].name", put("categories", "name", " ")),
    ("category-name", "categories[0].name", put("categories", "name", "half\ud800")),
    (
        "category-keypoints",
        "categories[0].keypoints",
        put("categories", "keypoints", ["half\ud800", *map(str, range(16))]),
    ),
    (
        "category-without-keypoints",
        "categories[1].keypoints",
        lambda c: c["categories"].append({"id": 9, "name": "x"}),
    ),
    (
        "category-keypoints-alike",
        "categories[1].keypoints",
        lambda c: c["categories"].append(
            {"id": 9, "name": "x", "keypoints": ["a", "b"], "skeleton": []}
        ),
    ),
    ("skeleton", "categories[0].skeleton", drop("categories", "skeleton")),
    ("skeleton", "categories[0].skeleton[0]", put("categories", "skeleton", [[0, 1]])),
    ("skeleton", "categories[0].skeleton[0]", put("categories", "skeleton", [[1, 18]])),
    ("skeleton", "categories[0].skeleton[0]", put("categories", "skeleton", [[1, 2, 3]])),
    ("skeleton", "categories[0].skeleton[0]", put("categories", "skeleton", ["1-2"])),
    ("flip-pairs", "categories[0].flip_pairs", put("categories", "flip_pairs", "left")),
    ("flip-pairs", "categories[0].flip_pairs", put("categories", "flip_pairs", [["nose"]])),
    ("flip-pairs", "categories[0].flip_pairs", put("categories", "flip_pairs", [["nose", "x"]])),
    ("flip-pairs", "categories[0].flip_pairs", put("categories", "flip_pairs", [["nose"] * 2])),
    (
        "flip-pairs",
        "categories[2].flip_pairs",
        lambda c: c["categories"].extend(
            {**c["categories"][0], "id": number, "name": f"x{number}", "flip_pairs": pairs}
            for number, pairs in ((8, [["left_eye", "right_eye"]]), (9, []))
        ),
    ),
    ("sigmas", "categories[0].sigmas", put("categories", "sigmas", 0.1)),
    ("sigmas", "categories[0].sigmas", put("categories", "sigmas", [0.1] * 16)),
    ("sigmas", "categories[0].sigmas", put("categories", "sigmas", [0.1] * 16 + [0])),
    (
        "sigmas",
        "categories[2].sigmas",
        lambda c: c["categories"].extend(
            {**c["categories"][0], "id": number, "name": f"x{number}", "sigmas": [each] * 17}
            for number, each in ((8, 0.1), (9, 0.2))
        ),
    ),
    ("skeleton-edge", "categories[0].skeleton[1]", put("categories", "skeleton", [[1, 2], [2, 1]])),
    ("skeleton-edge", "categories[0].skeleton[0]", put("categories", "skeleton", [[1, 1]])),
    ("annotation-id", "annotations[0].id", put("annotations", "id", 0)),
    ("annotation-id", "annotations[0].id", drop("annotations", "id")),
    ("annotation-id-unique", "annotations[1].id", lambda c: c["annotations"][1].update(id=1)),
    ("image-reference", "annotations[0].image_id", put("annotations", "image_id", 7)),
    ("image-reference", "annotations[0].image_id", put("annotations", "image_id", [1])),
    ("category-reference", "annotations[0].category_id", put("annotations", "category_id", 7)),
    ("bbox", "annotations[0].bbox", drop("annotations", "bbox")),
    ("bbox", "annotations[0].bbox", put("annotations", "bbox", [1, 2, 3])),
    ("bbox", "annotations[0].bbox", put("annotations", "bbox", [1, 2, 0, 3])),
    ("bbox", "annotations[0].bbox", put("annotations", "bbox", [1, 2, "3", 4])),
    ("bbox", "annotations[0].bbox", put("annotations", "bbox", [1, 2, float("nan"), 4])),
    ("bbox-outside", "annotations[0].bbox", put("annotations", "bbox", [700, 2, 30, 40])),
    ("bbox-inside", "annotations[0].bbox", put("annotations", "bbox", [600, 2, 50, 40])),
    (
        "bbox-duplicate",
        "annotations[2].bbox",
        lambda c: c["annotations"].append(dict(c["annotations"][0], id=3)),
    ),
    ("area", "annotations[0].area", drop("annotations", "area")),
    ("area", "annotations[0].area", put("annotations", "area", 0)),
    ("iscrowd", "annotations[0].iscrowd", drop("annotations", "iscrowd")),
    ("iscrowd", "annotations[0].iscrowd", put("annotations", "iscrowd", False)),
    ("crowd", "annotations[0].iscrowd", put("annotations", "iscrowd", 1)),
    ("segmentation", "annotations[0].segmentation", drop("annotations", "segmentation")),
    (
        "segmentation-outline",
        "annotations[0].segmentation",
        put("annotations", "segmentation", [[1, 2]]),
    ),
    ("keypoints", "annotations[0].keypoints", drop("annotations", "keypoints")),
    ("keypoints", "annotations[0].keypoints", put("annotations", "keypoints", [1, 2, 2])),
    ("visibility", "annotations[0].keypoints", put("annotations", "keypoints", [0.5] * 51)),
    (
        "unlabelled-place",
        "annotations[0].keypoints[3]",
        lambda c: c["annotations"][0]["keypoints"].__setitem__(4, 8),
    ),
    (
        "keypoint-inside",
        "annotations[0].keypoints[0]",
        lambda c: c["annotations"][0]["keypoints"].__setitem__(0, 999),
    ),
    ("num-keypoints", "annotations[0].num_keypoints", put("annotations", "num_keypoints", 2)),
    ("num-keypoints", "annotations[0].num_keypoints", drop("annotations", "num_keypoints")),
    (
        "nothing-labelled",
        "annotations[0].keypoints",
        lambda c: c["annotations"][0].update(keypoints=[0] * 51, num_keypoints=0),
    ),
    ("score", "annotations[0].score", put("annotations", "score", None)),
    ("score-missing", "annotations[0].score", drop("annotations", "score")),
    (
        "keypoint-scores",
        "annotations[0].keypoint_scores",
        put("annotations", "keypoint_scores", [1]),
    ),
    (
        "keypoints-smoothed",
        "annotations[0].keypoints_smoothed",
        put("annotations", "keypoints_smoothed", [1, 2]),
    ),
    ("attributes", "annotations[0].attributes", put("annotations", "attributes", [])),
    ("attributes", "annotations[0].attributes", put("annotations", "attributes", {"a": {}})),
    ("attribute-names", "annotations[0].attributes", put("annotations", "attributes", {"id": 3})),
    (
        "track-id",
        "annotations[0].attributes.track_id",
        put("annotations", "attributes", {"track_id": "3"}),
    ),
    (
        "track-id-unique",
        "annotations[1].attributes.track_id",
        lambda c: [
            each.update(image_id=1, bbox=[x, 20, 100, 200], attributes={"track_id": 3})
            for x, each in enumerate(c["annotations"])
        ],
    ),
    (
        "uid-unique",
        "annotations[1].attributes.uid",
        lambda c: [each.update(attributes={"uid": "x"}) for each in c["annotations"]],
    ),
]


@pytest.mark.parametrize(
    ("change", "place", "message"),
    [
        (drop("categories", "skeleton"), "categories[0].skeleton", "is missing"),
        (put("categories", "skeleton", None), "categories[0].skeleton", "is null"),
        (drop("images", "width"), "images[0].width, height", "is missing"),
        (put("images", "width", 0), "images[0].width, height", "is 0 x 480"),
        (
            drop("annotations", "keypoints"),
            "annotations[0].keypoints",
            "is missing, 17 keypoints need 51 numbers",
        ),
    ],
)
def test_what_is_missing_is_not_said_to_be_null(
    tmp_path: Path, change: Change, place: str, message: str
) -> None:
    content = small_document()
    change(content)
    (found,) = validate(write_json(tmp_path / "a.json", content)).violations
    assert (found.place, found.message) == (place, message)


@pytest.mark.parametrize(("rule", "place", "change"), BROKEN)
def test_a_broken_rule_is_found_in_its_place(
    tmp_path: Path, rule: str, place: str, change: Change
) -> None:
    content = small_document()
    change(content)
    report = validate(write_json(tmp_path / "a.json", content))
    assert (rule, place) in {(each.rule, each.place) for each in report.violations}
    if RULES[rule].severity == "error":
        assert report.num_errors
    else:
        assert set(report.counts) == {rule}
        assert report.num_errors == 0


@pytest.mark.parametrize(
    ("rule", "place", "content"),
    [
        ("results-empty", "the file", []),
        ("item-type", "[1]", [RESULT, 3]),
        ("results-image", "[0].image_id", [RESULT | {"image_id": "a.jpg"}]),
        ("results-category", "[0].category_id", [RESULT | {"category_id": None}]),
        ("results-score", "[0].score", [RESULT | {"score": "high"}]),
        ("results-labels", "[0].keypoints", [RESULT | {"keypoints": [1, 2]}]),
        ("results-labels", "[0].bbox", [RESULT | {"bbox": [1, 2, 3]}]),
        ("results-labels", "[0]", [{"image_id": 1, "category_id": 1, "score": 1}]),
    ],
)
def test_results_files_have_rules_of_their_own(
    tmp_path: Path, rule: str, place: str, content: Any
) -> None:
    report = validate(write_json(tmp_path / "a.json", content))
    assert report.kind == "results"
    assert [(each.rule, each.place) for each in report.violations] == [(rule, place)]


def test_a_good_results_file(tmp_path: Path) -> None:
    report = validate(write_json(tmp_path / "a.json", [RESULT, RESULT]))
    assert (report.counts, report.num_annotations) == ({}, 2)


def test_results_in_several_files_are_all_counted(tmp_path: Path) -> None:
    for number in (1, 2):
        write_json(tmp_path / f"{number}.json", [RESULT] * number)
    report = validate(tmp_path / "*.json")
    assert (report.kind, report.num_annotations) == ("results", 3)


def test_every_rule_is_tested() -> None:
    tested = {rule for rule, _, _ in BROKEN} | {"section-repeated"}
    assert {rule for rule in RULES if not rule.startswith("results-")} == tested


def test_other_keypoints_may_have_other_flip_pairs(tmp_path: Path) -> None:
    content = small_document()
    content["categories"][0]["flip_pairs"] = []
    other = {"keypoints": ["a", "b"], "skeleton": [], "flip_pairs": [["a", "b"]]}
    content["categories"].append({"id": 9, "name": "x", **other})
    report = validate(write_json(tmp_path / "a.json", content))
    assert dict(report.counts) == {"category-keypoints-alike": 1}


def test_a_repeated_section(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(small_document()).replace('"info": {', '"images": [], "info": {'))
    assert dict(validate(path).counts) == {"section-repeated": 1}


def test_the_order_of_the_sections_does_not_matter(tmp_path: Path) -> None:
    content = small_document()
    content["annotations"][0]["bbox"] = [700, 2, 30, 40]
    backwards = dict(reversed(content.items()))
    assert broken_rules(tmp_path, content) == broken_rules(tmp_path, backwards)
    assert broken_rules(tmp_path, content) == {"bbox-outside": 1}


def test_many_violations_of_a_rule_are_counted(tmp_path: Path) -> None:
    content = small_document()
    content["annotations"] *= 50
    for number, annotation in enumerate(content["annotations"]):
        content["annotations"][number] = annotation | {"id": number + 1, "bbox": [number, 0, 1, 0]}
    report = validate(write_json(tmp_path / "a.json", content))
    assert dict(report.counts) == {"bbox": 100}
    assert len(report.violations) == SHOWN_PER_RULE
    assert report.num_errors == 100


def test_the_real_ground_truth_is_valid(shared_data: Path) -> None:
    report = validate(shared_data / "coco_val" / "person_keypoints.json")
    assert report.num_errors == 0


def test_what_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(InputError, match="not a whole JSON file"):
        validate(tmp_path / "a.json")

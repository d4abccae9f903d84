import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_cases import small_document, write_json

from vitpose_cli.errors import InputError
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.records.coco import instances_of, read_coco, safe_media_path


def test_a_document_keeps_all_that_a_file_holds(tmp_path: Path) -> None:
    content = small_document()
    content["images"][0]["licence"] = 7
    document = read_coco(write_json(tmp_path / "a.json", content))
    assert list(document.images) == content["images"]
    assert list(document.annotations) == content["annotations"]
    assert document.info == content["info"]
    assert document.keypoint_set.name == "coco"
    assert document.keys() == {1: FrameKey("a.jpg"), 2: FrameKey("sub/b.jpg")}
    assert [len(each) for each in document.by_image().values()] == [1, 1]


def test_the_real_ground_truth_is_read(shared_data: Path) -> None:
    document = read_coco(shared_data / "coco_val" / "person_keypoints.json")
    assert (len(document.images), len(document.annotations)) == (78, 262)
    assert document.keypoint_set.num_keypoints == 17
    for annotations in document.by_image().values():
        people = instances_of(annotations, 17, [""] * len(annotations))
        assert (people.box_scores == 1).all()


def test_frames_of_videos_get_their_keys_back(tmp_path: Path) -> None:
    content = small_document()
    content["videos"] = [{"id": 4, "name": "v/clip.mp4"}]
    content["images"][0] |= {
        "file_name": "v/clip.mp4/frame_000012.jpg",
        "video_id": 4,
        "frame_id": 12,
    }
    content["images"][1] |= {"file_name": "v/frame_000012.jpg", "video_id": 4, "frame_id": 12}
    document = read_coco(write_json(tmp_path / "a.json", content))
    # The second is an extracted frame of another tool: a photo for us.
    assert list(document.keys().values()) == [
        FrameKey("v/clip.mp4", 12),
        FrameKey("v/frame_000012.jpg"),
    ]


def test_boxes_and_keypoints_are_filled_in(tmp_path: Path) -> None:
    content = small_document()
    del content["annotations"][0]["keypoints"]
    content["annotations"][1]["keypoints"][3:6] = [150.5, 20.5, 1]
    del content["annotations"][1]["bbox"]
    document = read_coco(write_json(tmp_path / "a.json", content))
    assert document.annotations[0]["keypoints"] == [0] * 51
    assert document.annotations[1]["bbox"] == [40.5, 10.5, 120.0, 60.0]


def test_ground_truth_without_scores_counts_fully(tmp_path: Path) -> None:
    content = small_document()
    for nothing in ({}, {"score": None}):
        del content["annotations"][0]["score"]
        content["annotations"][0] |= nothing
        document = read_coco(write_json(tmp_path / "a.json", content))
        people = instances_of(document.annotations, 17, ["a", "b"])
        np.testing.assert_allclose(people.scores, [1.0, 0.5])
        content["annotations"][0]["score"] = None
    np.testing.assert_allclose(people.boxes, [[10, 20, 110, 220]] * 2)
    assert people.keypoint_scores[0].tolist() == [1.0] + [0.0] * 16
    assert len(instances_of([], 17, ())) == 0


def identities(content: dict[str, Any], tmp_path: Path) -> list[int] | None:
    document = read_coco(write_json(tmp_path / "a.json", content))
    ids = instances_of(document.annotations, 17, ["a", "b"]).track_ids
    return None if ids is None else ids.tolist()


def test_who_has_no_identity_where_others_have_gets_one(tmp_path: Path) -> None:
    content = small_document()
    first, second = content["annotations"]
    assert identities(content, tmp_path) is None
    first["attributes"] = {"track_id": 9}
    kept, new = identities(content, tmp_path) or []
    assert kept == 9
    assert new > 1 << 32, "the next number may be somebody's in another frame"
    second["track_id"] = 7
    assert identities(content, tmp_path) == [9, 7]
    for none in (-1, None, True, 1.0, "x", 1 << 63):
        second["track_id"] = none
        assert identities(content, tmp_path) == [9, new]
    first["attributes"] = {"track_id": -1}
    assert identities(content, tmp_path) is None


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (["images"], {}, "images is not one list"),
        (["images", 0], 3, r"images\[0\] is not an object"),
        (["images", 1, "id"], 1, r"images\[1\]\.id is not a whole number of its own"),
        (["images", 0, "id"], "one", r"images\[0\]\.id"),
        (["images", 0, "id"], True, r"images\[0\]\.id"),
        (["images", 0, "file_name"], None, r"images\[0\]\.file_name is missing"),
        (["categories", 0, "id"], None, r"categories\[0\]\.id"),
        (["categories", 0, "keypoints"], "nose", r"categories\[0\]\.keypoints is not a list"),
        (["annotations", 0, "image_id"], 7, r"annotations\[0\] belongs to image 7"),
        (["annotations", 0, "image_id"], [1], r"the image_id \[1\], which is not a whole number"),
        (["annotations", 0, "image_id"], 1.0, r"the image_id 1\.0, which is not a whole number"),
        (["annotations", 0, "category_id"], {}, r"annotations\[0\] has the category \{\}"),
        (
            ["annotations", 0, "keypoints"],
            [1, 2, 2],
            r"51 numbers in keypoints, which has 3 values",
        ),
        (["annotations", 0, "keypoints"], [*[0] * 50, "7"], '51 numbers .* has "7" as value 51'),
        (["annotations", 0, "keypoints"], [float("nan")] * 51, "51 numbers .* has NaN as value 1"),
        (["annotations", 0, "keypoints"], {"x": 1}, r'51 numbers .* is \{"x": 1\}'),
        (["categories", 0, "keypoints"], [], r"has keypoints, and its category names none"),
        (["annotations", 0, "keypoints"], [0.5] * 51, "third number is not 0, 1 or 2"),
        (["annotations", 0, "iscrowd"], "0", "iscrowd '0', which is neither 0 nor 1"),
        (["annotations", 0, "bbox"], [1, 2, 3], "needs 4 numbers in bbox"),
        (["annotations", 0, "bbox"], [1, 2, 3, float("nan")], "needs 4 numbers in bbox"),
        (["annotations", 0, "bbox"], [1, 2, 3, 10**400], "needs 4 numbers in bbox"),
        (["annotations", 0, "score"], "0.5", "score that is not a number"),
        (["annotations", 0, "keypoint_scores"], [1], "needs 17 numbers in keypoint_scores"),
    ],
)
def test_what_no_reader_can_use_is_refused_with_its_place(
    tmp_path: Path, place: list[Any], value: Any, message: str
) -> None:
    content: Any = small_document()
    inner = content
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    with pytest.raises(InputError, match=message) as caught:
        read_coco(write_json(tmp_path / "a.json", content))
    assert "vitpose validate" in caught.value.hint


def test_an_annotation_without_any_place_is_refused(tmp_path: Path) -> None:
    content = small_document()
    del content["annotations"][0]["bbox"], content["annotations"][0]["keypoints"]
    with pytest.raises(InputError, match="neither bbox nor labelled keypoints"):
        read_coco(write_json(tmp_path / "a.json", content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "is a list"),
        ({}, "no images and no annotations and no categories"),
        ({"images": [], "categories": []}, "no annotations"),
        ({"crc": "00000000", "frame": {}}, "not a COCO annotation file"),
    ],
)
def test_files_of_another_kind_are_refused(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_coco(write_json(tmp_path / "a.json", content))


def test_boxes_alone_make_no_keypoint_set(tmp_path: Path) -> None:
    content = small_document()
    content["categories"] = [{"id": 1, "name": "person"}]
    for annotation in content["annotations"]:
        annotation["keypoints"] = []
    document = read_coco(write_json(tmp_path / "a.json", content))
    with pytest.raises(InputError, match="no keypoint file"):
        _ = document.keypoint_set


def test_categories_may_share_keypoints_but_not_differ(tmp_path: Path) -> None:
    content = small_document()
    content["categories"].append({**content["categories"][0], "id": 2, "name": "statue"})
    assert read_coco(write_json(tmp_path / "a.json", content)).keypoint_set.name == "coco"
    content["categories"][1]["keypoints"] = ["nose"]
    with pytest.raises(InputError, match="'person' and 'statue' have different keypoints"):
        _ = read_coco(write_json(tmp_path / "a.json", content)).keypoint_set


@pytest.mark.parametrize("first", [0, 1])
def test_flip_pairs_of_any_category_count(tmp_path: Path, first: int) -> None:
    content = small_document()
    content["categories"].append({**content["categories"][0], "id": 2, "name": "statue"})
    stating, other = content["categories"][first], content["categories"][1 - first]
    stating["flip_pairs"] = [["left_eye", "right_eye"]]
    known = read_coco(write_json(tmp_path / "a.json", content)).keypoint_set
    assert (known.name, known.flip_pairs) == ("coco", ((1, 2),))
    other["flip_pairs"] = [["right_eye", "left_eye"]]
    assert read_coco(write_json(tmp_path / "a.json", content)).keypoint_set == known
    other["flip_pairs"] = []
    with pytest.raises(
        InputError, match="'person' and category 'statue' state different `flip_pairs`"
    ):
        _ = read_coco(write_json(tmp_path / "a.json", content)).keypoint_set


@pytest.mark.parametrize("first", [0, 1])
def test_sigmas_of_any_category_count(tmp_path: Path, first: int) -> None:
    content = small_document()
    content["categories"].append({**content["categories"][0], "id": 2, "name": "statue"})
    stating, other = content["categories"][first], content["categories"][1 - first]
    stating["sigmas"] = [0.1] * 17
    known = read_coco(write_json(tmp_path / "a.json", content)).keypoint_set
    assert (known.name, known.oks_sigmas) == ("coco", (0.1,) * 17)
    other["sigmas"] = [0.1] * 17
    assert read_coco(write_json(tmp_path / "a.json", content)).keypoint_set == known
    other["sigmas"] = [0.2] * 17
    with pytest.raises(InputError, match="'person' and category 'statue' state different `sigmas`"):
        _ = read_coco(write_json(tmp_path / "a.json", content)).keypoint_set
    other["sigmas"] = [0.2]
    with pytest.raises(InputError, match=r"a\.json: Category '.*': sigmas has 1 numbers for 17"):
        _ = read_coco(write_json(tmp_path / "a.json", content)).keypoint_set


def test_names_inside_of_the_folder_are_fine(tmp_path: Path) -> None:
    for name in ("a.jpg", "sub/a b.jpg", "ü/..a.jpg", "a..jpg"):
        assert safe_media_path(tmp_path, name) == tmp_path / name
    if os.name != "nt":
        for name in ("1:30.jpg", "b:1.jpg", "C:a.jpg"):
            assert safe_media_path(tmp_path, name) == tmp_path / name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/passwd",
        "../a.jpg",
        "a/../../b.jpg",
        "a/..",
        "..\\a.jpg",
        "a\\..\\..\\b.jpg",
        "C:\\a.jpg",
        "C:/a.jpg",
        *(["C:a.jpg"] if os.name == "nt" else []),
        "\\\\host\\share\\a.jpg",
        "//host/a.jpg",
        "a\0.jpg",
    ],
)
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="leads out of"):
        safe_media_path(tmp_path, name)


@given(name=st.text(st.sampled_from("./\\a:~ \0C"), max_size=12))
def test_no_name_leads_out(name: str) -> None:
    root = Path("/nowhere/root")
    try:
        path = safe_media_path(root, name)
    except InputError:
        return
    assert path.resolve().is_relative_to(root)


def test_links_are_followed_only_where_wanted(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.jpg").touch()
    (root / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (root / "inner.jpg").symlink_to(root / "real.jpg")
    assert safe_media_path(root, "link.jpg")
    assert safe_media_path(root, "inner.jpg", follow_links=False)
    with pytest.raises(InputError, match=r"link leads .* out of") as caught:
        safe_media_path(root, "link.jpg", follow_links=False)
    assert "--follow-links" in caught.value.hint


@given(
    data=st.recursive(
        st.none() | st.booleans() | st.integers(-2, 3) | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "images",
                        "annotations",
                        "categories",
                        "id",
                        "image_id",
                        "category_id",
                        "file_name",
                        "bbox",
                        "keypoints",
                        "videos",
                        "info",
                        "iscrowd",
                    ]
                ),
                inner,
                max_size=6,
            )
        ),
        max_leaves=20,
    )
)
def test_any_json_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.json"
    path.write_text(json.dumps(data))
    try:
        document = read_coco(path)
    except InputError:
        return
    document.keys()
    document.by_image()

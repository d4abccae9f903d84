import json
import re
from pathlib import Path
from typing import Any

import pytest
from training_cases import small_source, turn_keypoints, write_coco

from vitpose_cli.errors import InputError
from vitpose_cli.training.data import OpenedData, open_data
from vitpose_cli.training.data_options import DataOptions

PAIRED = {"flip_pairs": [["kp0", "kp1"]]}
UNPAIRED: dict[str, Any] = {"flip_pairs": []}


def test_files_that_mean_other_keypoints_by_one_name_are_refused(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder, names in zip(folders, (["hand", "foot"], ["hand", "knee"]), strict=True):
        path = write_coco(folder, 2)
        document = json.loads(path.read_text())
        document["categories"] = [{"id": 1, "name": "robot", "keypoints": names}]
        for one in document["annotations"]:
            one["keypoints"] = one["keypoints"][:6]
        path.write_text(json.dumps(document))
    sources = [
        {"kind": "coco", "annotations": str(one / "people.json"), "images": str(one / "images")}
        for one in folders
    ]
    with pytest.raises(InputError, match="different keypoints, both called 'robot'"):
        open_data(DataOptions.model_validate({"train": sources}))
    data = open_data(DataOptions.model_validate({"train": sources[:1]}))
    assert data.keypoint_sets["robot"].names == ("hand", "foot")


@pytest.mark.parametrize("name", ["person", "dancer"])
def test_the_same_keypoints_in_another_order_are_learnt_by_one_head(
    tmp_path: Path, name: str
) -> None:
    sources = [small_source(tmp_path / each) for each in ("people", "others")]
    write_coco(tmp_path / "people", 2)
    path = turn_keypoints(write_coco(tmp_path / "others", 2))
    path.write_text(path.read_text().replace('"person"', f'"{name}"'))
    for asked, head in ((sources, "coco"), (sources[::-1], name)):
        data = open_data(DataOptions.model_validate({"train": asked, "validation": asked[::-1]}))
        assert [*data.keypoint_sets] == [head]
        first, other = (source.frames.people for source in data.train)
        assert first.keypoint_set == other.keypoint_set
        assert (first.keypoints == other.keypoints).all()
        truths = [source.truth for source in data.validation]
        assert {truth.keypoint_set.names for truth in truths} == {first.keypoint_set.names}
        assert truths[0].annotations[0]["keypoints"] == truths[1].annotations[0]["keypoints"]


def test_the_same_keypoints_are_learnt_by_one_head_whatever_a_category_is_called(
    tmp_path: Path,
) -> None:
    sources = [of_arms(tmp_path / name) for name in ("a", "b")]
    path = Path(sources[1]["annotations"])
    path.write_text(
        path.read_text().replace('"arm"', '"wing"').replace('"kp0", "kp1"', '"kp1", "kp0"')
    )
    arms, wings = sources
    said = f"{path}: the keypoints of wing are those of arm, whose head {{}}, too."
    for asked, notes in (
        ({"train": sources}, [said.format("learns them")]),
        ({"train": [arms], "validation": [wings]}, [said.format("is measured on them")]),
        ({"train": [arms, wings | {"repeat": 0}]}, []),
    ):
        data = open_data(DataOptions.model_validate(asked))
        assert [*data.keypoint_sets] == ["arm"]
        assert data.notes == notes
    unlabelled = open_data(DataOptions.model_validate({"train": sources}), labelled=False)
    assert not unlabelled.notes  # pre-training has no heads


def of_arms(folder: Path, **stated: Any) -> dict[str, str]:
    """Write pictures of arms, whose names do not say what is left and right; with flip pairs."""
    path = write_coco(folder, 2)
    document = json.loads(path.read_text())
    document["categories"] = [{"id": 1, "name": "arm", "keypoints": ["kp0", "kp1"], **stated}]
    for one in document["annotations"]:
        one["keypoints"] = one["keypoints"][:6]
    path.write_text(json.dumps(document))
    return {"kind": "coco", "annotations": str(path), "images": str(folder / "images")}


def opened_arms(
    folder: Path, train: list[dict[str, Any]], validation: list[dict[str, Any]]
) -> tuple[OpenedData, dict[str, list[dict[str, Any]]]]:
    """Open sources whose categories state these things; return their options, too."""
    sources = {
        role: [of_arms(folder / f"{role} {n}", **one) for n, one in enumerate(each)]
        for role, each in (("train", train), ("validation", validation))
    }
    return open_data(DataOptions.model_validate(sources)), sources


@pytest.mark.parametrize(
    ("train", "validation", "agreed"),
    [
        ([PAIRED], [{}], ((0, 1),)),
        ([{}], [PAIRED], ((0, 1),)),
        ([{}, PAIRED], [{}], ((0, 1),)),
        ([UNPAIRED], [PAIRED, {}], ()),
        ([{}], [{}], ()),
    ],
)
def test_all_sources_of_a_set_mirror_alike(
    tmp_path: Path,
    train: list[dict[str, Any]],
    validation: list[dict[str, Any]],
    agreed: tuple[tuple[int, int], ...],
) -> None:
    data, sources = opened_arms(tmp_path, train, validation)
    opened = [*data.train, *data.validation]
    assert {one.frames.people.keypoint_set.flip_pairs for one in opened} == {agreed}
    assert data.keypoint_sets["arm"].flip_pairs == agreed
    overruled = sources["validation"][0]["annotations"]
    assert [*data.notes] == (
        [
            f"`flip_pairs` of arm are those of data.train (none), not those of {overruled} "
            "(kp0 - kp1)."
        ]
        if train == [UNPAIRED]
        else []
    )


WIDE, NARROW = {"sigmas": [0.2, 0.2]}, {"sigmas": [0.02, 0.02]}


@pytest.mark.parametrize(
    ("train", "validation", "agreed"),
    [
        ([WIDE], [{}], 0.2),
        ([{}], [WIDE], 0.2),
        ([{}, WIDE], [NARROW], 0.2),
        ([{}], [{}], 0.067),
    ],
)
def test_all_sources_of_a_set_have_its_sigmas(
    tmp_path: Path,
    train: list[dict[str, Any]],
    validation: list[dict[str, Any]],
    agreed: float,
) -> None:
    data, sources = opened_arms(tmp_path, train, validation)
    opened = [*data.train, *data.validation]
    assert {one.keypoint_set.oks_sigmas for one in opened} == {(agreed, agreed)}
    overruled = sources["validation"][0]["annotations"]
    assert [*data.notes] == (
        [
            f"`sigmas` of arm are those of data.train (0.2, 0.2), not those of {overruled} "
            "(0.02, 0.02)."
        ]
        if validation == [NARROW]
        else []
    )


def test_files_that_state_different_sigmas_are_refused(tmp_path: Path) -> None:
    stating = [of_arms(tmp_path / "a", **WIDE), of_arms(tmp_path / "b", **NARROW)]
    with pytest.raises(InputError, match=r"state different `sigmas` of 'arm': 0\.2, 0\.2, and"):
        open_data(DataOptions.model_validate({"train": stating}))


def test_statements_of_one_head_that_differ_are_told_with_both_categories(tmp_path: Path) -> None:
    stating = [of_arms(tmp_path / "a", **WIDE), of_arms(tmp_path / "b", **NARROW)]
    first, second = (Path(each["annotations"]) for each in stating)
    second.write_text(second.read_text().replace('"arm"', '"wing"'))
    said = f"{first} (category 'arm') and {second} (category 'wing') state different `sigmas`"
    with pytest.raises(InputError, match=re.escape(said)):
        open_data(DataOptions.model_validate({"train": stating}))


@pytest.mark.parametrize("role", ["train", "validation"])
def test_files_that_state_different_flip_pairs_are_refused(tmp_path: Path, role: str) -> None:
    stating = [of_arms(tmp_path / "a", **PAIRED), of_arms(tmp_path / "b", **UNPAIRED)]
    sources = {"train": [of_arms(tmp_path / "c")], "validation": []}
    sources[role] += stating
    with pytest.raises(InputError, match="state different `flip_pairs` of 'arm'") as caught:
        open_data(DataOptions.model_validate(sources))
    assert str(stating[0]["annotations"]) in str(caught.value)
    assert f"{stating[1]['annotations']} state" in str(caught.value)
    assert "kp0 - kp1, and none" in str(caught.value)


def test_people_with_stated_flip_pairs_are_no_other_keypoints(tmp_path: Path) -> None:
    for name, stated in (("a", UNPAIRED), ("b", {})):
        path = write_coco(tmp_path / name, 2)
        document = json.loads(path.read_text())
        document["categories"][0] |= stated
        path.write_text(json.dumps(document))
    options = {
        "train": [small_source(tmp_path / "a")],
        "validation": [small_source(tmp_path / "b")],
    }
    data = open_data(DataOptions.model_validate(options))
    assert [*data.keypoint_sets] == ["coco"]
    assert not data.validation[0].frames.people.keypoint_set.mirrorable


@pytest.mark.parametrize("name", ["training", "_modules", "keys", "type", "mouse.v2"])
def test_a_category_called_as_no_head_can_be_is_refused(tmp_path: Path, name: str) -> None:
    path = write_coco(tmp_path, 2)
    document = json.loads(path.read_text())
    document["categories"] = [{"id": 1, "name": name, "keypoints": ["hand", "foot"]}]
    for one in document["annotations"]:
        one["keypoints"] = one["keypoints"][:6]
    path.write_text(json.dumps(document))
    options = DataOptions.model_validate({"train": [small_source(tmp_path)]})
    with pytest.raises(InputError, match=f"calls its category '{name}'") as caught:
        open_data(options)
    assert caught.value.hint == f"Rename the category in {path}."
    assert open_data(options, labelled=False).train


@pytest.mark.parametrize("named", [{}, {"name": ""}, {"name": None}])
def test_a_category_without_a_name_is_learnt_as_custom(
    tmp_path: Path, named: dict[str, Any]
) -> None:
    path = write_coco(tmp_path, 2)
    document = json.loads(path.read_text())
    document["categories"] = [{"id": 1, "keypoints": ["hand", "foot"], **named}]
    for one in document["annotations"]:
        one["keypoints"] = one["keypoints"][:6]
    path.write_text(json.dumps(document))
    data = open_data(DataOptions.model_validate({"train": [small_source(tmp_path)]}))
    assert [*data.keypoint_sets] == ["custom"]

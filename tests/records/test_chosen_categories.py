"""Files of people and horses, whose keypoints differ: refused, parted by a command, then taken."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from label_cases import make_fixed, make_record, make_run
from record_cases import write_json
from runs import save_photos
from training_cases import small_run

from vitpose_cli.cli.app import run as vitpose_here
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.records.coco import read_coco

PERSON = keypoint_set("coco").to_category(1)
HORSE: dict[str, Any] = {
    "id": 7,
    "name": "polar horse",
    "supercategory": "animal",
    "keypoints": ["nose", "ear a", "ear b", "tail"],
    "skeleton": [[1, 2], [1, 3], [1, 4]],
    "flip_pairs": [["ear a", "ear b"]],
    "colour": "white",
}
CAR = {"id": 9, "name": "car"}


def both(folder: Path, categories: Sequence[dict[str, Any]] = (PERSON, HORSE, CAR)) -> Path:
    """Write a file of five photos: two with everybody, two with the last alone, one with nobody."""
    generator = np.random.default_rng(0)
    names = save_photos(folder / "photos", 5)
    annotations: list[dict[str, Any]] = []
    for image_id in (1, 2, 3, 4):
        for category in categories if image_id < 3 else categories[-2:-1]:
            points = generator.uniform(12, 68, (len(category.get("keypoints", ())), 2)).round(2)
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": image_id, "area": 4900,
                    "category_id": category["id"], "bbox": [10, 10, 70, 70], "iscrowd": 0,
                    "keypoints": np.insert(points, 2, 2, axis=1).ravel().tolist(),
                    "num_keypoints": len(points), "segmentation": [], "breed": f"no. {image_id}",
                }
            )  # fmt: skip
    document = {
        "info": {"version": "2"},
        "licenses": [{"id": 1, "name": "CC0"}],
        "images": [
            {"id": number, "file_name": name, "width": 120, "height": 90, "license": 1}
            for number, name in enumerate(names, 1)
        ],
        "annotations": annotations,
        "categories": list(categories),
        "owner": {"name": "a zoo"},
    }
    return write_json(folder / "both.json", document)


def export(source: Path, out: Path, *more: str, to: str = "coco") -> int:
    return vitpose_here(["export", str(source), "--format", to, "-o", str(out), *more])


def part(folder: Path, category: dict[str, Any]) -> Path:
    """Write both into a folder, and the part of a category beside it."""
    out = folder / f"{category['id']}.json"
    assert export(both(folder), out, "--category", category["name"]) == 0
    return out


def commands(said: str) -> list[list[str]]:
    """Return the arguments of the commands that a hint has."""
    lines = [line.strip() for line in said.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("vitpose ")]


@pytest.mark.parametrize("category", [PERSON, HORSE])
def test_a_part_has_the_labels_of_one_category_and_all_else(
    tmp_path: Path, category: dict[str, Any]
) -> None:
    written = json.loads(part(tmp_path, category).read_bytes())
    wanted = json.loads((tmp_path / "both.json").read_bytes())
    wanted["categories"] = [category]
    wanted["annotations"] = [
        one for one in wanted["annotations"] if one["category_id"] == category["id"]
    ]
    assert written == wanted
    assert len(written["images"]) == 5, "a photo without a horse says that none is there"
    assert len(written["annotations"]) == (2 if category is PERSON else 4)


@pytest.mark.parametrize(
    "refused",
    [
        "evaluate -a both.json -p both.json",
        "merge both.json both.json -o merged.json",
        "stats both.json",
        "split both.json -o parts",
        "review both.json --images photos",
        "render photos --annotations both.json -o drawn",
        "sheet both.json --images photos -o sheet.jpg",
        "export both.json --format yolo -o yolo",
        "train -c train.json -o trained",
    ],
)
def test_refusals_say_the_commands_that_part_a_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    refused: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    sources = [{"kind": "coco", "annotations": str(both(Path())), "images": "photos"}]
    options = small_run(tmp_path, data={"train": sources, "validation": sources})
    write_json(Path("train.json"), options)
    assert vitpose_here(refused.split()) == 3
    said = capsys.readouterr().err
    assert "categories 'person' and 'polar horse' have different keypoints." in said
    of_people, of_horses = commands(said)
    start = ["export", "both.json", "--format", "coco", "--category"]
    assert of_people == [*start, "person", "-o", "person-both.json"]
    assert of_horses == [*start, "polar horse", "-o", "polar-horse-both.json"]


def test_what_a_hint_says_leads_to_files_that_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    both(Path())
    assert vitpose_here(["stats", "both.json"]) == 3
    parting = commands(capsys.readouterr().err)
    assert [vitpose_here(command) for command in parting] == [0, 0]
    for name, category, count in (("person", PERSON, 2), ("polar-horse", HORSE, 4)):
        out = f"{name}-both.json"
        assert vitpose_here(["validate", out]) == 0
        capsys.readouterr()
        assert vitpose_here(["evaluate", "-a", out, "-p", out, "--json"]) == 0
        measured = json.loads(capsys.readouterr().out)
        assert (measured["num_people"], measured["coco"]["AP"]) == (count, 1.0)
        assert vitpose_here(["merge", out, out, "-o", f"merged {name}.json"]) == 0
        merged = read_coco(Path(f"merged {name}.json"))
        assert (len(merged.images), len(merged.annotations)) == (5, count)
        assert merged.categories[0]["keypoints"] == category["keypoints"]
    outs = ("person-both.json", "polar-horse-both.json")
    sources = [{"kind": "coco", "annotations": each, "images": "photos"} for each in outs]
    options = small_run(tmp_path, data={"train": sources, "validation": sources[:1]})
    write_json(Path("train.json"), options)
    assert vitpose_here(["train", "-c", "train.json", "-o", "trained"]) == 0
    assert vitpose_here(["merge", *outs, "-o", "all.json"]) == 3
    assert "`vitpose train` takes files of several lists" in capsys.readouterr().err


def test_categories_of_the_same_keypoints_stay_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = both(Path(), [HORSE, PERSON, {**HORSE, "id": 8, "name": "zebra"}, CAR])
    assert vitpose_here(["stats", str(path)]) == 3
    of_animals, of_people = commands(capsys.readouterr().err)
    assert of_animals[4:] == (
        ["--category", "polar horse", "--category", "zebra", "-o", "polar-horse-both.json"]
    )
    assert vitpose_here(of_animals) == vitpose_here(of_people) == 0
    document = json.loads(Path("polar-horse-both.json").read_bytes())
    assert [each["name"] for each in document["categories"]] == ["polar horse", "zebra"]
    assert {each["category_id"] for each in document["annotations"]} == {7, 8}
    assert export(path, Path("zebras.json"), "--category", "zebra") == 0
    document = json.loads(Path("zebras.json").read_bytes())
    assert {each["category_id"] for each in document["annotations"]} == {8}


@pytest.mark.parametrize("pattern", ["both-*.json", "*.json", "both-0000?*"])
def test_parts_of_shards_do_not_get_among_them(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    pattern: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    document = json.loads(both(Path()).read_bytes())
    Path("both.json").unlink()
    for number, ids in enumerate(({1, 2}, {3, 4, 5})):
        shard = deepcopy(document)
        shard["images"] = [each for each in shard["images"] if each["id"] in ids]
        shard["annotations"] = [each for each in shard["annotations"] if each["image_id"] in ids]
        write_json(Path(f"both-{number:05d}-of-00002.json"), shard)
    assert vitpose_here(["stats", pattern]) == 3
    parting = commands(capsys.readouterr().err)
    assert [vitpose_here(command) for command in parting] == [0, 0]
    counts = [len(json.loads(Path(command[-1]).read_bytes())["annotations"]) for command in parting]
    assert counts == [2, 4]
    assert all(len(read_coco(Path(command[-1])).images) == 5 for command in parting)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"name": "person"}, "an id and a name of its own"),
        ({"name": ""}, "an id and a name of its own"),
        ({"name": "a/../b"}, "-o a-b-both.json"),
        ({"name": "horse" * 60}, "~"),  # longer than file systems take
        ({"keypoints": [["nose"], {"a": 1}, 3, None]}, "--category 'polar horse'"),
        ({"name": "$(x) 'y'"}, """--category '$(x) '"'"'y'"'"''"""),
    ],
)
def test_strange_names(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changed: dict[str, Any],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    both(Path(), [PERSON, HORSE | changed, CAR])
    assert vitpose_here(["stats", "both.json"]) == 3
    said = capsys.readouterr().err
    assert told in said
    assert all(vitpose_here(command) in (0, 3) for command in commands(said)), "no bug"
    assert not commands(said) or Path("person-both.json").exists()


@pytest.mark.parametrize(
    ("given", "code", "told"),
    [
        (["hose"], 3, "both.json has no category 'hose' with keypoints."),
        (["polar hrose"], 3, "Did you mean 'polar horse'? It has 'person', 'polar horse'."),
        (["car"], 3, "both.json has no category 'car' with keypoints."),
        (["person", "polar horse"], 3, "'person' and 'polar horse' have different keypoints."),
    ],
)
def test_wrong_names(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: list[str],
    code: int,
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = [word for name in given for word in ("--category", name)]
    assert export(both(Path()), Path("out.json"), *chosen) == code
    assert told in capsys.readouterr().err
    assert not Path("out.json").exists()


def test_every_format_takes_one_category(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = both(tmp_path)
    for name in ("cvat", "fiftyone", "labelstudio", "pose2sim", "results", "yolo"):
        more = ["--images", str(tmp_path / "photos")] if name in ("fiftyone", "yolo") else []
        more += ["--category", "polar horse", "--json"]
        assert export(path, tmp_path / name, *more, to=name) == 0
        printed = json.loads(capsys.readouterr().out)
        assert (printed["num_images"], printed["num_instances"]) == (5, 4), name
        assert not any("Everybody is written" in note for note in printed["notes"])
    results = json.loads((tmp_path / "results").read_bytes())
    assert {(each["category_id"], len(each["keypoints"])) for each in results} == {(7, 12)}
    assert "names: {0: polar horse}" in (tmp_path / "yolo" / "data.yaml").read_text()


def test_a_category_among_chosen_frames(tmp_path: Path) -> None:
    path = both(tmp_path)
    document = json.loads(path.read_bytes())
    document["images"] = document["images"][1:3]
    only = write_json(tmp_path / "only.json", document)
    out = tmp_path / "some.json"
    assert export(path, out, "--category", "person", "--only", str(only)) == 0
    written = json.loads(out.read_bytes())
    assert [each["id"] for each in written["images"]] == [2, 3]
    assert [each["image_id"] for each in written["annotations"]] == [2]


def test_a_run_has_its_own_category(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "run", [make_record("a.jpg"), make_fixed("b.jpg")])
    for name, more in (("all", []), ("people", ["--category", "person"])):
        assert export(run, tmp_path / f"{name}.json", *more) == 0
    assert (tmp_path / "all.json").read_bytes() == (tmp_path / "people.json").read_bytes()
    assert export(run, tmp_path / "none.json", "--category", "horse") == 3
    said = " ".join(capsys.readouterr().err.split())
    assert "run has no category 'horse' with keypoints. hint: It has 'person'." in said


def test_a_network_has_no_category(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["export", "w.safetensors", "-o", str(tmp_path / "x.onnx"), "--category", "person"]
    assert vitpose_here(given) == 2
    assert "--category does nothing" in capsys.readouterr().err

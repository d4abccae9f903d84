from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from format_cases import LABELLED, NO_PICTURES, export, make_run, record
from runs import vitpose

from vitpose_cli.formats.csv_table import COLUMNS


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return [*csv.DictReader(stream)]


def test_every_keypoint_is_a_row_as_the_document_has_it(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    written = export(run, "csv", tmp_path / "t.csv")
    rows = rows_of(tmp_path / "t.csv")
    assert (written.num_images, written.num_instances) == (len(LABELLED), 11)
    assert len(rows) == 11 * 17
    assert tuple(rows[0]) == COLUMNS
    document = json.loads((run / "annotations.json").read_bytes())
    images = {image["id"]: image for image in document["images"]}
    at = iter(rows)
    for person in document["annotations"]:
        image = images[person["image_id"]]
        points = np.reshape(person["keypoints"], (-1, 3))
        for name, (x, y, seen), score in zip(
            document["categories"][0]["keypoints"], points, person["keypoint_scores"], strict=True
        ):
            row = next(at)
            assert image["file_name"].startswith(row["file"])
            assert row["frame"] == str(image.get("frame_id", ""))
            assert row["time_s"] == str(image.get("timestamp", ""))
            assert row["review"] == image.get("review", "")
            assert (row["category"], row["keypoint"]) == ("person", name)
            assert (int(row["visibility"]), float(row["score"])) == (seen, score)
            assert (row["x"], row["y"]) == ((str(x), str(y)) if seen else ("", ""))
    assert [row["person"] for row in rows if row["file"] == "b/one.jpg"][::17] == ["1", "2", "3"]


def test_identities_and_smoothed_places_of_a_video_are_there(tmp_path: Path) -> None:
    frames = [record("clip.mp4", index=index) for index in range(20)]
    same = frames[0].instances
    run = make_run(
        tmp_path / "run",
        [replace(frame, instances=same) for frame in frames],
        document={"smooth": True},
    )
    assert vitpose("export", run, "--format", "csv", "-o", tmp_path / "t.csv").returncode == 0
    rows = rows_of(tmp_path / "t.csv")
    assert {row["track_id"] for row in rows} == {"1", "2"}
    for row in rows:
        if row["visibility"] == "0":
            assert row["x"] == row["x_smoothed"] == ""
        else:
            assert abs(float(row["x"]) - float(row["x_smoothed"])) < 0.05
    again = vitpose("export", run, "--format", "csv", "-o", tmp_path / "t.csv")
    assert again.returncode == 3
    again = vitpose("export", run, "--format", "csv", "-o", tmp_path / "t.csv", "--overwrite")
    assert again.returncode == 0
    (tmp_path / "t.csv").write_text("mine\n")
    again = vitpose("export", run, "--format", "csv", "-o", tmp_path / "t.csv", "--overwrite")
    assert again.returncode == 3
    assert (tmp_path / "t.csv").read_text() == "mine\n"


def test_people_of_several_categories_and_crowds_of_a_file(tmp_path: Path) -> None:
    keypoints = {"keypoints": ["head", "tail"], "skeleton": []}
    animals = [(1, "cat"), (4, "dog")]
    categories = [{"id": number, "name": name, **keypoints} for number, name in animals]
    labels = {"image_id": 7, "bbox": [1, 1, 30, 30], "area": 900, "num_keypoints": 2}
    labels |= {"keypoints": [3, 4, 2, 20, 21, 1]}
    people = [
        labels | {"id": number, "category_id": category, "iscrowd": crowd}
        for number, (category, crowd) in enumerate([(4, 0), (1, 1), (1, 0)], 1)
    ]
    images = [{"id": 7, "file_name": "ü.jpg", "width": 40, "height": 40}]
    (tmp_path / "a.json").write_text(
        json.dumps({"images": images, "annotations": people, "categories": categories})
    )
    export(tmp_path / "a.json", "csv", tmp_path / "t.csv", NO_PICTURES)
    found = [(row["file"], row["category"], row["x"]) for row in rows_of(tmp_path / "t.csv")]
    assert found == [("ü.jpg", name, x) for name in ("dog", "cat") for x in ("3.0", "20.0")]

"""Bodies of which a file says no box, on the whole way: measured, learnt from and merged."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from runs import save_weights
from training_cases import small_run, write_coco

from vitpose_cli.cli.app import run
from vitpose_cli.errors import ExitCode

LINES = {"across": (12.0, 0.0), "down": (0.0, 12.0), "aslant": (9.0, 9.0)}
NO_BOXES: dict[str, dict[str, Any]] = {
    "absent": {},
    "empty": {"bbox": [0, 0, 0, 0], "area": 0},
    "at the keypoint": {"bbox": [40, 50, 0, 0], "area": 0},
}
REAL = {"bbox": [30, 40, 20, 20]}


def write_balls(folder: Path, *people: dict[str, Any], points: Any = ((40.0, 50.0),)) -> Path:
    """Write a picture for each body, of these keypoints, and their COCO file; return the file."""
    path = write_coco(folder, len(people))
    document = json.loads(path.read_bytes())
    names = ["ball", "shadow", "shine"][: len(points)]
    document["categories"] = [{"id": 1, "name": "ball", "keypoints": names, "skeleton": []}]
    flat = [value for x, y in points for value in (x, y, 2)]
    for number, said in enumerate(people):
        document["annotations"][number] = {
            "id": number + 1, "image_id": number + 1, "category_id": 1, "iscrowd": 0,
            "keypoints": flat, "num_keypoints": len(points), **said,
        }  # fmt: skip
    path.write_text(json.dumps(document))
    return path


def write_results(truth: Path, away_px: float) -> Path:
    """Write the people of a file as predictions that are off by so much; return the file."""
    results = []
    for person in json.loads(truth.read_bytes())["annotations"]:
        points = np.reshape(person["keypoints"], (-1, 3)) + np.array([away_px, 0, 0])
        result = {"image_id": person["image_id"], "category_id": 1, "score": 0.9}
        results.append(result | {"keypoints": points.ravel().tolist()})
    path = truth.with_name("results.json")
    path.write_text(json.dumps(results))
    return path


def measured(
    truth: Path, away_px: float, capsys: pytest.CaptureFixture[str]
) -> tuple[dict[str, Any], str]:
    """Return what `evaluate` prints as JSON, and says beside its tables."""
    command = ["evaluate", "-a", str(truth), "-p", str(write_results(truth, away_px))]
    assert run([*command, "--json"]) == ExitCode.OK
    found = json.loads(capsys.readouterr().out)
    assert run(command) == ExitCode.OK
    return found, " ".join(capsys.readouterr().err.split())


def said_of_training(folder: Path, code: ExitCode, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what `train` says to the people in a folder; it is to end with a code."""
    config = folder / "small.yaml"
    config.write_text(yaml.safe_dump(small_run(folder)))
    output = ["-o", str(folder / "run")]
    steps = ["--set", "stages.0.steps=1", "--set", "stages.1.steps=1"]
    assert run(["train", "-c", str(config), *output, *steps]) == code
    return " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("said", NO_BOXES.values(), ids=NO_BOXES.keys())
@pytest.mark.parametrize("step", LINES.values(), ids=LINES.keys())
def test_keypoints_on_a_line_are_measured(
    tmp_path: Path,
    step: tuple[float, float],
    said: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    points = [(40 + number * step[0], 50 + number * step[1]) for number in range(3)]
    truth = write_balls(tmp_path, *[said] * 3, points=points)
    exact, _ = measured(truth, 0, capsys)
    assert exact["coco"]["AP"] == pytest.approx(1)
    assert exact["keypoints"][-1]["pck"]["0.05"] == 1
    near, note = measured(truth, 1, capsys)
    assert 0.5 < near["keypoints"][-1]["oks"] < 1
    assert (near["num_people"], near["num_without_size"]) == (3, 0)
    assert "no box" not in note


@pytest.mark.parametrize("said", NO_BOXES.values(), ids=NO_BOXES.keys())
def test_a_single_keypoint_is_not_measured_in_silence(
    tmp_path: Path, said: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    truth = write_balls(tmp_path, said, REAL, said)
    found, note = measured(truth, 0.5, capsys)
    assert found["coco"]["AP50"] == pytest.approx(1), "the other balls are not found by mistake"
    assert (found["num_people"], found["num_without_size"]) == (1, 2)
    assert "2 people have one labelled keypoint and no box with an area: passed over." in note
    truth = write_balls(tmp_path, said)
    command = ["evaluate", "-a", str(truth), "-p", str(write_results(truth, 0))]
    assert run(command) == ExitCode.INPUT
    error = " ".join(capsys.readouterr().err.split())
    assert "people.json: 1 person has one labelled keypoint and no box with an area" in error
    assert "Give each of them a bbox ([left, top, width, height] in px) or an area" in error


def test_a_single_keypoint_with_a_size_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = []
    for said in (REAL, {"area": 0.53 * 400}, {"bbox": [0, 0, 0, 0], "area": 0.53 * 400}):
        found, note = measured(write_balls(tmp_path, *[said] * 3), 1.0, capsys)
        assert "no box" not in note
        assert (found["num_people"], found["num_without_size"]) == (3, 0)
        values.append(found["keypoints"][0]["oks"])
    assert values == [pytest.approx(values[0])] * 3
    assert 0.5 < values[0] < 1


@pytest.mark.parametrize("how", [["--gt-boxes"], ["--truncate", "left"]])
@pytest.mark.parametrize("said", NO_BOXES.values(), ids=NO_BOXES.keys())
def test_networks_see_what_is_round_the_keypoints(
    tmp_path: Path, said: dict[str, Any], how: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_coco(tmp_path, 2)
    document = json.loads(path.read_bytes())
    for person, count in zip(document["annotations"], (5, 1), strict=True):
        del person["bbox"], person["area"]
        points = [value for number in range(count) for value in (20 + 15 * number, 50, 2)]
        person |= {"keypoints": points + [0] * (51 - len(points)), **said}
    path.write_text(json.dumps(document))
    weights = save_weights(tmp_path / "w.safetensors")
    given = ["-a", str(path), "-i", str(tmp_path / "images"), "-w", str(weights)]
    assert run(["evaluate", *given, *how, "--json"]) == ExitCode.OK
    found = json.loads(capsys.readouterr().out)
    assert (found["num_people"], found["num_predicted"]) == (1, 1)
    assert found["num_without_size"] == (how == ["--gt-boxes"]), "a cut shows two keypoints"


@pytest.mark.parametrize("said", NO_BOXES.values(), ids=NO_BOXES.keys())
def test_training_says_who_has_no_size(
    tmp_path: Path, said: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    some, none = tmp_path / "some", tmp_path / "none"
    write_balls(some, said, REAL, {"area": 400}, said)
    output = said_of_training(some, ExitCode.OK, capsys)
    assert "left out people with one labelled keypoint and no box (2)" in output
    assert (some / "run" / "best.safetensors").exists()
    write_balls(none, said, said)
    error = said_of_training(none, ExitCode.INPUT, capsys)
    assert "can be learnt from: people with one labelled keypoint and no box (2)." in error
    assert "Give each of them a bbox ([left, top, width, height] in px) or an area" in error


def test_training_takes_keypoints_on_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    points = ((40.0, 50.0), (52.0, 50.0), (64.0, 50.0))
    write_balls(tmp_path, *NO_BOXES.values(), points=points)
    assert "left out" not in said_of_training(tmp_path, ExitCode.OK, capsys)


@pytest.mark.parametrize("output", ["out.json", "out"])
@pytest.mark.parametrize("said", NO_BOXES.values(), ids=NO_BOXES.keys())
def test_merging_makes_no_boxes_of_a_pixel_round_keypoints_on_a_line(
    tmp_path: Path, said: dict[str, Any], output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    points = ((40.0, 50.0), (52.0, 50.0), (64.0, 50.0))
    inputs = _inputs(tmp_path, said, points)
    assert run(["merge", *map(str, inputs), "-o", str(tmp_path / output)]) == ExitCode.OK
    assert "no box" not in capsys.readouterr().err
    for person in _merged(tmp_path / output):
        assert person["bbox"] == pytest.approx([37.6, 47.6, 28.8, 4.8])
        assert person["area"] == pytest.approx(28.8 * 4.8, abs=0.01)


@pytest.mark.parametrize("output", ["out.json", "out"])
def test_merging_says_who_has_no_size_and_so_does_what_reads_it(
    tmp_path: Path, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = _inputs(tmp_path, {}, ((40.0, 50.0),))
    command = ["merge", *map(str, inputs), "-o", str(tmp_path / output)]
    assert run(command) == ExitCode.OK
    said = " ".join(capsys.readouterr().err.split())
    assert "2 people have one labelled keypoint and no box with an area: evaluate and train" in said
    truth = tmp_path / output
    results = write_results(truth if truth.is_file() else truth / "annotations.json", 0)
    assert run(["evaluate", "-a", str(truth), "-p", str(results)]) == ExitCode.INPUT
    assert "no box with an area" in " ".join(capsys.readouterr().err.split())


def _inputs(folder: Path, said: dict[str, Any], points: Any) -> list[Path]:
    """Write two files of one picture each, of different names."""
    paths = []
    for name in ("one", "other"):
        path = write_balls(folder / name, said, points=points)
        paths.append(path)
        document = json.loads(path.read_bytes())
        photo = folder / name / "images" / document["images"][0]["file_name"]
        document["images"][0]["file_name"] = f"{name}.png"
        photo.rename(photo.with_name(f"{name}.png"))
        path.write_text(json.dumps(document))
    return paths


def _merged(path: Path) -> list[dict[str, Any]]:
    path = path if path.is_file() else path / "annotations.json"
    people: list[dict[str, Any]] = json.loads(path.read_bytes())["annotations"]
    assert len(people) == 2
    return people

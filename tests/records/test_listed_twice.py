"""Files that list a photo twice, where labels are found by its name."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from record_cases import small_document, write_json

from vitpose_cli.cli.app import run as vitpose_here


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a file that lists a photo once, and one that lists it twice, and go there."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    document = small_document()
    document["images"][1]["file_name"] = "b.jpg"
    write_json(Path("once.json"), document)
    document["images"][1]["file_name"] = "a.jpg"
    write_json(Path("twice.json"), document)
    cv2.imwrite("photos/a.jpg", np.zeros((480, 640, 3), np.uint8))


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    "command",
    [
        "evaluate -a once.json -p twice.json",
        "evaluate -a twice.json -p once.json",
        "render photos -a twice.json -o drawn",
        "export twice.json --format cvat -o out",
        "export twice.json --format fiftyone --pictures none -o out",
        "export twice.json --format yolo --pictures none -o out",
        "review twice.json --images photos",
        "merge once.json twice.json -o all.json",
    ],
)
def test_whose_labels_count_is_not_guessed(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert vitpose_here(command.split()) == 3
    said = " ".join(capsys.readouterr().err.split())
    assert "twice.json lists a.jpg more than once" in said
    assert "Make one image of them" in said
    assert not Path("out").exists(), "so that the same command works when the file is mended"


@pytest.mark.usefixtures("files")
def test_results_by_id_are_measured_where_names_do_not_tell(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert vitpose_here(["export", "twice.json", "--format", "results", "-o", "named.json"]) == 0
    named = json.loads(Path("named.json").read_bytes())
    by_id = [{**each} for each in named]
    for each in by_id:
        del each["file_name"]
    write_json(Path("by-id.json"), by_id)
    capsys.readouterr()
    assert vitpose_here(["evaluate", "-a", "twice.json", "-p", "named.json"]) == 3
    assert "twice.json lists a.jpg more than once" in capsys.readouterr().err
    assert vitpose_here(["evaluate", "-a", "twice.json", "-p", "by-id.json", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_predicted"] == 2


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    "command", ["stats twice.json", "export twice.json --format coco -o copy.json"]
)
def test_where_nobody_is_lost_such_files_are_taken(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert vitpose_here(command.split()) == 0
    said = capsys.readouterr()
    assert "2 people in 2 frames" in said.out + said.err

import json
import subprocess
import sys
from pathlib import Path

import pytest


def vitpose(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "vitpose_cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    path = tmp_path / "faulty.json"
    path.write_text(json.dumps({"images": [{"id": 1}], "annotations": [], "categories": []}))
    return path


def test_an_invalid_file_ends_with_3_and_says_where(faulty: Path) -> None:
    done = vitpose("validate", str(faulty))
    assert done.returncode == 3
    assert "images[0].file_name" in done.stdout
    assert "error file-name" in done.stdout
    assert "not valid; 1 image, 0 annotations, 2 errors" in done.stderr.replace("\n", " ")


def test_json_is_one_object(faulty: Path) -> None:
    done = vitpose("validate", "--json", str(faulty))
    assert done.returncode == 3
    report = json.loads(done.stdout)
    assert report["valid"] is False
    assert [each["rule"] for each in report["violations"]] == ["image-size", "file-name"]


def test_a_valid_file_ends_with_0(tmp_path: Path) -> None:
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps({"images": [], "annotations": [], "categories": []}))
    assert vitpose("validate", str(path)).returncode == 0
    assert vitpose("validate", str(tmp_path)).returncode == 0  # as a run holds it


def test_a_file_that_is_not_there_ends_with_3(tmp_path: Path) -> None:
    done = vitpose("validate", str(tmp_path / "none.json"))
    assert done.returncode == 3
    assert "Cannot read" in done.stderr

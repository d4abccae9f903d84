"""Every reader takes a set of shards where it takes a file: as a glob, or as the folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from label_cases import make_failure, make_fixed, make_record, make_run
from runs import save_boxes, save_photos, save_weights, vitpose

from vitpose_cli.errors import InputError
from vitpose_cli.evaluate.evaluated_labels import evaluate_predictions
from vitpose_cli.labels import open_labels
from vitpose_cli.merge.merging import MergeOptions, merge_labels
from vitpose_cli.records.coco import read_coco
from vitpose_cli.records.results import given_boxes
from vitpose_cli.records.run import Run
from vitpose_cli.stats import measure


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with shards, and the same document in one file beside it."""
    names = [f"{number}.jpg" for number in range(5)]
    records = [make_record(name) for name in names]
    folder = make_run(
        tmp_path / "run", (*records, make_fixed("fixed.jpg"), make_failure("bad.jpg"))
    )
    with Run.read(folder) as opened:
        opened.export(num_shards=1)
        shutil.copy(folder / "annotations.json", tmp_path / "whole.json")
        opened.export(num_shards=3)
    assert not (folder / "annotations.json").exists()
    return folder


@pytest.fixture
def shards(run: Path, tmp_path: Path) -> Path:
    """A folder with the shards alone."""
    folder = tmp_path / "shards"
    folder.mkdir()
    for path in run.glob("annotations-*"):
        shutil.copy(path, folder)
    return folder


@pytest.mark.parametrize("name", ["", "annotations-*.json"])
def test_functions_that_read_files(shards: Path, tmp_path: Path, name: str) -> None:
    whole, path = tmp_path / "whole.json", shards / name
    assert measure(path) == measure(whole)
    assert evaluate_predictions(path, whole).coco["AP"] == 1
    assert evaluate_predictions(whole, path).coco["AP"] == 1
    assert given_boxes(path).by_name.keys() == given_boxes(whole).by_name.keys()
    labels = open_labels(path)
    assert labels.keys.media == open_labels(whole).keys.media
    merge_labels(MergeOptions((path, whole), tmp_path / "merged.json"))
    assert read_coco(tmp_path / "merged.json").keys() == read_coco(whole).keys()


def test_the_command_line(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    merged = vitpose("merge", run, "whole.json", "-o", out, "--shards", "2", cwd=tmp_path)
    assert merged.returncode == 0, merged.stderr
    assert "out-*-of-00002.json" in merged.stderr
    again = vitpose("merge", run, "whole.json", "-o", out, cwd=tmp_path)
    assert again.returncode == 3
    assert "out-00000-of-00002.json exists" in again.stderr
    exported = vitpose("export", run, "-f", "coco", "-o", "e.json", "--shards", "4", cwd=tmp_path)
    assert exported.returncode == 0, exported.stderr
    assert len([*tmp_path.glob("e-*-of-00004.json")]) == 4
    for pattern in ("out-*.json", "e-*.json", run):
        checked = vitpose("validate", pattern, "--json", cwd=tmp_path)
        report = json.loads(checked.stdout)
        assert (checked.returncode, report["num_images"]) == (0, 6), report
    copied = vitpose("export", "e-*.json", "-f", "coco", "-o", "copy.json", cwd=tmp_path)
    assert copied.returncode == 0, copied.stderr
    whole = read_coco(tmp_path / "whole.json")
    assert read_coco(tmp_path / "copy.json").keys() == whole.keys()
    options = ("--into", run, "--accept-unchanged", "--json")
    brought_back = vitpose("import", "e-*.json", *options, cwd=tmp_path)
    assert brought_back.returncode == 0, brought_back.stderr
    frames = json.loads(brought_back.stdout)["frames"]
    assert (frames["accepted"], frames["unchanged"]) == (5, 1), "one was fixed before"
    refused = vitpose(
        "export", "e-*.json", "-f", "coco", "-o", "x.json", "--shards", "2", cwd=tmp_path
    )
    assert refused.returncode == 2


def test_a_merged_run_has_shards(run: Path, tmp_path: Path) -> None:
    options = MergeOptions((run, tmp_path / "whole.json"), tmp_path / "out", num_shards=2)
    assert merge_labels(options).output == tmp_path / "out"
    assert len([*(tmp_path / "out").glob("annotations-*-of-00002.json")]) == 2


def test_boxes_of_shards_are_those_of_the_file(tmp_path: Path) -> None:
    photos, weights = tmp_path / "photos", save_weights(tmp_path / "w.safetensors")
    boxes = save_boxes(tmp_path / "boxes.json", save_photos(photos, 6))
    options = ("--no-flip-test", "-w", weights)

    def labelled(name: str, boxes: Path) -> str:
        run = tmp_path / name
        more = ("-o", run, "--boxes", boxes, "--keypoint-threshold", "0")
        done = vitpose("annotate", photos, *options, *more)
        assert done.returncode == 0, done.stderr
        document = read_coco(run)
        assert len(document.annotations) == 10
        return json.dumps([document.images, document.annotations])

    labelled("run", boxes)
    run, whole = tmp_path / "run", tmp_path / "whole.json"
    glob = run / "annotations-*.json"
    shutil.copy(run / "annotations.json", whole)
    with Run.read(run) as opened:
        opened.export(num_shards=3)
    wanted = labelled("of file", whole)
    assert labelled("of shards", glob) == wanted
    assert labelled("of shards", glob) == wanted  # goes on with the same run
    measured = vitpose("evaluate", "-a", run, "-i", photos, "--gt-boxes", *options)
    assert measured.returncode == 0, measured.stderr
    next(iter(run.glob("annotations-00001*"))).unlink()
    with pytest.raises(InputError, match="2 of 3 shards"):
        given_boxes(glob)
    with pytest.raises(InputError, match="No file matches"):
        given_boxes(tmp_path / "none-*.json")


def test_results_are_no_documents(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"r-{number}.json").write_text("[]")
    with pytest.raises(InputError, match="is a list"):
        read_coco(tmp_path / "r-*.json")

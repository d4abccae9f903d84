import json
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from label_cases import make_record, make_run
from runs import environment, save_photos, vitpose

from vitpose_cli.cli.app import run as vitpose_here
from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.records.manifest import RunManifest
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a run of three photos with a person each."""
    random = np.random.default_rng(0)
    manifest = RunManifest(keypoint_set("coco").to_category(), (str(tmp_path / "photos"),))
    with Run.open(tmp_path / "photos.vitpose", manifest) as opened:
        for name in save_photos(tmp_path / "photos", 3):
            person = Instances(
                boxes=np.array([[10, 10, 70, 80]], np.float32),
                box_scores=np.ones(1, np.float32),
                keypoints=random.uniform(12, 68, (1, 17, 2)).astype(np.float32),
                keypoint_scores=np.full((1, 17), 0.9, np.float32),
                visibility=np.full((1, 17), 2, np.int8),
            )
            opened.append(FrameRecord(FrameKey(name), (120, 90), None, person))
        opened.export()
    return tmp_path / "photos.vitpose"


def corrected(run: Path, out: Path) -> Path:
    """Export a run for CVAT and move a keypoint in the archive."""
    assert vitpose_here(["export", str(run), "--format", "cvat", "-o", str(out)]) == 0
    name = "annotations/person_keypoints_default.json"
    with ZipFile(out / "photos.zip") as zipped:
        document = json.loads(zipped.read(name))
    document["annotations"][0]["keypoints"][0] += 3
    with ZipFile(out / "task.zip", "w") as zipped:
        zipped.writestr(name, json.dumps(document))
    return out / "task.zip"


def test_there_and_back(run: Path, tmp_path: Path) -> None:
    done = vitpose("export", run, "--format", "cvat", "-o", tmp_path / "cvat", "--json")
    assert done.returncode == 0, done.stderr
    written = json.loads(done.stdout)
    assert (written["num_images"], written["num_instances"]) == (3, 3)
    assert [Path(file).name for file in written["files"]] == ["labels.json", "photos.zip"]
    archive = corrected(run, tmp_path / "again")
    done = vitpose("import", archive, "--into", run, "--reviewer", "bea", "--accept-unchanged")
    assert done.returncode == 0, done.stderr
    assert "Changed 1 frame: 1 person corrected (1 keypoint), 0 added, 0 removed." in done.stderr
    assert "2 frames accepted" in done.stderr
    assert "Mean OKS" in done.stderr
    document = json.loads((run / "annotations.json").read_bytes())
    assert [image["review"] for image in document["images"]] == ["fixed", "accepted", "accepted"]


def test_frames_that_are_asked_for_in_vain_are_said(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads((run / "annotations.json").read_bytes())
    document["images"][0]["file_name"] = "gone.jpg"
    only = tmp_path / "only.json"
    only.write_text(json.dumps(document))
    arguments = ["export", str(run), "-f", "coco", "--only", str(only), "-o", str(tmp_path / "o")]
    assert vitpose_here(arguments) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "1 of 3 frames of" in said
    assert "such as gone.jpg." in said


def test_conflicts_end_with_exit_code_5(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = corrected(run, tmp_path / "cvat")
    assert vitpose_here(["export", str(run), "-f", "coco", "-o", str(tmp_path / "c.json")]) == 0
    document = json.loads((tmp_path / "c.json").read_bytes())
    document["annotations"][0]["keypoints"][1] += 5
    (tmp_path / "c.json").write_text(json.dumps(document))
    arguments = ["import", str(tmp_path / "c.json"), "--into", str(run), "--reviewer", "anna"]
    assert vitpose_here(arguments) == 0
    capsys.readouterr()
    assert vitpose_here(["import", str(archive), "--into", str(run), "--json"]) == 5
    printed = capsys.readouterr()
    (problem,) = json.loads(printed.out)["problems"]
    assert problem["outcome"] == "conflict"
    assert "anna labelled it here meanwhile" in problem["reason"]
    assert "--force" in printed.err
    assert vitpose_here(["import", str(archive), "--into", str(run), "--force"]) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["export", "RUN", "--format", "cvatt", "-o", "o"], 2, "Did you mean 'cvat'?"),
        (
            ["export", "RUN", "--format", "yolo", "-o", "o", "--pictures", "no"],
            2,
            "is not one of 'link', 'copy', 'none'",
        ),
        (["export", "RUN", "--format", "yolo", "-o", "o", "--split", "x"], 2, "no split 'x'"),
        (["export", "RUN", "--format", "coco", "-o", "o", "--reviewed"], 3, "No frame of"),
        (["export", "photos", "--format", "coco", "-o", "o"], 3, "holds no labels"),
        (["export", "RUN", "--format", "coco", "-o", "photos"], 3, "is a folder"),
        (["import", "none.json", "--into", "RUN"], 3, "Cannot read"),
        (["import", "c.json", "--into", "photos"], 3, "not a run folder"),
        (["import", "c.json", "--into", "RUN", "--format", "yolo"], 2, "cannot be read back"),
        (["export", "RUN", "-o", "o"], 2, "--format"),
        (
            "export RUN --format cvat -o o --image-ids none.json --pictures link --image-url x",
            2,
            "--pictures and --image-url and --image-ids do nothing with --format cvat.",
        ),
        ("export RUN -f results -o o --split val", 2, "--split does nothing with --format results"),
        ("export RUN -f cvat -o o -i photos", 2, "--images does nothing with --format cvat"),
        ("export RUN -f coco -o o --only q.json", 3, "It has no 'elsewhere/0.jpg', for one."),
        ("export RUN -f yolo -o o --shards 2", 2, "--shards does nothing with --format yolo"),
    ],
)
def test_mistakes(
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: str | list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = arguments.split() if isinstance(arguments, str) else arguments
    (tmp_path / "c.json").write_bytes((run / "annotations.json").read_bytes())
    (tmp_path / "q.json").write_text('{"images": [{"file_name": "elsewhere/0.jpg"}]}')
    given = [str(run) if each == "RUN" else each for each in arguments]
    assert vitpose_here(given) == code
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "o").exists()


def test_neither_loads_torch(run: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from vitpose_cli.cli.app import run; "
        f"run(['export', {str(run)!r}, '-f', 'coco', '-o', {str(tmp_path / 'c.json')!r}]); "
        f"run(['import', {str(tmp_path / 'c.json')!r}, '--into', {str(run)!r}]); "
        "print(sorted({'torch', 'cv2', 'transformers', 'timm', 'av'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment()
    )
    assert done.stdout.strip().splitlines()[-1] == "[]", done.stdout


@pytest.mark.parametrize(("name", "told"), [("results", False), ("cvat", False), ("coco", True)])
def test_smoothing_is_spoken_of_where_it_is_written(
    name: str, told: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [make_record("clip.mp4", index, count=1) for index in range(0, 50, 10)]
    run = make_run(tmp_path / "run", records, document={"smooth": True})
    assert vitpose_here(["export", str(run), "--format", name, "-o", str(tmp_path / "out")]) == 0
    assert ("Smoothing leaves" in capsys.readouterr().err) == told

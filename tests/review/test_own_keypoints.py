"""Keypoints of one's own, from photos alone, step by step as docs/training.md says."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

from review_cases import make_photo, running
from runs import save_weights, vitpose

ROOT = Path(__file__).parent.parent.parent
SECTION = re.compile(r"^## Your own keypoints\n(.*?)^## ", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(json|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def documented() -> tuple[str, list[list[str]]]:
    """Return the file and the arguments of the commands."""
    (section,) = SECTION.findall((ROOT / "docs" / "training.md").read_text(encoding="utf-8"))
    (_, file), (_, commands) = BLOCK.findall(section)
    lines = commands.replace("\\\n", " ").splitlines()
    return file, [shlex.split(line, comments=True)[1:] for line in lines]


def chair(uid: str) -> dict[str, Any]:
    """Return one as the page sends it when it was added by hand."""
    points = [[30, 20, 2, 1], [90, 20, 2, 1], [30, 70, 2, 1], [90, 70, 1, 1]]
    box = [25, 15, 100, 110]
    return {"uid": uid, "box": box, "box_score": 1, "track_id": None, "keypoints": points}


def test_photos_become_a_network_of_the_keypoints_of_a_file_written_by_hand(tmp_path: Path) -> None:
    file, (review, train, *annotate) = documented()
    written = tmp_path / review[1]
    written.write_text(file, encoding="utf-8")
    names = [image["file_name"] for image in json.loads(file)["images"]]
    for name in names:
        make_photo(tmp_path / "photos" / name)

    assert review == ["review", "chairs.json", "--images", "photos/"]
    with running(written, "--images", tmp_path / "photos") as server:
        for name in names:
            assert server.frame(name)["people"] == []
            assert server.save(name, "fixed", [chair(f"by-hand-{name}")]).status == 200
    labels = tmp_path / "chairs.json.vitpose" / "annotations.json"
    document = json.loads(labels.read_bytes())
    assert document["categories"][0].items() >= json.loads(file)["categories"][0].items()
    assert [one["num_keypoints"] for one in document["annotations"]] == [4, 4]
    assert {one["attributes"]["model"] for one in document["annotations"]} == {""}
    assert vitpose("validate", labels).returncode == 0
    history = vitpose("history", labels.parent, names[0]).stdout
    assert "not known" in history
    assert "model" not in history  # nobody's labels were those of one

    weights = save_weights(tmp_path / "w.safetensors")
    small = ["stages.0.epochs=1", "stages.0.batch_size=2", "data.threads=1", "device=cpu"]
    small += [f"model.weights={weights}"]  # both photos are learnt from, and measured on
    small += ["data.train.0.split=[0, 1]", "data.validation.0.split=[0, 1]"]
    arguments = [str(ROOT / word) if word.startswith("examples/") else word for word in train]
    for option in small:
        arguments += ["--set", option]
    done = vitpose(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr

    shutil.copytree(tmp_path / "photos", tmp_path / "close")
    shutil.copytree(tmp_path / "photos", tmp_path / "rooms")
    shutil.copyfile(labels, tmp_path / "boxes.json")
    for arguments in annotate:
        done = vitpose(*arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    for run in "close.vitpose", "rooms.vitpose":
        labelled = json.loads((tmp_path / run / "annotations.json").read_bytes())
        assert labelled["categories"][0]["keypoints"] == document["categories"][0]["keypoints"]
        assert len(labelled["images"]) == len(names)
    boxes = [[round(side) for side in one["bbox"]] for one in labelled["annotations"]]
    assert boxes == [[25, 15, 75, 95]] * 2

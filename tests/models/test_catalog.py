"""The catalog is whole and honest, and names and files lead to weights of ours."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch

from vitpose_cli.errors import ConfigError, InputError, WeightsError
from vitpose_cli.models.catalog import (
    find_pose_weights,
    load_catalog,
    pose_weights,
    resolve_detector,
    resolve_weights,
    shipped_weights_dir,
)
from vitpose_cli.models.checkpoint import load_model, read_header, save_checkpoint
from vitpose_cli.models.convert import convert_file
from vitpose_cli.models.vitpose import VARIANTS, HeadConfig, ViTPose, ViTPoseConfig
from vitpose_cli.pose.keypoints import KEYPOINT_SETS

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HOME", str(tmp_path / "cache" / "hf"))


@pytest.fixture(name="foreign")
def foreign_file(tmp_path: Path) -> Path:
    """A tiny original ViTPose with a simple decoder for the 16 keypoints of MPII."""
    torch.manual_seed(0)
    config = ViTPoseConfig(VARIANTS["tiny-test"], {"mpii": HeadConfig("simple", 16)}, (48, 64))
    state = {}
    for key, value in ViTPose(config).state_dict().items():
        key = key.replace("encoder.norm", "backbone.last_norm").replace("encoder.", "backbone.")
        state[key.replace("heads.mpii.final", "keypoint_head.final_layer")] = value
    table = state["backbone.pos_embed"]
    state["backbone.pos_embed"] = torch.cat([torch.zeros_like(table[:, :1]), table], 1)
    path = tmp_path / "mpii.pth"
    torch.save({"state_dict": state}, path)
    return path


def test_every_row_is_complete() -> None:
    catalog = load_catalog()
    rows = list(pose_weights())
    assert len({row.full_name for row in rows}) == len(rows)
    for row in rows:
        assert row.keypoint_set in KEYPOINT_SETS
        assert row.model.variant in VARIANTS
        assert ":" not in row.name
        assert row.file.size_mb > 0
        assert row.repository is None or re.fullmatch(r"main|[0-9a-f]{40}", row.revision)
        assert row.file.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", row.file.sha256)
        assert row.file.accuracy is None or 20 < row.file.accuracy < 100
        assert row.alignment == ("udp" if row.keypoint_set in ("coco", "mpii") else "classic")
        assert row.region == ("square" if row.keypoint_set == "mpii" else "fitted")
    for name, detector in catalog.detectors.items():
        assert name not in catalog.pose
        assert re.fullmatch(r"[\w-]+/[\w.-]+", detector.repo)
        assert re.fullmatch(r"main|[0-9a-f]{40}", detector.revision)
        assert 40 < detector.box_ap < 60
        assert detector.is_pinned == (detector.revision != "main")
    used = {row.file.source for row in rows}
    assert catalog.repositories.keys() == used - {None}


def test_the_published_families_are_there() -> None:
    names = {row.full_name: row for row in pose_weights()}
    accuracy = {"s": 54.4, "b": 57.4, "l": 60.6, "h": 61.2}  # whole body, ViTPose+ README
    for size, value in accuracy.items():
        assert names[f"vitpose-plus-{size}:wholebody"].file.accuracy == value
        for keypoint_set in ("coco", "aic", "mpii", "ap10k", "apt36k", "wholebody"):
            assert f"vitpose-plus-{size}-original:{keypoint_set}" in names
    repositories = {row.repository.repo for row in names.values() if row.repository}
    assert sum(repo.startswith("usyd-community/") for repo in repositories) == 7
    assert len(load_catalog().detectors) == 17


def test_names() -> None:
    assert find_pose_weights("vitpose-plus-b").keypoint_set == "coco"
    row = find_pose_weights("vitpose-plus-b:ap10k")
    assert row == find_pose_weights("vitpose-plus-b", "ap10k")
    assert row == find_pose_weights("vitpose-plus-b:ap10k", "ap10k")
    with pytest.raises(WeightsError, match="no keypoint set 'coco'"):
        find_pose_weights("vitpose-plus-b:ap10k", "coco")
    with pytest.raises(WeightsError, match="no keypoint set 'wholebody'") as caught:
        find_pose_weights("vitpose-h", "wholebody")
    assert "vitpose-h:coco" in caught.value.hint
    with pytest.raises(WeightsError, match="no weights called 'vitpose-pls-b:coco'") as caught:
        find_pose_weights("vitpose-pls-b:coco")
    assert "vitpose-plus-b" in caught.value.hint
    assert resolve_detector("dfine-s").repo == "ustc-community/dfine-small-coco"
    with pytest.raises(WeightsError) as caught:
        resolve_detector("dfine-small")
    assert "dfine-s" in caught.value.hint


def test_the_shipped_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shipped_weights_dir() == ROOT / "weights"
    path = resolve_weights("tiny")
    assert path == ROOT / "weights" / "vitpose-tiny.safetensors"
    row = find_pose_weights("tiny")
    head = read_header(path).heads[row.keypoint_set]
    assert (head.kind, head.alignment) == (row.model.head, row.alignment)
    assert abs(path.stat().st_size / 1e6 - row.file.size_mb) < 1
    (tmp_path / "tiny").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve_weights("tiny") == path, "a folder of the same name is not meant"


def test_an_installed_copy_finds_its_weights(tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "vitpose_cli", tmp_path / "vitpose_cli", ignore=ignored)
    shutil.copytree(ROOT / "weights", tmp_path / "vitpose_cli" / "_weights")
    code = (
        "import sys; from vitpose_cli.models.catalog import resolve_weights, pose_weights; "
        "assert len(list(pose_weights())) > 50; print(resolve_weights('tiny')); "
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    expected = tmp_path / "vitpose_cli" / "_weights" / "vitpose-tiny.safetensors"
    assert done.stdout.strip() == str(expected)


def test_our_own_files_are_used_as_they_are(foreign: Path, tmp_path: Path) -> None:
    conversion = convert_file(foreign)
    path = tmp_path / "ours.bin"
    save_checkpoint(path, conversion.state, conversion.header)
    assert resolve_weights(path) == path
    assert resolve_weights(str(path)) == path


def test_of_a_training_run_the_best_weights_are_taken(foreign: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with pytest.raises(WeightsError, match="is a folder without weights"):
        resolve_weights(folder)
    (folder / "config.yaml").touch()
    with pytest.raises(WeightsError, match=r"has no last\.safetensors yet"):
        resolve_weights(str(folder))
    conversion = convert_file(foreign)
    for name in ("last.safetensors", "best.safetensors"):
        save_checkpoint(folder / name, conversion.state, conversion.header)
        assert resolve_weights(str(folder)) == folder / name


def test_foreign_files_are_converted_once(foreign: Path, tmp_path: Path) -> None:
    path = resolve_weights(foreign)
    assert path.is_relative_to(tmp_path / "cache" / "hf" / "vitpose")
    model = load_model(path)
    assert list(model.header.heads) == ["mpii"]
    assert model.header.source == "mpii.pth"
    first = path.stat()
    moved = foreign.rename(tmp_path / "another name.pth")
    assert resolve_weights(moved) == path, "the bytes decide, not the name"
    assert path.stat() == first
    assert resolve_weights(moved, keypoint_set="mpii") != path
    changed = torch.load(moved, weights_only=True)
    changed["state_dict"]["keypoint_head.final_layer.bias"] += 1
    torch.save(changed, moved)
    assert resolve_weights(moved) != path


def test_assumptions_are_said(
    foreign: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = torch.load(foreign, weights_only=True)["state_dict"]
    for kind in ("weight", "bias"):
        rows = state[f"keypoint_head.final_layer.{kind}"]
        state[f"keypoint_head.final_layer.{kind}"] = torch.cat([rows, rows[:1]])
    path = tmp_path / "seventeen.pth"
    torch.save(state, path)
    assert list(read_header(resolve_weights(path)).heads) == ["coco"]
    assert "taken for coco" in caplog.text
    caplog.clear()
    resolve_weights(path)
    assert "taken for coco" in caplog.text, "it is as true of what was converted before"
    caplog.clear()
    resolve_weights(path).with_suffix(".notes").unlink()
    resolve_weights(path)
    assert "taken for coco" in caplog.text, "what was said is lost, so it is converted anew"


def test_what_cannot_be_resolved(foreign: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no weights file"):
        resolve_weights(tmp_path / "nothing")
    with pytest.raises(WeightsError, match="no weights file"):
        resolve_weights("nothing.pth")
    (tmp_path / "own").mkdir()
    for file in (foreign, tmp_path / "own"):
        with pytest.raises(WeightsError, match=r"no weights file .*:mpii") as caught:
            resolve_weights(f"{file}:mpii")
        assert caught.value.hint == (
            f"`vitpose weights show {file}` lists the heads of a file; where it is used, one of "
            "them is chosen by --keypoint-set mpii."
        )
    with pytest.raises(WeightsError, match="no weights called 'nothing'"):
        resolve_weights("nothing")
    with pytest.raises(WeightsError, match="no head for coco"):
        resolve_weights(foreign, keypoint_set="coco")
    with pytest.raises(ConfigError, match="no keypoint set 'cocoa'"):
        resolve_weights(foreign, keypoint_set="cocoa")
    truncated = tmp_path / "half.safetensors"
    truncated.write_bytes((ROOT / "weights" / "vitpose-tiny.safetensors").read_bytes()[:5000])
    with pytest.raises(WeightsError, match=r"not a whole \.safetensors file"):
        resolve_weights(truncated)


def test_a_cache_that_cannot_be_written(foreign: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(InputError, match="Cannot make the folder") as caught:
        resolve_weights(foreign)
    assert "HF_HOME" in caught.value.hint

"""`vitpose export` of networks."""

import json
from pathlib import Path

import pytest
import torch

from vitpose_cli.cli.app import run as vitpose
from vitpose_cli.models.checkpoint import load_model, read_header, save_checkpoint
from vitpose_cli.pose.keypoints import KEYPOINT_SETS
from vitpose_cli.training.config import ModelOptions
from vitpose_cli.training.start import build_network


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return the folder of a training run with experts for two keypoint sets."""
    torch.manual_seed(0)
    sets = {name: KEYPOINT_SETS[name] for name in ("coco", "mpii")}
    options = ModelOptions(variant="tiny-test", head="simple", experts=True)
    network = build_network(options, sets, (48, 64))
    for parameter in network.model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").touch()
    save_checkpoint(folder / "last.safetensors", network.model.state_dict(), network.header)
    return folder


def test_experts_are_folded_into_a_plain_network(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder" / "mpii.safetensors"
    assert vitpose(["export", str(run), "--fold", "mpii", "-o", str(out)]) == 0
    header = read_header(out)
    assert (list(header.heads), header.num_experts) == (["mpii"], 0)
    crops = torch.randn(2, 3, 64, 48)
    with torch.no_grad():
        whole = load_model(run / "last.safetensors")(crops, head="mpii")
        folded = load_model(out)(crops)
    # The same products, summed in another order.
    torch.testing.assert_close(folded, whole, atol=1e-5, rtol=1e-4)


def test_a_run_becomes_onnx(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxscript", reason="the extra `onnx` is not installed")
    out = tmp_path / "model.onnx"
    assert vitpose(["export", str(run), "--fold", "coco", "-o", str(out), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["keypoint_set"] == "coco"
    assert 0 <= facts["max_difference"] < 1e-3
    assert out.exists()
    again = ["export", str(run), "--fold", "mpii", "-o", str(out), "--overwrite"]
    assert vitpose(again) == 0
    (tmp_path / "theirs.onnx").write_bytes(b"of another program")
    assert vitpose([*again[:-2], str(tmp_path / "theirs.onnx"), "--overwrite"]) == 3


def test_overwriting_replaces_networks_alone(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What an earlier call wrote, but neither what is read nor files of others."""
    weights, out, notes = (tmp_path / f"{name}.safetensors" for name in ("both", "mpii", "notes"))
    weights.write_bytes((run / "last.safetensors").read_bytes())
    notes.write_text("my notes")
    export = ["export", str(weights), "--fold", "mpii", "--overwrite", "-o"]
    assert vitpose([*export, str(out)]) == vitpose([*export, str(out)]) == 0
    capsys.readouterr()
    assert vitpose([*export, str(weights)]) == 3
    assert "is what the network comes from" in capsys.readouterr().err
    assert weights.read_bytes() == (run / "last.safetensors").read_bytes()
    assert vitpose([*export, str(notes)]) == 3
    assert "is something else" in capsys.readouterr().err
    assert notes.read_text() == "my notes"


def test_a_file_of_transformers_is_not_replaced_by_its_translation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"theirs")
    out = folder / "model.safetensors"
    assert vitpose(["weights", "convert", str(folder), "-o", str(out), "--overwrite"]) == 3
    assert "is what the network comes from" in capsys.readouterr().err
    assert out.read_bytes() == b"theirs"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["-o", "new.onnx"], 2, "coco, mpii"),
        (["-o", "new.onnx", "--fold", "aic"], 2, "has no head 'aic'"),
        (["-o", "new.onnx", "--fold", "coco", "--format", "cvat"], 2, "--format is for labels"),
        (["-o", "labels"], 2, "Labels need --format"),
        (["-o", "labels", "--format", "cvat", "--fold", "coco"], 2, "--fold is for networks"),
        (["-o", "new.onnx", "--fold", "coco", "--reviewed"], 2, "--reviewed does nothing with"),
        (["-o", "run/config.onnx", "--fold", "coco"], 3, "exists"),
        (["-o", "run/config.onnx/new.safetensors", "--fold", "coco"], 3, "config.onnx"),
    ],
)
def test_what_cannot_be_meant_is_said(
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(run.parent)
    (run / "config.onnx").touch()
    assert vitpose(["export", "run", *arguments]) == code
    assert said in capsys.readouterr().err


def test_a_labelling_run_has_no_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert vitpose(["export", str(tmp_path), "-o", str(tmp_path / "new.onnx")]) == 3
    assert "no folder of a training run" in capsys.readouterr().err


def test_a_run_that_has_learnt_nothing_yet_is_named(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "last.safetensors").unlink()
    assert vitpose(["export", str(run), "-o", str(tmp_path / "new.onnx")]) == 4
    assert "last.safetensors" in capsys.readouterr().err

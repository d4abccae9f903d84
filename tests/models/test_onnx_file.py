"""Networks as ONNX files."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vitpose_cli.errors import ConfigError, InputError, WeightsError
from vitpose_cli.models import onnx_file
from vitpose_cli.models.attention import AttentionConfig
from vitpose_cli.models.checkpoint import (
    CheckpointHeader,
    HeadHeader,
    LoadedViTPose,
    load_model,
    save_checkpoint,
)
from vitpose_cli.models.onnx_file import INPUT_NAME, write_onnx
from vitpose_cli.models.vitpose import ViTPose
from vitpose_cli.pose.keypoints import KEYPOINT_SETS

onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
pytest.importorskip("onnxscript", reason="the extra `onnx` is not installed")

HEADER = CheckpointHeader(
    variant="tiny-test",
    heads={"coco": HeadHeader("classic", KEYPOINT_SETS["coco"], "udp")},
    input_wh=(48, 64),
    source="a test",
    licence="CC0-1.0",
    patch_shift=True,
)


def network(folder: Path, header: CheckpointHeader) -> LoadedViTPose:
    """Return a network whose heatmaps are no zeros."""
    torch.manual_seed(0)
    model = ViTPose(header.config())
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    path = folder / "weights.safetensors"
    save_checkpoint(path, model.state_dict(), header)
    return load_model(path)


FINE = replace(
    HEADER,
    heads={"coco": HeadHeader("simple", KEYPOINT_SETS["coco"], "classic")},
    patch_shift=False,
    stride=8,
    attention=AttentionConfig("window+shift+pool", (3, 3)),
)


WITH_TOKEN = replace(HEADER, knowledge_token=True)


@pytest.mark.parametrize(
    ("header", "large"),
    [(HEADER, False), (FINE, True), (WITH_TOKEN, False)],
    ids=["plain", "windows-large", "knowledge-token"],
)
def test_the_file_says_what_the_network_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, header: CheckpointHeader, large: bool
) -> None:
    if large:
        monkeypatch.setattr(onnx_file, "_LARGEST_FILE", 1)
    model = network(tmp_path, header)
    path = tmp_path / "model.onnx"
    difference = write_onnx(model, path)
    assert (tmp_path / "model.onnx.data").exists() == large
    assert len(list(tmp_path.iterdir())) == 2 + large  # no draft is left
    session = onnxruntime.InferenceSession(str(path))
    crops = torch.randn(3, 3, 64, 48)
    (found,) = session.run(None, {INPUT_NAME: crops.numpy()})
    with torch.no_grad():
        expected = model(crops).numpy()
    assert np.abs(expected).max() > 0.1
    # float32: sums in another order.
    assert difference < 1e-4
    np.testing.assert_allclose(found, expected, atol=1e-4)
    facts = {
        name: json.loads(value)
        for name, value in session.get_modelmeta().custom_metadata_map.items()
    }
    assert facts["input_wh"] == [48, 64]
    assert facts["heatmap_wh"] == [12, 16]
    assert facts["keypoints"][:2] == ["nose", "left_eye"]
    assert facts["flip_pairs"][0] == [1, 2]
    assert facts["sigmas"] == [*header.heads["coco"].keypoint_set.oks_sigmas]
    assert facts["alignment"] == header.heads["coco"].alignment
    assert facts["region"] == "fitted"
    assert facts["mean"] == [0.485, 0.456, 0.406]
    assert facts["licence"] == "CC0-1.0"


def test_what_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = network(tmp_path, HEADER)
    with pytest.raises(InputError, match="Cannot write"):
        write_onnx(model, tmp_path / "absent" / "model.onnx")
    monkeypatch.setattr(onnx_file, "MAX_DIFFERENCE", -1.0)
    with pytest.raises(WeightsError, match="differs"):
        write_onnx(model, tmp_path / "model.onnx")
    monkeypatch.setattr(onnx_file, "_LIBRARIES", ("onnx", "not_installed"))
    with pytest.raises(ConfigError, match="needs not_installed") as raised:
        write_onnx(model, tmp_path / "model.onnx")
    assert "vitpose-cli[onnx]" in raised.value.hint
    assert [file.name for file in tmp_path.iterdir()] == ["weights.safetensors"]

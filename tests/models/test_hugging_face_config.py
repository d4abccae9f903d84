"""What config.json of a transformers folder says is held against the tensors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from foreign_layouts import hugging_face, save_folder

from vitpose_cli.errors import WeightsError
from vitpose_cli.models.convert import convert_file


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("num_attention_heads", 8, "num_attention_heads 8; a ViTPose tiny-test of these"),
        ("hidden_act", "relu", "hidden_act relu; .* has gelu"),
        ("image_size", [48, 64], r"image_size \[48, 64\]; .* has \[64, 48\]"),
        ("image_size", 64, r"image_size \[64, 64\]"),
        ("scale_factor", 2, "scale_factor 2; .* has 4"),
    ],
)
def test_a_hugging_face_config_that_disagrees_with_the_tensors(
    key: str, value: object, said: str, tmp_path: Path
) -> None:
    folder = save_folder(hugging_face(), tmp_path / "hf")
    config = json.loads((folder / "config.json").read_text())
    (config if key == "scale_factor" else config["backbone_config"])[key] = value
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=said):
        convert_file(folder)


def test_a_square_hugging_face_config(tmp_path: Path) -> None:
    folder = save_folder(hugging_face(simple=True, input_hw=(224, 224)), tmp_path / "hf")
    config = json.loads((folder / "config.json").read_text())
    config["backbone_config"]["image_size"] = 224
    (folder / "config.json").write_text(json.dumps(config))
    assert convert_file(folder).header.input_wh == (224, 224)


def test_a_hugging_face_file_without_its_config(tmp_path: Path) -> None:
    folder = save_folder(hugging_face(), tmp_path / "hf")
    (folder / "config.json").unlink()
    with pytest.raises(WeightsError, match=r"config\.json") as caught:
        convert_file(folder)
    assert "beside model.safetensors" in caught.value.hint

"""Reading ncnn's networks into torch, against ncnn itself where it is installed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vitpose_cli.errors import WeightsError
from vitpose_cli.training.ncnn_network import read_network

LAYERS = (
    "Input image 0 1 in",
    "Convolution first 1 1 in a 0=8 1=3 3=2 4=1 5=1 6=216 9=1",
    "Split copies 1 2 a b c",
    "Slice parts 1 2 b d e -23300=2,-233,-233",
    "ConvolutionDepthWise deep 1 1 e f 0=4 1=3 4=1 5=1 6=36 7=4",
    "Concat whole 2 1 d f g 0=0",
    "Reshape apart 1 1 g h 0=48 1=4 2=2",
    "Permute turned 1 1 h i 0=2",
    "Reshape together 1 1 i j 0=6 1=8 2=8",
    "BinaryOp sum 2 1 j c k",
    "ReLU cut 1 1 k l",
    "Convolution odd 1 1 l m 0=3 1=1 3=2 5=0 6=24",
    "Interp twice 1 1 m n 0=1 1=2.000000e+00 2=2.000000e+00",
    "Interp wide 1 1 n out 0=2 3=16 4=12 6=1",
)
SIZES = ((216, 8), (36, 4), (24, 0))
"""Weights and biases of the three convolutions."""


def write_network(
    folder: Path, *, half: bool = False, layers: tuple[str, ...] = LAYERS, cut: int = 0
) -> Path:
    """Write a network for crops of 12 x 16 px, with all layers that are known."""
    generator = np.random.default_rng(0)
    data = b""
    for weights, biases in SIZES:
        values = generator.standard_normal(weights).astype("<f2" if half else "<f4")
        data += np.array([0x01306B47 if half else 0], "<u4").tobytes() + values.tobytes()
        data += b"\0" * (-len(data) % 4)
        data += generator.standard_normal(biases).astype("<f4").tobytes()
    path = folder / "net.param"
    path.write_text("\n".join(["7767517", f"{len(layers)} 16", *layers]) + "\n")
    path.with_suffix(".bin").write_bytes(data[: len(data) - cut])
    return path


def run_ncnn(path: Path, crops: torch.Tensor) -> torch.Tensor:
    """Return what ncnn makes of crops (B, 3, H, W), with its own arithmetic at full precision."""
    ncnn: Any = pytest.importorskip("ncnn")
    network = ncnn.Net()
    for name in ("use_fp16_arithmetic", "use_fp16_storage", "use_bf16_storage"):
        setattr(network.opt, name, False)
    assert network.load_param(str(path)) == 0
    assert network.load_model(str(path.with_suffix(".bin"))) == 0
    made = []
    for crop in crops.numpy():
        extractor = network.create_extractor()
        extractor.input(network.input_names()[0], ncnn.Mat(crop).clone())
        made.append(np.array(extractor.extract(network.output_names()[0])[1]))
    return torch.from_numpy(np.stack(made))


@pytest.mark.parametrize("half", [False, True])
def test_every_layer_answers_as_in_ncnn(tmp_path: Path, half: bool) -> None:
    path = write_network(tmp_path, half=half)
    crops = torch.randn(3, 3, 16, 12, generator=torch.Generator().manual_seed(0))
    found = read_network(path)(crops)
    assert found.shape == (3, 3, 16, 12)
    torch.testing.assert_close(found, run_ncnn(path, crops), atol=1e-4, rtol=1e-5)


def test_pp_tinypose_answers_as_in_ncnn(shared_data: Path) -> None:
    path = shared_data / "teachers" / "tinypose_256x192.param"
    crops = torch.randn(2, 3, 256, 192, generator=torch.Generator().manual_seed(0))
    crops = torch.nn.functional.avg_pool2d(3 * crops, 5, 1, 2)
    torch.testing.assert_close(
        read_network(path)(crops), run_ncnn(path, crops), atol=1e-4, rtol=0
    )  # of heatmaps that reach 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ReLU cut", "HardSwish cut", "HardSwish"),
        ("0=2 3=16", "0=3 3=16", "wide.*0=3"),
        ("6=216 9=1", "6=216 9=2", "first.*9=2"),
        ("BinaryOp sum 2 1 j c k", "BinaryOp sum 2 1 j c k 0=2", "sum.*0=2"),
        ("-233,-233", "-233,3", "cuts unevenly"),
        (" -23300=2,-233,-233", "", "cuts unevenly"),
        ("6=216 9=1", "6=216 9=1 99=1", "first.*99=1"),
        ("Split copies 1 2 a b c", "Split copies 1 2 z b c", "copies takes what no layer"),
        ("1 1 k l", "1 2 k l", "cannot be read as an ncnn network"),
        ("0=8 1=3", "0=8 1=1e999", "cannot be read as an ncnn network"),
        ("Interp wide 1 1 n out", "Split wide 1 2 n out more", "more than one input or output"),
    ],
)
def test_what_is_not_known_is_refused_by_name(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    layers = tuple(line.replace(old, new) for line in LAYERS)
    assert layers != LAYERS
    if new.startswith("Split wide"):
        layers = (*layers[:-1], "Split wide 1 2 n out more")
    with pytest.raises(WeightsError, match=message) as caught:
        read_network(write_network(tmp_path, layers=layers))
    assert "net.param" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("cut", [1, 100, 400])
def test_a_file_that_is_cut_off_is_damaged(tmp_path: Path, cut: int) -> None:
    with pytest.raises(WeightsError, match="fewer numbers than the layers have"):
        read_network(write_network(tmp_path, cut=cut))


def test_numbers_that_no_layer_wants_are_damage(tmp_path: Path) -> None:
    path = write_network(tmp_path)
    path.with_suffix(".bin").write_bytes(path.with_suffix(".bin").read_bytes() + b"\0\0\0\0")
    with pytest.raises(WeightsError, match="4 bytes belong to no layer"):
        read_network(path)


def test_quantised_weights_are_refused(tmp_path: Path) -> None:
    path = write_network(tmp_path)
    data = path.with_suffix(".bin").read_bytes()
    path.with_suffix(".bin").write_bytes(b"\x38\x4b\x0d\x00" + data[4:])
    with pytest.raises(WeightsError, match="stored as 0xd4b38"):
        read_network(path)


@pytest.mark.parametrize("text", ["", "7767517", "no network", "7767517\n1 1\nReLU a"])
def test_a_text_that_is_no_network_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.param"
    path.write_text(text)
    path.with_suffix(".bin").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"a\.param cannot be read as an ncnn network"):
        read_network(path)


@pytest.mark.parametrize("missing", [".param", ".bin"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    path = write_network(tmp_path)
    path.with_suffix(missing).unlink()
    with pytest.raises(WeightsError, match=rf"net\{missing}: No such file"):
        read_network(path)

"""Weights, teachers and configurations made to hurt: our own errors come out, and no code runs."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import orjson
import pytest
import torch
import yaml
from runs import EXAMPLES, save_weights, vitpose
from spoiling import SLOW_S, meet_other_values, meet_spoiled

from vitpose_cli.config import load_config
from vitpose_cli.errors import VitposeError
from vitpose_cli.models.checkpoint import load_model, read_header
from vitpose_cli.models.convert import convert_file
from vitpose_cli.models.detectors import shipped_detector_path
from vitpose_cli.models.safe_load import read_tensors
from vitpose_cli.models.torchvision_detector import build_detector, read_detector_header
from vitpose_cli.training.checkpoints import Position, RunFolder
from vitpose_cli.training.config import NcnnTeacher, TrainConfig
from vitpose_cli.training.fingerprints import DataFingerprint
from vitpose_cli.training.ncnn_teacher import NcnnNetwork
from vitpose_cli.training.packs import Pack
from vitpose_cli.training.process import Placement


def test_weights(tmp_path: Path) -> None:
    whole = save_weights(tmp_path / "weights.safetensors").read_bytes()
    header_end = 8 + int.from_bytes(whole[:8], "little")
    path = tmp_path / "spoiled.safetensors"

    def read(header: bytes) -> None:
        path.write_bytes(header + whole[header_end:])
        read_header(path)
        load_model(path)

    meet_spoiled([whole[:header_end]], read)


def test_pickled_weights(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    shared = torch.ones(17)
    states = {
        True: {"backbone.a": torch.ones(3, 4), "head.b": torch.ones(5).half()},
        False: {"backbone.a": shared[:12].view(3, 4), "head.b": shared[12:]},
    }
    seeds = []
    for zipped, state in states.items():
        torch.save(
            {"state_dict": state, "meta": {"epoch": 3, "name": "x", "scalar": np.float64(1)}}, path,
            _use_new_zipfile_serialization=zipped,
        )  # fmt: skip
        seeds.append(path.read_bytes())
    # The old format names a storage by its address, and sorts several by theirs.
    address = str(shared.untyped_storage()._cdata).encode()
    assert seeds[1].count(_pickled(address)) == 3  # with each tensor, and in the list of all
    seeds[1] = seeds[1].replace(_pickled(address), _pickled(b"1"))

    def read(data: bytes) -> None:
        path.write_bytes(data)
        read_tensors(path)
        convert_file(path)

    meet_spoiled(seeds, read, 300)


def _pickled(text: bytes) -> bytes:
    return len(text).to_bytes(4, "little") + text


@pytest.mark.parametrize("header", [b"[" * 100_000, b'{"__metadata__":3}'])
def test_headers_of_weights_that_are_none(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    done = vitpose("annotate", EXAMPLES, "-o", tmp_path / "run", "-w", path)
    assert done.returncode == 4, done.stderr
    assert str(path) in done.stderr


def test_detectors(tmp_path: Path) -> None:
    path = tmp_path / "detector.safetensors"
    shipped = shipped_detector_path()
    assert shipped is not None
    whole = shipped.read_bytes()
    header_end = 8 + int.from_bytes(whole[:8], "little")
    tensors = b"\0" * 64

    def read(header: bytes) -> None:
        path.write_bytes(header + tensors)
        build_detector(read_detector_header(path))

    meet_spoiled([whole[:header_end]], read, 50)


@pytest.mark.parametrize("spoilt", [".param", ".bin"])
def test_ncnn_teachers(tmp_path: Path, spoilt: str) -> None:
    layers = (
        "Input image 0 1 in",
        "Convolution first 1 1 in a 0=8 1=3 3=2 4=1 5=1 6=216 9=1",
        "Split copies 1 2 a b c",
        "Slice parts 1 2 b d e -23300=2,-233,-233",
        "ConvolutionDepthWise deep 1 1 e f 0=4 1=3 4=1 5=1 6=36 7=4",
        "Concat whole 2 1 d f g 0=0",
        "BinaryOp sum 2 1 g c k",
        "Convolution last 1 1 k l 0=17 1=1 5=0 6=136",
        "Interp twice 1 1 l out 0=1 1=2.0 2=2.0",
    )
    text = "\n".join(["7767517", f"{len(layers)} 11", *layers]) + "\n"
    numbers = b"".join(
        b"\0" * 4 + np.ones(count, "<f4").tobytes() for count in (216 + 8, 36 + 4, 136)
    )
    path = tmp_path / "net.param"
    path.write_text(text)
    path.with_suffix(".bin").write_bytes(numbers)
    values = {"ncnn": path, "input_wh": (16, 16), "keypoint_set": "coco"}
    options = NcnnTeacher.model_validate(values)
    placement = Placement(torch.device("cpu"), torch.float32)

    def read(data: bytes) -> None:
        path.with_suffix(spoilt).write_bytes(data)
        NcnnNetwork.open(options, placement)

    read(path.with_suffix(spoilt).read_bytes())
    meet_spoiled([path.with_suffix(spoilt).read_bytes()], read, 300)


def test_states_of_trainings(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    state = {"weights": {"a": torch.ones(3, 4)}, "step": 5}
    folder.save_state(Position(0, 5), state, DataFingerprint((), {"coco": "who"}, (), {}))

    def read(data: bytes) -> None:
        folder.state.write_bytes(data)
        folder.load_state()

    meet_spoiled([folder.state.read_bytes()], read, 300)


def test_packs(tmp_path: Path) -> None:
    path = tmp_path / "pack.npz"
    photo = (EXAMPLES / "camera.jpg").read_bytes()[:2000]
    np.savez(
        path, blob=np.frombuffer(photo * 2, np.uint8), offsets=np.array([0, 2000, 4000]),
        keypoints=np.ones((2, 17, 4), np.float32), source=np.array([0, 1]),
    )  # fmt: skip

    def read(data: bytes) -> None:
        path.write_bytes(data)
        pack = Pack.open(path)
        for key in pack.keys()[:5]:
            pack.read(key)

    meet_spoiled([path.read_bytes()], read, 300)


def test_configurations(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    seeds = [each.read_bytes() for each in (EXAMPLES.parent / "train").glob("*.yaml")]
    values = [orjson.dumps(yaml.safe_load(seed), option=orjson.OPT_NON_STR_KEYS) for seed in seeds]

    def read(data: bytes) -> None:
        path.write_bytes(data)
        load_config(TrainConfig, path)

    meet_spoiled(seeds, read)
    meet_other_values(values, read, 300)


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.system ['touch {mark}']",
        "!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{mark}']]",
        "!!python/name:os.system",
        "!!python/module:os",
    ],
)
def test_a_configuration_runs_no_code(tmp_path: Path, tag: str) -> None:
    path, mark = tmp_path / "config.yaml", tmp_path / "mark"
    path.write_text("seed: " + tag.replace("{mark}", str(mark)))
    with pytest.raises(VitposeError):
        load_config(TrainConfig, path)
    assert not mark.exists()


def test_a_small_bomb_of_aliases_is_no_bomb(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for depth in range(1, 9):
        lines.append(f"a{depth}: &a{depth} [{', '.join([f'*a{depth - 1}'] * 10)}]")
    path.write_text("\n".join(lines))
    started_s = time.process_time()
    with pytest.raises(VitposeError):
        load_config(TrainConfig, path)
    assert time.process_time() - started_s < SLOW_S

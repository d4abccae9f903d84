"""Weights files: what is written is what is read, and what is wrong is said."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from vitpose_cli.errors import ConfigError, WeightsError
from vitpose_cli.models.attention import AttentionConfig
from vitpose_cli.models.checkpoint import (
    FORMAT,
    CheckpointHeader,
    HeadHeader,
    load_model,
    read_header,
    save_checkpoint,
)
from vitpose_cli.models.patches import resize_position_table
from vitpose_cli.models.tensor_files import read_state
from vitpose_cli.models.vitpose import ViTPose
from vitpose_cli.models.weights_files import weights_hash
from vitpose_cli.pose.keypoints import KeypointSet, keypoint_set

SHIPPED = Path(__file__).parents[2] / "weights" / "vitpose-tiny.safetensors"

HEADER = CheckpointHeader(
    variant="tiny-test",
    heads={"coco": HeadHeader("classic", keypoint_set("coco"), "udp")},
    input_wh=(48, 64),
    source="made up by a test",
    licence="Apache-2.0",
)
CROW = KeypointSet.from_category({"name": "crow", "keypoints": ["beak", "left_wing", "right_wing"]})


def network(header: CheckpointHeader = HEADER) -> ViTPose:
    torch.manual_seed(0)
    model = ViTPose(header.config()).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def crops(input_wh: tuple[int, int]) -> Tensor:
    return torch.randn(2, 3, *input_wh[::-1], generator=torch.Generator().manual_seed(1))


@pytest.fixture(name="path")
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "gewichte-für-später.safetensors"
    save_checkpoint(path, network().state_dict(), HEADER)
    return path


@torch.no_grad()
def test_a_loaded_network_is_the_saved_one(path: Path) -> None:
    model = load_model(path)
    images = crops((48, 64))
    assert torch.equal(model(images), network()(images))
    assert model.header == HEADER
    assert not model.training
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_every_field_of_the_header_survives(tmp_path: Path) -> None:
    header = CheckpointHeader(
        variant="base",
        heads={
            "ap10k": HeadHeader("simple", keypoint_set("ap10k"), "classic", expert=1),
            "crow": HeadHeader("classic", CROW, "udp"),
        },
        input_wh=(96, 128),
        source='Zürich, "quoted"\nand on',
        licence="CC-BY-NC-4.0",
        stride=8,
        layer_norm_eps=1e-12,
        attention=AttentionConfig("window+shift", (12, 16)),
        num_experts=3,
    )
    path = tmp_path / "header.safetensors"
    save_checkpoint(path, {"a": torch.zeros(1)}, header)
    assert read_header(path) == header
    assert read_header(path).heads["crow"].keypoint_set.flip_pairs == ((1, 2),)
    shifted = replace(header, stride=16, patch_shift=True)
    save_checkpoint(path, {"a": torch.zeros(1)}, shifted)
    assert read_header(path) == shifted


@torch.no_grad()
def test_half_precision_halves_the_file_and_keeps_the_maps(path: Path, tmp_path: Path) -> None:
    small = tmp_path / "half.safetensors"
    save_checkpoint(small, network().state_dict(), HEADER, dtype=torch.float16)
    assert small.stat().st_size < 0.52 * path.stat().st_size
    state = read_state(small)
    assert state["encoder.pos_embed"].dtype == torch.float16
    assert state["heads.coco.bn1.num_batches_tracked"].dtype == torch.int64
    model = load_model(small)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    images = crops((48, 64))
    expected = network()(images)
    error = (model(images) - expected).abs().max() / expected.abs().max()
    assert error < 5e-3  # float16 keeps 11 bits: 5e-4 a weight, summed over four blocks


@torch.no_grad()
def test_another_input_size_resamples_the_position_table(path: Path) -> None:
    model = load_model(path, input_wh=(80, 96))
    assert model(crops((80, 96))).shape == (2, 17, 24, 20)
    assert model.header.input_wh == model.config.input_wh == (80, 96)
    table = read_state(path)["encoder.pos_embed"]
    expected = resize_position_table(table, (3, 4), (5, 6))
    assert torch.equal(model.encoder.pos_embed, expected)
    with pytest.raises(ConfigError, match="multiples of 16"):
        load_model(path, input_wh=(80, 90))


def test_windowed_attention_follows_another_input_size(tmp_path: Path) -> None:
    header = replace(HEADER, attention=AttentionConfig("window+shift+pool", (2, 2)))
    path = tmp_path / "windows.safetensors"
    save_checkpoint(path, network(header).state_dict(), header)
    images = crops((48, 64))
    torch.testing.assert_close(load_model(path)(images), network(header)(images))
    assert load_model(path, input_wh=(112, 96))(crops((112, 96))).shape == (2, 17, 24, 28)


@torch.no_grad()
def test_one_head_of_many_comes_with_its_expert_folded(tmp_path: Path) -> None:
    header = replace(
        HEADER,
        heads={
            "coco": HeadHeader("simple", keypoint_set("coco"), "udp", expert=0),
            "crow": HeadHeader("classic", CROW, "classic", expert=2),
        },
        num_experts=3,
    )
    path = tmp_path / "experts.safetensors"
    save_checkpoint(path, network(header).state_dict(), header)
    everything, crow = load_model(path), load_model(path, head="crow")
    images = crops((48, 64))
    assert list(crow.heads) == ["crow"]
    assert crow.header.num_experts == 0
    torch.testing.assert_close(crow(images), everything(images, "crow"))
    assert (crow.features(images) - everything.features(images, expert=0)).abs().max() > 0.1
    with pytest.raises(WeightsError, match="no head 'dog'") as caught:
        load_model(path, head="dog")
    assert caught.value.hint == "It has coco, crow."


def test_the_hash_is_the_files(path: Path) -> None:
    assert weights_hash(path) == hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    with pytest.raises(WeightsError, match="Cannot read"):
        weights_hash(path.with_name("absent"))


def test_a_file_without_our_header_is_referred_to_conversion(tmp_path: Path) -> None:
    path = tmp_path / "theirs.safetensors"
    save_file({"a": torch.zeros(1)}, path, {"format": "pt"})
    with pytest.raises(WeightsError, match="no vitpose header") as caught:
        load_model(path)
    assert f"vitpose weights convert {path}" in caught.value.hint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('"variant":"gigantic"', "unknown variant 'gigantic'"),
        ('"variant":3', "read: variant: should be a text (given: 3)."),
        ('"input_wh":[50,64]', "multiples of 16"),
        ('"stride":4', "read: stride: should be 16 or 8 (given: 4)."),
        (
            '"heads":{"coco":{"kind":"classic","keypoint_set":"cow","alignment":"udp"}}',
            "read: heads.coco.keypoint_set: there is no keypoint set 'cow' (given: 'cow').",
        ),
        ('"heads":{}', "no head"),
        (f'"format":{FORMAT + 1}', "header format 2"),
        ("nonsense", "read: header: Invalid JSON"),
    ],
)
def test_headers_that_cannot_be_meant_are_refused(
    tmp_path: Path, change: str, message: str
) -> None:
    fields = {
        "variant": '"variant":"tiny-test"',
        "heads": '"heads":{"coco":{"kind":"simple","keypoint_set":"coco","alignment":"udp"}}',
        "input_wh": '"input_wh":[48,64]',
        "source": '"source":"a test"',
        "licence": '"licence":"MIT"',
    }
    fields[change.split('"')[1] if '"' in change else change] = change
    path = tmp_path / "odd.safetensors"
    save_file({"a": torch.zeros(1)}, path, {"vitpose": f"{{{','.join(fields.values())}}}"})
    with pytest.raises(WeightsError) as caught:
        read_header(path)
    assert message in caught.value.message


def test_tensors_that_do_not_match_are_listed(path: Path) -> None:
    state = dict(network().state_dict())
    del state["encoder.norm.bias"]
    state["encoder.cls_token"] = torch.zeros(1, 1, 64)
    state["heads.coco.final.weight"] = torch.zeros(14, 256, 1, 1)
    save_checkpoint(path, state, HEADER)
    for options in ({}, {"input_wh": (96, 128)}):
        with pytest.raises(WeightsError) as caught:
            load_model(path, **options)  # type: ignore[arg-type]
        assert caught.value.message.splitlines()[1:] == [
            "  heads.coco.final.weight is (14, 256, 1, 1), not (17, 256, 1, 1)",
            "  missing encoder.norm.bias",
            "  unexpected encoder.cls_token",
        ]


@torch.no_grad()
def test_the_shipped_weights_load_and_know_what_they_are() -> None:
    model = load_model(SHIPPED)
    coco = HeadHeader("simple", keypoint_set("coco"), "udp", blob_sigma=1.75)
    assert model.header.heads == {"coco": coco}
    assert model.header.licence == "Apache-2.0"
    assert "trained from scratch" in model.header.source
    maps = model(torch.zeros(1, 3, 320, 240))
    assert maps.shape == (1, 17, 80, 60)
    assert 0 < maps.max() < 1  # a grey crop: it guesses faintly and never off scale

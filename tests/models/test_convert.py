"""Converted weights give the heatmaps that transformers gives, whatever the layout was."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from foreign_layouts import (
    SETS,
    State,
    crops,
    decoder,
    hugging_face,
    maps_of,
    mmpose,
    original,
    save_folder,
    split_as_published,
)
from safetensors.torch import load_file, save_file
from torch import Tensor

from vitpose_cli.errors import ConfigError, WeightsError
from vitpose_cli.models.checkpoint import load_model, save_checkpoint
from vitpose_cli.models.convert import Conversion, convert_file, halved

TOLERANCE = 1e-4  # of heatmaps, absolute; those of the random networks here reach about 1


def saved(state: Any, folder: Path, name: str = "weights.pth") -> Path:
    path = folder / name
    torch.save(state, path)
    return path


@torch.no_grad()
def our_maps(conversion: Conversion, folder: Path, images: Tensor) -> Tensor:
    path = folder / "ours.safetensors"
    save_checkpoint(path, conversion.state, conversion.header)
    return load_model(path)(images)  # type: ignore[no-any-return]


def assert_same_maps(
    conversion: Conversion, folder: Path, expected: Tensor, input_hw: tuple[int, int] = (64, 48)
) -> None:
    assert conversion.header.input_wh == input_hw[::-1]
    found = our_maps(conversion, folder, crops(input_hw))
    assert found.shape == expected.shape
    assert expected.abs().max() > 0.1, "the network under test answers nothing"
    assert (found - expected).abs().max() <= TOLERANCE


@pytest.mark.parametrize("simple", [False, True], ids=["classic", "simple"])
@pytest.mark.parametrize("layout", ["original", "bare", "parallel", "mmpose", "hugging-face"])
def test_every_layout_gives_the_maps_of_transformers(
    layout: str, simple: bool, tmp_path: Path
) -> None:
    model = hugging_face(simple=simple)
    if layout == "hugging-face":
        path = save_folder(model, tmp_path / "hf")
    else:
        state = mmpose(model) if layout == "mmpose" else original(model)
        if layout == "parallel":
            state = {f"module.{key}": value for key, value in state.items()}
        path = saved(state if layout == "bare" else {"meta": {}, "state_dict": state}, tmp_path)
    conversion = convert_file(path)
    head = conversion.header.heads["coco"]
    assert (head.kind, head.alignment) == ("simple" if simple else "classic", "udp")
    assert conversion.header.patch_shift
    assert conversion.header.layer_norm_eps == (1e-12 if layout == "hugging-face" else 1e-6)
    assert_same_maps(conversion, tmp_path, maps_of(model, crops()))


def test_the_small_network_has_twelve_heads(tmp_path: Path) -> None:
    model = hugging_face((384, 12, 12), simple=True)
    conversion = convert_file(saved(original(model), tmp_path))
    assert conversion.header.variant == "small"
    assert_same_maps(conversion, tmp_path, maps_of(model, crops()))


def test_the_published_input_size(tmp_path: Path) -> None:
    model = hugging_face(simple=True, input_hw=(256, 192))
    conversion = convert_file(saved(mmpose(model), tmp_path))
    assert_same_maps(conversion, tmp_path, maps_of(model, crops((256, 192))), (256, 192))


def test_a_square_input_and_one_that_cannot_be(tmp_path: Path) -> None:
    state = original(hugging_face(simple=True, input_hw=(224, 224)))
    assert convert_file(saved(state, tmp_path)).header.input_wh == (224, 224)
    state["backbone.pos_embed"] = state["backbone.pos_embed"][:, :188]
    with pytest.raises(WeightsError, match="187 places"):
        convert_file(saved(state, tmp_path))


@pytest.fixture(scope="module", name="plus")
def vitpose_plus() -> tuple[Any, dict[str, Any], State]:
    """A ViTPose+, its decoders, and its original checkpoint, whose spare rows are all there."""
    model = hugging_face(part_features=16)
    heads = {"coco": model.head}
    heads |= {name: decoder(model, count) for name, count in list(SETS.items())[1:]}
    state = original(model, list(heads.values())[1:])
    for key in [key for key in state if "final_layer" in key and "associate" in key]:
        spare = torch.randn(133 - len(state[key]), *state[key].shape[1:])
        state[key] = torch.cat([state[key], spare])
    return model, heads, state


@pytest.mark.parametrize("index", range(6), ids=list(SETS))
def test_every_expert_of_vitpose_plus(
    index: int, plus: tuple[Any, dict[str, Any], State], tmp_path: Path
) -> None:
    model, heads, state = plus
    name = list(SETS)[index]
    conversion = convert_file(saved({"state_dict": state}, tmp_path), keypoint_set=name)
    (head,) = conversion.header.heads.values()
    assert head.keypoint_set.num_keypoints == SETS[name]
    assert head.alignment == ("udp" if name in ("coco", "mpii") else "classic")
    assert head.region == ("square" if name == "mpii" else "fitted")
    assert not any("experts" in key for key in conversion.state)
    model.head = heads[name]
    expected = maps_of(model, crops(), index)
    model.head = heads["coco"]
    assert_same_maps(conversion, tmp_path, expected)


def test_a_whole_vitpose_plus_keeps_every_head_and_expert(
    plus: tuple[Any, dict[str, Any], State], tmp_path: Path
) -> None:
    model, heads, state = plus
    file = saved({"state_dict": state}, tmp_path)
    conversion = convert_file(file, keypoint_set="ap10k", whole=True)
    assert conversion.header.num_experts == 6
    assert list(conversion.header.heads) == ["ap10k", *(one for one in SETS if one != "ap10k")]
    path = tmp_path / "ours.safetensors"
    save_checkpoint(path, conversion.state, conversion.header)
    for index, name in enumerate(SETS):
        model.head = heads[name]
        with torch.no_grad():
            found = load_model(path, head=name)(crops())
        assert (found - maps_of(model, crops(), index)).abs().max() <= TOLERANCE
    model.head = heads["coco"]


def test_whole_files_of_one_head_and_of_several_plain_ones(
    plus: tuple[Any, dict[str, Any], State], tmp_path: Path
) -> None:
    split = convert_file(saved(split_as_published(plus[2], 0), tmp_path), whole=True)
    assert (list(split.header.heads), split.header.num_experts) == (["coco"], 0)
    model = hugging_face()
    alone = convert_file(saved(original(model), tmp_path), whole=True)
    assert list(alone.header.heads) == ["coco"]
    several = saved(original(model, [decoder(model, 14), decoder(model, 16)]), tmp_path)
    heads = convert_file(several, whole=True).header.heads
    assert {name: head.expert for name, head in heads.items()} == {"coco": 0, "aic": 0, "mpii": 0}


@pytest.mark.parametrize("index", [0, 3, 5], ids=["coco", "ap10k", "wholebody"])
def test_files_of_the_original_split_script(
    index: int, plus: tuple[Any, dict[str, Any], State], tmp_path: Path
) -> None:
    model, heads, state = plus
    path = saved(split_as_published(state, index), tmp_path)
    conversion = convert_file(path)
    name = list(SETS)[index]
    assert list(conversion.header.heads) == [name], "the folded expert says whose file it is"
    model.head = heads[name]
    expected = maps_of(model, crops(), index)
    model.head = heads["coco"]
    assert_same_maps(conversion, tmp_path, expected)
    with pytest.raises(WeightsError, match="no head for mpii"):
        convert_file(path, keypoint_set="mpii")


def test_a_split_file_that_was_trained_on_is_known_by_its_keypoints(
    plus: tuple[Any, dict[str, Any], State], tmp_path: Path
) -> None:
    state = split_as_published(plus[2], 2)
    state["backbone.blocks.0.mlp.fc2.weight"] = state["backbone.blocks.0.mlp.fc2.weight"] * 1.01
    conversion = convert_file(saved(state, tmp_path))
    assert list(conversion.header.heads) == ["mpii"]
    assert not any("experts" in key for key in conversion.state)


def test_hugging_face_folders_of_vitpose_plus_have_the_coco_head_alone(tmp_path: Path) -> None:
    model = hugging_face(part_features=16)
    folder = save_folder(model, tmp_path / "hf")
    assert_same_maps(convert_file(folder), tmp_path, maps_of(model, crops(), 0))
    assert convert_file(folder / "model.safetensors").header.heads.keys() == {"coco"}
    with pytest.raises(WeightsError, match="no head for wholebody") as caught:
        convert_file(folder, keypoint_set="wholebody")
    assert "keep the COCO head alone" in caught.value.hint


def test_multi_dataset_files_carry_other_heads_and_a_stray_class_token(tmp_path: Path) -> None:
    model = hugging_face()
    heads = [decoder(model, 14), decoder(model, 16)]
    state = original(model, heads)
    state["backbone.cls_token"] = torch.randn(1, 1, 64)
    path = saved({"state_dict": state}, tmp_path)
    expected = maps_of(model, crops())
    conversion = convert_file(path)
    assert conversion.notes == ()
    assert_same_maps(conversion, tmp_path, expected)
    for name, head in zip(("aic", "mpii"), heads, strict=True):
        model.head = head
        converted = convert_file(path, keypoint_set=name)
        assert_same_maps(converted, tmp_path, maps_of(model, crops()))
    with pytest.raises(WeightsError, match="only for coco, aic, mpii"):
        convert_file(path, keypoint_set="wholebody")


@torch.no_grad()
@pytest.mark.parametrize(
    ("counts", "wanted", "head"),
    [
        ((14, 17, 16), "crowdpose", 0),
        ((14, 17, 16), "aic", 0),
        ((14, 17, 16), "coco", 1),
        ((14, 17, 16), "mpii", 2),
        ((14, 14, 16), "crowdpose", 0),
        ((16, 17, 14), None, 0),
        ((16, 17, 14), "crowdpose", 2),
        ((17, 16, 14), None, 0),
        ((17, 16, 14), "aic", 2),
        ((17, 14, 16, 14), "aic", 1),
        ((17, 14, 16, 14), "crowdpose", 3),
        ((21, 17), "coco", 1),
    ],
)
def test_heads_in_no_published_order_are_told_by_their_numbers(
    counts: tuple[int, ...], wanted: str | None, head: int, tmp_path: Path
) -> None:
    main, *further = counts
    model = hugging_face(num_keypoints=main)
    heads = [model.head, *(decoder(model, count) for count in further)]
    path = saved(original(model, heads[1:]), tmp_path)
    model.head = heads[head]
    conversion = convert_file(path, keypoint_set=wanted)
    assert_same_maps(conversion, tmp_path, maps_of(model, crops()))


def test_heads_that_their_numbers_do_not_tell_are_not_guessed(tmp_path: Path) -> None:
    model = hugging_face(num_keypoints=14)
    path = saved(original(model, [decoder(model, 17), decoder(model, 14)]), tmp_path)
    for whole in (False, True):
        with pytest.raises(WeightsError, match="14 keypoints, which may be aic or crowdpose"):
            convert_file(path, whole=whole)
    conversion = convert_file(path, keypoint_set="crowdpose", whole=True)
    assert list(conversion.header.heads) == ["crowdpose"]
    assert conversion.notes == ("2 heads have 14 keypoints: the main one is taken for crowdpose.",)
    path = saved(original(hugging_face(num_keypoints=21), [decoder(model, 17)]), tmp_path)
    with pytest.raises(WeightsError, match="21 keypoints, and no keypoint set has"):
        convert_file(path)


def test_seventeen_keypoints_are_taken_for_coco_aloud(tmp_path: Path) -> None:
    path = saved(original(hugging_face()), tmp_path)
    (note,) = convert_file(path).notes
    assert "taken for coco" in note
    assert "ap10k or apt36k" in note
    conversion = convert_file(path, keypoint_set="ap10k")
    assert conversion.notes == ()
    assert conversion.header.heads["ap10k"].alignment == "classic"


def test_fourteen_keypoints_are_not_guessed(tmp_path: Path) -> None:
    path = saved(original(hugging_face(num_keypoints=14)), tmp_path)
    with pytest.raises(WeightsError, match="aic or crowdpose") as caught:
        convert_file(path)
    assert "--keypoint-set" in caught.value.hint
    assert "crowdpose" in convert_file(path, keypoint_set="crowdpose").header.heads


@pytest.mark.parametrize(("count", "name"), [(16, "mpii"), (25, "coco25"), (133, "wholebody")])
def test_other_numbers_say_their_set(count: int, name: str, tmp_path: Path) -> None:
    conversion = convert_file(saved(original(hugging_face(num_keypoints=count)), tmp_path))
    assert list(conversion.header.heads) == [name]
    assert conversion.notes == ()


def test_a_number_of_keypoints_that_no_set_has(tmp_path: Path) -> None:
    path = saved(original(hugging_face(num_keypoints=21)), tmp_path)
    with pytest.raises(WeightsError, match="21 keypoints, and no keypoint set has"):
        convert_file(path)


def test_a_head_of_another_size_is_not_cut_to_fit(tmp_path: Path) -> None:
    path = saved(original(hugging_face()), tmp_path)
    with pytest.raises(WeightsError, match="no head for aic"):
        convert_file(path, keypoint_set="aic")
    with pytest.raises(ConfigError, match="no keypoint set 'aik'"):
        convert_file(path, keypoint_set="aik")


def test_missing_and_left_over_tensors_are_listed(tmp_path: Path) -> None:
    state = original(hugging_face())
    del state["backbone.blocks.2.mlp.fc1.bias"]
    with pytest.raises(WeightsError, match=r"missing encoder\.blocks\.2\.mlp\.fc1\.bias"):
        convert_file(saved(state, tmp_path))
    state = original(hugging_face()) | {"keypoint_head.offsets": torch.zeros(2)}
    with pytest.raises(WeightsError, match=r"unexpected keypoint_head\.offsets"):
        convert_file(saved(state, tmp_path))
    state = original(hugging_face())
    state["backbone.blocks.1.attn.proj.weight"] = torch.zeros(64, 32)
    with pytest.raises(WeightsError, match=r"attn\.proj\.weight is \(64, 32\), not \(64, 64\)"):
        convert_file(saved(state, tmp_path))


def test_expert_files_of_other_numbers_are_refused(
    plus: tuple[Any, dict[str, Any], State], tmp_path: Path
) -> None:
    state = {key: value for key, value in plus[2].items() if "experts.5" not in key}
    with pytest.raises(WeightsError, match="5 experts"):
        convert_file(saved(state, tmp_path))


def test_an_unknown_size_is_refused(tmp_path: Path) -> None:
    path = saved(original(hugging_face((96, 2, 4))), tmp_path)
    with pytest.raises(WeightsError, match=": No ViTPose has 2 blocks of 96 channels"):
        convert_file(path)


def test_counters_that_old_files_lack_are_made_up(tmp_path: Path) -> None:
    state = {k: v for k, v in original(hugging_face()).items() if "num_batches" not in k}
    conversion = convert_file(saved(state, tmp_path))
    assert conversion.state["heads.coco.bn1.num_batches_tracked"] == 0


def test_metadata_of_mmpose_does_not_hinder(tmp_path: Path) -> None:
    meta = {"sigmas": np.ones(17, np.float32), "names": np.array(["nose"]), "seed": np.int64(3)}
    state = OrderedDict(mmpose(hugging_face()))
    path = saved({"meta": {"dataset_meta": meta}, "state_dict": state}, tmp_path)
    assert convert_file(path).layout == "mmpose 1.x"


def test_other_files_are_told_apart(tmp_path: Path) -> None:
    unknown = saved({"conv1.weight": torch.zeros(3), "fc.bias": torch.zeros(3)}, tmp_path)
    with pytest.raises(WeightsError, match=r"begins with the tensors conv1\.weight, fc\.bias"):
        convert_file(unknown)
    backbone = {k.removeprefix("backbone."): v for k, v in original(hugging_face()).items()}
    with pytest.raises(WeightsError, match="backbone without a pose head") as caught:
        convert_file(saved({"model": backbone}, tmp_path))
    assert "vitpose train" in caught.value.hint
    conversion = convert_file(saved(original(hugging_face()), tmp_path))
    ours = tmp_path / "ours.safetensors"
    save_checkpoint(ours, conversion.state, conversion.header)
    with pytest.raises(WeightsError, match="own layout already"):
        convert_file(ours)
    bare = tmp_path / "bare.safetensors"
    save_file(load_file(ours), bare)
    with pytest.raises(WeightsError, match="without the header") as caught:
        convert_file(bare)
    assert "metadata" in caught.value.hint


def test_half_keeps_vectors_exact(tmp_path: Path) -> None:
    model = hugging_face()
    conversion = convert_file(saved(original(model), tmp_path))
    state = halved(conversion.state)
    assert state["encoder.blocks.0.attn.qkv.weight"].dtype == torch.float16
    assert state["heads.coco.bn1.running_var"].dtype == torch.float32
    path = tmp_path / "half.safetensors"
    save_checkpoint(path, state, conversion.header)
    with torch.no_grad():
        difference = load_model(path)(crops()) - maps_of(model, crops())
    assert 0 < difference.abs().max() < 1e-2  # rounding to 11 bits, over four blocks

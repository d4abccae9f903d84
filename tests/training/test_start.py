from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from foreign_layouts import SETS, decoder, hugging_face, mmpose, original
from training_cases import small_run

from vitpose_cli.config import parse_config
from vitpose_cli.errors import ConfigError, WeightsError
from vitpose_cli.models.attention import AttentionConfig
from vitpose_cli.models.checkpoint import CheckpointHeader, HeadHeader, read_header, save_checkpoint
from vitpose_cli.models.masked import PixelDecoderConfig
from vitpose_cli.models.tensor_files import read_state, write_tensors
from vitpose_cli.models.vitpose import HeadKind, ViTPose
from vitpose_cli.pose.keypoints import KEYPOINT_SETS, KeypointSet
from vitpose_cli.training.config import AttentionOptions, ModelOptions, TrainConfig
from vitpose_cli.training.start import (
    build_network,
    first_network,
    next_network,
    with_input_sizes,
)

COCO = {"coco": KEYPOINT_SETS["coco"]}
MPII = {"mpii": KEYPOINT_SETS["mpii"]}
SCRATCH = ModelOptions(variant="tiny-test", head="simple")


def saved(folder: Path, **changes: object) -> Path:
    """Write weights of a tiny network with a COCO head."""
    header = CheckpointHeader(
        variant="tiny-test",
        heads={"coco": HeadHeader("simple", KEYPOINT_SETS["coco"], "udp")},
        input_wh=(48, 64),
        source="a test",
        licence="none",
        patch_shift=True,
    )
    header = replace(header, **changes)  # type: ignore[arg-type]
    path = folder / "weights.safetensors"
    torch.manual_seed(1)
    save_checkpoint(path, ViTPose(header.config()).state_dict(), header)
    return path


def test_from_scratch_with_every_default() -> None:
    network = build_network(SCRATCH, COCO, (48, 64))
    assert network.header.input_wh == network.model.config.input_wh == (48, 64)
    assert network.header.heads["coco"].alignment == "udp"
    assert network.model.training
    assert build_network(ModelOptions(variant="base"), COCO, (48, 64)).model.config.drop_path == 0.3


def test_weights_of_ours_keep_their_head_and_shift(tmp_path: Path) -> None:
    path = saved(tmp_path)
    network = build_network(ModelOptions(weights=str(path)), COCO, (48, 64))
    assert network.header.patch_shift
    assert network.header.variant == "tiny-test"
    torch.manual_seed(1)
    original = ViTPose(network.header.config())
    for key, value in original.state_dict().items():
        assert torch.equal(network.model.state_dict()[key], value), key


def test_another_keypoint_set_gets_a_new_head_and_keeps_the_encoder(tmp_path: Path) -> None:
    path = saved(tmp_path)
    ours = build_network(ModelOptions(weights=str(path)), COCO, (48, 64)).model.state_dict()
    other = build_network(ModelOptions(weights=str(path)), MPII, (48, 64)).model.state_dict()
    assert other["heads.mpii.final.weight"].shape[0] == 16
    assert all(torch.equal(other[key], ours[key]) for key in other if key.startswith("encoder."))


def test_another_kind_of_head_starts_anew(tmp_path: Path) -> None:
    path = saved(tmp_path)
    options = ModelOptions(weights=str(path), head="classic")
    network = build_network(options, COCO, (48, 64))
    assert "heads.coco.deconv1.weight" in network.model.state_dict()
    said = f"The head coco starts anew: model.head is classic, that of {path} simple."
    assert network.notes == (said,)


ROBOT = KeypointSet.from_category({"name": "robot", "keypoints": ["left_arm", "right_arm", "top"]})


def test_a_custom_head_is_kept_where_only_its_drawing_differs(tmp_path: Path) -> None:
    path = saved(tmp_path, heads={"robot": HeadHeader("simple", ROBOT, "classic")})
    joined = replace(
        ROBOT,
        edges=((0, 2), (1, 2)),
        oks_sigmas=(0.1, 0.1, 0.2),
        source="a file",
        stated=frozenset({"sigmas"}),
    )
    network = build_network(ModelOptions(weights=str(path)), {"robot": joined}, (48, 64))
    key = "heads.robot.final.weight"
    assert torch.equal(network.model.state_dict()[key], read_state(path)[key])
    assert network.header.heads["robot"] == HeadHeader("simple", joined, "classic")
    assert network.notes == (
        f"The head robot is taken over from {path}.",
        "`sigmas` of robot are those of the files (0.1, 0.1, 0.2), no longer those of "
        f"{path} (0.067, 0.067, 0.067).",
    )
    assert not network.drawn_heads
    other = replace(ROBOT, names=("left_leg", "right_leg", "end"))
    network = build_network(ModelOptions(weights=str(path)), {"robot": other} | MPII, (48, 64))
    assert network.drawn_heads.keys() == {"robot", "mpii"}
    assert network.notes == (
        f"The head robot starts anew: {path} has none of its keypoints.",
        f"The head mpii starts anew: {path} has none of its keypoints.",
    )


@pytest.mark.parametrize("kind", ["simple", "classic"])
def test_a_head_begins_with_the_keypoints_that_the_weights_have(
    tmp_path: Path, kind: HeadKind
) -> None:
    path = saved(tmp_path, heads={"robot": HeadHeader(kind, ROBOT, "classic")})
    theirs, old = read_state(path), "heads.robot."
    names = ("base", "top", "right_arm", "tool", "left_arm")
    taller = KeypointSet.from_category({"name": "crane", "keypoints": list(names)})
    network = build_network(ModelOptions(weights=str(path)), {"crane": taller}, (48, 64))
    ours, new = network.model.state_dict(), "heads.crane."
    assert network.header.heads["crane"] == HeadHeader(kind, taller, "classic")
    for key, value in theirs.items():
        if not key.startswith(f"{old}final."):
            assert torch.equal(ours[key.replace(old, new)], value), key
    for part in ("weight", "bias"):
        final, there = ours[f"{new}final.{part}"], theirs[f"{old}final.{part}"]
        assert torch.equal(final[[4, 2, 1]], there)
    assert network.drawn_heads == {"crane": f"{path} has 3 of its 5 keypoints"}
    assert network.notes == (
        f"The head crane is taken over from {path}, where it is called robot, for 3 of its "
        "keypoints; the other 2 start anew.",
    )


def test_a_head_of_the_same_keypoints_in_another_order_is_taken_over(tmp_path: Path) -> None:
    path = saved(tmp_path, heads={"robot": HeadHeader("simple", ROBOT, "udp")})
    turned = KeypointSet.from_category({"name": "robot", "keypoints": [*reversed(ROBOT.names)]})
    network = build_network(ModelOptions(weights=str(path)), {"robot": turned}, (48, 64))
    assert not network.drawn_heads
    assert network.notes == (f"The head robot is taken over from {path}.",)
    key = "heads.robot.final.weight"
    assert torch.equal(network.model.state_dict()[key].flip(0), read_state(path)[key])


def test_only_a_head_that_is_taken_over_is_drawn_as_in_the_weights(tmp_path: Path) -> None:
    old = HeadHeader("simple", ROBOT, "classic", blob_sigma=3.0, region="square")
    path = saved(tmp_path, heads={"robot": old}, patch_shift=False)
    crane = KeypointSet.from_category({"name": "crane", "keypoints": ["top", "base"]})
    for options, head, squares in (
        ({}, replace(old, keypoint_set=crane, region="fitted"), 1),
        ({"head": "classic"}, HeadHeader("classic", crane, "udp"), 0),
        ({"stride": 8}, HeadHeader("simple", crane, "udp"), 0),
    ):
        model = {"weights": str(path)} | options
        config = parse_config(TrainConfig, small_run(tmp_path, model=model))
        network = first_network(config, {"crane": crane})
        assert network.header.heads["crane"] == head
        said = [note for note in network.notes if "was shown square regions" in note]
        assert len(said) == squares


@pytest.mark.parametrize(
    ("names", "pairs", "sigmas"),
    [
        (("p3", "p2", "p1", "p0"), ((0, 3),), (0.4, 0.3, 0.2, 0.1)),
        (("p3", "p0"), ((0, 1),), (0.4, 0.1)),
        (("p1", "p0"), (), (0.2, 0.1)),
    ],
)
def test_a_head_gives_its_pairs_and_sigmas_by_name(
    tmp_path: Path,
    names: tuple[str, ...],
    pairs: tuple[tuple[int, int], ...],
    sigmas: tuple[float, ...],
) -> None:
    plain = KeypointSet.from_category({"name": "p", "keypoints": ["p0", "p1", "p2", "p3"]})
    told = replace(plain, flip_pairs=((0, 3),), oks_sigmas=(0.1, 0.2, 0.3, 0.4))
    path = saved(tmp_path, heads={"p": HeadHeader("simple", told, "udp")})
    ours = KeypointSet.from_category({"name": "p", "keypoints": [*names]})
    network = build_network(ModelOptions(weights=str(path)), {"p": ours}, (48, 64))
    found = network.header.heads["p"].keypoint_set
    assert (found.flip_pairs, found.oks_sigmas) == (pairs, sigmas)
    changed = [note.split(" of p:")[0] for note in network.notes if "No file states" in note]
    assert changed == [f"No file states `{what}`" for what in ("flip_pairs", "sigmas")][not pairs :]
    more = KeypointSet.from_category({"name": "p", "keypoints": [*names, "tip"]})
    network = build_network(ModelOptions(weights=str(path)), {"p": more}, (48, 64))
    assert network.header.heads["p"].keypoint_set == more


@pytest.mark.parametrize("part", [slice(3), (slice(None), slice(5))])
def test_a_head_that_does_not_fit_its_header_is_refused(
    tmp_path: Path, part: slice | tuple[slice, slice]
) -> None:
    path = saved(tmp_path)
    state, header = read_state(path), read_header(path)
    state["heads.coco.final.weight"] = state["heads.coco.final.weight"][part].clone()
    save_checkpoint(path, state, header)
    with pytest.raises(WeightsError, match="does not fit a tiny-test network"):
        build_network(ModelOptions(weights=str(path)), COCO, (48, 64))


def test_stride_and_attention_are_those_of_the_weights(tmp_path: Path) -> None:
    windows = AttentionConfig("window+shift", (2, 2))
    path = saved(tmp_path, stride=8, patch_shift=False, attention=windows)
    options = ModelOptions(weights=str(path))
    network = build_network(options, COCO, (48, 64))
    assert (network.header.stride, network.header.attention) == (8, windows)
    assert all(torch.equal(network.model.state_dict()[k], v) for k, v in read_state(path).items())
    attention = AttentionOptions(pattern="full")
    changes = {"stride": 16, "attention": attention}
    network = build_network(options.model_copy(update=changes), COCO, (48, 64))
    assert (network.header.stride, network.header.attention) == (16, AttentionConfig())
    said = f"The head coco starts anew: model.stride is 16, that of {path} 8."
    assert network.notes == (said,)
    pixels = PixelDecoderConfig(0.75, None, 1, True)
    network = build_network(options, {}, (48, 64), pixels)
    assert (network.header.stride, network.header.attention) == (16, AttentionConfig())


def test_weights_with_a_shift_can_be_taken_to_stride_8(tmp_path: Path) -> None:
    path = saved(tmp_path)
    network = build_network(ModelOptions(weights=str(path), stride=8), COCO, (48, 64))
    assert not network.header.patch_shift
    with pytest.raises(ConfigError, match="patch_shift is set with stride 8"):
        build_network(ModelOptions(weights=str(path), stride=8, patch_shift=True), COCO, (48, 64))


def test_keypoints_to_measure_are_learnt_or_known(tmp_path: Path) -> None:
    path = saved(tmp_path)
    scratch = parse_config(TrainConfig, small_run(tmp_path))
    unlearnt = r"from no source of data\.train with a `repeat` above 0: "
    with pytest.raises(ConfigError, match=rf"{unlearnt}coco \(there are no model\.weights\)"):
        first_network(scratch, MPII | COCO, MPII)
    model = {"weights": str(path)}
    known = parse_config(TrainConfig, small_run(tmp_path, model=model))
    assert first_network(known, MPII | COCO, MPII).drawn_heads.keys() == {"mpii"}
    other = parse_config(TrainConfig, small_run(tmp_path, model=model | {"head": "classic"}))
    with pytest.raises(ConfigError, match=rf"{unlearnt}coco \(model\.head is classic, that of "):
        first_network(other, MPII | COCO, MPII)
    stages = [{"steps": 1, "loss": {"kind": kind}} for kind in ("cross_entropy", "mse")]
    afresh = parse_config(TrainConfig, small_run(tmp_path, model=model, stages=stages))
    with pytest.raises(ConfigError, match=rf"{unlearnt}coco \(after a stage with another kind"):
        first_network(afresh, MPII | COCO, MPII)
    with pytest.raises(ConfigError, match=rf"{unlearnt}mpii \(.* has 12 of its 16 keypoints"):
        first_network(known, MPII | COCO, COCO)


def test_no_more_blocks_than_there_are_can_be_frozen(tmp_path: Path) -> None:
    all_of_them, one_more = (
        parse_config(TrainConfig, small_run(tmp_path, freeze={"blocks": blocks}))
        for blocks in (4, 5)
    )
    first_network(all_of_them, COCO)
    with pytest.raises(ConfigError, match="is 5; tiny-test has 4 blocks") as caught:
        first_network(one_more, COCO)
    assert caught.value.hint.startswith("Give 4 at most")


def test_small_networks_with_other_attention_heads_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained: made(name))
    small = "timm:vit_small_patch16_224"
    with pytest.raises(WeightsError, match="has 6 attention heads where ViTPose's small has 12"):
        build_network(ModelOptions(weights=small), COCO, (48, 64))
    with pytest.raises(WeightsError, match="resnet18 is no plain vision transformer"):
        build_network(ModelOptions(weights="timm:resnet18"), COCO, (48, 64))
    network = build_network(ModelOptions(weights="timm:vit_tiny_patch16_224"), COCO, (48, 64))
    assert network.header.variant == "tiny"
    assert not network.notes
    file = tmp_path / "small.safetensors"
    write_tensors(file, made("vit_small_patch16_224").state_dict(), {})
    (note,) = build_network(ModelOptions(weights=str(file)), COCO, (48, 64)).notes
    assert note.startswith(f"{file} does not say how many attention heads it has")


def test_a_bare_backbone_is_an_encoder(tmp_path: Path) -> None:
    state = build_network(SCRATCH, COCO, (48, 64)).model.encoder.state_dict()
    state["pos_embed"] = torch.randn(1, 17, 64)  # a class token and a grid of 4 x 4
    state["cls_token"] = torch.zeros(1, 1, 64)
    path = tmp_path / "mae.safetensors"
    write_tensors(path, state, {})
    network = build_network(ModelOptions(weights=str(path)), COCO, (48, 64))
    assert network.header.variant == "tiny-test"
    qkv = "blocks.2.attn.qkv.weight"
    assert torch.equal(network.model.encoder.state_dict()[qkv], state[qkv])
    assert network.model.encoder.pos_embed.shape == (1, 12, 64)


@pytest.mark.parametrize("layout", ["MAE", "mmpretrain"])
def test_a_backbone_with_the_decoder_of_its_pretraining_is_an_encoder(
    layout: str, tmp_path: Path
) -> None:
    if layout == "MAE":
        state = build_network(SCRATCH, COCO, (48, 64)).model.encoder.state_dict()
        state |= {"pos_embed": torch.randn(1, 17, 64), "cls_token": torch.zeros(1, 1, 64)}
        state["decoder_pos_embed"], norm = torch.zeros(1, 17, 32), "decoder_blocks.0.norm1.weight"
    else:
        state = {key: v for key, v in mmpose(hugging_face()).items() if "head" not in key}
        state["backbone.pos_embed"] = torch.randn(1, 197, 64)
        state["backbone.cls_token"] = torch.zeros(1, 1, 64)
        state["neck.decoder_pos_embed"], norm = torch.zeros(1, 197, 32), "neck.blocks.0.ln1.weight"
    path = tmp_path / "pretrained.safetensors"
    write_tensors(path, {**state, norm: torch.ones(32)}, {})
    network = build_network(ModelOptions(weights=str(path)), COCO, (48, 64))
    assert network.header.variant == "tiny-test"


def test_a_published_vitpose_plus_keeps_its_experts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    theirs = hugging_face(part_features=16)
    state = original(theirs, [decoder(theirs, count) for count in list(SETS.values())[1:]])
    torch.save({"state_dict": state}, tmp_path / "plus.pth")
    options = ModelOptions(weights=str(tmp_path / "plus.pth"), experts=True)
    sets = {name: KEYPOINT_SETS[name] for name in ("ap10k", "coco")}
    network = build_network(options, sets, (48, 64))
    assert (network.header.num_experts, network.header.heads["ap10k"].alignment) == (2, "classic")
    ours = network.model.state_dict()
    for name, expert, head in (
        ("ap10k", 3, "associate_keypoint_heads.2"),
        ("coco", 0, "keypoint_head"),
    ):
        own = f"encoder.blocks.1.mlp.experts.{network.header.heads[name].expert}.weight"
        assert torch.equal(ours[own], state[f"backbone.blocks.1.mlp.experts.{expert}.weight"])
        assert torch.equal(ours[f"heads.{name}.final.weight"], state[f"{head}.final_layer.weight"])
    # Without experts, the plain network of the first set that is known.
    plain = build_network(options.model_copy(update={"experts": False}), sets, (48, 64)).model
    layer = plain.state_dict()["encoder.blocks.1.mlp.fc2.weight"]
    assert torch.equal(layer[-16:], state["backbone.blocks.1.mlp.experts.3.weight"])


def test_stages_without_a_size_have_that_of_the_weights(tmp_path: Path) -> None:
    model = {"weights": str(saved(tmp_path))}
    stages = [{"steps": 1}, {"steps": 1, "input_wh": [96, 128]}]
    config = parse_config(TrainConfig, small_run(tmp_path, model=model, stages=stages))
    sizes = [stage.input_wh for stage in with_input_sizes(config).stages]
    assert sizes == [(48, 64), (96, 128)]
    scratch = parse_config(TrainConfig, small_run(tmp_path, stages=stages))
    assert with_input_sizes(scratch).stages[0].input_wh == (192, 256)
    table = {"pos_embed": torch.zeros(1, 16, 64), "patch_embed.proj.weight": torch.zeros(1)}
    table["blocks.0.attn.qkv.weight"] = torch.zeros(1)
    write_tensors(tmp_path / "mae.safetensors", table, {})
    model = {"weights": str(tmp_path / "mae.safetensors")}
    bare = parse_config(TrainConfig, small_run(tmp_path, model=model, stages=stages))
    assert with_input_sizes(bare).stages[0].input_wh == (192, 256)


def test_contradictions_are_named(tmp_path: Path) -> None:
    path = saved(tmp_path)
    with pytest.raises(ConfigError, match="is tiny-test"):
        build_network(ModelOptions(weights=str(path), variant="small"), COCO, (48, 64))
    with pytest.raises(ConfigError, match="sizes are tiny-test, tiny"):
        build_network(ModelOptions(), COCO, (48, 64))
    with pytest.raises(WeightsError):
        build_network(ModelOptions(weights=str(tmp_path / "none.pth")), COCO, (48, 64))


def test_the_next_stage_has_the_same_weights_for_another_size() -> None:
    torch.manual_seed(0)
    options = SCRATCH.model_copy(update={"drop_path": 0.3, "activation_checkpointing": True})
    first = build_network(options, COCO, (48, 64))
    second = next_network(first, (96, 128), fresh_heads=False)
    assert second.model.encoder.blocks[-1].drop_path1.drop_prob == pytest.approx(0.3)
    assert second.model.encoder.grad_checkpointing
    before, after = first.model.state_dict(), second.model.state_dict()
    assert after.pop("encoder.pos_embed").shape == (1, 48, 64)
    assert all(torch.equal(value, before[key]) for key, value in after.items())
    assert second.header.input_wh == (96, 128)
    third = next_network(first, (48, 64), fresh_heads=True).model.state_dict()
    assert torch.equal(third["encoder.pos_embed"], before["encoder.pos_embed"])
    assert not torch.equal(third["heads.coco.final.weight"], before["heads.coco.final.weight"])


def test_mimetic_attention_looks_at_what_is_alike() -> None:
    torch.manual_seed(0)
    options = SCRATCH.model_copy(update={"initialisation": "mimetic"})
    encoder = build_network(options, COCO, (48, 64)).model.encoder
    attention = encoder.blocks[0].attn
    query, key, value = attention.qkv.weight.detach().chunk(3)
    assert attention.qkv.bias.detach().abs().max() == 0
    for head in range(4):
        rows = slice(16 * head, 16 * head + 16)
        product = query[rows].T @ key[rows]
        # Of rank 16, nearest to 0.7 noise + 0.7 identity: its diagonal stands out.
        off = product - torch.diag(product.diagonal())
        assert product.diagonal().mean() > 3 * off.abs().mean()
    passed_on = attention.proj.weight.detach() @ value
    assert passed_on.diagonal().mean() == pytest.approx(-0.4, abs=0.1)
    table = encoder.pos_embed.detach()[0]
    assert table.abs().max() <= 0.5
    distances = torch.cdist(table, table)
    assert distances[0, 1] < distances[0, 2]  # neighbours are nearer than others

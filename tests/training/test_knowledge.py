"""The knowledge token: learnt alone, then frozen beside a student's patches."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from training_cases import COCO, losses, small_run, small_teacher, write_coco
from training_runs import Listener, goes_on_with_the_same_bits

from vitpose_cli.config import parse_config
from vitpose_cli.errors import ConfigError, WeightsError
from vitpose_cli.models.attention import AttentionConfig
from vitpose_cli.models.checkpoint import load_model, read_header, save_checkpoint
from vitpose_cli.models.tensor_files import read_state
from vitpose_cli.models.vitpose import VARIANTS, HeadConfig, ViTPose, ViTPoseConfig
from vitpose_cli.training.config import ModelOptions, TrainConfig
from vitpose_cli.training.knowledge import TOKEN, fitted_token, teacher_with_token
from vitpose_cli.training.loop import train
from vitpose_cli.training.metrics import Silence
from vitpose_cli.training.plan import plan_training
from vitpose_cli.training.start import build_network

STAGES = [{"input_wh": [48, 64], "steps": 4, "batch_size": 6}]


def configured(folder: Path, **changes: Any) -> TrainConfig:
    data = small_run(folder)["data"] | {"validation": []}
    return parse_config(TrainConfig, small_run(folder, data=data, stages=STAGES) | changes)


def learnt_token(folder: Path, **changes: Any) -> Path:
    """Run `task: token` on a small teacher; return its weights."""
    write_coco(folder, 6)
    model = {"weights": str(small_teacher(folder))}
    config = configured(folder, task="token", model=model, **changes)
    return train(config, folder / "token", Silence()).weights


def test_a_teacher_learns_its_token_and_nothing_else(tmp_path: Path) -> None:
    path = learnt_token(tmp_path, ema=None)
    before, after = read_state(tmp_path / "teacher.safetensors"), read_state(path)
    assert after.keys() - before.keys() == {TOKEN}
    for key, value in before.items():  # batch statistics of its classic decoder, too
        if key != "encoder.pos_embed":  # resampled to the stage's input
            assert torch.equal(after[key], value), key
    torch.manual_seed(0)
    first = teacher_with_token(str(tmp_path / "teacher.safetensors"), (48, 64)).model
    assert after[TOKEN].shape == (1, 1, 64)
    assert (after[TOKEN] - first.encoder.knowledge_token).abs().min() > 1e-5
    model = {"weights": str(tmp_path / "teacher.safetensors")}
    plan = plan_training(configured(tmp_path, task="token", model=model))
    assert plan.trainable[0] == 64
    assert [(one.weight_decay, one.num_tensors) for one in plan.groups] == [(0.0, 1)]


def test_a_token_is_learnt_on_fitted_regions_and_says_so(tmp_path: Path) -> None:
    write_coco(tmp_path, 6)
    path = small_teacher(tmp_path)
    header = read_header(path)
    heads = {name: replace(head, region="square") for name, head in header.heads.items()}
    save_checkpoint(path, read_state(path), replace(header, heads=heads))
    said = Listener()
    config = configured(tmp_path, task="token", model={"weights": str(path)})
    learnt = train(config, tmp_path / "token", said).weights
    assert [head.region for head in read_header(learnt).heads.values()] == ["fitted"]
    assert any("was shown square regions" in note for note in said.notes)
    distil = configured(tmp_path, distill={"teacher": str(path)})
    assert any("was shown square regions" in note for note in plan_training(distil).notes)


def test_a_token_is_learnt_for_the_blobs_of_each_head(tmp_path: Path) -> None:
    same = learnt_token(tmp_path / "same")
    write_coco(tmp_path, 6)
    path = small_teacher(tmp_path)
    header = read_header(path)
    heads = {name: replace(head, blob_sigma=1.0) for name, head in header.heads.items()}
    save_checkpoint(path, read_state(path), replace(header, heads=heads))
    config = configured(tmp_path, task="token", model={"weights": str(path)})
    learnt = train(config, tmp_path / "token", Silence()).weights
    assert [head.blob_sigma for head in read_header(learnt).heads.values()] == [1.0]
    assert losses(tmp_path / "token") != losses(tmp_path / "same" / "token"), "other targets"
    assert [head.blob_sigma for head in read_header(same).heads.values()] == [2.0]
    stages = [STAGES[0] | {"loss": {"blob_sigma": 1.0}}]
    with pytest.raises(ConfigError, match=r"leave out stages\.0\.loss\.blob_sigma"):
        configured(tmp_path, task="token", model={"weights": str(path)}, stages=stages)


def test_a_token_is_learnt_in_less_memory(tmp_path: Path) -> None:
    plain = read_state(learnt_token(tmp_path))[TOKEN]
    model = {
        "weights": str(tmp_path / "teacher.safetensors"),
        "activation_checkpointing": True,
    }
    config = configured(tmp_path, task="token", model=model)
    path = train(config, tmp_path / "again", Silence()).weights
    assert torch.equal(read_state(path)[TOKEN], plain)


def test_the_students_token_never_changes_and_stays_for_labelling(tmp_path: Path) -> None:
    token = learnt_token(tmp_path)
    distill = {"token": str(token), "teacher": str(tmp_path / "teacher.safetensors")}
    config = configured(tmp_path, distill=distill, ema={"decay": 0.5, "warmup": False})
    weights = train(config, tmp_path / "student", Silence()).weights
    torch.manual_seed(config.seed)
    plain = build_network(config.model, {"coco": COCO}, (48, 64)).model
    stored = read_state(weights)
    assert torch.equal(stored[TOKEN], fitted_token(token, plain))
    assert torch.equal(stored[TOKEN], fitted_token(tmp_path / "token", plain)), "of a run's folder"
    state = torch.load(tmp_path / "student" / "state.pt", weights_only=True)["stage"]
    assert torch.equal(state["model"][TOKEN], stored[TOKEN])
    assert torch.equal(state["average"][TOKEN], stored[TOKEN])
    assert not torch.equal(stored["encoder.norm.weight"], plain.state_dict()["encoder.norm.weight"])
    assert read_header(weights).knowledge_token
    model = load_model(weights)
    images = torch.randn(2, 3, 64, 48)
    with torch.no_grad():
        maps = model(images)
        model.encoder.knowledge_token.zero_()
        assert maps.shape == (2, 17, 16, 12)
        assert not torch.allclose(model(images), maps)
    # And it goes along into runs that start from these weights.
    again = build_network(ModelOptions(weights=str(weights)), {"coco": COCO}, (96, 128))
    assert torch.equal(again.model.encoder.knowledge_token, stored[TOKEN])
    assert not again.model.encoder.knowledge_token.requires_grad


def test_a_token_stays_what_it_is_between_equal_embeddings(tmp_path: Path) -> None:
    token = learnt_token(tmp_path)
    same = load_model(token)
    # Singular values of a random 64 x 768 matrix lie close together: none is lost.
    torch.testing.assert_close(
        fitted_token(token, same), same.encoder.knowledge_token, atol=1e-5, rtol=1e-4
    )


def test_a_token_of_another_width_is_embedded_as_the_same_pixels(tmp_path: Path) -> None:
    token = learnt_token(tmp_path)
    torch.manual_seed(5)
    config = ViTPoseConfig(VARIANTS["tiny"], {"coco": HeadConfig("simple", 17)}, (48, 64))
    student = ViTPose(config)
    fitted = fitted_token(token, student)
    assert fitted.shape == (1, 1, 192)
    there, here = load_model(token).encoder, student.encoder

    def pixels_of(encoder: Any, one: torch.Tensor) -> torch.Tensor:
        matrix = encoder.patch_embed.proj.weight.detach().double().flatten(1)
        offset = encoder.patch_embed.proj.bias + encoder.pos_embed.mean(dim=(0, 1))
        # Of all patches with this token the shortest; the student's sees more than the teacher's.
        relative = (one.flatten() - offset).detach().double()
        return torch.linalg.pinv(matrix) @ relative  # type: ignore[no-any-return]

    theirs = pixels_of(there, there.knowledge_token)
    back = here.patch_embed.proj.weight.detach().double().flatten(1) @ theirs
    offset = (here.patch_embed.proj.bias + here.pos_embed.mean(dim=(0, 1))).detach()
    moved = (fitted.flatten() - offset).double()
    assert torch.cosine_similarity(back, moved, dim=0) > 0.9999
    origin = there.patch_embed.proj.bias + there.pos_embed.mean(dim=(0, 1))
    relative = (there.knowledge_token.flatten() - origin).detach()
    ours, theirs = (one.patch_embed.proj.weight.detach().norm() for one in (here, there))
    assert float(moved.norm() / relative.norm()) == pytest.approx(float(ours / theirs))


def test_a_stopped_run_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    token = learnt_token(tmp_path)
    distill = {"token": str(token), "teacher": str(tmp_path / "teacher.safetensors")}
    config = configured(tmp_path, distill=distill)
    goes_on_with_the_same_bits(config, tmp_path, 2)


def test_what_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"needs model\.weights"):
        configured(tmp_path, task="token")
    other = {"weights": str(small_teacher(tmp_path)), "variant": "tiny"}
    write_coco(tmp_path, 2)
    with pytest.raises(ConfigError, match=r"variant is tiny, but .* is tiny-test"):
        plan_training(configured(tmp_path, task="token", model=other))
    with pytest.raises(WeightsError, match="no knowledge token"):
        fitted_token(small_teacher(tmp_path), load_model(small_teacher(tmp_path)))
    shape = ViTPoseConfig(VARIANTS["tiny-test"], {}, (48, 64))
    with pytest.raises(ConfigError, match="no place in window attention"):
        replace(shape, attention=AttentionConfig("window"), knowledge_token=True)

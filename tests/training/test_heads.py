"""Which heads of other weights are taken: for the start, for a token, and of teachers."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from foreign_layouts import SETS, decoder, hugging_face, original
from runs import vitpose
from training_cases import small_run, write_coco
from training_runs import Listener

from vitpose_cli.config import parse_config
from vitpose_cli.errors import ConfigError
from vitpose_cli.models.checkpoint import (
    CheckpointHeader,
    HeadHeader,
    read_header,
    save_checkpoint,
)
from vitpose_cli.models.tensor_files import read_state
from vitpose_cli.models.vitpose import ViTPose
from vitpose_cli.pose.alike_sets import same_sets
from vitpose_cli.pose.keypoints import KEYPOINT_SETS, KeypointSet
from vitpose_cli.training.config import DistillOptions, ModelOptions, TrainConfig
from vitpose_cli.training.loop import train
from vitpose_cli.training.plan import plan_training
from vitpose_cli.training.process import Placement
from vitpose_cli.training.start import build_network
from vitpose_cli.training.teachers import open_teachers

CPU = torch.device("cpu")
STAGES = [{"input_wh": [48, 64], "steps": 1, "batch_size": 2}]


def saved(folder: Path, *sets: KeypointSet, experts: bool = False) -> Path:
    """Write weights of a tiny network with a head for each set."""
    header = CheckpointHeader(
        variant="tiny-test",
        heads={
            one.name: HeadHeader("simple", one, "udp", number if experts else 0)
            for number, one in enumerate(sets)
        },
        input_wh=(48, 64),
        source="a test",
        licence="none",
        num_experts=len(sets) if experts else 0,
    )
    path = folder / "weights.safetensors"
    torch.manual_seed(1)
    model = ViTPose(header.config())
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    save_checkpoint(path, model.state_dict(), header)
    return path


def labelled(folder: Path, keypoints: KeypointSet, name: str = "people") -> dict[str, Any]:
    """Write pictures of people labelled with a set; return them as a source."""
    path = write_coco(folder / name, 4)
    document = json.loads(path.read_text())
    document["categories"] = [keypoints.to_category()]
    for one in document["annotations"]:
        one["keypoints"] = one["keypoints"][: 3 * keypoints.num_keypoints]
    path.write_text(json.dumps(document))
    return {"kind": "coco", "annotations": str(path), "images": str(path.parent / "images")}


def configured(folder: Path, source: dict[str, Any], **changes: Any) -> TrainConfig:
    data = {"train": [source], "threads": 1}
    values = small_run(folder, data=data, stages=STAGES, ema=None, validation={})
    return parse_config(TrainConfig, values | changes)


def dog(*names: str, called: str = "dog") -> KeypointSet:
    return KeypointSet.from_category({"name": called, "keypoints": list(names)})


DOG = dog("nose", "left_ear", "right_ear")


def test_the_same_keypoints_are_found_by_their_name_first() -> None:
    first, second = replace(DOG, name="first"), replace(DOG, name="second")
    known = {"cat": dog("nose"), "first": first, "second": second}
    assert same_sets({"second": second}, known) == {"second": "second"}
    assert same_sets({"cat": DOG, "coco": KEYPOINT_SETS["coco"]}, known) == {"cat": "first"}


def test_weights_of_apt36k_are_tuned_on_a_file_of_animals(tmp_path: Path) -> None:
    path = saved(tmp_path, KEYPOINT_SETS["apt36k"])
    sets = {"ap10k": KEYPOINT_SETS["ap10k"]}
    network = build_network(ModelOptions(weights=str(path)), sets, (48, 64))
    assert network.notes == (
        f"The head ap10k is taken over from {path}, where it is called apt36k.",
    )
    assert not network.drawn_heads
    ours, theirs = network.model.state_dict(), read_state(path)
    assert ours.keys() == {key.replace("apt36k", "ap10k") for key in theirs}
    assert all(torch.equal(theirs[key.replace("ap10k", "apt36k")], ours[key]) for key in ours)


def test_the_expert_of_the_same_keypoints_is_taken(tmp_path: Path) -> None:
    path = saved(tmp_path, KEYPOINT_SETS["coco"], KEYPOINT_SETS["apt36k"], experts=True)
    sets = {"ap10k": KEYPOINT_SETS["ap10k"]}
    theirs = read_state(path)
    whole = build_network(ModelOptions(weights=str(path), experts=True), sets, (48, 64))
    plain = build_network(ModelOptions(weights=str(path)), sets, (48, 64))
    layer = "encoder.blocks.1.mlp"
    own = theirs[f"{layer}.experts.1.weight"]
    assert torch.equal(whole.model.state_dict()[f"{layer}.experts.0.weight"], own)
    assert torch.equal(plain.model.state_dict()[f"{layer}.fc2.weight"][-len(own) :], own)


def test_a_head_that_is_only_measured_sees_what_it_learnt_on(tmp_path: Path) -> None:
    mpii, coco = KEYPOINT_SETS["mpii"], KEYPOINT_SETS["coco"]
    path = saved(tmp_path, coco, mpii)
    header = read_header(path)
    heads = {name: replace(head, region="square") for name, head in header.heads.items()}
    save_checkpoint(path, read_state(path), replace(header, heads=heads))
    learnt, measured = labelled(tmp_path, coco), labelled(tmp_path, mpii, "measured")
    label_with(path, "mpii", Path(measured["annotations"]))
    data = {"train": [learnt], "validation": [measured], "threads": 1}
    model, freeze = {"weights": str(path)}, {"encoder": True}
    said = Listener()
    config = configured(tmp_path, learnt, data=data, model=model, freeze=freeze)
    weights = train(config, tmp_path / "run", said).weights
    regions = {name: head.region for name, head in read_header(weights).heads.items()}
    assert regions == {"coco": "fitted", "mpii": "square"}
    squares = [note for note in said.notes if "was shown square regions" in note]
    assert squares == [
        "The head coco was shown square regions, and is shown those of the input now."
    ]
    assert said.lines[-1]["AP"] == pytest.approx(1, abs=0.01)
    done = vitpose(
        "evaluate", "-a", measured["annotations"], "-i", measured["images"], "--gt-boxes",
        "-w", weights, "--keypoint-set", "mpii", "--json", "--device", "cpu", "--precision", "fp32",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["coco"]["AP"] == said.lines[-1]["AP"]


def test_heads_that_are_left_behind_are_told(tmp_path: Path) -> None:
    path = saved(tmp_path, *(KEYPOINT_SETS[name] for name in ("coco", "mpii", "aic")))
    learnt = labelled(tmp_path, KEYPOINT_SETS["coco"])
    measured = labelled(tmp_path, KEYPOINT_SETS["mpii"], "measured")
    model = {"weights": str(path)}
    for validation, gone in (([], "mpii, aic"), ([measured], "aic")):
        data = {"train": [learnt], "validation": validation, "threads": 1}
        plan = plan_training(configured(tmp_path, learnt, data=data, model=model))
        told = [note for note in plan.notes if "will not" in note]
        assert told == [
            f"What {path} labels as {gone}, the new weights will not: no source has these "
            "keypoints. People who have them in data.validation would keep the head."
        ]
        assert "mpii" in gone or "mpii" in plan.heads
    token = configured(tmp_path, learnt, task="token", model=model)
    assert not [note for note in plan_training(token).notes if "will not" in note]


@pytest.mark.parametrize("tip", [(), ("tip",)])
def test_keypoints_of_a_head_that_are_left_behind_are_told(
    tmp_path: Path, tip: tuple[str, ...]
) -> None:
    path = saved(tmp_path, dog("nose", "tail", "back"), dog("base", called="lamp"))
    ours = {"dog": dog("nose", "tail", *tip)}
    notes = build_network(ModelOptions(weights=str(path)), ours, (48, 64)).notes
    assert [note for note in notes if "will not" in note] == [
        f"Of the 3 keypoints that {path} labels as dog, the new weights will not label 1: back.",
        f"What {path} labels as lamp, the new weights will not: no source has these "
        "keypoints. People who have them in data.validation would keep the head.",
    ]
    ours |= {"rest": dog("tail", "back", *tip, called="rest"), "lamp": dog("base", called="lamp")}
    notes = build_network(ModelOptions(weights=str(path)), ours, (48, 64)).notes
    assert not [note for note in notes if "will not" in note]


def label_with(weights: Path, head: str, annotations: Path) -> None:
    """Put keypoints where a network finds them in the boxes of a file."""
    document = json.loads(annotations.read_text())
    done = vitpose(
        "annotate", annotations.parent / "images", "-o", annotations.parent / "run",
        "--boxes", annotations, "-w", weights, "--keypoint-set", head, "--keypoint-threshold", "0",
        "--device", "cpu", "--precision", "fp32",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((annotations.parent / "run" / "annotations.json").read_text())
    for one, own in zip(document["annotations"], found["annotations"], strict=True):
        one |= {name: own[name] for name in ("keypoints", "num_keypoints")}
    annotations.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("stated", "kept", "said"),
    [
        (
            {},
            (0.2, 0.1),
            "No file states `sigmas` of arm: they are those of {path} (0.2, 0.1), not what names "
            "say (0.067, 0.067).",
        ),
        (
            {"sigmas": [1, 2]},
            (1.0, 2.0),
            "`sigmas` of arm are those of the files (1, 2), no longer those of {path} (0.2, 0.1).",
        ),
    ],
)
def test_a_head_keeps_its_sigmas_unless_a_file_states_others(
    tmp_path: Path, stated: dict[str, Any], kept: tuple[float, ...], said: str
) -> None:
    arm = dog("kp0", "kp1", called="arm")
    path = saved(tmp_path, replace(arm, oks_sigmas=(0.2, 0.1)))
    source = labelled(tmp_path, arm)
    document = json.loads(Path(source["annotations"]).read_text())
    document["categories"][0] |= stated
    Path(source["annotations"]).write_text(json.dumps(document))
    listener = Listener()
    config = configured(tmp_path, source, model={"weights": str(path)})
    weights = train(config, tmp_path / "run", listener).weights
    assert read_header(weights).heads["arm"].keypoint_set.oks_sigmas == kept
    assert said.format(path=path) in listener.notes
    done = vitpose(
        "annotate", Path(source["images"]), "-o", tmp_path / "labels", "-w", weights,
        "--detector", "whole-image", "--device", "cpu",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (category,) = json.loads((tmp_path / "labels/annotations.json").read_text())["categories"]
    assert category["sigmas"] == list(kept)


def test_the_best_weights_are_chosen_by_the_sigmas_of_the_files(tmp_path: Path) -> None:
    path = saved(tmp_path, KEYPOINT_SETS["coco"])
    source = labelled(tmp_path, KEYPOINT_SETS["coco"])
    measured = labelled(tmp_path, KEYPOINT_SETS["coco"], "measured")
    data = {"train": [source], "validation": [measured], "threads": 1}
    aps = []
    for number, stated in enumerate(({}, {"sigmas": [2.0] * 17})):
        annotations = Path(source["annotations"])
        document = json.loads(annotations.read_text())
        document["categories"][0] |= stated
        annotations.write_text(json.dumps(document))
        said = Listener()
        config = configured(tmp_path, source, data=data, model={"weights": str(path)})
        train(config, tmp_path / f"run {number}", said)
        aps.append(said.lines[-1]["AP"])
    assert aps[0] < 0.5
    assert aps[1] > 0.8  # whatever lies within the photo is near enough


def test_a_token_is_learnt_on_keypoints_that_have_another_name(tmp_path: Path) -> None:
    path = saved(tmp_path, KEYPOINT_SETS["coco"], KEYPOINT_SETS["apt36k"], experts=True)
    source = labelled(tmp_path, KEYPOINT_SETS["ap10k"])
    config = configured(tmp_path, source, task="token", model={"weights": str(path)})
    weights = train(config, tmp_path / "run", Listener()).weights
    assert {*read_header(weights).heads} == {"ap10k", "coco"}
    assert read_header(weights).heads["ap10k"].expert == 1
    before, after = read_state(path), read_state(weights)
    for key, value in before.items():
        assert torch.equal(after[key.replace("apt36k", "ap10k")], value), key


@pytest.mark.parametrize("task", ["pose", "token"])
@pytest.mark.parametrize(
    ("stated", "kept", "said"),
    [
        (
            {},
            ((0, 1),),
            "No file states `flip_pairs` of arm: they are those of {path} (kp0 - kp1), not what "
            "names say (none).",
        ),
        (
            {"flip_pairs": []},
            (),
            "`flip_pairs` of arm are those of the files (none), no longer those of {path} "
            "(kp0 - kp1).",
        ),
        ({"flip_pairs": [["kp1", "kp0"]]}, ((0, 1),), None),
    ],
)
def test_a_head_keeps_its_flip_pairs_unless_a_file_states_others(
    tmp_path: Path,
    task: str,
    stated: dict[str, Any],
    kept: tuple[tuple[int, int], ...],
    said: str | None,
) -> None:
    arm = dog("kp0", "kp1", called="arm")
    path = saved(tmp_path, replace(arm, flip_pairs=((0, 1),)), experts=task == "token")
    source = labelled(tmp_path, arm)
    document = json.loads(Path(source["annotations"]).read_text())
    document["categories"][0] |= stated
    Path(source["annotations"]).write_text(json.dumps(document))
    config = configured(tmp_path, source, task=task, model={"weights": str(path)})
    listener = Listener()
    weights = train(config, tmp_path / "run", listener).weights
    assert read_header(weights).heads["arm"].keypoint_set.flip_pairs == kept
    told = [note for note in listener.notes if note.startswith(("`flip_pairs`", "No file"))]
    assert told == ([] if said is None else [said.format(path=path)])
    mirrored = [note for note in listener.notes if note.startswith("In mirrored crops of arm")]
    assert len(mirrored) == len(kept)
    assert [note for note in plan_training(config).notes if note in told] == told


@pytest.mark.parametrize("names", [("right_ear", "nose", "left_ear"), ("nose", "tail")])
def test_a_token_of_other_keypoints_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    path = saved(tmp_path, DOG)
    source = labelled(tmp_path, dog(*names))
    config = configured(tmp_path, source, task="token", model={"weights": str(path)})
    with pytest.raises(ConfigError, match="has no head for the keypoints of dog"):
        plan_training(config)


def test_a_teacher_of_the_same_keypoints_teaches(tmp_path: Path) -> None:
    path = saved(tmp_path, KEYPOINT_SETS["apt36k"])
    options = DistillOptions(teacher=str(path))
    teachers = open_teachers(options, {"ap10k": KEYPOINT_SETS["ap10k"]}, Placement(CPU))
    assert teachers["ap10k"].identity.endswith(" apt36k")


def test_a_vitpose_plus_teaches_all_heads_that_it_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    theirs = hugging_face(part_features=16)
    state = original(theirs, [decoder(theirs, count) for count in list(SETS.values())[1:]])
    torch.save({"state_dict": state}, tmp_path / "plus.pth")
    sets = {name: KEYPOINT_SETS[name] for name in ("ap10k", "coco", "crowdpose")}
    options = DistillOptions(teacher=str(tmp_path / "plus.pth"))
    teachers = open_teachers(options, sets, Placement(CPU))
    assert {*teachers} == {"ap10k", "coco"}
    maps = {name: one.maps(torch.zeros(1, 3, 64, 48)) for name, one in teachers.items()}
    assert not torch.equal(maps["ap10k"], maps["coco"])  # both have 17


def test_a_head_without_a_teacher_is_told(tmp_path: Path) -> None:
    path = saved(tmp_path, KEYPOINT_SETS["coco"])
    sources = [
        labelled(tmp_path, keypoints, keypoints.name) for keypoints in (KEYPOINT_SETS["coco"], DOG)
    ]
    config = configured(tmp_path, sources[0], distill={"teacher": str(path)})
    said = "The teacher does not know the keypoints of dog: this head learns from labels alone."
    assert said not in plan_training(config).notes
    data = config.data.model_copy(
        update={"train": configured(tmp_path, sources[1]).data.train + config.data.train}
    )
    both = config.model_copy(update={"data": data})
    listener = Listener()
    train(both, tmp_path / "run", listener)
    assert said in listener.notes
    assert said in plan_training(both).notes


def test_a_set_that_no_epoch_shows_is_not_learnt(tmp_path: Path) -> None:
    people, dogs = (
        labelled(tmp_path, keypoints, keypoints.name) for keypoints in (KEYPOINT_SETS["coco"], DOG)
    )
    data = {"train": [people, dogs | {"repeat": 0}], "threads": 1}
    config = configured(tmp_path, people, data=data)
    weights = train(config, tmp_path / "run", Listener()).weights
    assert {*read_header(weights).heads} == {"coco"}
    measured = configured(tmp_path, people, data=data | {"validation": [dogs]})
    with pytest.raises(ConfigError, match=r"with a `repeat` above 0: dog"):
        plan_training(measured)
    known = configured(
        tmp_path,
        people,
        data=data | {"validation": [dogs]},
        model={"weights": str(saved(tmp_path, DOG))},
    )
    listener = Listener()
    train(known, tmp_path / "known", listener)
    assert list(listener.lines[-1]["sources"]) == ["1 people"]

"""Runs that an earlier version began: what it took otherwise is told as what it is."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from training_cases import small_run, small_source, write_coco
from training_runs import Listener, one_stage, stopped
from video_cases import write_video

from vitpose_cli.config import parse_config
from vitpose_cli.errors import ConfigError
from vitpose_cli.training.config import TrainConfig
from vitpose_cli.training.loop import train


def write_people(folder: Path) -> None:
    """Write people of two keypoints whose category is the folder's name."""
    path = write_coco(folder, 3)
    document = json.loads(path.read_text())
    names = ["left_arm", "right_arm"]
    document["categories"] = [{"id": 1, "name": folder.name, "keypoints": names}]
    for one in document["annotations"]:
        one["keypoints"] = one["keypoints"][15:21]
    path.write_text(json.dumps(document))


def with_a_head_for_each(state: dict[str, Any]) -> None:
    """Give a state what it had where `person` was no other name of `human`."""
    for part in ("model", "average"):
        values = state["stage"][part] or {}
        heads = {key: value for key, value in values.items() if key.startswith("heads.human.")}
        values |= {key.replace("human", "person"): value for key, value in heads.items()}
    read = state["data"]["read"]
    read["person"] = read["human"] = "of its own people"


@pytest.mark.parametrize("allow_missing", [False, True])
@pytest.mark.parametrize("task", ["pose", "pretrain"])
def test_a_run_with_a_head_for_each_name_of_the_same_keypoints_does_not_go_on(
    tmp_path: Path, task: str, allow_missing: bool
) -> None:
    for name in ("human", "person"):
        write_people(tmp_path / name)
    data = {"train": [small_source(tmp_path / name) for name in ("human", "person")], "threads": 1}
    values = small_run(tmp_path, task=task, data=data)
    stopped(parse_config(TrainConfig, values), tmp_path / "run", 2)
    path = tmp_path / "run" / "state.pt"
    state = torch.load(path, weights_only=True)
    with_a_head_for_each(state)
    torch.save(state, path)
    values["data"] = data | {"allow_missing": allow_missing}
    said = "begun with the keypoint sets human, person; its files now have human"
    with pytest.raises(ConfigError, match=said) as caught:
        train(parse_config(TrainConfig, values), tmp_path / "run", Listener())
    assert "another folder" in caught.value.hint


def test_a_run_whose_pixels_counted_as_square_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    write_video(
        tmp_path / "images" / "clip.mp4", num=3, size_wh=(120, 160), options={"aspect": "4/3"}
    )
    path = write_coco(tmp_path, 3)
    document = json.loads(path.read_text())
    for number, image in enumerate(document["images"]):
        image["file_name"] = f"clip.mp4/frame_{number:06d}.jpg"
    path.write_text(json.dumps(document))
    stopped(one_stage(tmp_path), tmp_path / "run")
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    (known,) = state["data"]["sources"]
    assert known.pop("stretched")
    known["people"] = "of square pixels"
    torch.save(state, tmp_path / "run" / "state.pt")
    with pytest.raises(ConfigError, match="pixels counted as square that are not") as caught:
        train(one_stage(tmp_path), tmp_path / "run", Listener())
    assert str(path) in str(caught.value)
    assert "photos have" not in str(caught.value)
    listener = Listener()
    train(one_stage(tmp_path, allow_missing=True), tmp_path / "run", listener)
    said = f"When the run was begun, pixels counted as square that are not: those of {path}."
    assert said in listener.notes

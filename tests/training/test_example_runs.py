"""Every example configuration runs, in small."""

import json
from pathlib import Path

import pytest
import yaml
from training_cases import small_teacher
from training_runs import Listener, small_source, write_people_and_robots

from vitpose_cli.config import load_config
from vitpose_cli.models.checkpoint import read_header
from vitpose_cli.training.config import TrainConfig
from vitpose_cli.training.loop import train

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "train").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_runs_in_small(tmp_path: Path, path: Path) -> None:
    write_people_and_robots(tmp_path)
    values = yaml.safe_load(path.read_text())
    sources = [small_source(tmp_path, one) for one in values["data"]["train"]]
    changes = [
        "device=cpu",
        "compile=false",
        "model.variant=tiny-test",
        "model.weights=null",
        f"data.train={json.dumps(sources)}",
        f"data.validation={json.dumps(sources[:1])}",
        "data.cache=ram",
    ]
    if values.get("task") == "pretrain":
        changes.append("data.validation=[]")
    if values.get("task") == "token":
        changes.append(f"model.weights={small_teacher(tmp_path)}")
    if "teacher" in values.get("distill", {}):
        changes.append(f"distill.teacher={small_teacher(tmp_path)}")
    if "token" in values.get("distill", {}):
        changes.append(f"distill.token={small_teacher(tmp_path, token=True)}")
    for number in range(len(values["stages"])):
        place = f"stages.{number}"
        changes += [f"{place}.{rest}" for rest in ("epochs=null", "steps=1", "batch_size=4")]
        changes.append(f"{place}.input_wh=[48, 64]")
    outcome = train(load_config(TrainConfig, path, changes), tmp_path / "run", Listener())
    assert outcome.report.exists()
    header = read_header(outcome.weights, backbone=values.get("task") == "pretrain")
    assert header.stride == values["model"].get("stride", 16)
    assert header.num_experts == (len(header.heads) if values["model"].get("experts") else 0)

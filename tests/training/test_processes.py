"""Whole runs of several processes, which talk to each other on the CPU."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
import yaml
from launcher import Fork
from runs import wait_until
from training_cases import (
    Stopping,
    ended,
    losses,
    small_run,
    small_teacher,
    start_together,
    write_coco,
)

from vitpose_cli.config import parse_config
from vitpose_cli.evaluate.coco_metrics import or_none
from vitpose_cli.models.checkpoint import load_model, read_header
from vitpose_cli.training.checkpoints import RunFolder
from vitpose_cli.training.config import TrainConfig
from vitpose_cli.training.data_options import CocoSource
from vitpose_cli.training.loop import train
from vitpose_cli.training.metrics import read_metrics
from vitpose_cli.training.network import Network
from vitpose_cli.training.sources import open_data_source
from vitpose_cli.training.validate import Validator

SHIPPED = Path(__file__).parents[2] / "weights" / "vitpose-tiny.safetensors"

_PATIENT = """
import torch
from torch import distributed
from vitpose_cli.runtime import Process
from vitpose_cli.training.process import Placement, process_group

device = torch.device("cpu")
with process_group(Placement(device, process=Process.from_environment())):
    group = distributed.distributed_c10d._get_default_group()
    print(group._get_backend(device).options._timeout.total_seconds())
"""

_SLOW = """
import sys, time
from pathlib import Path
from vitpose_cli.config import load_config
from vitpose_cli.training.config import TrainConfig
from vitpose_cli.training.loop import train
from vitpose_cli.training.metrics import Silence

class Slow(Silence):
    def note(self, text):
        print("slow:", text)
        time.sleep(1)

    def prepare(self, done, total):
        print("read", done, "of", total)

train(load_config(TrainConfig, Path(sys.argv[1])), Path(sys.argv[2]), Slow())
"""


def trained(config: Path, *outputs: Path) -> list[Fork]:
    """Start a run of as many processes as there are folders."""
    return start_together(*(command(config, output) for output in outputs))


def command(config: Path, output: Path) -> list[str]:
    """Return the arguments of one process of a run."""
    return ["train", "-c", str(config), "-o", str(output)]


def written(folder: Path, **changes: Any) -> tuple[TrainConfig, Path]:
    """Return the configuration of a small run, and the file in which it is."""
    values = small_run(folder, **changes)
    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump(values))
    return parse_config(TrainConfig, values), path


def test_processes_wait_for_each_other_for_many_hours(tmp_path: Path) -> None:
    script = tmp_path / "patient.py"
    script.write_text(_PATIENT)
    for code, said in ended(start_together([], [], script=script)):
        assert code == 0, said
        assert float(said.split()[-1]) > 12 * 3600


def in_a_slurm_step(script: Path, **variables: str) -> list[tuple[int, str]]:
    """Run a script as the two tasks of a step of Slurm's srun; return how they ended."""
    step = {"SLURM_STEP_NUM_TASKS": "2"} | variables
    theirs = ("MASTER_", "SLURM_")
    clean = {key: value for key, value in os.environ.items() if not key.startswith(theirs)}
    tasks = [
        subprocess.Popen(
            [sys.executable, str(script)],
            env=clean | step | {"SLURM_PROCID": rank, "SLURM_LOCALID": rank},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank in ("0", "1")
    ]  # fmt: skip
    try:
        said = [task.communicate(timeout=180)[0] for task in tasks]
    finally:
        for task in tasks:
            task.kill()
    return [(task.returncode, text) for task, text in zip(tasks, said, strict=True)]


def test_tasks_of_a_slurm_step_find_each_other(tmp_path: Path) -> None:
    script = tmp_path / "patient.py"
    script.write_text(_PATIENT)
    job = str(os.getpid())  # another port for each test that runs at the same time
    step = {"SLURM_STEP_NODELIST": "localhost", "SLURM_JOB_ID": job, "SLURM_STEP_ID": "0"}
    for code, said in in_a_slurm_step(script, **step):
        assert code == 0, said
        assert float(said.split()[-1]) > 12 * 3600


STILL: dict[str, Any] = dict.fromkeys(("flip", "shift", "rotation", "half_body"), 0)
"""An augmentation that leaves the pose where it is, which even few steps teach."""


def widen(labels: Path, number: int) -> None:
    """Make the photo of a COCO file at position `number` wider, black to the right."""
    document = json.loads(labels.read_text())
    image = document["images"][number]
    photo = labels.parent / "images" / image["file_name"]
    image["width"] += 30
    cv2.imwrite(str(photo), cv2.copyMakeBorder(cv2.imread(str(photo)), 0, 0, 0, 30, 0))
    labels.write_text(json.dumps(document))


def test_two_processes_measure_what_one_does(tmp_path: Path) -> None:
    widen(write_coco(tmp_path, 8), 1)  # each process reads photos of its own, and their sizes
    config, path = written(
        tmp_path,
        model={"variant": "tiny-test", "head": "classic"},
        augmentation=STILL | {"scale_std": 0},
        optimizer={"lr": 3e-3, "warmup_steps": 0, "schedule": "constant"},
        ema=None,
        stages=[{"input_wh": [48, 64], "steps": 30, "batch_size": 8}],
        validation={"every_steps": 30, "batch_size": 3},
        checkpoint_every=100,
    )
    run = tmp_path / "run"
    for code, said in ended(trained(path, run, run)):
        assert code == 0, said
    (line,) = (one for one in read_metrics(run / "metrics.jsonl") if "AP" in one)
    weights = run / "last.safetensors"
    network = Network(load_model(weights), read_header(weights))
    (options,) = config.data.validation
    assert isinstance(options, CocoSource)
    validator = Validator(
        open_data_source(options, purpose="measuring"),
        "coco",
        network.codec("coco"),
        config.validation,
    )
    found = validator.find(network.model.eval(), torch.device("cpu"), torch.float32)
    assert line["sources"] == {"1 people": or_none(validator.evaluate(found).coco)}
    assert 0 < line["AP"] < 1
    assert (run / "pictures" / "worst-1.jpg").exists()


def learning(folder: Path, run: Path) -> list[Fork]:
    """Start two processes of an endless run, and wait for its first step."""
    write_coco(folder, 8)
    _, path = written(
        folder,
        data=small_run(folder)["data"] | {"validation": []},
        stages=[{"input_wh": [48, 64], "steps": 100_000, "batch_size": 4}],
        checkpoint_every=100_000,
    )
    processes = trained(path, run, run)
    wait_until((run / "pictures" / "samples-1.jpg").exists, processes[0])
    return processes


def test_processes_that_are_told_one_after_the_other_stop_at_one_step(tmp_path: Path) -> None:
    run = tmp_path / "run"
    processes = learning(tmp_path, run)
    processes[1].send_signal(signal.SIGTERM)
    for code, said in ended(processes):
        assert code == 130, said
        assert "interrupted" in said
        assert "bug" not in said
    saved = RunFolder(run).load_state()
    assert saved is not None
    assert saved.position.step == len(losses(run)) > 0


def test_a_photo_that_one_process_cannot_read_is_refused(tmp_path: Path) -> None:
    paths = []
    for name in ("first", "second"):
        write_coco(tmp_path / name, 4)
        data = small_run(tmp_path / name)["data"] | {"validation": [], "allow_missing": True}
        paths.append(written(tmp_path / name, data=data)[1])
    photo = tmp_path / "second" / "images" / "002.png"
    photo.write_bytes(b"no photo".ljust(photo.stat().st_size))
    run = tmp_path / "run"
    for code, said in ended(start_together(*(command(path, run) for path in paths))):
        assert code == 3, said
        text = " ".join(said.split())
        assert "do not see the same: Process 0: all photos can be read. Process 1: " in text
        assert "left out 1 photo that cannot be read (002.png: " in text
        assert "file system that all machines share" in text
    assert not losses(run)


def test_processes_with_teachers_of_their_own_are_refused(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)
    paths = []
    for teacher in (small_teacher(tmp_path), SHIPPED):
        values = small_run(tmp_path, distill={"teacher": str(teacher)})
        paths.append(tmp_path / f"{teacher.stem}.yaml")
        paths[-1].write_text(yaml.safe_dump(values))
    run = tmp_path / "run"
    for code, said in ended(start_together(*(command(path, run) for path in paths))):
        assert code == 3, said
        told = "Process 1 learns from another distill.teacher than process 0."
        assert told in " ".join(said.split())
    assert not losses(run)


def test_processes_with_run_folders_of_their_own_are_refused(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)
    config, path = written(tmp_path, data=small_run(tmp_path)["data"] | {"validation": []})
    here, there = tmp_path / "here", tmp_path / "there"
    with pytest.raises(KeyboardInterrupt):
        train(config, here, Stopping(2))
    state = (here / "state.pt").read_bytes()
    for code, said in ended(trained(path, here, there)):
        assert code == 3, said
        begins = (
            "Process 1 begins with stage 1, after step 0, process 0 with stage 1, after step 2."
        )
        assert begins in " ".join(said.split())
    assert (here / "state.pt").read_bytes() == state


_NO_SPACE = """
import resource, sys, time
from torch import distributed
from vitpose_cli.__main__ import main
from vitpose_cli.runtime import Process

destroy = distributed.destroy_process_group

def after_all_others():
    store = distributed.distributed_c10d._get_default_store()
    store.add("leaving", 1)
    while store.add("leaving", 0) < distributed.get_world_size():
        time.sleep(0.1)
    destroy()

distributed.destroy_process_group = after_all_others
if Process.from_environment().rank == 0:
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
main()
"""
"""A process that leaves the others as NCCL has it, when they leave, too; for the first one files
cannot grow beyond what is enough for all but the state of a run."""


def test_a_process_that_fails_alone_says_why_and_ends_all(tmp_path: Path) -> None:
    write_coco(tmp_path, 8)
    _, path = written(tmp_path, data=small_run(tmp_path)["data"] | {"validation": []})
    script, run = tmp_path / "process.py", tmp_path / "run"
    script.write_text(_NO_SPACE)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    torchrun += ["--nproc-per-node", "2", str(script), *command(path, run)]
    with subprocess.Popen(
        torchrun, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            said, _ = process.communicate(timeout=240)
        finally:
            process.terminate()  # torchrun then ends the others
    assert process.returncode == 1, said
    assert f"Cannot write {run / 'state.pt'}" in said
    assert "exitcode  : 3 " in said  # of the one that torchrun calls the root cause


def test_a_process_that_dies_is_no_bug_of_the_others(tmp_path: Path) -> None:
    run = tmp_path / "run"
    processes = learning(tmp_path, run)
    processes[1].kill()
    (code, said), _ = ended(processes)
    assert code == 3, said
    assert "Another process of this training has ended." in said


@pytest.mark.parametrize("shared", [True, False])
def test_the_first_process_cuts_the_crops_and_says_how_far_it_is(
    tmp_path: Path, shared: bool
) -> None:
    """However late it begins; the others cut some only where they do not see its folder."""
    write_coco(tmp_path, 8)
    data = small_run(tmp_path)["data"] | {"cache": "disk"}
    stages = [{"input_wh": [32, 48], "steps": 1, "batch_size": 4}]
    _, path = written(tmp_path, data=data, stages=stages)
    script = tmp_path / "slow.py"
    script.write_text(_SLOW)
    first, other = tmp_path / "run", tmp_path / ("run" if shared else "other")
    (code, said), (other_code, other_said) = ended(
        start_together([path, first], [path, other], script=script)
    )
    assert (code, other_code) == (0, 0), said + other_said
    assert "slow" in said
    assert "read 8 of 8" in said
    assert len([*(other / "cache").glob("*.npy")]) == 1

"""Whole runs that learn from a teacher: what they keep, how they go on, and what plans say."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from training_cases import COCO, distilling, small_run, small_teacher, write_coco
from training_runs import goes_on_with_the_same_bits, stopped

from vitpose_cli.config import parse_config
from vitpose_cli.errors import ConfigError
from vitpose_cli.pose.keypoints import KEYPOINT_SETS
from vitpose_cli.records.lock import FileLock
from vitpose_cli.training.config import TrainConfig
from vitpose_cli.training.loop import train
from vitpose_cli.training.metrics import Silence
from vitpose_cli.training.plan import plan_training
from vitpose_cli.training.process import Placement
from vitpose_cli.training.teachers import open_teachers

CPU = torch.device("cpu")
SHIPPED = Path(__file__).parents[2] / "weights" / "vitpose-tiny.safetensors"


def test_a_trained_teacher_says_how_wide_its_blobs_are(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)
    stages = [{"input_wh": [48, 64], "steps": 1, "batch_size": 4, "loss": {"blob_sigma": 1.5}}]
    config = parse_config(TrainConfig, small_run(tmp_path, stages=stages))
    trained = train(config, tmp_path / "run", Silence()).weights
    options = distilling(tmp_path, trained).distill
    teacher = open_teachers(options, {"coco": COCO}, Placement(CPU))["coco"]
    assert teacher.codec.blob_sigma == 1.5


@pytest.mark.parametrize("looks", ["each", "once"])
def test_a_run_that_was_stopped_goes_on_with_the_same_bits(tmp_path: Path, looks: str) -> None:
    write_coco(tmp_path, 6)
    path = small_teacher(tmp_path)
    keep = {"looks": looks, "keep": "disk" if looks == "once" else "ram"}
    data = small_run(tmp_path)["data"] | {"validation": []}
    values = small_run(tmp_path, data=data, distill={"teacher": str(path)} | keep)
    config = parse_config(TrainConfig, values)
    goes_on_with_the_same_bits(config, tmp_path, 4)
    kept = list((tmp_path / "cut" / "cache").glob("heatmaps-*.npy"))
    assert len(kept) == (looks == "once")


@pytest.mark.parametrize("looks", ["each", "once"])
def test_a_run_does_not_go_on_with_another_teacher(tmp_path: Path, looks: str) -> None:
    write_coco(tmp_path, 4)
    path = small_teacher(tmp_path)
    known = path.read_bytes()
    distill = {"teacher": str(path), "looks": looks}
    stages = [{"input_wh": [48, 64], "steps": 4, "batch_size": 2}]
    config = parse_config(TrainConfig, small_run(tmp_path, distill=distill, stages=stages))
    stopped(config, tmp_path / "run", 2)
    shutil.copy(SHIPPED, path)
    for again in (
        lambda: plan_training(config, tmp_path / "run"),
        lambda: train(config, tmp_path / "run", Silence()),
    ):
        with pytest.raises(ConfigError, match=r"distill\.teacher is another network") as caught:
            again()
        assert "--output" in caught.value.hint
    path.write_bytes(known)
    train(config, tmp_path / "run", Silence())


def test_crops_and_heatmaps_are_kept_for_the_larger_of_teacher_and_student(tmp_path: Path) -> None:
    write_coco(tmp_path, 6)
    path = small_teacher(tmp_path)  # sees 96 x 128
    data = small_run(tmp_path)["data"] | {"validation": [], "cache": "disk"}
    keep = {"teacher": str(path), "looks": "once", "folder": str(tmp_path / "maps")}
    for input_wh in ([32, 48], [48, 64], [192, 256]):
        stages = [{"input_wh": input_wh, "steps": 1, "batch_size": 2}]
        values = small_run(tmp_path, data=data, distill=keep, stages=stages)
        run = tmp_path / "x".join(map(str, input_wh))
        train(parse_config(TrainConfig, values), run, Silence())
        (crops,) = (run / "cache").glob("*.npy")
        height = 320 if input_wh == [192, 256] else 160  # 1.25 times the larger input
        assert np.load(crops, mmap_mode="r").shape[1] == height
    # Other crops are other heatmaps.
    assert len(list((tmp_path / "maps").iterdir())) == 2


def test_heatmaps_that_another_process_is_writing_are_waited_for(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)
    maps = tmp_path / "maps"
    distill = {"teacher": str(small_teacher(tmp_path)), "looks": "once", "folder": str(maps)}
    data = small_run(tmp_path)["data"] | {"validation": []}
    stages = [{"input_wh": [32, 48], "steps": 1, "batch_size": 2}]
    values = small_run(tmp_path, data=data, distill=distill, stages=stages)
    config = parse_config(TrainConfig, values)
    train(config, tmp_path / "first", Silence())
    (path,) = maps.iterdir()
    written = path.read_bytes()
    path.unlink()
    with ThreadPoolExecutor(1) as pool:
        with FileLock(path.with_suffix(".lock"), "The file"):
            other = pool.submit(train, config, tmp_path / "other", Silence())
            with pytest.raises(TimeoutError):
                other.result(timeout=3)
            path.write_bytes(written)
            number = path.stat().st_ino
        other.result()
    assert [(one, one.stat().st_ino) for one in maps.iterdir()] == [(path, number)]


@pytest.mark.parametrize("cache", ["ram", "none"])
def test_kept_heatmaps_are_of_the_people_whose_photos_could_be_read(
    tmp_path: Path, cache: str
) -> None:
    write_coco(tmp_path, 4)
    path = small_teacher(tmp_path)
    keep = {"teacher": str(path), "looks": "once", "folder": str(tmp_path / "maps")}
    data = small_run(tmp_path)["data"] | {"validation": [], "cache": cache, "allow_missing": True}
    stages = [{"input_wh": [48, 64], "steps": 1, "batch_size": 2}]
    values = small_run(tmp_path, distill=keep, data=data, stages=stages, ema=None)
    config = parse_config(TrainConfig, values)
    for broken in ("001.png", "003.png"):
        photo = tmp_path / "images" / broken
        whole = photo.read_bytes()
        photo.write_bytes(b"no photo")
        train(config, tmp_path / broken, Silence())
        photo.write_bytes(whole)
    assert len(list((tmp_path / "maps").iterdir())) == 2


def test_a_teacher_of_other_keypoints_is_refused(tmp_path: Path) -> None:
    path = small_teacher(tmp_path)
    options = distilling(tmp_path, path).distill
    with pytest.raises(ConfigError, match="knows coco, and is to teach mpii"):
        open_teachers(options, {"mpii": KEYPOINT_SETS["mpii"]}, Placement(CPU))


def test_a_plan_names_the_teacher(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)
    config = distilling(tmp_path, small_teacher(tmp_path), looks="once")
    assert plan_training(config).teachers == {"coco": "sees 96x128 px, udp, everybody once"}

"""Photos of other sizes than their labels: resized, turned, or simply others."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from runs import save_weights, vitpose
from training_cases import Stopping, small_run, small_source, write_coco

from vitpose_cli.config import parse_config
from vitpose_cli.errors import ConfigError, InputError
from vitpose_cli.pose.geometry import CropTransforms
from vitpose_cli.pose.heatmaps import HeatmapCodec
from vitpose_cli.training.cache import crop_people, readable_people
from vitpose_cli.training.config import TrainConfig, ValidationOptions
from vitpose_cli.training.crops import FrameCrops
from vitpose_cli.training.data_options import CocoSource, PackSource
from vitpose_cli.training.loop import train
from vitpose_cli.training.metrics import Silence
from vitpose_cli.training.opened_source import OpenedSource
from vitpose_cli.training.sizes import check_sizes
from vitpose_cli.training.sources import open_data_source
from vitpose_cli.training.validate import Validator

SAID = r"003.png has 60 x 80 px, and .*people.json labels a photo of 120 x 160 px"


def resize(photo: Path) -> None:
    """Make a photo half as large."""
    with Image.open(photo) as image:
        image.resize((image.width // 2, image.height // 2)).save(photo)


def opened(folder: Path) -> OpenedSource:
    return open_data_source(CocoSource.model_validate(small_source(folder)), 1)


def cut(source: OpenedSource) -> None:
    crop_people(source.frames, (60, 80), 1.5)


def read(source: OpenedSource) -> None:
    readable_people(source.frames)


def cut_anew(source: OpenedSource) -> None:
    boxes = source.frames.people.boxes
    transforms = CropTransforms.from_boxes(boxes, (60, 80), alignment="udp")
    FrameCrops(source.frames, 1).warp(np.arange(len(boxes)), transforms)


def measure(source: OpenedSource) -> None:
    Validator(source, "coco", HeatmapCodec((96, 128), (24, 32), "udp"), ValidationOptions())


def look(source: OpenedSource) -> None:
    check_sizes(source.frames)


WAYS = pytest.mark.parametrize("way", [cut, read, cut_anew, measure, look])


@WAYS
def test_a_resized_photo_is_refused_wherever_it_is_read(
    tmp_path: Path, way: Callable[[OpenedSource], None]
) -> None:
    write_coco(tmp_path, 4)
    way(opened(tmp_path))
    resize(tmp_path / "images" / "003.png")
    with pytest.raises(InputError, match=SAID) as caught:
        way(opened(tmp_path))
    assert "resized or rotated copies" in caught.value.hint


@WAYS
def test_sizes_that_a_file_does_not_state_are_not_missed(
    tmp_path: Path, way: Callable[[OpenedSource], None]
) -> None:
    path = write_coco(tmp_path, 3)
    document = json.loads(path.read_text())
    for image, without in zip(document["images"], ("width", "height", ""), strict=True):
        image.pop(without, None)
    document["images"][2] |= {"width": 0, "height": 0}
    path.write_text(json.dumps(document))
    way(opened(tmp_path))


@WAYS
@pytest.mark.parametrize("kind", ["jpg", "png", "tif", "webp"])
def test_labels_of_a_photo_as_it_lies_in_its_file_do_not_fit_one_that_is_turned(
    tmp_path: Path, kind: str, way: Callable[[OpenedSource], None]
) -> None:
    path = write_coco(tmp_path, 1)
    document = json.loads(path.read_text())
    (image,) = document["images"]
    image["file_name"] = f"1.{kind}"
    path.write_text(json.dumps(document))
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(tmp_path / "images" / "001.png") as photo:
        photo.save(tmp_path / "images" / image["file_name"], exif=exif)
    with pytest.raises(
        InputError, match=r"has 160 x 120 px, and .* labels a photo of 120 x 160 px"
    ):
        way(opened(tmp_path))
    image |= {"width": 160, "height": 120}
    path.write_text(json.dumps(document))
    way(opened(tmp_path))


def test_one_wrong_photo_ends_a_run_before_it_reads_them_all(tmp_path: Path) -> None:
    class Reader(Silence):
        def prepare(self, done: int, total: int) -> None:
            raise AssertionError("photos are read")

    for name in ("train", "measured"):
        write_coco(tmp_path / name, 3)
    values = small_run(tmp_path / "train")
    values["data"]["validation"] = [small_source(tmp_path / "measured")]
    config = parse_config(TrainConfig, values)
    for name in ("measured", "train"):
        resize(tmp_path / name / "images" / "003.png")
        with pytest.raises(InputError, match=SAID):
            train(config, tmp_path / name / "run", Reader())


def test_what_the_first_bytes_do_not_say_is_found_when_it_is_read(tmp_path: Path) -> None:
    path = write_coco(tmp_path, 3)
    images, document = tmp_path / "images", json.loads(path.read_text())
    resize(images / "003.png")
    with tarfile.open(images / "shard.tar", "w") as archive:
        for image in document["images"]:
            archive.add(images / image["file_name"], image["file_name"])
            image["file_name"] = f"shard.tar/{image['file_name']}"
    path.write_text(json.dumps(document))
    look(opened(tmp_path))
    with pytest.raises(InputError, match=SAID):
        cut(opened(tmp_path))


def test_a_photo_that_cannot_be_read_is_nothing_of_this(tmp_path: Path) -> None:
    write_coco(tmp_path, 3)
    photo = tmp_path / "images" / "002.png"
    photo.write_bytes(photo.read_bytes()[:40].replace(b"\0\0\0\x78", b"\0\0\0\x79"))
    (tmp_path / "images" / "003.png").write_bytes(b"")
    look(opened(tmp_path))


def test_a_pack_whose_crops_have_several_sizes_is_refused(tmp_path: Path) -> None:
    write_coco(tmp_path, 2)
    resize(tmp_path / "images" / "002.png")
    blobs = [(tmp_path / "images" / f"00{number}.png").read_bytes() for number in (1, 2)]
    np.savez(
        tmp_path / "pack.npz",
        blob=np.frombuffer(b"".join(blobs), np.uint8),
        offsets=np.cumsum([0, *map(len, blobs)]),
        keypoints=np.tile(np.array([50, 50, 2, 1], np.float32), (2, 17, 1)),
        source=np.zeros(2, np.int64),
    )
    source = open_data_source(PackSource(kind="pack", path=tmp_path / "pack.npz"))
    look(source)
    with pytest.raises(InputError, match=r"pack.npz/000001 has 60 x 80 px, and .*pack.npz labels"):
        cut(source)


@pytest.mark.parametrize("changes", [{}, {"task": "pretrain"}, {"cache": "none"}])
def test_a_run_on_resized_photos_ends_with_a_reason(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    write_coco(tmp_path, 4)
    for photo in (tmp_path / "images").iterdir():
        resize(photo)
    values = small_run(tmp_path)
    if "cache" in changes:
        values["data"] |= changes
    elif changes:
        values |= {"task": "pretrain", "model": {"variant": "tiny-test"}}
        values["data"]["validation"] = []
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(values))
    done = vitpose("train", "-c", "run.yaml", "-o", "run", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    assert "001.png has 60 x 80 px" in done.stderr
    assert "120 x 160 px" in done.stderr
    assert not list((tmp_path / "run").glob("*.safetensors"))


def test_a_run_that_goes_on_reads_its_photos_again(tmp_path: Path) -> None:
    write_coco(tmp_path, 4)
    values = small_run(tmp_path)
    config = parse_config(TrainConfig, values)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", Stopping(2))
    resize(tmp_path / "images" / "003.png")
    with pytest.raises(ConfigError, match="photos have come or gone, or been replaced"):
        train(config, tmp_path / "run", Silence())
    values["data"]["allow_missing"] = True
    with pytest.raises(InputError, match=SAID):
        train(parse_config(TrainConfig, values), tmp_path / "run", Silence())


@pytest.mark.parametrize("how", [["--gt-boxes"], ["--truncate", "upper"]])
def test_evaluate_measures_no_network_on_other_photos(tmp_path: Path, how: list[str]) -> None:
    write_coco(tmp_path, 3)
    weights = save_weights(tmp_path / "w.safetensors")
    command = ["evaluate", "-a", "people.json", "-i", "images", "-w", str(weights), *how]
    assert vitpose(*command, cwd=tmp_path).returncode == 0
    resize(tmp_path / "images" / "003.png")
    done = vitpose(*command, cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    assert "003.png has 60 x 80 px" in done.stderr

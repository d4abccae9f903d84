"""torchvision's detectors from files, against torchvision's own way from photo to boxes."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from runs import EXAMPLES
from safetensors.torch import save_file
from torchvision.models import get_model

from vitpose_cli.errors import ConfigError, WeightsError
from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.media.resizing import resize_image
from vitpose_cli.models.detection import DetectorOptions
from vitpose_cli.models.detectors import open_detector, shipped_detector_path
from vitpose_cli.models.torchvision_detector import (
    DetectorHeader,
    TorchvisionDetector,
    build_detector,
    read_detector_header,
    save_detector,
)
from vitpose_cli.pose.geometry import clip_boxes
from vitpose_cli.pose.instances import Detections

SSD = "ssdlite320_mobilenet_v3_large"
RCNN = "fasterrcnn_mobilenet_v3_large_320_fpn"


def header(architecture: str = SSD, **changes: Any) -> DetectorHeader:
    names = ("__background__", "Person", "dog")
    plain = DetectorHeader(architecture, names, "a test", "CC0-1.0", antialias=False)
    return replace(plain, **changes)


@torch.no_grad()
def network(wanted: DetectorHeader) -> Any:
    """Build a random network whose answers depend on the picture.

    As initialised, its signal dies out; so its batch norms are fitted to a picture. Random boxes
    reach for thousands of pixels, which makes pixels of rounding errors: they reach less far.
    """
    torch.manual_seed(0)
    built: Any = build_detector(wanted)
    for module in built.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    picture = torch.from_numpy(FRAMES[0].image).permute(2, 0, 1)[None] / 127.5 - 1
    features = list(built.backbone(picture).values())
    if wanted.architecture == SSD:
        built.head(features)
    if wanted.architecture == RCNN:
        for last in (built.rpn.head.bbox_pred, built.roi_heads.box_predictor.bbox_pred):
            last.weight *= 0.1
    return built.eval()


def frame(width: int, height: int, seed: int = 0) -> Frame:
    image: NDArray[np.uint8] = np.random.default_rng(seed).integers(
        0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8
    )
    coarse = np.kron(image, np.ones((8, 8, 1), np.uint8))[:height, :width]
    return Frame(FrameKey(f"{width}x{height}-{seed}.jpg"), np.ascontiguousarray(coarse))


FRAMES = [frame(640, 480, 1), frame(200, 310, 2), frame(640, 480, 3)]


def resized(built: Any, one: Frame) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return a frame as our detector resizes it, and as torchvision does, in grey levels."""
    transform = built.transform
    pixels = torch.from_numpy(one.image).permute(2, 0, 1) / 255
    images, _ = transform([pixels])
    height, width = images.image_sizes[0]
    mean, std = (np.array(of, np.float32) for of in (transform.image_mean, transform.image_std))
    theirs = images.tensors[0].permute(1, 2, 0).numpy()[:height, :width] * std + mean
    return resize_image(one.image, (width, height), antialias=False), theirs * 255


@torch.inference_mode()
def documented(built: Any, image: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """Detect in one picture as torchvision documents."""
    [found] = built([torch.from_numpy(image).permute(2, 0, 1) / 255])
    return {key: value.numpy() for key, value in found.items()}


def holds(found: Detections, boxes: NDArray[Any], scores: NDArray[Any]) -> bool:
    """Say whether every box is among those found, in any order: scores may be all but equal."""
    near = np.abs(found.boxes - boxes[:, None]).max(axis=2) < 0.1  # px
    alike = np.abs(found.scores - scores[:, None]) < 1e-3
    return bool((near & alike).any(axis=1).all())


def test_people_are_found_as_they_are_shown() -> None:
    path = shipped_detector_path()
    assert path is not None
    photo = cv2.imread(str(EXAMPLES / "camera.jpg"))
    assert photo is not None
    whole = Frame(FrameKey("camera.jpg"), np.asarray(photo, np.uint8))
    squeezed = replace(whole, image=resize_image(whole.image, (288, 512)), pixel_aspect=16 / 9)
    detector = TorchvisionDetector.open(path, DetectorOptions())
    expected, found, untold = detector.detect([whole, squeezed, replace(squeezed, pixel_aspect=1)])
    off, off_untold = (
        np.abs(each.boxes[0] * [16 / 9, 1, 16 / 9, 1] - expected.boxes[0]).max()
        for each in (found, untold)
    )
    assert off < 3 < 6 < off_untold  # px


@pytest.mark.parametrize("architecture", [SSD, RCNN])
def test_boxes_equal_torchvisions(architecture: str, tmp_path: Path) -> None:
    """Given the same bytes, which differ from torchvision's floats by rounding."""
    wanted = header(architecture)
    built = network(wanted)
    path = tmp_path / "detector.safetensors"
    save_detector(path, built.state_dict(), wanted)
    assert read_detector_header(path) == wanted
    detector = TorchvisionDetector.open(path, DetectorOptions(threshold=0.3))
    num_boxes = 0
    for found, one in zip(detector.detect(FRAMES), FRAMES, strict=True):
        ours, theirs = resized(built, one)
        assert np.abs(ours - theirs).max() < 1.01  # grey levels
        reference = documented(built, ours)
        chosen = (reference["labels"] == 1) & (reference["scores"] >= 0.3)
        scale = np.array(one.size_wh * 2) / (ours.shape[1::-1] * 2)
        boxes = clip_boxes(reference["boxes"][chosen] * scale, one.size_wh)
        assert len(found) == len(boxes)
        num_boxes += len(boxes)
        assert holds(found, boxes, reference["scores"][chosen])
    assert num_boxes > 10


@pytest.mark.parametrize("architecture", [SSD, RCNN])
def test_neighbours_change_nothing(architecture: str) -> None:
    wanted = header(architecture)
    detector = TorchvisionDetector(network(wanted), wanted, DetectorOptions(), "random")
    for found, one in zip(detector.detect(FRAMES), FRAMES, strict=True):
        [alone] = detector.detect([one])
        assert len(found) == len(alone)
        assert holds(found, alone.boxes, alone.scores)
    assert detector.detect([]) == []


def test_odd_frames(tmp_path: Path) -> None:
    frames = [frame(1, 1), frame(20_000, 30), frame(3, 700)]
    for architecture in (SSD, RCNN):
        wanted = header(architecture)
        detector = TorchvisionDetector(network(wanted), wanted, DetectorOptions(), "random")
        for found, one in zip(detector.detect(frames), frames, strict=True):
            assert (found.boxes >= 0).all()
            assert (found.boxes <= one.size_wh * 2).all()


def test_half_the_bytes_and_another_input_size(tmp_path: Path) -> None:
    wanted = header(input_wh=(256, 192), threshold=0.45)
    path = tmp_path / "person-detector.safetensors"
    save_detector(path, network(wanted).state_dict(), wanted, dtype=torch.float16)
    detector = open_detector(str(path), DetectorOptions())
    assert isinstance(detector, TorchvisionDetector)
    assert detector.threshold == 0.45
    assert all((found.scores >= 0.45).all() for found in detector.detect(FRAMES))
    larger = TorchvisionDetector.open(path, DetectorOptions(input_wh=(320, 320), threshold=0.0))
    assert larger.threshold == 0.0
    assert len(larger.detect(FRAMES)[0])
    with pytest.raises(ConfigError, match="too small"):
        TorchvisionDetector.open(path, DetectorOptions(input_wh=(16, 320)))


def test_a_threshold_below_torchvisions_own_limit_counts() -> None:
    wanted = header("person_fcos_nano")
    found = []
    for threshold in (0.0, 0.2):
        options = DetectorOptions(threshold=threshold)
        detector = TorchvisionDetector(network(wanted), wanted, options, "random")
        found.append(detector.detect(FRAMES))
    # Random weights of a focal loss score everything at about 0.01.
    assert sum(map(len, found[0])) > 0 == sum(map(len, found[1]))


def distances(exact: Sequence[Detections], other: Sequence[Detections]) -> NDArray[np.float32]:
    """Return how far the nearest of other boxes lies from each, px."""
    pairs = zip(exact, other, strict=True)
    far = [np.abs(b.boxes - a.boxes[:, None]).max(axis=2).min(axis=1) for a, b in pairs]
    return np.concatenate(far)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bits_move_no_box(dtype: torch.dtype) -> None:
    """Of the detector that ships; the worst in bf16 was 5 px in photos of 640, and 1.7 in fp16."""
    path = shipped_detector_path()
    assert path is not None
    frames = []
    for photo in sorted(EXAMPLES.glob("*.jpg")):
        pixels = cv2.imread(str(photo))
        assert pixels is not None
        for row in (0, 40, 90):
            image = np.ascontiguousarray(pixels[row:, :, ::-1], np.uint8)
            frames.append(Frame(FrameKey(photo.name), image))
    exact, other = (
        TorchvisionDetector.open(path, DetectorOptions(dtype=each)).detect(frames)
        for each in (torch.float32, dtype)
    )
    far = distances(exact, other)
    assert len(far) >= 3
    assert np.median(far) < 0.06
    assert far.max() < 0.6


@pytest.mark.parametrize(("architecture", "far"), [(SSD, 0.3), (RCNN, 5.0)])
def test_other_architectures_run_in_fp16(architecture: str, far: float) -> None:
    """A random R-CNN makes pixels of every rounding: its second half looks where its first says."""
    wanted = header(architecture)
    exact, half = (
        TorchvisionDetector(network(wanted), wanted, DetectorOptions(dtype=each), "random")
        for each in (torch.float32, torch.float16)
    )
    assert 0 < np.median(distances(exact.detect(FRAMES), half.detect(FRAMES))) < far


def test_a_state_dict_of_torchvision_is_recognised(tmp_path: Path) -> None:
    torch.manual_seed(0)
    published = get_model(SSD, weights=None, weights_backbone=None)
    path = tmp_path / "weights.pth"
    torch.save(published.state_dict(), path)
    detector = TorchvisionDetector.open(path, DetectorOptions(classes=("zebra",)))
    assert detector.header.architecture == SSD
    assert len(detector.header.class_names) == 91
    assert detector.header.class_names[1] == "person"


def test_state_dicts_of_old_are_recognised(tmp_path: Path) -> None:
    """They have other names in the pyramid and the proposals, which torchvision translates."""
    torch.manual_seed(0)
    state = get_model(RCNN, weights=None, weights_backbone=None).state_dict()
    old = {
        re.sub(r"(inner_blocks\.\d|layer_blocks\.\d|rpn\.head\.conv)(\.0)+\.", r"\1.", key): value
        for key, value in state.items()
        if not key.endswith("num_batches_tracked")
    }
    assert len(old.keys() - state.keys()) == 10
    torch.save(old, tmp_path / "x.pth")
    detector = TorchvisionDetector.open(tmp_path / "x.pth", DetectorOptions())
    assert detector.header.architecture == RCNN


def test_a_file_name_decides_between_equal_networks(tmp_path: Path) -> None:
    """The two differ in nothing but their input size."""
    larger = RCNN.replace("_320", "")
    state = get_model(larger, weights=None, weights_backbone=None).state_dict()
    for name, architecture in ((f"{larger}-fb6a3cc7.pth", larger), ("x.pth", RCNN)):
        torch.save(state, tmp_path / name)
        detector = TorchvisionDetector.open(tmp_path / name, DetectorOptions())
        assert detector.header.architecture == architecture
        (tmp_path / name).unlink()


class TestRefusals:
    def refused(self, path: Path, match: str) -> None:
        with pytest.raises(WeightsError, match=match):
            open_detector(str(path), DetectorOptions())

    def test_missing(self, tmp_path: Path) -> None:
        self.refused(tmp_path / "none.safetensors", "none")
        self.refused(tmp_path / "none.pth", "none")

    def test_other_weights(self, tmp_path: Path) -> None:
        save_file({"x": torch.zeros(2)}, tmp_path / "x.safetensors")
        self.refused(tmp_path / "x.safetensors", "is no detector")
        torch.save({"x": torch.zeros(2)}, tmp_path / "x.pth")
        self.refused(tmp_path / "x.pth", "of no detector that torchvision publishes")

    def test_a_pickle_that_runs_code(self, tmp_path: Path) -> None:
        torch.save({"x": Path("x")}, tmp_path / "x.pth")
        self.refused(tmp_path / "x.pth", "refused")

    def test_tensors_that_do_not_match(self, tmp_path: Path) -> None:
        save_detector(tmp_path / "x.safetensors", {"x": torch.zeros(2)}, header())
        self.refused(tmp_path / "x.safetensors", "do not match its header")

    @pytest.mark.parametrize(
        ("changes", "match"),
        [
            ({"architecture": "yolo"}, "no detector 'yolo'"),
            ({"format": 99}, "format 99"),
            ({"class_names": 3}, r"cannot be read: class_names: should be a list \(given: 3\)\.$"),
        ],
    )
    def test_headers(self, changes: dict[str, Any], match: str, tmp_path: Path) -> None:
        path = tmp_path / "x.safetensors"
        text = {
            "architecture": SSD,
            "class_names": ["__background__", "person"],
            "source": "",
            "licence": "",
        }
        metadata = {"vitpose_detector": json.dumps(text | changes)}
        save_file({"x": torch.zeros(2)}, path, metadata)
        self.refused(path, match)

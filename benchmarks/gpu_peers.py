"""How fast others label on `gpu.py`'s device: transformers' own pipeline, and a plain loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from gpu_material import (
    Setting,
    first_frames,
    open_files,
    timed,
    write_folder,
)

from vitpose_cli.bench.stages import PlantedBoxes
from vitpose_cli.labeler import Labeler
from vitpose_cli.models.catalog import resolve_weights
from vitpose_cli.models.checkpoint import load_model
from vitpose_cli.models.estimator import EstimatorOptions, PoseEstimator


def peers(setting: Setting) -> dict[str, Any]:
    """Compare with transformers' own pipeline and a plain loop: same weights, photos and boxes."""
    from annotate_speed import save_hub_model
    from PIL import Image
    from transformers import VitPoseForPoseEstimation, VitPoseImageProcessor

    size_wh, count = (160, 120) if setting.quick else (640, 480), setting.photos(96)
    folder = setting.scratch / "peers"
    write_folder(folder, size_wh, count)
    hub = setting.scratch / "hub"
    save_hub_model(setting.usual, hub)
    device, planted = setting.device, PlantedBoxes(None, 3)
    source = open_files(folder, setting)
    (detections,) = planted.detect(list(first_frames(source, 1)))
    boxes = detections.boxes.copy()
    boxes[:, 2:] -= boxes[:, :2]
    processor = VitPoseImageProcessor.from_pretrained(hub)

    def theirs(dtype: torch.dtype) -> Callable[[], None]:
        model = VitPoseForPoseEstimation.from_pretrained(hub).eval().to(device, dtype)

        def run() -> None:
            for path in sorted(folder.iterdir()):
                picture = Image.open(path).convert("RGB")
                inputs = processor(picture, boxes=[boxes], return_tensors="pt").to(device)
                with torch.no_grad():
                    outputs = model(inputs["pixel_values"].to(dtype))
                outputs.heatmaps = outputs.heatmaps.float().cpu()
                processor.post_process_pose_estimation(outputs, boxes=[boxes])

        return run

    model = load_model(resolve_weights(str(hub)))
    estimator = PoseEstimator(model, EstimatorOptions(device, setting.dtype, flip_test=False))
    labeler = Labeler(planted, estimator)

    def loop() -> None:
        for frame in first_frames(source, count):
            people = planted.detect([frame])[0]
            for row in range(len(people)):
                estimator.start([estimator.cut([frame], [people.select([row])])]).of(0)

    ways: dict[str, Callable[[], object]] = {
        "transformers fp32": theirs(torch.float32),
        "transformers fast": theirs(setting.dtype),
        "one crop at a time": loop,
        "ours": lambda: list(labeler.label(source.frames())),
    }
    found: dict[str, Any] = {}
    for name, way in ways.items():
        way()
        _, seconds = timed(setting, way)
        found[name] = count / seconds
    others = {name: rate for name, rate in found.items() if name != "ours"}
    ratios = {f"ours over {name}": found["ours"] / rate for name, rate in others.items()}
    return found | ratios

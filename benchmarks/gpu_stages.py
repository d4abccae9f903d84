"""Where the time goes on `gpu.py`'s device: each step alone, and how long the GPU is busy."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from gpu_material import (
    Setting,
    example,
    first_frames,
    open_files,
    random_estimator,
    timed,
    write_folder,
)

from vitpose_cli.bench.stages import PlantedBoxes
from vitpose_cli.labeler import CHUNK_FRAMES, Labeler
from vitpose_cli.media import device_crops
from vitpose_cli.media.device_crops import DeviceFrames
from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.models.normalisation import normalise
from vitpose_cli.models.speed import (
    calls_per_s,
)
from vitpose_cli.pose.geometry import CropTransforms


def stages(setting: Setting) -> dict[str, Any]:
    """Measure each step for a chunk of frames with three people each, one after the other, ms."""
    size_wh = (160, 120) if setting.quick else (1920, 1080)
    estimator = random_estimator(setting, flip_test=False)
    chosen, device = estimator.network, setting.device
    photo = np.ascontiguousarray(np.resize(example("astronaut.jpg"), (size_wh[1], size_wh[0], 3)))
    frames = [Frame(FrameKey("photo"), photo)] * CHUNK_FRAMES
    images = [photo] * CHUNK_FRAMES
    detections = PlantedBoxes(None, 3).detect(frames[:1]) * CHUNK_FRAMES
    groups = [slice(start, start + 8) for start in range(0, CHUNK_FRAMES, 8)]
    cut = estimator.cut(frames, detections)
    crops = cut.crops.to(device)
    inputs = normalise(crops, setting.dtype)
    maps = chosen.heatmaps(inputs)
    values = chosen(crops)
    on_host = torch.empty(values.shape, pin_memory=device.type == "cuda")
    steps: dict[str, Callable[[], object]] = {
        "upload": lambda: [DeviceFrames.upload(images[each], device) for each in groups],
        "upload_and_cut": lambda: [estimator.cut(frames[g], detections[g]) for g in groups],
        "normalise": lambda: normalise(crops, setting.dtype),
        "network": lambda: chosen.heatmaps(inputs),
        "decode": lambda: chosen.codec.decode(maps),
        "network_call": lambda: chosen(crops),
        "fetch": lambda: on_host.copy_(values, non_blocking=True),
        "estimator": lambda: estimator.start([cut]).of(CHUNK_FRAMES - 1),
    }
    with torch.inference_mode():
        times = {
            name: 1e3 / calls_per_s(work, device, setting.seconds) for name, work in steps.items()
        }
    found: dict[str, Any] = {"crops": len(crops), "ms_for_a_chunk": times}
    if device.type == "cuda":
        found |= {"compiled_cut": _compiled_cut(setting, images[:8], cut.transforms.matrices[:24])}
        found |= _busy(setting, estimator)
    return found


def _compiled_cut(setting: Setting, frames: list[Any], matrices: Any) -> dict[str, float]:
    """Measure what fusing the kernels of the warp would gain, for 24 crops of 8 frames, ms."""
    uploaded = DeviceFrames.upload(frames, setting.device)
    transforms = [CropTransforms(matrices[n : n + 3], (192, 256), "udp") for n in range(0, 24, 3)]
    plain = device_crops._sample
    times = {"plain": 1e3 / calls_per_s(lambda: uploaded.warp(transforms), setting.device, 0.3)}
    device_crops._sample = torch.compile(plain, dynamic=True)
    try:
        fused = calls_per_s(lambda: uploaded.warp(transforms), setting.device, 0.3)
    finally:
        device_crops._sample = plain
    return times | {"compiled": 1e3 / fused}


def _busy(setting: Setting, estimator: Any) -> dict[str, Any]:
    """Return the share of time in which the GPU does anything, three people a photo."""
    folder = setting.scratch / "busy"
    source = open_files(write_folder(folder, (1280, 720), 640), setting)
    labeler = Labeler(PlantedBoxes(None, 3), estimator)
    list(labeler.label(list(first_frames(source, CHUNK_FRAMES)) * 3))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        _, seconds = timed(setting, lambda: list(labeler.label(source.frames())))
    trace = setting.scratch / "trace.json"
    profiler.export_chrome_trace(str(trace))
    events = json.loads(trace.read_text())["traceEvents"]
    done = [each for each in events if each.get("cat") in ("kernel", "gpu_memcpy", "gpu_memset")]
    kernels: Counter[str] = Counter()
    for each in done:
        kernels[each["name"][:90]] += each["dur"]
    spans = sorted((each["ts"], each["ts"] + each["dur"]) for each in done)
    busy_us = _covered(spans)
    between_us = max(stop for _, stop in spans) - spans[0][0]
    total = sum(kernels.values())
    return {
        "gpu_busy_share": busy_us / between_us,
        "photos_per_s_under_profiler": 640 / seconds,
        "kernels": {name: us / total for name, us in kernels.most_common(15)},
    }


def _covered(spans: Iterable[tuple[float, float]]) -> float:
    """Return the length of the union of spans that are sorted by their start."""
    covered, reached = 0.0, float("-inf")
    for start, stop in spans:
        covered += max(0.0, stop - max(start, reached))
        reached = max(reached, stop)
    return covered

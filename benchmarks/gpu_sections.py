"""The sections of `gpu.py`: each takes a setting and returns what it found, as plain values."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_material import (
    Setting,
    example,
    frames_and_crops,
    random_estimator,
    random_model,
    real_model,
    write_clip,
    write_folder,
)
from torch import Tensor

from vitpose_cli.labeler import CHUNK_FRAMES, Labeler
from vitpose_cli.media import device_crops
from vitpose_cli.media.crops import warp_crops
from vitpose_cli.media.device_crops import DeviceFrames
from vitpose_cli.media.frames import Frame, FrameKey
from vitpose_cli.media.source import MediaSource, open_source
from vitpose_cli.models.batching import BatchLimit
from vitpose_cli.models.catalog import resolve_weights
from vitpose_cli.models.checkpoint import load_model
from vitpose_cli.models.device_engine import DeviceEngine
from vitpose_cli.models.estimator import EstimatorOptions, PoseEstimator
from vitpose_cli.models.graphs import BatchGraphs
from vitpose_cli.models.normalisation import normalise
from vitpose_cli.models.pose_network import PoseNetwork
from vitpose_cli.models.speed import (
    calls_per_s,
    gflop_per_crop,
    matrix_tflops,
    own_stream,
    wait_for,
)
from vitpose_cli.pose.geometry import CropTransforms
from vitpose_cli.runtime import has_fast, num_reader_threads
from vitpose_cli.stages import PlantedBoxes

CPU = torch.device("cpu")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
LONGEST_BATCH_S = 8.0
"""Batches that take longer on a CPU are left out."""

CONFIDENT = 0.3
"""Keypoints of a lower reference score may be anywhere, and are left out of the shifts."""


# --- is it right? ---------------------------------------------------------------------------------


def correctness(setting: Setting) -> dict[str, Any]:
    """Compare every mode with the CPU in float32, on crops that are all different."""
    model = real_model(setting)
    # Two batches of 64, the second one padded, so that the compiler meets one size alone.
    images, transforms = frames_and_crops(12 if setting.quick else 120, model.header.input_wh)
    crops = torch.from_numpy(
        np.concatenate([warp_crops(*each) for each in zip(images, transforms, strict=True)])
    )
    modes: dict[str, Any] = {}
    for flip_test in (False, True):
        exact = PoseNetwork(real_model(setting), device=CPU, flip_test=flip_test)
        expected = torch.cat([exact(part) for part in torch.split(crops, 16)]).numpy()
        maps = torch.cat([exact.heatmaps(normalise(part)) for part in torch.split(crops[:64], 16)])
        names = [name for name, dtype in DTYPES.items() if has_fast(dtype, setting.device)]
        for name, compiled in product(names, (False, True) if setting.on_gpu else (False,)):
            if setting.late:
                continue
            network = PoseNetwork(
                real_model(setting), device=setting.device, dtype=DTYPES[name], flip_test=flip_test
            )
            if compiled:
                torch._dynamo.reset()  # it compiles anything but a few times
                network.compile()
            for graphs in (False, True) if setting.on_gpu else (False,):
                words = [name, "flip"] if flip_test else [name]
                words += ["compiled"] * compiled + ["graphs"] * graphs
                modes[" ".join(words)] = _compared(network, crops, expected, graphs)
            if not flip_test:
                modes[" ".join(words)] |= _map_error(network, crops, maps, DTYPES[name])
    return {"crops": len(crops), "modes": modes, "device_crops": _device_crops(setting)}


def _compared(
    network: PoseNetwork, crops: Tensor, expected: np.ndarray[Any, Any], graphs: bool
) -> dict[str, Any]:
    """Run the engine as labelling does, the third time from recordings, and compare its rows."""
    engine = DeviceEngine(network, BatchLimit(64, str(network.device)), record=graphs)
    for _ in range(3):
        pending = engine.start(crops.to(network.device))
        pending.wait(len(crops))
    ours, theirs = network.unpack(pending.values), network.unpack(expected)
    shifts = np.linalg.norm(ours.crop_keypoints - theirs.crop_keypoints, axis=2)
    sure = shifts[theirs.scores >= CONFIDENT] if (theirs.scores >= CONFIDENT).any() else shifts
    # By the median keypoint: of a doubtful one another peak may win, far away.
    steps = ours.crop_keypoints[:, None] - theirs.crop_keypoints[None]
    apart = np.median(np.linalg.norm(steps, axis=3), axis=2)
    return {
        "shift_px_median": float(np.median(sure)),
        "shift_px_p99": float(np.quantile(sure, 0.99)),
        "shift_px_max": float(sure.max()),
        "keypoints": int(sure.size),
        "score_error_max": float(np.abs(ours.scores - theirs.scores).max()),
        "every_slot_its_own_crop": bool((apart.argmin(axis=1) == np.arange(len(apart))).all()),
        "finite": bool(np.isfinite(pending.values).all()),
    }


def _map_error(
    network: PoseNetwork, crops: Tensor, expected: Tensor, dtype: torch.dtype
) -> dict[str, float]:
    found = network.heatmaps(normalise(crops[:64].to(network.device), dtype)).cpu()
    error = found - expected[:64]
    return {
        "map_error_max": float(error.abs().max()),
        "map_error_relative": float(error.norm() / expected[:64].norm()),
    }


def _device_crops(setting: Setting) -> dict[str, Any]:
    """Cut the same crops on the device and with OpenCV."""
    images, transforms = frames_and_crops(20 if setting.quick else 200, (192, 256))
    ours = DeviceFrames.upload(images, setting.device).warp(transforms).cpu().numpy()
    theirs = np.concatenate([warp_crops(*each) for each in zip(images, transforms, strict=True)])
    difference = np.abs(ours.astype(np.int16) - theirs)
    return {"levels_max": int(difference.max()), "share_different": float((difference > 0).mean())}


# --- how fast is it? ------------------------------------------------------------------------------


def matrix(setting: Setting) -> dict[str, Any]:
    """Measure what the device reaches in large products, and in copying."""
    found: dict[str, Any] = {
        f"{name}_tflops": matrix_tflops(setting.device, dtype, setting.seconds)
        for name, dtype in DTYPES.items()
        if has_fast(dtype, setting.device)
    }
    source = torch.randn(2**20 if setting.quick else 2**30, device=setting.device)
    target = torch.empty_like(source)
    copies = calls_per_s(lambda: target.copy_(source), setting.device, setting.seconds)
    return found | {"copy_gb_s": copies * 2 * source.nbytes / 1e9}


def network(setting: Setting) -> dict[str, Any]:
    """Measure crops a second of every size alone, by batch; compiled ones last, as time allows."""
    sizes = ["tiny-test"] if setting.quick else ["tiny", "small", "base", "large", "huge"]
    batches = [1, 8] if setting.quick else [1, 2, 4, 8, 16, 32, 64, 128, 256]
    peak = matrix_tflops(setting.device, setting.dtype, setting.seconds)
    found: dict[str, Any] = {"matrix_tflops": peak}
    for compiled, size in product((False, True) if setting.on_gpu else (False,), sizes):
        name = f"{size} compiled" if compiled else size
        if setting.late:
            found[name] = {"skipped": "no time left"}
        else:
            model = random_model(size, setting.device)
            gflop = gflop_per_crop(model.config)
            rates = _network_rates(setting, model, [64, 128] if compiled else batches, compiled)
            best = max(rates["maps"].values())
            share = best * gflop / 1e3 / peak
            found[name] = rates | {"gflop": gflop, "best": best, "matrix_share": share}
    return found


def _network_rates(
    setting: Setting, model: Any, batches: list[int], compiled: bool
) -> dict[str, Any]:
    """Return crops a second of heatmaps alone, and of all with flip test and decoding."""
    device = setting.device
    chosen = PoseNetwork(model, device=device, dtype=setting.dtype, flip_test=True)
    if compiled:
        torch._dynamo.reset()  # it compiles anything but a few times
        chosen.compile()
    width, height = chosen.input_wh
    maps: dict[int, float] = {}
    labels: dict[int, float] = {}
    record = device.type == "cuda"
    runs = {"maps": BatchGraphs(chosen.heatmaps, record=record)}
    runs["labels"] = BatchGraphs(chosen, record=record)
    with torch.inference_mode(), own_stream(device):
        for batch in batches:
            if maps and batch / max(maps.values()) > LONGEST_BATCH_S:
                break
            crops = torch.randint(0, 256, (batch, height, width, 3), dtype=torch.uint8).to(device)
            inputs = normalise(crops, setting.dtype)
            rate = calls_per_s(_replay(runs["maps"], inputs), device, setting.seconds)
            maps[batch] = batch * rate
            # With the flip test twice as many go through the network: of a size met already.
            if batch == 64 or (not compiled and (batch >= 64 or setting.quick)):
                rate = calls_per_s(_replay(runs["labels"], crops), device, setting.seconds)
                labels[batch] = batch * rate
        found: dict[str, Any] = {"maps": maps, "labels_with_flip_test": labels}
        if not compiled:
            one = normalise(crops[:1], setting.dtype)
            plain = calls_per_s(lambda: chosen.heatmaps(one), device, setting.seconds)
            found["batch_1_without_graphs"] = plain
    return found


def _replay(run: BatchGraphs, batch: Tensor) -> Callable[[], Tensor]:
    return lambda: run(batch, len(batch))


def pipeline(setting: Setting) -> dict[str, Any]:
    """Label folders of JPEGs with known boxes, in several sizes and with several people."""
    found: dict[str, Any] = {}
    sizes = [(160, 120)] if setting.quick else [(640, 480), (1920, 1080)]
    folders = {}
    for size_wh in sizes:
        count = setting.photos(2048 if size_wh[0] < 1000 else 1024)
        folder = setting.scratch / f"{size_wh[0]}x{size_wh[1]}"
        folders[size_wh] = folder if folder.exists() else write_folder(folder, size_wh, count)
    for flip_test in (False, True):
        estimator = random_estimator(setting, flip_test=flip_test)
        for size_wh, people in product(sizes, (1, 3, 10)):
            if setting.late or (flip_test and people != 3):
                continue
            labeler = Labeler(PlantedBoxes(None, people), estimator)
            source = _source(folders[size_wh], setting)
            name = f"{size_wh[0]}x{size_wh[1]}, {people} people" + ", flip test" * flip_test
            found[name] = _pipeline_rates(setting, labeler, source, people)
    return found


def _source(path: Path, setting: Setting) -> MediaSource:
    return open_source([str(path)], num_threads=num_reader_threads(setting.device))


def _pipeline_rates(
    setting: Setting, labeler: Labeler, source: MediaSource, people: int
) -> dict[str, float]:
    """Return photos a second of the whole and of its stages alone."""
    frames = list(_first(source, CHUNK_FRAMES))
    list(labeler.label(frames * min(3, setting.repeats)))  # records what is to be replayed
    _, decode_s = _timed(setting, lambda: sum(1 for _ in source.frames()))
    records, whole_s = _timed(setting, lambda: list(labeler.label(source.frames())))
    held, held_s = _timed(setting, lambda: list(labeler.label(frames * setting.repeats)))
    found = sum(len(each.instances) for each in records if each.instances is not None)
    if found == 0:
        raise RuntimeError(f"nobody was found in {len(records)} photos with {people} boxes each")
    decode, whole = len(records) / decode_s, len(records) / whole_s
    beyond = len(held) / held_s
    return {
        "photos_per_s": whole,
        "crops_per_s": whole * people,
        "decode_alone": decode,
        "all_but_decode": beyond,
        "share_of_slowest": whole / min(decode, beyond),
    }


def video(setting: Setting) -> dict[str, Any]:
    """Label a clip with known boxes."""
    size_wh = (160, 120) if setting.quick else (1920, 1080)
    path = write_clip(setting.scratch / "clip.mp4", size_wh, setting.photos(600))
    labeler = Labeler(PlantedBoxes(None, 3), random_estimator(setting, flip_test=False))
    return _pipeline_rates(setting, labeler, _source(path, setting), 3)


# --- what do others do? ---------------------------------------------------------------------------


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
    source = _source(folder, setting)
    (detections,) = planted.detect(list(_first(source, 1)))
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
        for frame in _first(source, count):
            people = planted.detect([frame])[0]
            for row in range(len(people)):
                estimator.start([estimator.cut([frame.image], [people.select([row])])]).of(0)

    ways: dict[str, Callable[[], object]] = {
        "transformers fp32": theirs(torch.float32),
        "transformers fast": theirs(setting.dtype),
        "one crop at a time": loop,
        "ours": lambda: list(labeler.label(source.frames())),
    }
    found: dict[str, Any] = {}
    for name, way in ways.items():
        way()
        _, seconds = _timed(setting, way)
        found[name] = count / seconds
    others = {name: rate for name, rate in found.items() if name != "ours"}
    ratios = {f"ours over {name}": found["ours"] / rate for name, rate in others.items()}
    return found | ratios


# --- where does the time go? ----------------------------------------------------------------------


def stages(setting: Setting) -> dict[str, Any]:
    """Measure each step for a chunk of frames with three people each, one after the other, ms."""
    size_wh = (160, 120) if setting.quick else (1920, 1080)
    estimator = random_estimator(setting, flip_test=False)
    chosen, device = estimator.network, setting.device
    photo = np.ascontiguousarray(np.resize(example("astronaut.jpg"), (size_wh[1], size_wh[0], 3)))
    frames = [photo] * CHUNK_FRAMES
    detections = PlantedBoxes(None, 3).detect([Frame(FrameKey("photo"), photo)]) * CHUNK_FRAMES
    groups = [slice(start, start + 8) for start in range(0, CHUNK_FRAMES, 8)]
    cut = estimator.cut(frames, detections)
    crops = cut.crops.to(device)
    inputs = normalise(crops, setting.dtype)
    maps = chosen.heatmaps(inputs)
    values = chosen(crops)
    on_host = torch.empty(values.shape, pin_memory=device.type == "cuda")
    steps: dict[str, Callable[[], object]] = {
        "upload": lambda: [DeviceFrames.upload(frames[each], device) for each in groups],
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
        found |= {"compiled_cut": _compiled_cut(setting, frames[:8], cut.transforms.matrices[:24])}
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
    source = _source(write_folder(folder, (1280, 720), 640), setting)
    labeler = Labeler(PlantedBoxes(None, 3), estimator)
    list(labeler.label(list(_first(source, CHUNK_FRAMES)) * 3))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        _, seconds = _timed(setting, lambda: list(labeler.label(source.frames())))
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


def _first(source: MediaSource, count: int) -> Iterable[Frame]:
    frames = source.frames()
    for _, frame in zip(range(count), frames, strict=False):
        if isinstance(frame, Frame):
            yield frame


def _timed(setting: Setting, work: Callable[[], Any]) -> tuple[Any, float]:
    wait_for(setting.device)
    started = time.perf_counter()
    result = work()
    wait_for(setting.device)
    return result, time.perf_counter() - started

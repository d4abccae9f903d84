"""How fast `gpu.py`'s device is: products, networks alone, and photos and videos labelled."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from gpu_material import (
    DTYPES,
    Setting,
    first_frames,
    open_files,
    random_estimator,
    random_model,
    timed,
    write_clip,
    write_folder,
)
from torch import Tensor

from vitpose_cli.bench.stages import PlantedBoxes
from vitpose_cli.labeler import CHUNK_FRAMES, Labeler
from vitpose_cli.media.source import MediaSource
from vitpose_cli.models.graphs import BatchGraphs
from vitpose_cli.models.normalisation import normalise
from vitpose_cli.models.pose_network import PoseNetwork
from vitpose_cli.models.speed import (
    calls_per_s,
    gflop_per_crop,
    matrix_tflops,
    own_stream,
)
from vitpose_cli.runtime import has_fast

LONGEST_BATCH_S = 8.0
"""Batches that take longer on a CPU are left out."""


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
            source = open_files(folders[size_wh], setting)
            name = f"{size_wh[0]}x{size_wh[1]}, {people} people" + ", flip test" * flip_test
            found[name] = _pipeline_rates(setting, labeler, source, people)
    return found


def _pipeline_rates(
    setting: Setting, labeler: Labeler, source: MediaSource, people: int
) -> dict[str, float]:
    """Return photos a second of the whole and of its stages alone."""
    frames = list(first_frames(source, CHUNK_FRAMES))
    list(labeler.label(frames * min(3, setting.repeats)))  # records what is to be replayed
    _, decode_s = timed(setting, lambda: sum(1 for _ in source.frames()))
    records, whole_s = timed(setting, lambda: list(labeler.label(source.frames())))
    held, held_s = timed(setting, lambda: list(labeler.label(frames * setting.repeats)))
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
    return _pipeline_rates(setting, labeler, open_files(path, setting), 3)

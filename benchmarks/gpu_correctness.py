"""Whether `gpu.py`'s device is right: every mode of the network against the CPU in float32."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import torch
from gpu_material import (
    DTYPES,
    Setting,
    frames_and_crops,
    real_model,
)
from torch import Tensor

from vitpose_cli.media.crops import warp_crops
from vitpose_cli.media.device_crops import DeviceFrames
from vitpose_cli.models.batching import BatchLimit
from vitpose_cli.models.device_engine import DeviceEngine
from vitpose_cli.models.normalisation import normalise
from vitpose_cli.models.pose_network import PoseNetwork
from vitpose_cli.runtime import has_fast

CPU = torch.device("cpu")
CONFIDENT = 0.3
"""Keypoints of a lower reference score may be anywhere, and are left out of the shifts."""


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

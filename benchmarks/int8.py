"""What 8-bit integers would give on a CPU, and what they would cost: torch's and ONNX Runtime's.

    python benchmarks/int8.py GT.json IMAGES [--weights tiny | --variant base] [--photos 24]

Matrix products with 8-bit weights and activations (dynamic quantisation) against our float32 path:
the same crops of the people in the ground truth, one thread, alternating rounds. Printed are the
ratio of CPU times, how far keypoints move (px of the photo), and AP of both with the boxes of the
ground truth. With `--variant` weights are random: only the time means something.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_material import random_model
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from vitpose_cli.media.crops import warp_crops
from vitpose_cli.media.images import decode_image
from vitpose_cli.models.catalog import resolve_weights
from vitpose_cli.models.checkpoint import LoadedViTPose, load_model
from vitpose_cli.models.normalisation import normalise
from vitpose_cli.models.onnx_file import write_onnx
from vitpose_cli.models.pose_network import PoseNetwork
from vitpose_cli.models.vitpose import VARIANTS
from vitpose_cli.pose.geometry import CropTransforms, xywh_to_xyxy

CPU = torch.device("cpu")
BATCH = 8
Heatmaps = Callable[[torch.Tensor], torch.Tensor]


def by_torch_int8(model: LoadedViTPose) -> Heatmaps:
    from torch.ao.quantization import quantize_dynamic

    quantised: LoadedViTPose = quantize_dynamic(  # type: ignore[no-untyped-call]
        model, {torch.nn.Linear}, dtype=torch.qint8
    )
    return lambda crops: quantised(crops)


def by_onnxruntime_int8(model: LoadedViTPose, folder: Path) -> Heatmaps:
    import onnxruntime
    from onnxruntime.quantization import quantize_dynamic

    write_onnx(model, folder / "fp32.onnx")
    quantize_dynamic(
        folder / "fp32.onnx", folder / "int8.onnx", op_types_to_quantize=["MatMul", "Gemm"]
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / "int8.onnx", options)
    name = session.get_inputs()[0].name
    return lambda crops: torch.from_numpy(session.run(None, {name: crops.numpy()})[0])


class People:
    """The people of some photos, cut out."""

    def __init__(self, truth: COCO, images: Path, count: int, model: LoadedViTPose) -> None:
        (head,) = model.header.heads.values()
        self.truth = truth
        self.images = [each for each in truth.getImgIds() if truth.getAnnIds(each)][:count]
        self.annotations = [truth.imgToAnns[each] for each in self.images]
        self.transforms: list[CropTransforms] = []
        crops = []
        for image_id, people in zip(self.images, self.annotations, strict=True):
            image = decode_image((images / truth.imgs[image_id]["file_name"]).read_bytes())
            boxes = xywh_to_xyxy(np.array([each["bbox"] for each in people], np.float32))
            cuts = CropTransforms.from_boxes(boxes, model.header.input_wh, alignment=head.alignment)
            self.transforms.append(cuts)
            crops.append(torch.from_numpy(warp_crops(image, cuts)))
        self.batches = torch.split(normalise(torch.cat(crops)), BATCH)

    def keypoints(self, heatmaps: Heatmaps, network: PoseNetwork) -> list[NDArray[np.float32]]:
        """Return (N, K, 3) of each photo: x, y in its px, and the score."""
        with torch.inference_mode():
            maps = torch.cat([heatmaps(batch) for batch in self.batches])
        decoded = network.codec.decode(maps)
        points, scores = decoded.crop_keypoints.numpy(), decoded.scores.numpy()
        found, start = [], 0
        for transforms in self.transforms:
            part = slice(start, start + len(transforms))
            home = transforms.to_frame(points[part])
            found.append(np.concatenate([home, scores[part][..., None]], axis=2))
            start = part.stop
        return found

    def average_precision(self, found: list[NDArray[np.float32]]) -> float:
        """Return COCO's AP of poses in the boxes of the ground truth."""
        results = [
            {"image_id": image_id, "category_id": 1, "keypoints": pose.reshape(-1).tolist(),
             "score": float(pose[:, 2].mean())}
            for image_id, poses in zip(self.images, found, strict=True) for pose in poses
        ]  # fmt: skip
        with redirect_stdout(None):
            evaluation = COCOeval(self.truth, self.truth.loadRes(results), "keypoints")
            evaluation.params.imgIds = self.images
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        return float(evaluation.stats[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("annotations", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--weights", default="tiny")
    parser.add_argument("--variant", choices=VARIANTS, help="random weights of this size")
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)

    def load() -> LoadedViTPose:
        if options.variant:
            return random_model(options.variant, CPU)
        return load_model(resolve_weights(options.weights))

    network = PoseNetwork(load(), device=CPU)
    people = People(COCO(options.annotations), options.images, options.photos, load())
    with tempfile.TemporaryDirectory() as scratch:
        ways: dict[str, Heatmaps] = {
            "fp32": lambda crops: network.heatmaps(crops),
            "torch int8": by_torch_int8(load()),
            "onnxruntime int8": by_onnxruntime_int8(load(), Path(scratch)),
        }
        found = {name: people.keypoints(way, network) for name, way in ways.items()}
        rounds = [
            {name: cpu_seconds(way, people.batches) for name, way in ways.items()}
            for _ in range(options.rounds)
        ]
    reference = np.concatenate(found["fp32"])
    for name, poses in found.items():
        moved = np.linalg.norm(np.concatenate(poses)[..., :2] - reference[..., :2], axis=2)
        row: dict[str, Any] = {
            "way": name,
            "faster_by_cpu_time": statistics.median(each["fp32"] / each[name] for each in rounds),
            "shift_px_median": float(np.median(moved)),
            "shift_px_p99": float(np.quantile(moved, 0.99)),
            "ap": people.average_precision(poses),
        }
        print(json.dumps({key: round(value, 3) if isinstance(value, float) else value
                          for key, value in row.items()}), flush=True)  # fmt: skip


def cpu_seconds(way: Heatmaps, batches: tuple[torch.Tensor, ...]) -> float:
    """Return the CPU seconds of one round."""
    started = time.process_time()
    with torch.inference_mode():
        for batch in batches:
            way(batch)
    return time.process_time() - started


if __name__ == "__main__":
    main()

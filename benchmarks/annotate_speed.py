"""Our pipeline against transformers' own, in one process: same photos, boxes and weights.

    python benchmarks/annotate_speed.py GT.json IMAGES [--variant small] [--photos 24] [--json]

The weights are random (speed does not depend on them): a `VitPoseForPoseEstimation` of the chosen
size, saved by transformers and read by both. The ways take turns, round after round:

- transformers, as its documentation shows: photo after photo, image processor, network,
  post-processing;
- one by one: our parts in a plain loop, one crop in a batch, nothing ahead or beside, as wrappers
  of ViTPose do it;
- rtmlib, where it is installed (`pip install rtmlib onnxruntime`): its `ViTPose` over the same
  weights, exported as `vitpose export -o model.onnx` does, on ONNX Runtime, one crop in a batch,
  on as many threads as torch has, where rtmlib itself would take all cores;
- ours, as `vitpose annotate` does it without its disk writes, and the bare network over the same
  crops in the same batches. What ours takes beyond the bare network is overhead.

Wall time says what a user waits. On a machine that others use too, CPU time (of all threads) says
more, most of all with OMP_NUM_THREADS=1, where no thread spins while it waits for another. Ratios
are taken within a round and their medians printed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from transformers import (
    VitPoseBackboneConfig,
    VitPoseConfig,
    VitPoseForPoseEstimation,
    VitPoseImageProcessor,
)

from vitpose_cli.assembly import Assembly, LabelerOptions, assemble
from vitpose_cli.labeler import CHUNK_FRAMES, Labeler
from vitpose_cli.media.crops import warp_crops
from vitpose_cli.media.frames import Frame
from vitpose_cli.media.source import MediaSource, open_source
from vitpose_cli.models.catalog import resolve_weights
from vitpose_cli.models.checkpoint import load_model
from vitpose_cli.models.onnx_file import write_onnx
from vitpose_cli.models.vitpose import VARIANTS
from vitpose_cli.pose.geometry import CropTransforms
from vitpose_cli.records.coco import read_coco

Photos = list[tuple[Path, list[list[float]]]]
Way = Callable[[], None]


def save_hub_model(variant: str, folder: Path) -> None:
    """Save a random transformers ViTPose of the size of `variant` as the hub would hold it."""
    size = VARIANTS[variant]
    backbone = VitPoseBackboneConfig(
        hidden_size=size.embed_dim,
        num_hidden_layers=size.depth,
        num_attention_heads=size.num_heads,
        out_indices=[size.depth],
    )
    torch.manual_seed(0)
    model = VitPoseForPoseEstimation(
        VitPoseConfig(backbone_config=backbone, num_labels=17, use_simple_decoder=False)
    )
    model.save_pretrained(folder)
    VitPoseImageProcessor().save_pretrained(folder)


def photos_with_boxes(annotations: Path, images: Path, count: int) -> Photos:
    """Return photos with their xywh boxes, `count` of those that have any."""
    truth = read_coco(annotations)
    found: Photos = []
    for image in truth.images:
        boxes = [each["bbox"] for each in truth.annotations if each["image_id"] == image["id"]]
        if boxes:
            found.append((images / image["file_name"], boxes))
    return found[:count]


def transformers_way(folder: Path, photos: Photos) -> Way:
    """Return one round of transformers' pipeline."""
    processor = VitPoseImageProcessor.from_pretrained(folder)
    model = VitPoseForPoseEstimation.from_pretrained(folder).eval()

    def run() -> None:
        for path, boxes in photos:
            inputs = processor(Image.open(path).convert("RGB"), boxes=[boxes], return_tensors="pt")
            with torch.no_grad():
                outputs = model(**inputs)
            processor.post_process_pose_estimation(outputs, boxes=[boxes])

    return run


def crops_of(assembly: Assembly, frame: Frame) -> tuple[CropTransforms, torch.Tensor]:
    """Return where the crops of one frame lie, and their pixels."""
    estimator = assembly.estimator
    (detections,) = assembly.detector.detect([frame])
    transforms = CropTransforms.from_boxes(
        detections.boxes, estimator.input_wh, alignment=estimator.alignment
    )
    return transforms, torch.from_numpy(warp_crops(frame.image, transforms))


def one_by_one_way(assembly: Assembly, source: MediaSource) -> Way:
    """Return one round of the plain loop."""
    network = assembly.estimator.network
    keys = source.keys()

    def run() -> None:
        for key in keys:
            transforms, crops = crops_of(assembly, source.read(key))
            values = np.concatenate([network(crop[None]).numpy() for crop in crops])
            transforms.to_frame(network.unpack(values).crop_keypoints)

    return run


def rtmlib_way(weights: Path, photos: Photos, folder: Path) -> Way | None:
    """Return one round of rtmlib's ONNX path over the same weights, if it is installed."""
    try:
        import onnxruntime
        from rtmlib.tools.pose_estimation.vitpose import ViTPose
    except ImportError as error:
        print(f"rtmlib: {error}", file=sys.stderr)
        return None
    write_onnx(load_model(weights), folder / "model.onnx")
    with redirect_stdout(sys.stderr):
        network = ViTPose(str(folder / "model.onnx"), backend="onnxruntime", device="cpu")
    threads = onnxruntime.SessionOptions()
    threads.intra_op_num_threads = torch.get_num_threads()
    network.session = onnxruntime.InferenceSession(folder / "model.onnx", threads)

    def run() -> None:
        for path, boxes in photos:
            corners = [[x, y, x + width, y + height] for x, y, width, height in boxes]
            network(cv2.imread(str(path)), corners)

    return run


def our_way(assembly: Assembly, source: MediaSource) -> Way:
    """Return one round of the whole pipeline."""
    labeler = Labeler(assembly.detector, assembly.estimator)

    def run() -> None:
        for record in labeler.label(source.frames()):
            if record.error:
                raise SystemExit(f"{record.key}: {record.error}")

    return run


def network_way(assembly: Assembly, source: MediaSource) -> Way:
    """Return one round of the bare network, in the batches that ours makes."""
    frames = [frame for frame in source.frames() if isinstance(frame, Frame)]
    inputs: list[torch.Tensor] = []
    for start in range(0, len(frames), CHUNK_FRAMES):
        chunk = frames[start : start + CHUNK_FRAMES]
        crops = torch.cat([crops_of(assembly, frame)[1] for frame in chunk])
        pixels = crops.permute(0, 3, 1, 2).to(assembly.estimator.options.dtype) / 255
        inputs += torch.split(pixels, assembly.estimator.batch_size)

    def run() -> None:
        for batch in inputs:
            assembly.estimator.network.heatmaps(batch)

    return run


def measured(way: Way) -> dict[str, float]:
    """Return wall and CPU seconds of one round."""
    wall, cpu = time.perf_counter(), time.process_time()
    way()
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def median(values: list[float]) -> float:
    return round(statistics.median(values), 4)


def compared(rounds: list[dict[str, dict[str, float]]], num_crops: int) -> dict[str, Any]:
    """Return medians over rounds of every way, and ratios within rounds."""
    result: dict[str, Any] = {
        name: {
            "wall_s": median([each[name]["wall_s"] for each in rounds]),
            "cpu_s": median([each[name]["cpu_s"] for each in rounds]),
            "crops_per_s": median([num_crops / each[name]["wall_s"] for each in rounds]),
        }
        for name in rounds[0]
    }
    for clock in ("wall_s", "cpu_s"):
        for name in rounds[0].keys() - {"ours", "network"}:
            result[f"speedup_over_{name}_{clock}"] = median(
                [each[name][clock] / each["ours"][clock] for each in rounds]
            )
        result[f"overhead_share_{clock}"] = median(
            [1 - each["network"][clock] / each["ours"][clock] for each in rounds]
        )
    return result


def show(result: dict[str, Any]) -> None:
    print(
        f"{result['variant']}, {result['precision']}, {result['threads']} threads: "
        f"{result['photos']} photos, {result['crops']} crops, {result['rounds']} rounds"
    )
    print(f"{'':14}{'wall s':>9}{'CPU s':>9}{'crops/s':>9}")
    peers = [name for name in ("transformers", "one_by_one", "rtmlib") if name in result]
    for name in (*peers, "ours", "network"):
        row = result[name]
        print(f"{name:14}{row['wall_s']:9.2f}{row['cpu_s']:9.2f}{row['crops_per_s']:9.1f}")
    for clock in ("wall_s", "cpu_s"):
        ratios = [f"{result[f'speedup_over_{name}_{clock}']:.2f}x {name}" for name in peers]
        overhead = f"overhead {100 * result[f'overhead_share_{clock}']:.1f} %"
        print(f"by {clock[:-2]:>4} time:", ", ".join([*ratios, overhead]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("annotations", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--variant", default="small", choices=VARIANTS)
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    photos = photos_with_boxes(options.annotations, options.images, options.photos)
    num_crops = sum(len(boxes) for _, boxes in photos)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "hub"
        save_hub_model(options.variant, folder)
        weights = resolve_weights(str(folder))
        assembly = assemble(
            LabelerOptions(
                weights=str(weights),
                boxes=options.annotations,
                device="cpu",
                precision=options.precision,
                flip_test=False,
            )
        )
        source = open_source([str(path) for path, _ in photos])
        ways = {
            "transformers": transformers_way(folder, photos),
            "one_by_one": one_by_one_way(assembly, source),
            "rtmlib": rtmlib_way(weights, photos, Path(scratch)),
            "ours": our_way(assembly, source),
            "network": network_way(assembly, source),
        }
        every = [
            {name: measured(way) for name, way in ways.items() if way is not None}
            for _ in range(options.rounds + 1)
        ]
    result = {
        "variant": options.variant,
        "precision": str(assembly.estimator.options.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "photos": len(photos),
        "crops": num_crops,
        "rounds": options.rounds,
        **compared(every[1:], num_crops),  # without the round that warms up
    }
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        show(result)


if __name__ == "__main__":
    main()

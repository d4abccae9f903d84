"""Our pipeline against transformers' own, in one process: same photos, boxes and weights.

    python benchmarks/annotate_speed.py GT.json IMAGES [--variant small] [--photos 24] [--json]

The weights are random (speed does not depend on them): a `VitPoseForPoseEstimation` of the chosen
size, saved by transformers and read by both. Transformers runs as its documentation shows: one
photo after the other, image processor, model, post-processing. Ours runs as `vitpose annotate`
does, without its disk writes. Rounds alternate; medians are printed. "Network" is the time of the
bare forward passes over the same crops and batches; what a pipeline takes beyond it is overhead.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import (
    VitPoseBackboneConfig,
    VitPoseConfig,
    VitPoseForPoseEstimation,
    VitPoseImageProcessor,
)

from vitpose_cli.assembly import LabelerOptions, assemble
from vitpose_cli.labeler import CHUNK_FRAMES, Labeler
from vitpose_cli.media.crops import normalise, warp_crops
from vitpose_cli.media.frames import Frame
from vitpose_cli.media.source import open_source
from vitpose_cli.models.catalog import resolve_weights
from vitpose_cli.models.vitpose import VARIANTS
from vitpose_cli.records.coco import read_coco

Seconds = dict[str, float]


def hub_model(variant: str, folder: Path) -> None:
    """Save a random transformers ViTPose of the size of `variant` as the hub would hold it."""
    size = VARIANTS[variant]
    backbone = VitPoseBackboneConfig(
        hidden_size=size.embed_dim,
        num_hidden_layers=size.depth,
        num_attention_heads=size.heads,
        out_indices=[size.depth],
    )
    torch.manual_seed(0)
    model = VitPoseForPoseEstimation(
        VitPoseConfig(backbone_config=backbone, num_labels=17, use_simple_decoder=False)
    )
    model.save_pretrained(folder)
    VitPoseImageProcessor().save_pretrained(folder)


def transformers_pipeline(folder: Path, photos: list[tuple[Path, Any]]) -> Callable[[], Seconds]:
    """Return a round of transformers' pipeline over `photos`: paths with xywh boxes."""
    processor = VitPoseImageProcessor.from_pretrained(folder)
    model = VitPoseForPoseEstimation.from_pretrained(folder).eval()

    def run() -> Seconds:
        seconds = dict.fromkeys(("read", "prepare", "network", "decode"), 0.0)
        for path, boxes in photos:
            at = [time.perf_counter()]
            image = Image.open(path).convert("RGB")
            at.append(time.perf_counter())
            inputs = processor(image, boxes=[boxes], return_tensors="pt")
            at.append(time.perf_counter())
            with torch.no_grad():
                outputs = model(**inputs)
            at.append(time.perf_counter())
            processor.post_process_pose_estimation(outputs, boxes=[boxes])
            at.append(time.perf_counter())
            for name, start, end in zip(seconds, at[:-1], at[1:], strict=True):
                seconds[name] += end - start
        return seconds

    return run


def our_pipeline(
    weights: Path, boxes: Path, photos: list[tuple[Path, Any]], precision: str
) -> tuple[Callable[[], Seconds], Callable[[], Seconds]]:
    """Return a round of our pipeline over `photos`, and one of its stages one by one."""
    assembly = assemble(
        LabelerOptions(weights=str(weights), boxes=boxes, flip_test=False, precision=precision)
    )
    labeler = Labeler(assembly.detector, assembly.estimator)
    source = open_source([str(path) for path, _ in photos])

    def run() -> Seconds:
        start = time.perf_counter()
        num_records = sum(1 for _ in labeler.label(source.frames()))
        if num_records != len(photos):
            raise SystemExit(f"{num_records} records for {len(photos)} photos")
        return {"total": time.perf_counter() - start}

    def stages() -> Seconds:
        estimator = assembly.estimator
        start = time.perf_counter()
        frames = [frame for frame in source.frames() if isinstance(frame, Frame)]
        read = time.perf_counter() - start
        seconds = {"read": read, "warp": 0.0, "network": 0.0, "decode": 0.0}
        for first in range(0, len(frames), CHUNK_FRAMES):
            chunk = frames[first : first + CHUNK_FRAMES]
            at = [time.perf_counter()]
            found = [estimator.transforms(boxes) for boxes in assembly.detector.detect(chunk)]
            crops = [
                torch.from_numpy(warp_crops(frame.image, transforms))
                for frame, transforms in zip(chunk, found, strict=True)
            ]
            pixels = torch.cat(crops)
            at.append(time.perf_counter())
            with torch.inference_mode():
                maps = [
                    estimator.heatmaps(normalise(batch).to(estimator.options.dtype))
                    for batch in pixels.split(estimator.batch_size)
                ]
                at.append(time.perf_counter())
                for batch in maps:
                    estimator.codec.decode(batch)
            at.append(time.perf_counter())
            for name, start, end in zip(
                ("warp", "network", "decode"), at[:-1], at[1:], strict=True
            ):
                seconds[name] += end - start
        return seconds

    return run, stages


def median(rounds: list[Seconds]) -> Seconds:
    """Return the median of every entry."""
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


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

    truth = read_coco(options.annotations)
    boxes = {
        image["file_name"]: [
            person["bbox"] for person in truth.annotations if person["image_id"] == image["id"]
        ]
        for image in truth.images
    }
    photos = [(options.images / name, each) for name, each in boxes.items() if each]
    photos = photos[: options.photos]
    num_crops = sum(len(each) for _, each in photos)

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "hub"
        hub_model(options.variant, folder)
        theirs = transformers_pipeline(folder, photos)
        ours, stages = our_pipeline(
            resolve_weights(str(folder)), options.annotations, photos, options.precision
        )
        rounds = [(theirs(), ours(), stages()) for _ in range(options.rounds + 1)][1:]
    hub, own, by_stage = (median([each[part] for each in rounds]) for part in range(3))
    hub_total = sum(hub.values())
    result = {
        "variant": options.variant,
        "precision": options.precision,
        "threads": torch.get_num_threads(),
        "photos": len(photos),
        "crops": num_crops,
        "transformers": {**hub, "total": hub_total, "crops_per_s": num_crops / hub_total},
        "ours": {**by_stage, **own, "crops_per_s": num_crops / own["total"]},
        "photos_per_s": len(photos) / own["total"],
        "speedup": statistics.median(sum(each[0].values()) / each[1]["total"] for each in rounds),
        "overhead_share": 1 - by_stage["network"] / own["total"],
    }
    if options.json:
        print(json.dumps(result, indent=2))
        return
    print(f"{options.variant}, {len(photos)} photos, {num_crops} crops, {options.precision}")
    for name in ("transformers", "ours"):
        stage_text = "  ".join(f"{key} {value:.2f}" for key, value in result[name].items())
        print(f"{name:>13}: {stage_text}")
    print(
        f"      speedup: {result['speedup']:.2f}x   "
        f"outside the network: {100 * result['overhead_share']:.1f} % of wall time"
    )


if __name__ == "__main__":
    main()

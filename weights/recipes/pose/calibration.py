"""Print how often keypoints are right, by the height of their peaks, for factors of the heatmaps.

    python calibration.py FILE PACK [PACK ...]

On the crops that the configurations hold out, a keypoint is right that lies within 5 % of the
crop's height of its label. The factor at which a peak of 0.5 is right half the time, and so on, is
the gain for `recipe.py`: with it the thresholds of `annotate` mean what they say. It is that which
is off by least: by so much peaks differ from how often they are right, on average. Peaks above 1
count as 1. Needs the project.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from held_out import CONTEXT, are_held_out
from numpy.typing import NDArray

from vitpose_cli.models.checkpoint import load_model
from vitpose_cli.models.pose_network import PoseNetwork
from vitpose_cli.pose.geometry import CropTransforms
from vitpose_cli.training.packs import Pack

NEAR = 0.05
"""How far a keypoint may be from its label, in heights of the crop, to be right."""

GAINS = (1.0, 1.2, 1.35, 1.5, 1.7)
BINS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
SURE = 0.5
"""Confidence of a teacher's keypoint from which on it counts as a label."""


def peaks_and_errors(
    network: PoseNetwork, pack: Pack
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return the peaks of labelled keypoints, and their distances in heights of the crop."""
    keys, rows = pack.keys(), np.flatnonzero(are_held_out(pack))
    images = [pack.read(keys[row]).image for row in rows]
    size_wh = (images[0].shape[1], images[0].shape[0])
    box = pack.boxes(size_wh, CONTEXT)[:1]
    region = CropTransforms.from_boxes(box, network.input_wh, alignment=network.codec.alignment)
    crops = [cv2.warpAffine(image, region.matrices[0], network.input_wh) for image in images]
    poses = network.unpack(network(torch.from_numpy(np.stack(crops))).numpy())
    flat = poses.crop_keypoints.reshape(1, -1, 2)
    labels = pack.keypoints[rows]
    found = region.to_frame(flat).reshape(*labels.shape[:2], 2)
    errors = np.linalg.norm(found - labels[..., :2], axis=-1) / (size_wh[1] / CONTEXT)
    labelled = (labels[..., 2] == 2) | ((labels[..., 2] == 1) & (labels[..., 3] > SURE))
    return poses.scores[labelled], errors[labelled]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("packs", type=Path, nargs="+")
    options = parser.parse_args(arguments)
    network = PoseNetwork(load_model(options.weights), device=torch.device("cpu"))
    parts = [peaks_and_errors(network, Pack.open(path)) for path in options.packs]
    peaks, errors = (np.concatenate(each) for each in zip(*parts, strict=True))
    print(f"{len(peaks)} keypoints, {np.mean(errors < NEAR):.3f} of them right")
    right = errors < NEAR
    for gain in GAINS:
        raised = np.clip(peaks * gain, 0, 1)
        numbers = np.digitize(raised, BINS[1:-1])
        members = [numbers == number for number in range(len(BINS) - 1)]
        gaps = [abs(np.sum(right[one]) - np.sum(raised[one])) for one in members]
        shares = (f"{np.mean(right[one]):.3f}" if one.any() else "-" for one in members)
        off = np.sum(gaps) / len(right)
        print(f"gain {gain}: off by {off:.3f}; right by peaks {BINS}:", *shares)


if __name__ == "__main__":
    main()

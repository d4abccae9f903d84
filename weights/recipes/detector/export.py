"""Turn a run of `train.py` into the detector's weights file.

    python export.py pack.npz run/ weights/person-detector.safetensors

The threshold is the least score that gives at most so many false boxes a photo on the held-out
photos of the pack, and is written into the file. With `--average-with FILE` the mean of the run's
weights and of those of a file, where the run began, is exported: two places on one slope, whose
middle often is lower (arXiv:2203.05482). Needs the project.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from findings import find_in_photos, summary
from measure import match
from pack import read_pack
from safetensors.torch import load_file

from vitpose_cli.models.torchvision_detector import DetectorHeader, build_detector, save_detector

_SOURCE = "trained from scratch by weights/recipes/detector of this project"
_LICENCE = "Apache-2.0; trained on photos of several licences, see weights/README.md"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pack", type=Path)
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("out", type=Path)
    parser.add_argument("--side", type=int, help="input of the network, px; default as trained")
    parser.add_argument("--average-with", type=Path, help="weights file of the same network")
    parser.add_argument("--false-boxes", type=float, default=0.4, help="most per held-out photo")
    options = parser.parse_args(arguments)
    trained = torch.load(options.run / "average.pt", map_location="cpu", weights_only=True)
    side = options.side or trained["side"]
    header = DetectorHeader(
        architecture=trained["network_name"],
        class_names=("__background__", "person"),
        source=_SOURCE,
        licence=_LICENCE,
        input_wh=(side, side),
    )
    network = build_detector(header)
    state = trained["average"]
    if options.average_with:
        other = load_file(options.average_with)
        state = {
            key: (value + other[key].float()) / 2 if value.is_floating_point() else value
            for key, value in state.items()
        }
    network.load_state_dict(state)
    held_out = [photo for photo in read_pack(options.pack) if photo.held_out]
    found = find_in_photos(network.eval(), held_out, side, torch.device("cpu"))
    matches = match(found)
    threshold = round(matches.threshold_at(options.false_boxes), 3)
    header = DetectorHeader(**{**asdict(header), "threshold": threshold})
    save_detector(options.out, network.state_dict(), header, dtype=torch.float16)
    numbers = {"threshold_written": threshold, **summary(matches)}
    print(json.dumps({**numbers, "bytes": options.out.stat().st_size}))


if __name__ == "__main__":
    main()

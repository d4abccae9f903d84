"""Measure how long people's bones are beside each other: the table in `vitpose_cli/pose/bones.py`.

    python benchmarks/bone_lengths.py PACK...

Takes packs of person crops and prints one line of the table for each bone. Only keypoints that a
person labelled count. The scale of a body is the median, over its bones, of log(length) less the
bone's usual value; usual values and scales are found in turns until they agree.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitpose_cli.pose.bones import bone_name, log_lengths
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.training.packs import Pack

BY_A_PERSON = 2
FEWEST_BONES = 5
ROUNDS = 10
COCO = keypoint_set("coco")


def labelled_lengths(paths: list[Path]) -> NDArray[np.float64]:
    """Return log lengths (N, E) of the bodies that show enough bones; NaN where one is unknown."""
    keypoints = np.concatenate([Pack.open(path).keypoints for path in paths])
    ends = np.array(COCO.edges)
    known = (keypoints[..., 2] == BY_A_PERSON)[:, ends].all(axis=2)
    lengths = np.where(known, log_lengths(keypoints[..., :2], ends), np.nan)
    enough: NDArray[np.float64] = lengths[known.sum(axis=1) >= FEWEST_BONES]
    return enough


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("packs", type=Path, nargs="+")
    lengths = labelled_lengths(parser.parse_args().packs)
    names = [bone_name(COCO, edge) for edge in COCO.edges]
    columns = {name: [at for at, each in enumerate(names) if each == name] for name in names}
    usual = np.nanmedian(lengths, axis=0)
    for _ in range(ROUNDS):
        excess = lengths - np.nanmedian(lengths - usual, axis=1, keepdims=True)
        for both_sides in columns.values():
            usual[both_sides] = np.nanmedian(excess[:, both_sides])
    deviations = excess - usual
    usual -= np.median(usual)  # only differences matter
    print(f"{len(lengths):,} bodies")
    for name, both_sides in sorted(columns.items()):
        low, high = np.nanpercentile(deviations[:, both_sides], [16, 84])
        print(f"        {name}: Bone({usual[both_sides[0]]:.2f}, {-low:.2f}, {high:.2f}),")


if __name__ == "__main__":
    main()

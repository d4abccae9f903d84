"""What the measures of doubt cost `annotate`: their share of the network's and decoder's time.

    python benchmarks/signal_cost.py [--variant base] [--people 64]

Computes crops of noise as `annotate` does on a CPU, with flip test, and the parts that are there
for the measures alone: rival peaks and widths, decoding the two halves of the flip test for
themselves, and what follows from the poses. CPU time, so that other work on the machine counts
little; take OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from gpu_material import random_model

from vitpose_cli.models.estimator import HOST_BATCH_SIZE
from vitpose_cli.models.pose_network import PoseNetwork
from vitpose_cli.pose.heatmap_signals import flip_disagreement, peak_signals
from vitpose_cli.pose.heatmaps import DecodedMaps
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.pose.signals import frame_signals

PEOPLE_IN_A_FRAME = 2
ROUNDS = 5


def cpu_s(work: Callable[[], object], times: int) -> float:
    """Return the processor time of one call, the least of a few rounds."""
    work()
    rounds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(times):
            work()
        rounds.append((time.process_time() - began) / times)
    return min(rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variant", default="base")
    parser.add_argument("--people", type=int, default=8 * HOST_BATCH_SIZE)
    options = parser.parse_args()
    coco = keypoint_set("coco")
    cpu = torch.device("cpu")
    network = PoseNetwork(random_model(options.variant, cpu), device=cpu)
    generator = np.random.default_rng(0)
    crops = torch.from_numpy(generator.integers(0, 255, (HOST_BATCH_SIZE, 256, 192, 3), np.uint8))
    maps = torch.rand(HOST_BATCH_SIZE, 17, 64, 48)
    codec = network.codec
    points = generator.uniform(0, 200, (PEOPLE_IN_A_FRAME, 17, 2)).astype(np.float32)
    boxes = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)

    def measures() -> None:
        halves = codec.decode(torch.cat([maps, maps]))
        decoded: DecodedMaps = halves.rows(0, HOST_BATCH_SIZE)
        peak_signals(decoded)
        straight, turned = halves.crop_keypoints.chunk(2)
        flip_disagreement(straight, turned, network.input_wh)
        for _ in range(HOST_BATCH_SIZE // PEOPLE_IN_A_FRAME):
            frame_signals(boxes, points, coco)

    times = options.people // HOST_BATCH_SIZE
    with torch.inference_mode():
        everything = cpu_s(lambda: network(crops), 1)
        extra = cpu_s(measures, times)
        bare = cpu_s(lambda: maps.flatten(2).max(dim=2), times)
        decoding = cpu_s(lambda: codec.decode(maps), times)
    most = extra + decoding - bare  # as if all decoding but the maximum were for the measures
    print(
        f"{options.variant}: {1e3 * everything / HOST_BATCH_SIZE:.1f} ms a person; of these for "
        f"measures {1e3 * extra / HOST_BATCH_SIZE:.2f} ms ({100 * extra / everything:.1f} %), "
        f"at most {100 * most / everything:.1f} % with all of decoding counted"
    )


if __name__ == "__main__":
    main()

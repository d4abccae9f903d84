"""How fast a device computes: the rate of its matrix units, and that of the pose network on it.

A rate in crops a second says little of a machine; its share of what the same machine reaches in
one large matrix product, the best it can do, says whether anything is left to gain. Operations
are counted by PyTorch on a network without values, so that they are those of the network that
runs and of no paper.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch.utils.flop_counter import FlopCounterMode

from vitpose_cli.models.graphs import BatchGraphs
from vitpose_cli.models.pose_network import PoseNetwork
from vitpose_cli.models.vitpose import ViTPose, ViTPoseConfig

MATRIX_SIDES = {"cuda": 8192, "cpu": 1024}
"""Rows of the matrices by kind of device: large enough that nothing but the product counts."""


def gflop_per_crop(config: ViTPoseConfig) -> float:
    """Return the billions of operations of one crop, a multiplication and an addition being two.

    Args:
        config: Of a network; with several heads, one of them is counted.
    """
    width, height = config.input_wh
    with torch.device("meta"):
        network = ViTPose(config).eval()
        crop = torch.empty(1, 3, height, width)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(crop, next(iter(config.heads)))
    return float(counter.get_total_flops()) / 1e9


@torch.inference_mode()
def matrix_tflops(device: torch.device, dtype: torch.dtype, seconds: float = 0.5) -> float:
    """Return the trillions of operations a second in products of large square matrices."""
    side = MATRIX_SIDES.get(device.type, 2048)
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    out = torch.empty(side, side, dtype=dtype, device=device)
    rate = calls_per_s(lambda: torch.mm(left, right, out=out), device, seconds)
    return rate * 2 * side**3 / 1e12


def network_crops_per_s(network: PoseNetwork, batch: int, seconds: float = 0.5) -> float:
    """Return how many crops a second the network does in batches of one size.

    Everything that the labeler has it do is counted: normalisation, the flip test, decoding. On a
    CUDA GPU the batch is replayed from a recording.
    """
    device = network.device
    width, height = network.input_wh
    pixels = torch.randint(0, 256, (batch, height, width, 3), dtype=torch.uint8)
    crops = pixels.to(device)
    run = BatchGraphs(network, record=device.type == "cuda")
    with torch.inference_mode(), own_stream(device):
        return batch * calls_per_s(lambda: run(crops, batch), device, seconds)


def calls_per_s(work: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Return how often a second some work is done, queued as fast as the device takes it.

    Args:
        work: Queues what it does; called twice before, as the first calls set things up.
        device: Where it is done.
        seconds: How long to measure, at least.
    """
    for _ in range(2):
        work()
    wait_for(device)
    num_calls, num_queued, started = 0, 1, time.perf_counter()
    while True:
        for _ in range(num_queued):
            work()
        wait_for(device)
        num_calls += num_queued
        passed = time.perf_counter() - started
        if passed >= seconds:
            return num_calls / passed
        num_queued *= 2


def wait_for(device: torch.device) -> None:
    """Return when the device has done all that is queued."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def own_stream(device: torch.device) -> AbstractContextManager[object]:
    """Queue on a stream other than CUDA's default one, on which nothing can be recorded."""
    if device.type != "cuda":
        return nullcontext()
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(device))
    return torch.cuda.stream(stream)

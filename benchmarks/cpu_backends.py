"""The same network on a CPU by torch, torch's compiler, ONNX Runtime and OpenVINO.

    python benchmarks/cpu_backends.py [--variant small] [--precision bf16] [--batch 8] [--compile]

Weights are random; arithmetic is float32 everywhere, or bf16 in torch and OpenVINO where the
processor has it (ONNX Runtime has none on a CPU). Heatmaps are compared with torch's first.
Backends take turns; what is printed is the median over rounds of torch's time by the backend's,
wall and CPU, within a round. A backend that is not installed is passed over. Several pools of
threads disturb each other: with --threads 1 and OMP_NUM_THREADS=1 they cannot.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from gpu_material import random_model
from numpy.typing import NDArray

from vitpose_cli.models.onnx_file import write_onnx
from vitpose_cli.models.pose_network import PoseNetwork
from vitpose_cli.models.vitpose import VARIANTS
from vitpose_cli.runtime import resolve_precision

CPU = torch.device("cpu")
Backend = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def by_torch(variant: str, dtype: torch.dtype) -> Backend:
    network = PoseNetwork(random_model(variant, CPU), device=CPU, dtype=dtype)

    def run(crops: NDArray[np.float32]) -> NDArray[np.float32]:
        inputs = torch.from_numpy(crops).to(dtype, memory_format=torch.channels_last)
        return network.heatmaps(inputs).float().numpy()

    return run


def by_compiler(variant: str, dtype: torch.dtype) -> Backend:
    import torch._inductor.config as inductor

    inductor.freezing = True
    network = torch.compile(random_model(variant, CPU).to(dtype), dynamic=False)

    def run(crops: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            found: NDArray[np.float32] = network(torch.from_numpy(crops).to(dtype)).float().numpy()
        return found

    return run


def by_onnxruntime(path: Path, threads: int) -> Backend:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda crops: session.run(None, {name: crops})[0]


def by_openvino(path: Path, threads: int, dtype: torch.dtype) -> Backend:
    import openvino

    options = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32" if dtype == torch.float32 else "bf16",
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = openvino.Core().compile_model(str(path), "CPU", options)
    return lambda crops: compiled(crops)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variant", default="small", choices=VARIANTS)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="also torch's compiler: slow start")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    dtype = resolve_precision(options.precision, CPU)
    backends: dict[str, Backend] = {"torch": by_torch(options.variant, dtype)}
    if options.compile:
        backends["torch compiled"] = by_compiler(options.variant, dtype)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.onnx"
        write_onnx(random_model(options.variant, CPU), path)
        makers = {
            "onnxruntime": partial(by_onnxruntime, path, options.threads),
            "openvino": partial(by_openvino, path, options.threads, dtype),
        }
        for name, make in makers.items():
            try:
                backends[name] = make()
            except ImportError as error:
                print(f"{name}: {error}")
        width, height = random_model(options.variant, CPU).header.input_wh
        generator = np.random.default_rng(0)
        crops = generator.standard_normal((options.batch, 3, height, width)).astype(np.float32)
        expected = backends["torch"](crops)
        apart = {name: float(np.abs(run(crops) - expected).max()) for name, run in backends.items()}
        rounds = [
            {name: measured(run, crops) for name, run in backends.items()}
            for _ in range(options.rounds)
        ]
    for name in backends:
        ratios = {
            clock: statistics.median(each["torch"][clock] / each[name][clock] for each in rounds)
            for clock in ("wall", "cpu")
        }
        cpu_s = statistics.median(each[name]["cpu"] for each in rounds)
        row = {
            "variant": options.variant,
            "backend": name,
            "precision": options.precision,
            "torch_over_it_wall": round(ratios["wall"], 2),
            "torch_over_it_cpu": round(ratios["cpu"], 2),
            "crops_per_cpu_s": round(options.batch / cpu_s, 1),
            "heatmaps_apart": apart[name],
        }
        print(json.dumps(row), flush=True)


def measured(run: Backend, crops: NDArray[np.float32]) -> dict[str, float]:
    """Return wall and CPU seconds of one batch."""
    wall, cpu = time.perf_counter(), time.process_time()
    run(crops)
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


if __name__ == "__main__":
    main()

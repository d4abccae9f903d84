"""What each kind of attention costs in training: the paper's Table 5, ours beside it.

    python benchmarks/attention.py [--variant tiny] [--input 192x256] [--batch-size 4] [--steps 2]
        [--device auto] [--precision auto]

Trains the network on 1/8 features for some steps with every kind of attention, each in a process of
its own, and prints a table: people a second, the peak of memory that training added (of the GPU, or
of the process), what autograd keeps of a pass, and what it would keep if attention were no fused
kernel but a matrix of weights, as when the paper was written. Beside it the paper's AP on COCO val
and memory (ViTPose-B, 192 x 256 px, 64 crops a GPU; full attention in fp16, the others in fp32).
On a GPU: --variant base --batch-size 64 --steps 20.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from dataclasses import dataclass

import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from vitpose_cli.models.attention import AttentionConfig, AttentionPattern
from vitpose_cli.models.vitpose import VARIANTS, HeadConfig, ViTPose, ViTPoseConfig
from vitpose_cli.runtime import resolve_device, resolve_precision
from vitpose_cli.training.activations import counted_activations
from vitpose_cli.training.metrics import peak_memory_mib


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the paper's Table 5: AP on COCO val, training memory in MB where it is given."""

    pattern: AttentionPattern
    window_wh: tuple[int, int]
    paper_ap: float
    paper_mb: int | None


ROWS = (
    Row("full", (8, 8), 77.4, 36_141),
    Row("window", (8, 8), 66.4, 21_161),
    Row("window+shift", (8, 8), 76.4, 21_161),
    Row("window+pool", (8, 8), 76.4, 22_893),
    Row("window+shift+pool", (8, 8), 76.8, None),
    Row("full-every-quarter+window", (8, 8), 76.9, 28_594),
    Row("window+shift+pool", (12, 16), 77.1, 26_778),
)


@dataclass(frozen=True, slots=True)
class Measured:
    """What one kind of attention costs."""

    people_per_s: float
    peak_mib: int
    kept_mib: int
    unfused_mib: int


def measure(row: Row, options: argparse.Namespace) -> Measured:
    """Train some steps on noise."""
    device = resolve_device(options.device)
    dtype = resolve_precision(options.precision, device)
    width, height = (int(side) for side in options.input.split("x"))
    torch.manual_seed(0)
    config = ViTPoseConfig(
        VARIANTS[options.variant],
        {"coco": HeadConfig("classic", 17)},
        (width, height),
        stride=8,
        attention=AttentionConfig(row.pattern, row.window_wh),
    )
    model = ViTPose(config).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    crops = torch.randn(options.batch_size, 3, height, width, device=device)
    targets = torch.rand(options.batch_size, 17, height // 4, width // 4, device=device)

    def learn() -> None:
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            maps = model(crops)
        torch.autograd.backward(F.mse_loss(maps.float(), targets))
        optimizer.step()
        optimizer.zero_grad()

    before = peak_memory_mib(device)
    learn()
    began_s = _now_s(device)
    for _ in range(options.steps):
        learn()
    taken_s, peak = _now_s(device) - began_s, peak_memory_mib(device)
    with counted_activations(model) as num_bytes:
        learn()
    with counted_activations(model) as unfused_bytes, sdpa_kernel(SDPBackend.MATH):
        learn()
    return Measured(
        options.steps * options.batch_size / taken_s,
        peak - before,
        num_bytes() >> 20,
        unfused_bytes() >> 20,
    )


def _now_s(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def main() -> None:
    """Measure every row and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--variant", default="tiny", choices=VARIANTS)
    parser.add_argument("--input", default="192x256")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    options = parser.parse_args()
    print("| attention | window | people/s | peak MiB | kept | unfused | paper AP | paper MB |")
    print("|---|---|---|---|---|---|---|---|")
    # A fresh process each, since the peak of a process never falls.
    context = multiprocessing.get_context("spawn")
    for row in ROWS:
        with context.Pool(1) as pool:
            found = pool.apply(measure, (row, options))
        window = "" if row.pattern == "full" else "x".join(map(str, row.window_wh))
        memory = "" if row.paper_mb is None else f"{row.paper_mb:,}"
        print(
            f"| {row.pattern} | {window} | {found.people_per_s:.2f} | {found.peak_mib:,} "
            f"| {found.kept_mib:,} | {found.unfused_mib:,} | {row.paper_ap} | {memory} |"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()

"""From the command to the first label, against what nobody can avoid.

    python benchmarks/startup.py [--rounds 5]

`vitpose annotate` of one photo with the shipped weights and detector, no flip test, in a process
of its own; against a process that imports torch, reads the same weights and runs a network of
their size once over a crop. They take turns; wall and CPU seconds are medians, ratios are taken
within a round. CPU time is what to trust on a machine that others use.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
PHOTO = ROOT / "examples" / "photos" / "astronaut.jpg"
WEIGHTS = ROOT / "weights" / "vitpose-tiny.safetensors"

LEAST = """
import sys, torch
from safetensors.torch import load_file
state = load_file(sys.argv[1])
with torch.inference_mode():
    tokens = torch.randn(1, 192, 192)
    blocks = torch.nn.Sequential(*[
        torch.nn.TransformerEncoderLayer(192, 3, 768, batch_first=True) for _ in range(12)
    ]).eval()
    blocks(tokens)
    maps = torch.nn.ConvTranspose2d(192, 256, 4, 2, 1)(tokens.view(1, 16, 12, 192).movedim(3, 1))
    torch.nn.ConvTranspose2d(256, 256, 4, 2, 1)(maps)
"""


def timed(command: list[str]) -> dict[str, float]:
    """Return wall and CPU seconds of a process."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": wall, "cpu": cpu}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rounds = []
    for number in range(options.rounds + 1):
        with tempfile.TemporaryDirectory() as scratch:
            run = ["annotate", str(PHOTO), "-o", f"{scratch}/run", "--device", "cpu"]
            annotate = [sys.executable, "-m", "vitpose_cli", *run, "--no-flip-test"]
            least = [sys.executable, "-c", LEAST, str(WEIGHTS)]
            taken = {"annotate": timed(annotate), "least": timed(least)}
        if number:  # the first reads files into the cache
            rounds.append(taken)
    found = {
        f"{name}_{clock}_s": round(statistics.median(each[name][clock] for each in rounds), 2)
        for name in ("annotate", "least")
        for clock in ("wall", "cpu")
    }
    for clock in ("wall", "cpu"):
        ratios = [each["annotate"][clock] / each["least"][clock] for each in rounds]
        found[f"ratio_{clock}"] = round(statistics.median(ratios), 2)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

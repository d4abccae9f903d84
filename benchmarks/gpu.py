"""Everything about one GPU in one run: is it right, how fast is it, and what waits for what.

    python benchmarks/gpu.py [--only correctness,network] [--out gpu.json] [--minutes 8]
    python benchmarks/gpu.py --device cpu --quick

Needs no data and no network: photos are made from those in `examples/`, weights are random but
for the shipped ones, whose heatmaps have peaks and are compared with the CPU's in float32. A
section that fails leaves its traceback in the JSON, and the others go on; what there is no time
for is skipped. The short table comes last. Compiling and profiling come late, so that little is
lost when a machine's time is over.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import torch
from gpu_correctness import correctness
from gpu_material import Setting
from gpu_peers import peers
from gpu_rates import matrix, network, pipeline, video
from gpu_stages import stages

from vitpose_cli.runtime import num_reader_threads, resolve_device, resolve_precision

SECTIONS: dict[str, Callable[[Setting], dict[str, Any]]] = {
    "matrix": matrix,
    "correctness": correctness,
    "pipeline": pipeline,
    "stages": stages,
    "video": video,
    "peers": peers,
    "network": network,
}


def machine(setting: Setting) -> dict[str, Any]:
    """Return what was measured on."""
    cuda = torch.cuda.get_device_name(setting.device) if setting.on_gpu else None
    return {
        "device": cuda or platform.processor() or platform.machine(),
        "dtype": str(setting.dtype).removeprefix("torch."),
        "readers": num_reader_threads(setting.device),
        "cpu_threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "opencv": cv2.__version__,
    }


def table(found: dict[str, Any]) -> Iterator[str]:
    """Yield the lines that matter most, of those sections that came through."""
    for name, section in found.items():
        if "error" in section:
            yield f"{name}: FAILED, {section['error'].splitlines()[-1]}"
    for name, value in found.get("matrix", {}).items():
        yield f"{name:44}{value:10.1f}" if name != "error" else ""
    for name, mode in found.get("correctness", {}).get("modes", {}).items():
        slots = "" if mode["every_slot_its_own_crop"] else "  WRONG SLOTS"
        yield (
            f"{name:34} shift px median {mode['shift_px_median']:.4f} "
            f"p99 {mode['shift_px_p99']:.3f} max {mode['shift_px_max']:.2f}, "
            f"maps {mode.get('map_error_relative', math.nan):.1e}{slots}"
        )
    if crops := found.get("correctness", {}).get("device_crops"):
        yield f"{'crops cut on the device, grey levels':44}{crops['levels_max']:10d}"
    for name, row in found.get("network", {}).items():
        if isinstance(row, dict) and "best" in row:
            yield f"network {name:36}{row['best']:10.0f} crops/s {row['matrix_share']:.0%}"
    rows = dict(found.get("pipeline", {}))
    if "photos_per_s" in found.get("video", {}):
        rows["video"] = found["video"]
    for name, row in rows.items():
        if name != "error":
            yield (
                f"{name:44}{row['photos_per_s']:10.1f} photos/s, decode {row['decode_alone']:.0f}, "
                f"rest {row['all_but_decode']:.0f}, {row['share_of_slowest']:.0%} of the slowest"
            )
    for name, value in found.get("peers", {}).items():
        if name != "error":
            yield f"{name:44}{value:10.2f}"
    for name, value in found.get("stages", {}).get("ms_for_a_chunk", {}).items():
        yield f"{name:44}{value:10.3f} ms"
    if "gpu_busy_share" in found.get("stages", {}):
        yield f"{'GPU busy':44}{found['stages']['gpu_busy_share']:10.1%}"


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--only", default="", help=f"of {','.join(SECTIONS)}")
    parser.add_argument("--minutes", type=float, default=7.5)
    parser.add_argument("--quick", action="store_true", help="tiny, to see that it works")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    return parser.parse_args()


def main() -> int:
    options = parsed()
    chosen = options.only.split(",") if options.only else list(SECTIONS)
    if unknown := set(chosen) - set(SECTIONS):
        raise SystemExit(f"There is no section {', '.join(sorted(unknown))}.")
    device = resolve_device(options.device)
    with tempfile.TemporaryDirectory() as scratch:
        setting = Setting(
            device=device,
            dtype=resolve_precision(options.precision, device),
            quick=options.quick,
            deadline=time.monotonic() + 60 * options.minutes,
            scratch=Path(scratch),
        )
        found: dict[str, Any] = {"machine": machine(setting)}
        for name in chosen:
            started = time.monotonic()
            try:
                with torch.inference_mode():
                    section = SECTIONS[name](setting)
            except Exception:  # noqa: BLE001 - one section must not cost the others
                section = {"error": traceback.format_exc()}
            found[name] = section
            found["machine"][f"{name}_s"] = round(time.monotonic() - started, 1)
            options.out.write_text(json.dumps(found, indent=1))
            print(f"{name}: {found['machine'][f'{name}_s']} s", file=sys.stderr, flush=True)
    for name in chosen:
        if "error" in found[name]:
            print(found[name]["error"], file=sys.stderr)
    print("\n".join(table(found)))
    return int(any("error" in found[name] for name in chosen))


if __name__ == "__main__":
    sys.exit(main())

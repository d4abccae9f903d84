"""How long labelling takes beside other busy programs, with threads that sleep soon or spin long.

    python benchmarks/shared_processor.py [--photos 24] [--busy 0 1 2] [--rounds 3]

`vitpose annotate` of copies of an example photo, in a process of its own, as it is (`short`) and
with the spin count that GNU's OpenMP has by itself (`long`, 300,000); beside it as many processes
as are asked for, each of which keeps one processor busy. They take turns; seconds are those that
the command says for labelling, and CPU seconds those of the process, medians over rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
PHOTO = ROOT / "examples" / "photos" / "astronaut.jpg"
SPIN_COUNTS = {"short": {}, "long": {"GOMP_SPINCOUNT": "300000"}}


def labelled(photos: Path, run: Path, settings: dict[str, str]) -> tuple[float, float]:
    """Return seconds of labelling, and CPU seconds of the whole process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)} | settings
    command = ["-m", "vitpose_cli", "annotate", str(photos), "-o", str(run), "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, *command, "--json"],
        check=True, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(done.stdout)["seconds"], cpu


def measured(photos: Path, num_busy: int, num_rounds: int) -> dict[str, float]:
    """Return medians beside `num_busy` other processes."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in SPIN_COUNTS}
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(num_busy)]
    try:
        for number in range(num_rounds):
            for name, settings in SPIN_COUNTS.items():
                run = photos.parent / f"{num_busy}-{number}-{name}"
                taken[name].append(labelled(photos, run, settings))
    finally:
        for process in busy:
            process.kill()
            process.wait()
    return {
        f"{name}_{what}": round(statistics.median(each[place] for each in rounds), 1)
        for name, rounds in taken.items()
        for place, what in enumerate(("s", "cpu_s"))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        photos = Path(scratch) / "photos"
        photos.mkdir()
        for number in range(options.photos):
            shutil.copy(PHOTO, photos / f"{number}.jpg")
        labelled(photos, photos.parent / "first", {})  # reads files into the cache
        for num_busy in options.busy:
            found = {"busy": num_busy, **measured(photos, num_busy, options.rounds)}
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()

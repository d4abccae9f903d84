"""Time and memory of a run folder with very many photos, two people each.

Every step runs in a process of its own: reading the journal as a resumed run does, writing
annotations.json, opening the review page (until the first rows of its list are there), and the
commands that read labels. CPU time is that of the process; memory is its peak. What ten million
photos would take is told from the slope between a tenth and all of them.

`first-row` and `all-rows` open the page in Chromium (needs Playwright): from starting `vitpose
review` until its first row can be read on the page, or until its list has every frame. The browser
has been started before; CPU time and memory are those of the server.

    python benchmarks/journal_scale.py                                # 1,000,000 photos
    python benchmarks/journal_scale.py --photos 100000 --commands stats,validate,merge,evaluate
    python benchmarks/journal_scale.py --steps first-row,all-rows
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from vitpose_cli.media.frames import FrameKey
from vitpose_cli.pose.instances import Instances
from vitpose_cli.pose.keypoints import keypoint_set
from vitpose_cli.records.journal import line_of
from vitpose_cli.records.manifest import RunManifest
from vitpose_cli.records.record import FrameRecord
from vitpose_cli.records.run import Run

NUM_PATTERNS = 500
PEOPLE = 2
ON_PAPER = 10_000_000
LIMITS = {
    "scan": (20.0, 1500),
    "export": (120.0, 1500),
    "review": (5.0, 1500),
    "first-row": (5.0, 1500),
}
STEPS = ("scan", "export", "review")
PAGE_STEPS = ("first-row", "all-rows")
COMMANDS = {
    "stats": ["stats", "{run}"],
    "validate": ["validate", "{run}/annotations.json"],
    "merge": ["merge", "{run}", "{run}-other", "-o", "{run}-merged.json"],
    "merge-document": ["merge", "{run}", "{run}/annotations.json", "-o", "{run}-merged.json"],
    "evaluate": ["evaluate", "-a", "{run}/annotations.json", "-p", "{run}"],
    "diff": ["diff", "{run}", "{run}-other"],
    "split": ["split", "{run}/annotations.json", "-o", "{run}-parts"],
    "split-run": ["split", "{run}", "-o", "{run}-parts-of-run"],
    "csv": ["export", "{run}", "-f", "csv", "-o", "{run}.csv"],
    "openpose": ["export", "{run}", "-f", "openpose", "-o", "{run}-openpose"],
    "cvat": ["export", "{run}", "-f", "cvat", "-o", "{run}-cvat"],
}


def make_run(folder: Path, num_photos: int) -> None:
    """Write a run folder as `annotate` leaves it when it is killed before the end."""
    Run.open(folder, RunManifest(keypoint_set("coco").to_category())).close()
    generator = np.random.default_rng(0)
    patterns = []
    for _ in range(NUM_PATTERNS):
        low = generator.uniform(0, 300, (PEOPLE, 2))
        boxes = np.concatenate([low, low + generator.uniform(50, 150, (PEOPLE, 2))], axis=1)
        people = Instances(
            boxes=boxes.astype(np.float32),
            box_scores=generator.uniform(0, 1, PEOPLE).astype(np.float32),
            keypoints=generator.uniform(0, 400, (PEOPLE, 17, 2)).astype(np.float32),
            keypoint_scores=generator.uniform(0, 1, (PEOPLE, 17)).astype(np.float32),
            visibility=np.full((PEOPLE, 17), 2),
        )
        record = FrameRecord(FrameKey("@"), (640, 480), instances=people, model="0" * 16)
        patterns.append(record.to_json().split(b'"@"', 1))
    with (folder / "journal-1-of-1.jsonl").open("wb", buffering=1 << 20) as stream:
        for number in range(num_photos):
            before, after = patterns[number % NUM_PATTERNS]
            name = b'"folder %04d/photo %08d.jpg"' % (number // 1000, number)
            stream.write(line_of(before + name + after))


def measure(arguments: list[str]) -> dict[str, float]:
    """Run a process; return its wall time, CPU time (s) and peak memory (MB)."""
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        ["/usr/bin/env", sys.executable, __file__, "--measure", *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    wall_s = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    cpu_s = sum(after[:2]) - sum(before[:2])
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return {"wall_s": wall_s, "cpu_s": cpu_s} | told


def perform(step: str, run: Path) -> None:
    """Be the process that is measured."""
    if step == "scan":
        with Run.open(run, RunManifest(keypoint_set("coco").to_category())) as opened:
            len(opened)
    elif step == "export":
        with Run.open(run, RunManifest(keypoint_set("coco").to_category())) as opened:
            opened.export()
    elif step == "review":
        print(json.dumps(open_review(run)), flush=True)
        return
    elif step in PAGE_STEPS:
        print(json.dumps(open_page(run, every_row=step == "all-rows")), flush=True)
        return
    else:
        from vitpose_cli.cli.app import run as run_command

        words = [word.replace("{run}", str(run)) for word in COMMANDS[step]]
        if code := run_command(words):
            raise SystemExit(code)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"peak_mb": peak_mb}), flush=True)


@contextmanager
def review_server(run: Path) -> Iterator[tuple[str, int]]:
    """Yield address and process of a review page, as soon as it can be opened."""
    media = run.with_name(f"{run.name}-media")
    photo = media / "folder 0000" / "photo 00000000.jpg"  # one that is there is enough
    photo.parent.mkdir(parents=True, exist_ok=True)
    photo.touch()
    command = [sys.executable, "-m", "vitpose_cli", "review", str(run), "-i", str(media)]
    with subprocess.Popen([*command, "--port", "0"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip(), server.pid
        server.send_signal(signal.SIGINT)


def open_review(run: Path) -> dict[str, float]:
    """Return what passes until the page's first data are there, and the peak memory behind it."""
    started = time.monotonic()
    with review_server(run) as (address, process):
        rows = ",".join(map(str, range(40)))
        for path in ("", "api/run", "api/frames", f"api/rows?numbers={rows}"):
            get(address + path)
        spent = {"wall_s": time.monotonic() - started, "cpu_s": cpu_s_of(process)}
        return spent | {"peak_mb": peak_mb_when_read(address, process)}


def open_page(run: Path, *, every_row: bool) -> dict[str, float]:
    """Return what passes until the page shows its first row, or knows of the last."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page()
        started = time.monotonic()
        with review_server(run) as (address, process):
            page.goto(address)
            page.wait_for_selector(".row[aria-label]")
            if every_row:
                told = page.get_by_text(re.compile(r"^[\d,]+ frames$"))
                told.wait_for(timeout=600_000)
            spent = {"wall_s": time.monotonic() - started, "cpu_s": cpu_s_of(process)}
            spent["peak_mb"] = peak_mb_when_read(address, process)
        browser.close()
    return spent


def get(url: str) -> bytes:
    """Return what a server answers."""
    with urllib.request.urlopen(url) as answer:
        body: bytes = answer.read()
    return body


def cpu_s_of(process: int) -> float:
    """Return the CPU time of a process that is still running."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mb_when_read(address: str, process: int) -> float:
    """Wait until the page's server has read the whole run; return its peak memory."""
    while json.loads(get(f"{address}api/progress"))["num_read"] is not None:
        time.sleep(0.2)
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def show(step: str, size: int, row: dict[str, float], note: str = "") -> None:
    """Print a line of the table."""
    numbers = f"{row['wall_s']:9.1f}{row['cpu_s']:9.1f}{row['peak_mb']:9.0f}"
    print(f"{step:14}{size:12,}{numbers}{note}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=1_000_000)
    parser.add_argument("--steps", default=",".join(STEPS), help=f"of these and {PAGE_STEPS}")
    parser.add_argument("--commands", default="", help=f"also these, of {','.join(COMMANDS)}")
    parser.add_argument("--folder", type=Path, help="where to write; a temporary folder")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        perform(options.measure[0], Path(options.measure[1]))
        return
    steps = [*filter(None, f"{options.steps},{options.commands}".split(","))]
    sizes = (options.photos // 10, options.photos)
    found: dict[str, list[dict[str, float]]] = {step: [] for step in steps}
    print(f"{'':14}{'photos':>12}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}", flush=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for size in sizes:
            run = Path(folder) / f"run-{size}"
            make_run(run, size)
            if not {"merge", "diff"}.isdisjoint(steps):
                shutil.copytree(run, f"{run}-other")
            for step in steps:  # in order: commands read the document that `export` writes
                found[step].append(measure([step, str(run)]))
                show(step, size, found[step][-1])
    missed = []
    for step, (small, large) in found.items():
        slopes = {name: (large[name] - small[name]) / (sizes[1] - sizes[0]) for name in large}
        paper = {name: large[name] + slopes[name] * (ON_PAPER - sizes[1]) for name in large}
        show(step, ON_PAPER, paper, "  on paper")
        limit_s, limit_mb = LIMITS.get(step, (float("inf"), 1500))
        if large["wall_s"] > limit_s or large["peak_mb"] > limit_mb:
            missed.append(step)
    if missed:
        raise SystemExit(f"over the limit: {', '.join(missed)}")


if __name__ == "__main__":
    main()

"""Label generated photos and a clip again and again while things go wrong, and count what is lost.

Every round labels one set in a run folder of its own. Until it is done, its processes are killed at
random moments, bytes of the journal are changed, and photos vanish and come back. Its document is
then compared with that of a run that nobody disturbed. Memory is the peak of each whole round's
processes: its slope over the rounds should be none.

    python benchmarks/soak.py --minutes 60
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

JOURNAL = "journal-1-of-1.jsonl"
DOCUMENT = "annotations.json"


def make_media(folder: Path, num_photos: int) -> None:
    """Write photos of noise, and a clip."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(num_photos):
        noise = generator.integers(0, 255, (30, 40, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number}.jpg"), cv2.resize(noise, (320, 240)))
    writer = cv2.VideoWriter(
        str(folder / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (320, 240)
    )
    for shade in range(40):
        writer.write(np.full((240, 320, 3), shade, np.uint8))
    writer.release()


def start(media: Path, run: Path) -> subprocess.Popen[bytes]:
    """Start labelling; the whole photo is the box, so that time goes into files."""
    return subprocess.Popen(
        [
            sys.executable, "-m", "vitpose_cli", "annotate", str(media), "-o", str(run),
            "--detector", "whole-image", "--no-flip-test",
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def finish(process: subprocess.Popen[bytes], kill_after_s: float | None = None) -> tuple[int, int]:
    """Wait for a process, or kill it; return its exit code and its peak memory, KiB."""
    deadline = None if kill_after_s is None else time.monotonic() + kill_after_s
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode, usage.ru_maxrss
        if deadline is not None and time.monotonic() > deadline:
            process.kill()
            deadline = None
        time.sleep(0.005)


def spoil(run: Path, chance: random.Random) -> bool:
    """Change a byte of the journal; return whether there was one."""
    journal = run / JOURNAL
    data = bytearray(journal.read_bytes()) if journal.exists() else bytearray()
    if not data:
        return False
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    journal.write_bytes(data)
    return True


def soak_once(media: Path, run: Path, chance: random.Random, limit_s: float) -> tuple[int, int]:
    """Label one set through a few faults; return how many there were and the peak memory, KiB."""
    num_faults = peak = 0
    for _ in range(chance.randint(1, 4)):
        hidden = media / f"{chance.randrange(10)}.jpg"
        hides = chance.random() < 0.3
        if hides:
            hidden.rename(hidden.with_suffix(".away"))
        code, memory = finish(start(media, run), chance.uniform(0, limit_s))
        if hides:
            hidden.with_suffix(".away").rename(hidden)
        peak = max(peak, memory)
        num_faults += (code == -9) + hides
        if chance.random() < 0.5:
            num_faults += spoil(run, chance)
    code, memory = finish(start(media, run))
    if code:
        raise SystemExit(f"the undisturbed call at the end of a round ended with {code}")
    return num_faults, max(peak, memory)


def names(run: Path) -> set[str]:
    """Return the frames in a run's document."""
    document = json.loads((run / DOCUMENT).read_bytes())
    return {image["file_name"] for image in document["images"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    deadline = time.monotonic() + 60 * options.minutes
    num_rounds = num_done = num_faults = num_lost = num_equal = 0
    peaks: list[int] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        media = folder / "media"
        make_media(media, options.photos)
        started = time.monotonic()
        if code := finish(start(media, folder / "calm"))[0]:
            raise SystemExit(f"the undisturbed run ended with {code}")
        calm_s = time.monotonic() - started
        wanted = names(folder / "calm")
        while not peaks or time.monotonic() < deadline:
            run = folder / "run"
            faults, peak = soak_once(media, run, chance, calm_s)
            num_rounds += 1
            num_faults += faults
            peaks.append(peak)
            found = names(run)
            num_done += len(found)
            num_lost += len(wanted - found)
            num_equal += (run / DOCUMENT).read_bytes() == (folder / "calm" / DOCUMENT).read_bytes()
            shutil.rmtree(run)
    slope = np.polyfit(range(len(peaks)), peaks, 1)[0] / 1024 if len(peaks) > 1 else 0.0
    print(f"{num_done} frames done in {num_rounds} rounds, {num_faults} faults survived")
    print(f"{num_lost} labels lost, {num_equal} of {num_rounds} documents equal byte for byte")
    print(f"memory {max(peaks) / 1024:.0f} MB at most, {slope:+.2f} MB a round")
    if num_lost:
        raise SystemExit("labels were lost")


if __name__ == "__main__":
    main()

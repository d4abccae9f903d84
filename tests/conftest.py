"""Fixtures that all tests share."""

from __future__ import annotations

import gc
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from disks import Disk, mounted
from hypothesis import settings
from launcher import Launcher, shared_launcher
from shared_data import SHARED_DATA

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# The consoles take COLUMNS when they are made, which no test's own environment is to decide.
os.environ.pop("COLUMNS", None)
import vitpose_cli.cli.console  # noqa: F401

# Tests are small and run side by side; several threads in each would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Shells start jobs in the background deaf to Ctrl-C, and children would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# So does `nohup` with a terminal that is closed; handlers are not inherited.
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)

BROWSER_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
]

# Timing says nothing on a busy machine.
settings.register_profile("vitpose", deadline=None)
settings.load_profile("vitpose")


def pytest_collection_finish() -> None:
    """Keep torch and the tests themselves out of every later collection of garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real photos beside the checkout, which is never part of it."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"needs the real photos in {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Return a disk that can be made small, or skip where none can be mounted."""
    with mounted(tmp_path / "disk") as new:
        if new is None:
            pytest.skip("no file system can be mounted here (only root may)")
        yield new


@pytest.fixture(scope="session")
def launcher() -> Launcher:
    """Return what starts commands whose libraries are loaded already."""
    return shared_launcher()


@pytest.fixture(scope="session")
def bare_launcher() -> Iterator[Launcher]:
    """Return one whose processes have loaded torch alone, and PyTorch's compiler least of all."""
    started = Launcher(bare=True)
    yield started
    started.end()


@pytest.fixture(scope="session")
def browser_options() -> dict[str, Any]:
    """Return how to launch a browser that plays H.264 and AAC, or skip where there is none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    return {"executable_path": program, "args": BROWSER_FLAGS}


@pytest.fixture(scope="module")
def browser(browser_options: dict[str, Any]) -> Iterator[Browser]:
    """Return that browser, started."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the playwright package")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(**browser_options)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def healthy_videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A video of each of `video_cases.FORMATS`, by its name."""
    from video_cases import FORMATS, write_video  # not before OMP_NUM_THREADS is set

    folder = tmp_path_factory.mktemp("videos")
    made = {}
    for name, video in FORMATS.items():
        file = f"{name.replace('-', '_', 1)}.webm" if name == "webm-vp8" else name
        file = f"{file}.{file}" if "." not in file else file
        file = "b.avi" if name == "avi-b" else file
        made[name] = write_video(folder / file, video)
    return made

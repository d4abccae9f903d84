"""A disk that a test can fill, or take the right to write to from."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Disk:
    """A file system of its own, in memory.

    Attributes:
        path: Where it is mounted.
    """

    path: Path

    def leave(self, num_bytes: int = 64 << 20, num_files: int = 10_000) -> None:
        """Leave room for so much more and no more."""
        now = os.statvfs(self.path)
        size = (now.f_blocks - now.f_bfree) * now.f_frsize + num_bytes
        self._remount(f"size={size},nr_inodes={now.f_files - now.f_ffree + num_files}")

    def protect(self) -> None:
        """Let nobody write."""
        self._remount("ro")

    def _remount(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.path)], check=True)


@contextmanager
def mounted(path: Path) -> Iterator[Disk | None]:
    """Mount a new, roomy disk; None where only an administrator may."""
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "none", str(path)]
    if (
        os.name != "posix"
        or os.geteuid() != 0
        or subprocess.run(mount, check=False, capture_output=True).returncode
    ):
        yield None
        return
    try:
        disk = Disk(path)
        disk.leave()
        yield disk
    finally:
        subprocess.run(["umount", str(path)], check=True)

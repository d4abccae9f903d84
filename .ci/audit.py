"""Ask whether any package of this environment has a known vulnerability, through pip-audit.

    python .ci/audit.py

What is known comes from a service on the network; no file of it can be brought along. Where the
service does not answer, or answers for no package, this says so and passes: nothing was learnt.
pip-audit lives in an environment of its own, made here and thrown away.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

OURS = "vitpose-cli"


def skipped(why: str) -> None:
    """Say that nothing was checked, and end."""
    print(f"audit SKIPPED, nothing was checked: {why}")
    sys.exit(0)


def audit(scratch: Path) -> list[dict[str, Any]]:
    """Return what pip-audit says of each package; ends the program where it says nothing."""
    installed = {each.metadata["Name"]: each.version for each in distributions()}
    pinned = scratch / "installed.txt"
    pinned.write_text("".join(f"{n}=={v}\n" for n, v in sorted(installed.items()) if n != OURS))
    venv.create(scratch / "audit", with_pip=True)
    python = str(scratch / "audit" / "bin" / "python")
    if subprocess.run([python, "-m", "pip", "install", "--quiet", "pip-audit"]).returncode:
        skipped("pip-audit cannot be installed here")
    found = scratch / "found.json"
    done = subprocess.run(
        [
            python, "-m", "pip_audit", "--requirement", str(pinned), "--disable-pip", "--no-deps",
            "--progress-spinner", "off", "--timeout", "15", "--format", "json",
            "--output", str(found),
        ],
        capture_output=True, text=True,
    )  # fmt: skip
    if not found.exists():
        skipped((done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1])
    return list(json.loads(found.read_text())["dependencies"])


def main() -> None:
    """Print what is known, and fail where something is."""
    with tempfile.TemporaryDirectory() as scratch:
        packages = audit(Path(scratch))
    known = [package for package in packages if "skip_reason" not in package]
    if not known:
        skipped(f"the service knows none of {len(packages)} packages, so it is no such service")
    for package in packages:
        if "skip_reason" in package:
            print(f"not known there: {package['name']} {package['version']}")
    vulnerable = [package for package in known if package["vulns"]]
    for package in vulnerable:
        for each in package["vulns"]:
            print(f"{package['name']} {package['version']}: {each['id']}")
    print(f"{len(known)} of {len(packages)} packages checked, {len(vulnerable)} vulnerable")
    sys.exit(bool(vulnerable))


if __name__ == "__main__":
    main()

"""List the licences of everything that an installation brings, and refuse what is not free.

    python .ci/licences.py

Free here means permissive, or a weak copyleft that asks nothing of programs which only import it.
NVIDIA's libraries, which CUDA builds of torch bring, may be passed on but are not open source: they
are listed, and let pass.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement

FREE = re.compile(
    r"\b(MIT(-0|-CMU)?|(Free)?BSD|0BSD|Apache|ISC|PSF|Python Software Foundation|HPND|Unlicense|"
    r"zlib|MPL|Mozilla|CC0|Boost|BSL-1\.0)\b",
    re.IGNORECASE,
)
NOT_FREE = re.compile(r"\b(AGPL|GPL|LGPL|SSPL|Proprietary|NonCommercial|CC-BY-NC)", re.IGNORECASE)
NVIDIA = re.compile(r"^(nvidia|cuda)-")
ROOT = "vitpose-cli"


def dependencies(root: str) -> dict[str, Distribution]:
    """Return `root` and everything that it needs here, by name."""
    found: dict[str, Distribution] = {}
    waiting = [root]
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue  # of another system, or replaced by a build of another name
        for text in found[name].requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found


def licence(package: Distribution) -> str:
    """Return what a package says of its licence: the expression, else classifiers, else text."""
    about = package.metadata
    if "License-Expression" in about:
        return about["License-Expression"]
    classifiers = [
        text.rpartition(" :: ")[2]
        for text in about.get_all("Classifier") or ()
        if text.startswith("License ::")
    ]
    if classifiers or "License" not in about:
        return ", ".join(classifiers) or "unknown"
    return (about["License"] or "unknown").splitlines()[0]


def main() -> None:
    """Print the list; exit with an error where something is not free."""
    refused = []
    for name, package in sorted(dependencies(ROOT).items()):
        text = licence(package)
        print(f"{name:32}{package.version:22}{text}")
        free = FREE.search(text) and not NOT_FREE.search(text)
        if not free and not NVIDIA.match(name):
            refused.append(name)
    if refused:
        sys.exit(f"not known to be permissive: {', '.join(refused)}")


if __name__ == "__main__":
    main()

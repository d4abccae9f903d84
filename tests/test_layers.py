"""The house plan: who may import whom. Read from the source, so nothing is loaded."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "vitpose_cli"

LAYERS = (  # lowest first; the members of one layer do not import each other
    {"errors", "charts", "plurals", "progress", "spinning", "termination"},
    {"faults", "files", "ranges"},
    {"config"},
    {"own_files"},
    {"pose"},
    {"media"},
    {"records"},
    {"formats"},
    {"runtime"},
    {"models"},
    {"tracking", "blame"},
    {"labeler"},
    {"edit_distance", "labels", "record_set", "subjects", "tiles"},
    {"assembly"},
    {"annotate", "evaluate", "pose_labeler", "select", "review"},
    {"merge", "render", "bench", "split", "difference", "sheet", "stats"},
    {"training"},
    {"cli"},
    {"__main__"},
)
HEIGHT = {name: height for height, layer in enumerate(LAYERS) for name in layer}

ONLY_IN = {
    "typer": ("cli/",),
    "rich": ("cli/",),
    "tqdm": ("cli/",),
    "cv2": ("media/",),
    "av": ("media/",),
    "transformers": ("models/hub_detector.py",),
    "ray": ("annotate/distributed.py",),
    "fsspec": ("media/remote.py",),
}

SOURCES = sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the whole name of every import in a file, also of lazy ones."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Also within a package, and also where only types are imported."""
    modules = {module_name(path): path for path in SOURCES if path.stem != "__init__"}
    graph = {
        name: {
            there
            for _, taken in imports(path)
            for there in (taken, taken.rpartition(".")[0])  # a module, or a name in one
            if there in modules
        }
        for name, path in modules.items()
    }
    TopologicalSorter(graph).prepare()  # says which, where there is one


def test_the_package_was_found() -> None:
    assert len(SOURCES) > 20


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_downwards(path: Path) -> None:
    relative = path.relative_to(PACKAGE).as_posix()
    here = relative.split("/")[0].removesuffix(".py")
    for line, name in imports(path):
        top, _, rest = name.partition(".")
        if top == "vitpose_cli" and here != "__init__":
            there = rest.split(".")[0]
            if there and there != here and there != "__version__":
                assert HEIGHT[there] < HEIGHT[here], f"{relative}:{line} imports {name}"
        for library, places in ONLY_IN.items():
            if top == library:
                assert relative.startswith(places), f"{relative}:{line} imports {library}"


def test_the_compiler_is_spared_before_what_loads_it() -> None:
    # Whichever comes first in a command: it cost `annotate` half of its start once.
    early = "import vitpose_cli.models.without_compiler"
    library = re.compile(r"^(from|import) (timm|torchvision)\b", re.M)
    texts = {path: path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}
    first = {path: found.start() for path, text in texts.items() if (found := library.search(text))}
    assert len(first) >= 5
    for path, place in first.items():
        assert -1 < texts[path].find(early) < place, path


def test_help_loads_no_torch() -> None:
    code = (
        "import sys; from vitpose_cli.cli.app import run; run(['--help']); "
        "print(sorted({'torch', 'cv2', 'transformers', 'timm', 'av'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=240
    )
    assert done.stdout.strip().splitlines()[-1] == "[]"


def public_names(path: Path) -> Iterator[str]:
    """Yield the classes, functions and aliases of types that a module defines for others."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            yield node.name
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if not name.isupper() and not isinstance(node.value, ast.Call):  # of TypeVar
                yield name


def test_a_name_means_one_thing() -> None:
    """Only commands may be called as what they do, and formats have functions of one name."""
    places: dict[str, list[str]] = {}
    for path in SOURCES:
        relative = path.relative_to(PACKAGE).as_posix()
        if not relative.startswith("cli/"):
            for name in public_names(path):
                of_formats = relative.startswith("formats/") and name in {"read", "write"}
                if not name.startswith("_") and not of_formats:
                    places.setdefault(name, []).append(relative)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
